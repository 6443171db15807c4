"""Runs programs to their end: no shell, a process group for each, which is ended with its program at the timeout."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import IO, TypeAlias
from weakref import WeakKeyDictionary

import msgspec

from pycarp.system import process_groups

OUTPUT_LIMIT = 4096
"""Octets of output that are kept; the rest is read and dropped."""

GRACE_S = 0.5
"""Seconds between SIGTERM and SIGKILL, for programs that have something to put in order."""

_KILLED_S = 1.0
"""Seconds to wait for the end of a program after SIGKILL."""

_READ_ON_S = 0.2
"""Seconds to read on after the program has ended: a child in the background may keep the pipe open."""

_CHUNK_OCTETS = 1 << 16

_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
"""Who starts a program in an event loop: one at a time, because it stands still for a millisecond each time."""

Stream: TypeAlias = int | IO[bytes] | None
"""A descriptor or a file; None for that of this process."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: ``error`` is empty if well, ``output`` the begin of what it wrote.

    Of the output whole lines and what can be printed are left, because it goes to logs and terminals.
    ``was_run`` is False if it could not be started.
    """

    error: str = ""
    output: str = ""
    was_run: bool = True


async def run_program(
    argv: Sequence[str],
    *,
    timeout_s: float | None,
    environment: Mapping[str, str] | None = None,
    document: bytes = b"",
    grace_s: float = GRACE_S,
    ends_children: bool = False,
) -> Outcome:
    """Run a program, with ``document`` as its standard input, and return how it ended and the begin of its output.

    All else is as in ``exit_status``. Raises nothing but CancelledError.
    """
    output = bytearray()
    try:
        with _file_of(document) as stdin:
            async with _collected(output) as pipe:
                status = await exit_status(
                    argv,
                    timeout_s=timeout_s,
                    environment=environment,
                    stdin=stdin,
                    stdout=pipe,
                    stderr=pipe,
                    grace_s=grace_s,
                    ends_children=ends_children,
                )
    except TimeoutError:
        return Outcome(error=f"took longer than {timeout_s:g} s and was ended", output=_text(output))
    except (OSError, ValueError) as exc:
        return Outcome(error=f"cannot run {argv[0]}: {getattr(exc, 'strerror', None) or exc}", was_run=False)
    return Outcome(error=failure_of(status), output=_text(output))


async def exit_status(
    argv: Sequence[str],
    *,
    timeout_s: float | None,
    environment: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
    grace_s: float = GRACE_S,
    ends_children: bool = False,
) -> int:
    """Run a program in a process group of its own and return its exit status, negative for the signal that ended it.

    ``environment`` is added to that of this process. When it takes longer than ``timeout_s``, or the caller is
    cancelled, the group gets SIGTERM, and SIGKILL after ``grace_s``, or at once if that is 0. What a program that ended
    in time has left in the background goes on, unless ``ends_children``. If this process is killed meanwhile, its
    guardian, where it has one, ends the group.

    Raises OSError or ValueError if it cannot be started, and TimeoutError, after its end, if it took too long.
    """
    process = await _started(argv, stdin, stdout, stderr, {**os.environ, **(environment or {})})
    has_ended, is_over = asyncio.Event(), False
    try:
        with _noticing_end(process.pid, has_ended):
            try:
                async with asyncio.timeout(timeout_s):
                    await has_ended.wait()
                is_over = not ends_children
            finally:
                if not has_ended.is_set():
                    await _end(process.pid, has_ended, grace_s)
    finally:
        # To the whole group: a child may have ignored the first signal, and a caller that is cancelled twice is here.
        # Before its program is waited for, and so the number of the group cannot be that of another one by now.
        if not is_over:
            _signal(process.pid, signal.SIGKILL)
        with contextlib.suppress(AttributeError, OSError):
            process_groups.of_this_process().discard(process.pid)
        if process.poll() is None:
            threading.Thread(target=process.wait, name="pycarp-wait", daemon=True).start()
    assert process.returncode is not None, "it has ended"
    return process.returncode


async def _started(
    argv: Sequence[str], stdin: Stream, stdout: Stream, stderr: Stream, environment: dict[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a program when it is its turn; raises OSError or ValueError."""
    loop = asyncio.get_running_loop()
    turn = _TURNS.setdefault(loop, asyncio.Lock())
    await turn.acquire()
    try:
        # asyncio's own way would do the same, but keeps the loop from closing when it is cancelled at the wrong moment.
        process = subprocess.Popen(  # noqa: ASYNC220, S603
            argv, stdin=stdin, stdout=stdout, stderr=stderr, process_group=0, env=environment
        )
        with contextlib.suppress(
            AttributeError, OSError
        ):  # no memory to share: other systems, or no descriptor is left
            process_groups.of_this_process().add(process.pid)
        return process
    finally:
        loop.call_soon(turn.release)


