"""The flight recorder: the last minutes in memory, written to a file when something unexpected happens.

A request about an earlier time gets the last seconds before that time, or the name of the file that has it.
"""

import asyncio
import contextlib
import math
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from pycarp import __version__
from pycarp.aio.log_records import logger
from pycarp.aio.record_file import wall_ns_of
from pycarp.core.checkpoint import Checkpoint, PendingCheckpoint
from pycarp.core.events import DemotionChange, Event, StateChange
from pycarp.core.state import Reason
from pycarp.daemon.control_messages import FlightEnd, FlightLines, FlightRequest
from pycarp.daemon.streams import Send, Stream
from pycarp.errors import CarpError
from pycarp.recording import Ring, Writer, triggers_dump
from pycarp.recording.packed_entry import KeptEntry
from pycarp.system.files import safe_files
from pycarp.system.recovery import state_folder
from pycarp.vocabulary import NS_PER_S, HostKey

DUMPS_MOST = 8
AFTERMATH_S = 2.0
"""How long after its cause a dump is written, in seconds: the dump then has the consequences too."""

DUMP_AGAIN_S = 60.0

CLOSE_WITHIN_S = 2.0
"""How long the end of the daemon waits for a dump, in seconds; one of thousands of hosts takes longer."""

_WORK_S = 0.002
_LONGEST_WORK_S = 0.1
_REST, _REST_OF_ANSWER = 3, 1
"""A dump rests three times as long as it works, since what it takes of the interpreter the event loop lacks."""

_BATCH = 100
"""So many lines go to who asks at a time, so that the event loop turns in between."""

_HEAD_OCTETS_MOST = 4096
_NAMES = "flight-*.jsonl"
_DASHES = 4


class _Begin(msgspec.Struct):
    """What is read of the first line of a dump."""

    began: datetime


class Dump(msgspec.Struct, frozen=True):
    """A written dump, the number of its steps, and how many of these differ in a replay because of a bug of pycarp."""

    path: Path
    steps: int
    unlike: int


class FlightRecorder:
    """Owns the ring that a node fills; dumps it at most once a minute, and keeps the last dumps of the folder.

    ``write`` is asked to do the writing, elsewhere than in the event loop.
    """

    def __init__(
        self, folder: Path, *, write: Callable[[Callable[[], Dump]], Awaitable[Dump]] = asyncio.to_thread
    ) -> None:
        self.ring = Ring()
        self._folder = folder
        self._write = write
        self._dumping: asyncio.Task[None] | None = None
        self._pace = _Pace(_REST)
        self._is_over = asyncio.Event()
        self._again_at_s = 0.0
        self._has_complained = False
        self._demoted: set[HostKey] = set()
        self._reading = asyncio.Lock()

    def consider(self, event: Event) -> None:
        """Dump soon if the event needs an explanation; a demoted host that leaves to a better one does not."""
        if isinstance(event, DemotionChange):
            (self._demoted.add if event.total > 0 else self._demoted.discard)(event.key)
        is_better = isinstance(event, StateChange) and event.reason is Reason.BETTER_MASTER
        if not triggers_dump(event) or (is_better and event.key in self._demoted):
            return
        now_s = asyncio.get_running_loop().time()
        if now_s < self._again_at_s or (self._dumping is not None and not self._dumping.done()):
            return
        self._again_at_s = now_s + DUMP_AGAIN_S
        self._dumping = asyncio.create_task(self._dump_soon(f"{event.key}: what led to this"))

    def stream(self, request: FlightRequest) -> Stream:
        """Return the recorded steps of the seconds before a time, to one caller at a time."""

        async def run(send: Send) -> None:
            async with self._reading:
                at_ns = time.monotonic_ns() - (time.time_ns() - int(request.at * NS_PER_S))
                found = self.ring.section_at(at_ns)
                if found is None:
                    dump = await asyncio.to_thread(_dump_of, self._folder, request.at)
                    return await send(FlightEnd(None if dump is None else str(dump)))
                lines = await asyncio.to_thread(lambda: list(_lines(*found, _Pace(_REST_OF_ANSWER))))
                for number in range(0, len(lines), _BATCH):
                    await send(FlightLines([each.decode() for each in lines[number : number + _BATCH]]))
                return await send(FlightEnd())

        return Stream(run)

    async def close(self) -> None:
        """Write a pending dump at once, also that of an engine that broke, which may take as long as it wants."""
        self._is_over.set()
        self._pace.hurry(math.inf if self.ring.has_failed else time.monotonic() + CLOSE_WITHIN_S)
        if self._dumping is not None:
            await self._dumping
        if self.ring.has_failed:
            await self._dump("what led to the failure")

    async def _dump_soon(self, what: str) -> None:
        try:
            async with asyncio.timeout(AFTERMATH_S):
                await self._is_over.wait()
        except TimeoutError:
            pass
        # The dump of an engine that broke has the inputs that led to it.
        if not self.ring.has_failed:
            await self._dump(what)

    async def _dump(self, what: str) -> None:
        kept = self.ring.captured()
        if kept is None:
            return
        try:
            dump = await self._write(partial(_write, self._folder, *kept, self._pace))
        except _TooLateError:
            logger.info("carp: %s is not dumped, since it would take too long at the end", what)
            return
        except Exception as exc:  # noqa: BLE001  whatever it is, the daemon goes on
            if not self._has_complained:
                self._has_complained = True
                logger.warning("carp: cannot dump the flight recorder: %s", _why(self._folder, exc))
            return
        if dump.unlike:
            logger.warning(
                "carp: %s is in %s; see it with: pycarp replay %s; steps in it that this daemon did otherwise: "
                "%d of %d, a bug of pycarp: report it with the file",
                what,
                dump.path,
                dump.path,
                dump.unlike,
                dump.steps,
            )
            return
        logger.info("carp: %s is in %s; see it with: pycarp replay %s", what, dump.path, dump.path)


