"""Writes several files into a folder, all or none: no reader ever sees half of one."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pycarp.system.files import safe_files


class NewFile(NamedTuple):
    """What a file is to hold; ``mode`` is not limited by the umask."""

    text: str
    mode: int


def write_all(
    folder: Path, files: Mapping[str, NewFile], *, replaces: bool, owner: tuple[int, int] | None = None
) -> None:
    """Write files by their names into a folder, which is made if it is absent.

    They, and the folder if it is made, belong to ``owner``, a user and a group, or else to this process.

    Without ``replaces`` a file that is there is never touched: FileExistsError, and nothing is written. Raises OSError.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if is_new and owner is not None:
        os.chown(folder, *owner)
    with safe_files.folder_of(folder / "file") as descriptor, contextlib.ExitStack() as cleaning:
        for name in files:
            safe_files.refuse_special(folder / name, descriptor)
        staged = {name: _stage(name, each, descriptor, cleaning, owner) for name, each in files.items()}
        with contextlib.ExitStack() as undoing:
            for name, temporary in staged.items():
                if replaces:
                    os.replace(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
                    continue
                try:
                    os.link(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
                except FileExistsError as exc:
                    raise FileExistsError(exc.errno, exc.strerror, str(folder / name)) from None
                undoing.callback(os.unlink, name, dir_fd=descriptor)
            undoing.pop_all()
        # A folder opened with O_PATH cannot be synchronised.
        synced = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
        with contextlib.suppress(OSError):
            os.fsync(synced)
        os.close(synced)


def _stage(name: str, file: NewFile, folder: int, cleaning: contextlib.ExitStack, owner: tuple[int, int] | None) -> str:
    """Write a file under a temporary name, which is removed at the end, and return that name."""
    temporary = f".{name}.{secrets.token_hex(4)}.new"
    descriptor = safe_files.create(Path(temporary), folder)
    cleaning.callback(_remove, temporary, folder)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
        opened.write(file.text)
        opened.flush()
        os.fchmod(descriptor, file.mode)
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fsync(descriptor)
    return temporary


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
