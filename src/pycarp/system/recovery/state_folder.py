"""The state folder: the journals of all daemons, and two locks.

A daemon locks its own journal as long as it lives. A process holds ``cleaning.lock`` while it begins a journal or
cleans up after one. A process holds ``sysctls.lock``, for a few reads and writes at most, while it changes a sysctl
that other daemons may need.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pycarp.errors import ActuatorError, ConfigError
from pycarp.system.files import file_locks
from pycarp.system.files.open_errors import may_pass

DEFAULT = Path("/run/pycarp")

LASTING = Path("/var/lib/pycarp")
"""What a daemon keeps there survives a reboot, which empties ``DEFAULT``."""

SUFFIX = ".journal"

SYSCTLS_TIMEOUT_S = 1.0

_PAUSE_S = 0.01
_FOLDER_MODE = 0o755
_CLEANING, _SYSCTLS = "cleaning.lock", "sysctls.lock"
_WAY_OUT = "name another folder with --state DIR"


def make(folder: Path) -> None:
    """Make the folder if it is absent, readable for everybody whatever the umask."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(_FOLDER_MODE)


def journals(folder: Path) -> list[Path]:
    """Return the journals in a folder; none if it does not exist."""
    try:
        return sorted(each for each in folder.iterdir() if each.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def try_to_lock_cleaning(folder: Path) -> int | None:
    """Take the cleaning lock; return the descriptor that holds it until it is closed, None if another has it."""
    path = folder / _CLEANING
    descriptor = file_locks.open_lock(path)
    if file_locks.try_to_lock(path, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def remove_locks(folder: Path) -> None:
    """Remove the files of both locks, unless another process holds one or a journal is left; no-op if both are absent.

    A process that opened one of them before notices, after locking it, that the file is gone.
    """
    if not (folder / _CLEANING).exists() and not (folder / _SYSCTLS).exists():
        return
    descriptor = try_to_lock_cleaning(folder)
    if descriptor is None:
        return
    try:
        if journals(folder):
            return
        with contextlib.suppress(TimeoutError), sysctls_locked(folder, timeout_s=0):
            (folder / _SYSCTLS).unlink(missing_ok=True)
            (folder / _CLEANING).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def sysctls_locked(folder: Path, *, timeout_s: float = SYSCTLS_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock under which daemons and cleaners change sysctls; never await within.

    Waits at most ``timeout_s`` seconds, because a holder that was stopped must not stop others. Then raises
    TimeoutError, which names the holder.
    """
    path = folder / _SYSCTLS
    descriptor = file_locks.open_lock(path)
    try:
        ends_s = time.monotonic() + timeout_s
        while not file_locks.try_to_lock(path, descriptor):
            if time.monotonic() > ends_s:
                holder = file_locks.pid_in(descriptor) or "unknown"
                raise TimeoutError(errno.ETIMEDOUT, f"{path} is held by pid {holder} for more than {timeout_s:g} s")
            time.sleep(_PAUSE_S)
            # The previous holder may have removed the file.
            previous, descriptor = descriptor, file_locks.open_lock(path)
            os.close(previous)
        yield
    finally:
        os.close(descriptor)


def refusal(folder: Path, exc: OSError) -> str:
    """Return one line: why the folder cannot be used, and the way out."""
    path = exc.filename if exc.filename is not None else folder
    hint = f"run as root or {_WAY_OUT}" if exc.errno in (errno.EACCES, errno.EPERM) else _WAY_OUT
    return f"cannot use {path}: {exc.strerror or exc}; {hint}"


def error(folder: Path, exc: OSError) -> ActuatorError | ConfigError:
    """Return the error to raise when the folder cannot be used: ActuatorError if the cause may pass (a full disk)."""
    kind = ActuatorError if may_pass(exc) else ConfigError
    return kind(refusal(folder, exc))


def busy(folder: Path, timeout_s: float) -> str:
    """Return one line: which process has been cleaning for too long, and the way out."""
    pid = 0
    with contextlib.suppress(OSError), open(folder / _CLEANING, "rb") as file:
        pid = file_locks.pid_in(file.fileno())
    who = f"another pycarp (pid {pid or 'unknown'}) has been cleaning up in {folder} for more than {timeout_s:g} s"
    return f"{who}; try again, or {_WAY_OUT}"


def is_trustworthy(status: os.stat_result, folder: Path) -> bool:
    """Return True for a plain file of root, of this user, or of the user to whom root has given the folder."""
    return stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid(), given_to(folder))


def given_to(folder: Path) -> int:
    """Return the owner of a folder that only root can have placed there; 0 if others could have."""
    try:
        above, status = os.stat(folder.parent), os.stat(folder, follow_symlinks=False)
    except OSError:
        return 0
    is_of_root_alone = above.st_uid == 0 and not above.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid if is_of_root_alone and stat.S_ISDIR(status.st_mode) else 0
