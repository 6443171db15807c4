"""A file that one process keeps locked while it runs, with its pid in it."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Self

from pycarp.system.files import file_locks

_PAUSE_S = 0.02


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
            descriptor = file_locks.open_lock(path)
            try:
                if file_locks.try_to_lock(path, descriptor):
                    kept, descriptor = descriptor, -1
                    return cls(path, kept)
                if asyncio.get_running_loop().time() >= ends_s:
                    return file_locks.pid_in(descriptor)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
            await asyncio.sleep(_PAUSE_S)

    def release(self) -> None:
        """Remove the file if it is still this one, and release the lock."""
        with contextlib.suppress(OSError):
            if file_locks.is_at(self._path, self._descriptor):
                self._path.unlink()
        os.close(self._descriptor)
