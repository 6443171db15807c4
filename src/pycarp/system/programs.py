"""Runs a program to its end: no shell, one process group, input of one document, output with a bound."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OUTPUT_LIMIT = 4096
"""Octets of output that are kept; the rest is read and counted."""

_END_S = 0.5
"""Seconds between SIGTERM and SIGKILL."""

_READ_ON_S = 0.2
"""Seconds to read on after the program has ended: a child in the background may keep the pipe open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended: ``error`` is empty if well, ``output`` the begin of what it wrote.

    ``was_run`` is False if it could not be started.
    """

    error: str = ""
    output: str = ""
    was_run: bool = True


async def run_program(
    argv: Sequence[str], *, timeout_s: float | None, environment: Mapping[str, str], document: bytes
) -> Outcome:
    """Run a program; when it takes longer than ``timeout_s``, or the caller is cancelled, its group is ended.

    ``environment`` is added to that of this process; ``document`` is its standard input. Raises nothing but
    CancelledError.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
            env={**os.environ, **environment},
        )
    except (OSError, ValueError) as exc:
        return Outcome(error=f"cannot run {argv[0]}: {getattr(exc, 'strerror', None) or exc}", was_run=False)
    output = bytearray()
    reading = asyncio.create_task(_read(process, document, output))
    error = ""
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        error = f"took longer than {timeout_s:g} s and was ended"
    finally:
        await _end(process, reading)
    if not error and process.returncode:
        error = _status(process.returncode)
    return Outcome(error=error, output=_text(output))


async def _read(process: asyncio.subprocess.Process, document: bytes, output: bytearray) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    # Not drained: a program that writes before it reads would wait for us, and we for it.
    process.stdin.write(document)
    process.stdin.close()
    while piece := await process.stdout.read(4096):
        output += piece[: max(OUTPUT_LIMIT + 1 - len(output), 0)]


async def _end(process: asyncio.subprocess.Process, reading: "asyncio.Task[None]") -> None:
    """End the whole group of a program that still runs, then stop reading."""
    try:
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await process.wait()
            _signal(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.wait({reading}, timeout=_READ_ON_S)
    finally:
        if process.returncode is None:
            _signal(process.pid, signal.SIGKILL)
        reading.cancel()
        transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
        transport.close()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _status(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"failed with exit status {code}"


def _text(output: bytearray) -> str:
    text = output[:OUTPUT_LIMIT].decode(errors="replace").strip()
    return f"{text} ..." if len(output) > OUTPUT_LIMIT else text