def _why(folder: Path, exc: Exception) -> str:
    if isinstance(exc, OSError):
        return state_folder.refusal(folder, exc)
    return str(exc) if isinstance(exc, CarpError) else f"{type(exc).__name__}, a bug of pycarp"


class _TooLateError(Exception):
    """A dump would end too late."""


class _Pace:
    """How fast dumps are made, in threads: slowly, so that the event loop has the interpreter, until the end is near.

    It rests so many times as long as it works.

    ``entropy`` is asked for each host and rests as well: to describe thousands of hosts takes longer than their steps.
    """

    def __init__(self, rest: int) -> None:
        self._rest = rest
        self._ends_s: float | None = None
        self._worked_s = time.thread_time()

    def hurry(self, ends_s: float) -> None:
        """Rest no more, and give up at a time of the monotonic clock."""
        self._ends_s = ends_s

    def rest(self) -> None:
        """Rest if there was work enough since the last rest; raises _TooLateError."""
        if self._ends_s is not None:
            if time.monotonic() > self._ends_s:
                raise _TooLateError
            time.sleep(0)
            return
        worked_s = time.thread_time() - self._worked_s
        if not 0 <= worked_s < _WORK_S:
            time.sleep(self._rest * min(max(worked_s, 0), _LONGEST_WORK_S))
            self._worked_s = time.thread_time()

    def entropy(self) -> int:
        """Return 64 random bits."""
        self.rest()
        return secrets.randbits(64)


def _write(folder: Path, checkpoint: PendingCheckpoint, entries: Sequence[KeptEntry], pace: _Pace) -> Dump:
    """Write a dump, and remove the oldest ones; raises _TooLateError."""
    state_folder.make(folder)
    path = folder / f"flight-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}-{_newest(folder) + 1}.jsonl"
    writer = Writer(checkpoint.complete(pace.rest), entropy=pace.entropy, rest=pace.rest)
    with safe_files.folder_of(path) as opened:
        descriptor = safe_files.create(path, opened)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(_lines_by(writer, entries, pace))
    except _TooLateError:
        path.unlink(missing_ok=True)
        raise
    for old in sorted(folder.glob(_NAMES), key=lambda each: (_number(each), each.name))[:-DUMPS_MOST]:
        old.unlink(missing_ok=True)
    return Dump(path, len(entries), writer.unlike)


def _lines(checkpoint: Checkpoint, entries: Sequence[KeptEntry], pace: _Pace) -> Iterator[bytes]:
    """Yield the lines of a recording, in a thread."""
    return _lines_by(Writer(checkpoint, entropy=pace.entropy, rest=pace.rest), entries, pace)


def _lines_by(writer: Writer, entries: Sequence[KeptEntry], pace: _Pace) -> Iterator[bytes]:
    began_ns = entries[0].at_ns
    yield writer.opening(version=__version__, at_ns=began_ns, wall_ns=wall_ns_of(began_ns))
    for entry in entries:
        yield writer.line(entry.unpacked())
        pace.rest()


def _dump_of(folder: Path, at_s: float) -> Path | None:
    """Return the last dump that begins before a wall-clock time and was written after it; None if there is none."""
    for dump in sorted(folder.glob(_NAMES), key=_number, reverse=True):
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError), dump.open("rb") as lines:
            head = msgspec.json.decode(lines.readline(_HEAD_OCTETS_MOST), type=_Begin)
            if head.began.timestamp() <= at_s <= dump.stat().st_mtime:
                return dump
    return None


def _newest(folder: Path) -> int:
    return max(map(_number, folder.glob(_NAMES)), default=0)


def _number(dump: Path) -> int:
    """Return the number of a dump from its name, 0 without one; times cannot order dumps if the clock is set back."""
    *_, number = dump.stem.split("-", _DASHES)
    return int(number) if dump.stem.count("-") == _DASHES and number.isdecimal() else 0
