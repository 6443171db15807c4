"""Reads and writes sysctls below ``/proc/sys``, for ``net/`` in the network namespace of the thread."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import PurePosixPath

_ROOT = "/proc/sys/"
_LONGEST_OCTETS = 4096


def read(path: str) -> str | None:
    """Return the value of a sysctl; None when it does not exist, such as after its link was deleted."""
    with contextlib.suppress(FileNotFoundError), _opened(path, os.O_RDONLY) as descriptor:
        return os.read(descriptor, _LONGEST_OCTETS).decode().strip()
    return None


def write(path: str, text: str) -> None:
    """Set a sysctl of the network; raises OSError, and ValueError for a path not below ``/proc/sys/net``."""
    parts = PurePosixPath(path).parts
    if parts[:1] != ("net",) or ".." in parts:
        raise ValueError(f"{path!r} is not a path below /proc/sys that begins with net/")
    with _opened(path, os.O_WRONLY) as descriptor:
        os.write(descriptor, text.encode())


@contextlib.contextmanager
def _opened(path: str, how: int) -> Iterator[int]:
    """Open a sysctl without a file object, which would dominate the time: each virtual host has ten sysctls."""
    descriptor = os.open(_ROOT + path, how | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
