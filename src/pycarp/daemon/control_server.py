"""A unix socket on which requests are answered: for root, the daemon's user, and a group that may look."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from pycarp.aio.log_records import logger
from pycarp.daemon.connections import ANSWER_S, REQUEST_S, Connections
from pycarp.daemon.control_messages import Reply, Request
from pycarp.daemon.control_paths import refuse_too_long
from pycarp.daemon.dead_sockets import answers
from pycarp.daemon.lock_file import LockFile
from pycarp.daemon.streams import Stream
from pycarp.errors import CarpError, ControlError, UsageError
from pycarp.system.recovery import state_folder

TIMEOUT_S = 1.0
"""How long to wait for a daemon that is leaving, which takes less than a second."""

RUNTIME_FOLDER = state_folder.DEFAULT
"""The only folder that is made if it is absent."""

_OWNER_ONLY, _GROUP_TOO = 0o177, 0o660
_BACKLOG = 128


@contextlib.asynccontextmanager
async def serve(
    path: Path,
    answer: Callable[[Request], Awaitable[Reply | Stream]],
    *,
    readers: int | None = None,
    timeout_s: float = TIMEOUT_S,
    request_s: float = REQUEST_S,
    answer_s: float = ANSWER_S,
) -> AsyncIterator[None]:
    """Answer on ``path`` while the context lasts; a CarpError of ``answer`` becomes a refusal.

    ``readers`` is the number of a group whose members may ask and change nothing. ``request_s`` and ``answer_s`` bound
    how long a request may take to arrive and an answer to be read, in seconds.

    ``path.lock`` is locked meanwhile; whoever has it may replace a socket on which nobody answers, and nobody else
    does. Raises UsageError when another daemon has it for longer than ``timeout_s`` seconds, or when the socket
    cannot be made there, ConfigError when the path is too long.
    """
    refuse_too_long(path)
    try:
        if path.parent == RUNTIME_FOLDER:
            state_folder.make(path.parent)
        lock = await LockFile.take(path.with_name(f"{path.name}.lock"), timeout_s=timeout_s)
    except OSError as exc:
        raise _cannot_make(path, exc) from exc
    if isinstance(lock, int):
        raise UsageError(_is_taken(path, lock))
    try:
        connections = Connections(answer, readers=readers, request_s=request_s, answer_s=answer_s)
        async with _listening(path, readers, connections):
            yield
    finally:
        lock.release()


@contextlib.asynccontextmanager
async def _listening(path: Path, readers: int | None, connections: Connections) -> AsyncIterator[None]:
    try:
        sock = _bound(path)
        ours = _identity(path)
    except OSError as exc:
        raise _cannot_make(path, exc) from exc
    with sock:
        _open_to(path, readers)
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        accepting = asyncio.create_task(connections.accept(sock))
        try:
            yield
        finally:
            accepting.cancel()
            await asyncio.wait({accepting})
            await connections.close()
            _remove(path, ours)


def _open_to(path: Path, readers: int | None) -> None:
    """Permit the group of readers to connect."""
    if readers is None:
        return
    try:
        os.chown(path, -1, readers)
        path.chmod(_GROUP_TOO)
    except OSError as exc:
        why = exc.strerror or exc
        logger.warning("carp: cannot give the control socket to its group: %s; only root and its user may use it", why)


def _bound(path: Path) -> socket.socket:
    """Return a socket at ``path``, in the place of one on which nobody answers; OSError otherwise."""
    if path.is_socket() and answers(path):
        # The lock is free, so the listener does not know the lock, or the lock was removed.
        raise UsageError(_is_taken(path, 0))
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_OWNER_ONLY)
    try:
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _remove(path: Path, ours: tuple[int, int]) -> None:
    """Remove the socket, if it is still that of this process."""
    with contextlib.suppress(OSError):
        if _identity(path) == ours:
            path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path, follow_symlinks=False)
    return status.st_dev, status.st_ino


def _is_taken(path: Path, pid: int) -> str:
    who = f"another pycarp, pid {pid}," if pid else "another pycarp"
    return f"{who} answers at {path}; stop it, or choose another --control"


def _cannot_make(path: Path, exc: OSError) -> CarpError:
    # A full disk is not a wrong request, and the next start may succeed.
    kind = ControlError if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else UsageError
    return kind(f"cannot make the control socket {path}: {exc.strerror or exc}; choose another --control")
