"""Switches of the kernel below ``/proc/sys``; those of the network are of the namespace in which the thread is."""

import contextlib
from pathlib import Path, PurePosixPath

_ROOT = Path("/proc/sys")


def read(path: str) -> str | None:
    """Return the value of a switch; None when there is none, as when its link is gone."""
    with contextlib.suppress(FileNotFoundError):
        return (_ROOT / path).read_text().strip()
    return None


def write(path: str, text: str) -> None:
    """Set a switch of the network; raises OSError, and ValueError for a path that is not below ``/proc/sys/net``."""
    parts = PurePosixPath(path).parts
    if parts[:1] != ("net",) or ".." in parts:
        raise ValueError(f"{path!r} is not a path below /proc/sys that begins with net/")
    (_ROOT / path).write_text(text)
