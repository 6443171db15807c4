"""Files that one process keeps locked, with its pid in them, and removes when it is done.

The holder may remove the file between another process's opening and locking it. So a lock counts only if the path still
leads to the locked file. Only the owner and root can open such a file: a user who can open it can also lock it.
"""

import contextlib
import fcntl
import os
from pathlib import Path

FILE_MODE = 0o600
_PID_OCTETS = 20


def open_lock(path: Path) -> int:
    """Open the file, make it if it is absent, and return its descriptor; raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)


def try_to_lock(path: Path, descriptor: int) -> bool:
    """Lock an opened file until it is closed, and write our pid into it.

    Returns False if another process holds it, or if the path leads to another file by now.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if not is_at(path, descriptor):
        return False
    # On a full disk the lock holds all the same; its holder is unknown then.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return True


def is_at(path: Path, descriptor: int) -> bool:
    """Return True if the path still leads to this file."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def pid_in(descriptor: int) -> int:
    """Return the pid of the holder, 0 if the file does not say."""
    text = os.pread(descriptor, _PID_OCTETS, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else 0
