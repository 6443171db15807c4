"""Answers requests on a unix socket that only its owner may use."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from pycarp.daemon.control_messages import LINE_LIMIT, RefusedReply, Reply, Request, decode_request, encode
from pycarp.daemon.lock_file import LockFile
from pycarp.errors import CarpError, ConfigError, ControlError, UsageError

PATIENCE_S = 1.0
"""How long to wait for a daemon that is leaving, which takes less than a second."""

_OWNER_ONLY = 0o177
_PATH_OCTETS_MOST = 107
_ALIVE_S = 0.2


@contextlib.asynccontextmanager
async def serve(
    path: Path, answer: Callable[[Request], Awaitable[Reply]], *, patience_s: float = PATIENCE_S
) -> AsyncIterator[None]:
    """Answer on ``path`` while the context lasts; a CarpError of ``answer`` becomes a refusal.

    ``path.lock`` is locked meanwhile; whoever has it may replace a socket on which nobody answers, and nobody else
    does. Raises UsageError when another daemon has it for longer than ``patience_s`` seconds, or when the socket
    cannot be made there.
    """
    if len(os.fsencode(path)) > _PATH_OCTETS_MOST:
        raise ConfigError(f"the control socket {path} is longer than {_PATH_OCTETS_MOST} octets; choose a shorter one")
    try:
        lock = await LockFile.take(path.with_name(f"{path.name}.lock"), patience_s=patience_s)
    except OSError as exc:
        raise _cannot_make(path, exc) from exc
    if isinstance(lock, int):
        raise UsageError(_is_taken(path, lock))
    try:
        async with _answering(path, answer):
            yield
    finally:
        lock.release()


@contextlib.asynccontextmanager
async def _answering(path: Path, answer: Callable[[Request], Awaitable[Reply]]) -> AsyncIterator[None]:
    try:
        sock = _bound(path)
        ours = _identity(path)
    except OSError as exc:
        raise _cannot_make(path, exc) from exc
    server = await asyncio.start_unix_server(
        lambda reader, writer: _converse(reader, writer, answer), sock=sock, limit=LINE_LIMIT
    )
    try:
        yield
    finally:
        server.close()
        _remove(path, ours)


def _bound(path: Path) -> socket.socket:
    """Return a socket at ``path``, in the place of one on which nobody answers; OSError otherwise."""
    if _is_alive(path):
        # Not by its lock, so it is one that knows of none, or its lock was removed.
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


def _is_alive(path: Path) -> bool:
    """Say whether somebody listens at ``path``, also one who has no time for us."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_ALIVE_S)
        try:
            sock.connect(str(path))
        except OSError as exc:
            return isinstance(exc, TimeoutError) or exc.errno == errno.EAGAIN
    return True


def _remove(path: Path, ours: tuple[int, int]) -> None:
    """Remove the socket, if it is still ours."""
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
    # A full disk is no wrong usage, and may pass.
    kind = ControlError if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else UsageError
    return kind(f"cannot make the control socket {path}: {exc.strerror or exc}; choose another --control")


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Request], Awaitable[Reply]]
) -> None:
    try:
        # ValueError: a line longer than the limit.
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                writer.write(encode(await _reply(line, answer)))
                await writer.drain()
    finally:
        writer.close()


async def _reply(line: bytes, answer: Callable[[Request], Awaitable[Reply]]) -> Reply:
    try:
        return await answer(decode_request(line))
    except CarpError as exc:
        return RefusedReply(str(exc), isinstance(exc, ConfigError | UsageError))
