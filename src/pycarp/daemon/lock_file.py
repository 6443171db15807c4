"""A file that one process keeps locked while it runs, with its pid in it."""

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from pycarp.system.recovery.state_folder import FILE_MODE

_PAUSE_S = 0.02
_PID_OCTETS = 20


class LockFile:
    """An open lock; ``take`` makes one."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    async def take(cls, path: Path, *, timeout_s: float) -> Self | int:
        """Return the lock, or the pid of its holder (0 when it does not say) after ``timeout_s`` seconds.

        Raises OSError when the file cannot be made.
        """
        ends_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
            try:
                if _is_locked(descriptor) and _is_at(path, descriptor):
                    # On a full disk the lock works, but the file lacks the pid.
                    with contextlib.suppress(OSError):
                        os.ftruncate(descriptor, 0)
                        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    kept, descriptor = descriptor, -1
                    return cls(path, kept)
                if asyncio.get_running_loop().time() >= ends_s:
                    return _pid_in(descriptor)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            await asyncio.sleep(_PAUSE_S)

    def release(self) -> None:
        """Remove the file if it is still this one, and release the lock."""
        with contextlib.suppress(OSError):
            if _is_at(self._path, self._descriptor):
                self._path.unlink()
        os.close(self._descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether a path still leads to this file: its holder may have removed it between opening and locking."""
    try:
        there, ours = os.stat(path, follow_symlinks=False), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _pid_in(descriptor: int) -> int:
    text = os.pread(descriptor, _PID_OCTETS, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else 0
