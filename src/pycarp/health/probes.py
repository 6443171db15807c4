"""Probes that need no program: each function returns a coroutine function for ``Check``."""

import asyncio
from pathlib import Path

from pycarp.health.check import Answer, Probe


def tcp(address: str, port: int) -> Probe:
    """Return a probe that passes if a TCP connection to an address or name is accepted, and fails if it is not."""

    async def look() -> Answer:
        try:
            _reader, writer = await asyncio.open_connection(address, port)
        except OSError:
            return Answer.FAIL
        # Nothing was sent or received, so there is nothing to wait for.
        writer.transport.abort()
        return Answer.OK

    return look


def file_exists(path: str | Path) -> Probe:
    """Return a probe that passes while a file or folder exists; it is unknown if that cannot be seen."""

    async def look() -> Answer:
        try:
            # One system call, which blocks only on a network file system.
            Path(path).stat()  # noqa: ASYNC240
        except (FileNotFoundError, NotADirectoryError):
            return Answer.FAIL
        return Answer.OK

    return look
