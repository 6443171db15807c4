"""Replaces the text of a file at once: whoever reads it finds the old one or the new one, whole."""

import contextlib
import os
from pathlib import Path

from pycarp.system.files import safe_files


def replace_text(path: Path, text: str, *, expected: str) -> None:
    """Replace ``expected``, which the file says now, by a text; mode and owner stay.

    Symbolic links of root and of this user are followed.
    Raises FileExistsError when the file says something else by now, OSError when it cannot be replaced; then nothing
    has changed.
    """
    path = safe_files.resolved(path)
    status = path.stat()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, status.st_mode & 0o7777)
            os.fsync(descriptor)
        if path.read_bytes().decode() != expected:
            raise FileExistsError(None, "somebody else has changed it meanwhile", str(path))
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
