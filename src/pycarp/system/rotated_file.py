"""A file that is bounded: when it is full it becomes FILE.1, FILE.1 becomes FILE.2, and the last one goes."""

import contextlib
import os
import stat
from pathlib import Path

FILE_MODE = 0o600
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class RotatedFile:
    """At most ``files`` files of ``size`` octets each; readable for their owner alone.

    Everything but ``is_full_for`` raises OSError; what waits for a disk is not for an event loop.
    """

    def __init__(self, path: Path, *, size: int, files: int) -> None:
        self.path = path
        self._size = size
        self._files = files
        self._descriptor: int | None = None
        self._written = 0

    def begin(self) -> None:
        """Begin a new file; what is in its place moves on, unless it is no plain file, which is an error."""
        self.close()
        if self.path.is_symlink() or (self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode)):
            raise FileExistsError(None, "is there and no plain file", str(self.path))
        for number in range(self._files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._named(number - 1).replace(self._named(number))
        self.path.unlink(missing_ok=True)
        self._descriptor = os.open(self.path, _FLAGS, FILE_MODE)
        self._written = 0

    def is_full_for(self, octets: int) -> bool:
        """Say whether so many octets more are for the next file."""
        return self._written + octets > self._size

    def write(self, octets: bytes) -> None:
        """Append all of it."""
        assert self._descriptor is not None
        view = memoryview(octets)
        while view:
            done = os.write(self._descriptor, view)
            self._written += done
            view = view[done:]

    def close(self) -> None:
        """Write no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _named(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path
