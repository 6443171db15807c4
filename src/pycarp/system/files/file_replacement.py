"""Replaces the text of a file atomically: a reader finds the whole old text or the whole new one."""

import contextlib
import os
from pathlib import Path

from pycarp.system.files import safe_files


def replace_text(path: Path, text: str, *, expected: str) -> None:
    """Replace the present text of a file, ``expected``, by ``text``; mode and owner are kept.

    Symbolic links of root and of this user are followed. Raises FileExistsError when the file has changed meanwhile,
    OSError when it cannot be replaced; the file is unchanged then.
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
