"""Gives the state folder to the user that a daemon will run as."""

import contextlib
import os
import stat
from pathlib import Path

from pycarp.errors import ConfigError, UsageError
from pycarp.system.recovery import journal_file, state_folder

_SUFFIXES = (state_folder.SUFFIX, ".new", ".lock", ".json", ".jsonl")


def give(folder: Path, *, uid: int, gid: int) -> None:
    """Give the folder, and the files that daemons wrote in it, to a user; make it if it is absent. For root alone.

    A folder that a user other than root may have placed there is left alone. Raises UsageError when a running daemon
    of another user has a journal in it, ConfigError when it cannot be made.
    """
    is_new = not folder.exists()
    if is_new and uid == os.geteuid():
        # The daemon makes it when it needs it.
        return
    try:
        state_folder.make(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as exc:
        raise ConfigError(state_folder.refusal(folder, exc)) from exc
    try:
        owner = os.fstat(descriptor).st_uid
        if owner == uid or not (is_new or state_folder.given_to(folder) or owner == 0):
            return
        _refuse_while_used(folder)
        for name in os.listdir(descriptor):
            _give_file(descriptor, name, {0, owner}, uid, gid)
        os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def _refuse_while_used(folder: Path) -> None:
    for path in state_folder.journals(folder):
        with contextlib.suppress(OSError):
            journal = journal_file.read(path)
            if journal is not None and journal.is_held:
                pid = journal.header.pid if journal.header else "unknown"
                raise UsageError(
                    f"{folder} is used by a running pycarp of another user, pid {pid}; "
                    "stop that one, start both with the same --user, or name another folder with --state DIR"
                )


def _give_file(folder: int, name: str, owners: set[int], uid: int, gid: int) -> None:
    """Give away a file that a daemon wrote, but no file with a second hard link, and no target of a symbolic link."""
    if not name.endswith(_SUFFIXES):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid in owners:
                os.fchown(descriptor, uid, gid)
        finally:
            os.close(descriptor)
