"""Answers requests on a unix socket that only its owner may use."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from pycarp.daemon.control_messages import LINE_LIMIT, RefusedReply, Reply, Request, decode_request, encode
from pycarp.errors import CarpError, ConfigError, ControlError, UsageError

_OWNER_ONLY = 0o177


@contextlib.asynccontextmanager
async def serve(path: Path, answer: Callable[[Request], Awaitable[Reply]]) -> AsyncIterator[None]:
    """Answer on ``path`` while the context lasts; a CarpError of ``answer`` becomes a refusal.

    A socket that nobody answers on is replaced; ``refuse_if_alive`` comes first. Raises ControlError when it cannot
    be made.
    """
    before = os.umask(_OWNER_ONLY)
    try:
        server = await asyncio.start_unix_server(
            lambda reader, writer: _converse(reader, writer, answer), path=path, limit=LINE_LIMIT
        )
    except OSError as exc:
        raise ControlError(f"cannot make the control socket {path}: {exc.strerror}; choose another --control") from exc
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(OSError):
            os.unlink(path)


def refuse_if_alive(path: Path) -> None:
    """Raise ControlError when another daemon answers on ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, contextlib.suppress(OSError):
        sock.settimeout(1)
        sock.connect(str(path))
        raise ControlError(f"another pycarp answers at {path}; stop it, or choose another --control")


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
