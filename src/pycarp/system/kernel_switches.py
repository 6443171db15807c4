"""Switches of the kernel below ``/proc/sys``; those of the network are of the namespace in which the thread is."""

import contextlib
from pathlib import Path

_ROOT = Path("/proc/sys")


def read(path: str) -> str | None:
    """Return the value of a switch; None when there is none, as when its link is gone."""
    with contextlib.suppress(FileNotFoundError):
        return (_ROOT / path).read_text().strip()
    return None


def write(path: str, text: str) -> None:
    """Set a switch; raises OSError."""
    (_ROOT / path).write_text(text)
