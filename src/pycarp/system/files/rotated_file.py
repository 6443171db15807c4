"""A file of bounded size: when it is full it becomes FILE.1, FILE.1 becomes FILE.2, and the oldest is deleted."""

import contextlib
import os
from pathlib import Path

from pycarp.system.files import safe_files


class RotatedFile:
    """At most ``files`` files of ``size`` octets each, readable for their owner alone.

    All methods except ``is_full_for`` block on the disk and raise OSError; do not call them in an event loop.
    """

    def __init__(self, path: Path, *, size: int, files: int) -> None:
        self.path = path
        self._size = size
        self._files = files
        self._descriptor: int | None = None
        self._written = 0

    def begin(self) -> None:
        """Begin a new file after renaming the older ones; raises FileExistsError if ``path`` is not a plain file."""
        self.close()
        with safe_files.folder_of(self.path) as folder:
            safe_files.refuse_special(self.path, folder)
            for number in range(self._files - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    older, old = self._name(number), self._name(number - 1)
                    os.replace(old, older, src_dir_fd=folder, dst_dir_fd=folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path.name, dir_fd=folder)
            self._descriptor = safe_files.create(self.path, folder)
        self._written = 0

    def is_full_for(self, octets: int) -> bool:
        """Return True if so many octets no longer fit into the present file."""
        return self._written + octets > self._size

    def write(self, octets: bytes) -> None:
        """Append all octets."""
        assert self._descriptor is not None
        view = memoryview(octets)
        while view:
            done = os.write(self._descriptor, view)
            self._written += done
            view = view[done:]

    def close(self) -> None:
        """Close the file; no-op if it is closed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _name(self, number: int) -> str:
        return f"{self.path.name}.{number}" if number else self.path.name
