"""Watches a daemon by its control socket: its status at most once a second, and its events as they happen.

The daemon is asked for its whole status once in fifty times of what an answer took, so that it never spends more than a
fiftieth of its time on one who watches.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pycarp.daemon.control_client import answer_in, error_of, explaining, refuse_stranger
from pycarp.daemon.control_messages import (
    LINE_LIMIT,
    EventRecord,
    EventsRequest,
    RefusedReply,
    Reply,
    Request,
    StatusReply,
    StatusRequest,
    decode_reply,
    encode,
)
from pycarp.errors import CarpError, ControlError

LEAST_S = 1.0
"""The daemon is not asked for its status more often, whatever happens."""

MOST_S = 15.0
ANSWER_S = 3.0
AGAIN_S = 1.0
REFUSED_AGAIN_S = 30.0
GRACE_S = 2.0
"""How much older than the time between two questions a status may be, and still be believed."""

SILENT_S = 15.0
"""A daemon that is followed says within a third of that that it lives."""

EVENTS_KEPT = 200
_SHARE = 50
_ANSWERS_LOOKED_AT = 5

R = TypeVar("R", bound=Reply)


@dataclass(slots=True, kw_only=True)
class WatchedDaemon:
    """What is known of one daemon; times are of the monotonic clock, in seconds.

    ``trouble`` is why it did not answer when it was asked last, since ``trouble_since_s``; empty while it answers.
    ``interval_s`` is how often it is asked. ``earlier_pid`` is the process that answered before it was started again.
    """

    path: Path
    reply: StatusReply | None = None
    received_s: float = 0.0
    interval_s: float = LEAST_S
    trouble: str = ""
    trouble_since_s: float = 0.0
    earlier_pid: int | None = None
    events: deque[EventRecord] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))

    def is_believed(self, now_s: float) -> bool:
        """Whether it is known to be alive: it answered lately, and has not failed to since."""
        return self.reply is not None and not self.trouble and self.age_s(now_s) <= self.interval_s + GRACE_S

    def age_s(self, now_s: float) -> float:
        """Return how long ago it answered."""
        return now_s - self.received_s

    def take(self, reply: StatusReply, now_s: float) -> None:
        """Remember an answer; one of another process says that the daemon was started again."""
        if self.reply is not None and self.reply.pid != reply.pid:
            self.earlier_pid = self.reply.pid
        self.reply, self.received_s, self.trouble = reply, now_s, ""

    def lose(self, why: str, now_s: float) -> None:
        """Remember that it does not answer."""
        if not self.trouble:
            self.trouble_since_s = now_s
        self.trouble = why


class DaemonWatch:
    """Keeps a ``WatchedDaemon`` up to date until cancelled, and calls ``changed`` after each change."""

    def __init__(
        self, daemon: WatchedDaemon, changed: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.daemon = daemon
        self._changed = changed
        self._clock = clock
        self._look_again = asyncio.Event()
        self._took_s: deque[float] = deque(maxlen=_ANSWERS_LOOKED_AT)

    async def run(self) -> None:
        """Watch until cancelled; a daemon that does not answer, or is started again, is asked again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            group.create_task(self._follow())

    def look_again(self) -> None:
        """Ask for the status as soon as that is due."""
        self._look_again.set()

    async def _look(self) -> None:
        while True:
            began_s = self._clock()
            self._look_again.clear()
            try:
                reply = await ask(self.daemon.path, StatusRequest(), StatusReply, timeout_s=ANSWER_S)
            except CarpError as exc:
                self.daemon.lose(str(exc), self._clock())
            else:
                # The shortest one has the least of what this process itself took meanwhile.
                self._took_s.append(self._clock() - began_s)
                self.daemon.interval_s = min(max(LEAST_S, _SHARE * min(self._took_s)), MOST_S)
                self.daemon.take(reply, self._clock())
            self._changed()
            await asyncio.sleep(max(began_s + LEAST_S - self._clock(), 0))
            rest_s = began_s + self.daemon.interval_s - self._clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(rest_s, 0)):
                    await self._look_again.wait()

    async def _follow(self) -> None:
        while True:
            pause_s = AGAIN_S
            try:
                await self._follow_once()
            except ControlError:
                # What is wrong with the daemon is found out by the next question for its status.
                self.look_again()
            except CarpError:
                # One without events, as pycarp ucarp.
                pause_s = REFUSED_AGAIN_S
            await asyncio.sleep(pause_s)

    async def _follow_once(self) -> None:
        async with _connection(self.daemon.path, ANSWER_S) as (reader, writer):
            with explaining(self.daemon.path, ANSWER_S):
                writer.write(encode(EventsRequest(after=0, last=EVENTS_KEPT, follow=True)))
                self.daemon.events.clear()
                while True:
                    async with asyncio.timeout(SILENT_S):
                        line = await reader.readline()
                    if not line:
                        raise ControlError(f"the pycarp at {self.daemon.path} has hung up")
                    reply = decode_reply(line)
                    if isinstance(reply, RefusedReply):
                        raise error_of(reply)
                    if isinstance(reply, EventRecord):
                        self.daemon.events.append(reply)
                        self.look_again()
                        self._changed()


async def ask(path: Path, message: Request, answer: type[R], *, timeout_s: float) -> R:
    """Send a request and return the reply of the expected type; raises as ``control_client.request`` does."""
    with explaining(path, timeout_s):
        async with asyncio.timeout(timeout_s), _connection(path, timeout_s) as (reader, writer):
            writer.write(encode(message))
            return answer_in(await reader.readline(), path, answer)


@contextlib.asynccontextmanager
async def _connection(path: Path, timeout_s: float) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a daemon that may be believed, and hang up; ControlError when there is none."""
    with explaining(path, timeout_s):
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
    try:
        refuse_stranger(writer.get_extra_info("socket"), path)
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
