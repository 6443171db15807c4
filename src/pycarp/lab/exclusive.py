"""Allows one lab at a time, so that everything another lab left is unused and may be removed."""

import contextlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pycarp.errors import UsageError

_NAME = "\0pycarp/lab"
_PREFIX = "pycarp-lab-"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the name of the lab, which ends with the process; raises UsageError while another lab has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        try:
            held.bind(_NAME)
        except OSError as exc:
            raise UsageError("another pycarp lab is running; end it with Ctrl-C where it runs") from exc
        yield


@contextlib.contextmanager
def made_folder() -> Iterator[Path]:
    """Make a folder for everything that the lab writes, and remove it; those of killed labs as well."""
    remove_folders()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_folders() -> list[str]:
    """Remove the folders of killed labs, which are ours alone to write, and return their paths."""
    found = [each for each in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")) if _is_ours(each)]
    for each in found:
        shutil.rmtree(each, ignore_errors=True)
    return [str(each) for each in found if not each.exists()]


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700