@contextlib.contextmanager
def _noticing_end(pid: int, has_ended: asyncio.Event) -> Iterator[None]:
    """Set an event when a child has ended; it stays a zombie."""
    loop = asyncio.get_running_loop()
    waiting = threading.Thread(target=_wait_for_end, args=(pid, loop, has_ended), name="pycarp-end", daemon=True)
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # Linux before 5.3, other systems, or no descriptor is left
        waiting.start()
        yield
        return

    def notice() -> None:
        loop.remove_reader(descriptor)
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            has_ended.set()
        else:  # a debugger sees it first
            waiting.start()

    loop.add_reader(descriptor, notice)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _wait_for_end(pid: int, loop: asyncio.AbstractEventLoop, has_ended: asyncio.Event) -> None:
    """Wait for the end of a child, in a thread."""
    # It may have been waited for meanwhile, and the loop may be closed.
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(has_ended.set)


async def _end(group: int, has_ended: asyncio.Event, grace_s: float) -> None:
    """End a program, and wait for its end: not for ever, because one in a system call that hangs cannot be ended."""
    for number, limit_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILLED_S)):
        if limit_s and not has_ended.is_set():
            _signal(group, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await has_ended.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextlib.asynccontextmanager
async def _collected(output: bytearray) -> AsyncIterator[int]:
    """Offer a pipe, and collect the begin of what is written into it."""
    loop, at_end = asyncio.get_running_loop(), asyncio.Event()
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            octets = os.read(read_end, _CHUNK_OCTETS)
            output.extend(octets[: max(OUTPUT_LIMIT + 1 - len(output), 0)])
            if not octets:
                loop.remove_reader(read_end)
                at_end.set()

    try:
        loop.add_reader(read_end, read)
        try:
            yield write_end
        finally:
            os.close(write_end)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READ_ON_S):
                await at_end.wait()
    finally:
        # What was written before a timeout is in the pipe still.
        read()
        loop.remove_reader(read_end)
        os.close(read_end)


@contextlib.contextmanager
def _file_of(document: bytes) -> Iterator[IO[bytes]]:
    """Offer a file without a name to read a document from: unlike a pipe, it never waits for a reader."""
    import tempfile  # noqa: PLC0415  it takes longer than most programs

    with open(os.memfd_create("document"), "w+b") if sys.platform == "linux" else tempfile.TemporaryFile() as file:
        file.write(document)
        file.seek(0)
        yield file


def failure_of(status: int) -> str:
    """Return what an exit status says about a failure; empty for none."""
    if status >= 0:
        return f"failed with exit status {status}" if status else ""
    try:
        return f"ended by {signal.Signals(-status).name}"
    except ValueError:  # most real-time signals have no name
        return f"ended by signal {-status}"


def _text(output: bytearray) -> str:
    decoded = output[:OUTPUT_LIMIT].decode(errors="replace")
    text = "".join(each if each.isprintable() or each == "\n" else " " for each in decoded).strip("\n ")
    return f"{text} ..." if len(output) > OUTPUT_LIMIT else text
