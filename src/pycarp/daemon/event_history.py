"""The last records of the log, kept in memory and numbered, for ``pycarp events``: whatever becomes of the log itself.

What is worth a line of the log is an event: transitions, demotions, checks, hooks, reloads, and what is wrong.
Decisions about peers are events too, and no lines of the log. Transitions, decisions and all else are kept apart, so
that many of one kind push none of another out.
"""

import asyncio
import contextlib
import datetime
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pycarp.aio.log_records import logger
from pycarp.daemon.control_messages import EventRecord, EventsEnd, EventsRequest
from pycarp.daemon.log_fields import Fields, attach, fields_of
from pycarp.daemon.streams import Send, Stream

KEPT = 4000
"""Transitions that are kept, and as many other records, of some 400 octets each."""

_DECISIONS_SHARE = 4
"""Of decisions the fourth part of that is kept."""

DECISIONS_AT_ONCE = 30
DECISION_EVERY_S = 2.0
"""A host may have so many decisions at once, and in the long run one in so long; the others are counted."""

ALIVE_EVERY_S = 5.0
"""So often a stream that follows says that the daemon lives, while nothing happens."""

TEXT_MAX = 2000


class _Allowance(msgspec.Struct):
    """How many decisions of a host may still be kept at ``at_s``, and how many were left out since the last one."""

    tokens: float
    at_s: float
    left_out: int = 0

    def take(self, now_s: float) -> bool:
        """Return whether a decision may be kept now; count it if not."""
        self.tokens = min(self.tokens + (now_s - self.at_s) / DECISION_EVERY_S, DECISIONS_AT_ONCE)
        self.at_s = now_s
        if self.tokens < 1:
            self.left_out += 1
            return False
        self.tokens -= 1
        return True


class _Kept(NamedTuple):
    """A record as it is kept: most are never read, and thousands are kept at the start of as many hosts."""

    seq: int
    at_s: float
    level: str
    text: str
    fields: Fields

    def record(self) -> EventRecord:
        """Return it as it is read."""
        at = datetime.datetime.fromtimestamp(self.at_s, datetime.UTC).isoformat(timespec="milliseconds")
        return EventRecord(seq=self.seq, at=at, level=self.level, text=self.text, about=dict(self.fields))


class EventHistory(logging.Handler):
    """Keeps records from ``info`` on, numbered from 1; older ones are forgotten. In the daemon's event loop."""

    def __init__(self, *, kept: int = KEPT) -> None:
        super().__init__(logging.INFO)
        self._loop = asyncio.get_running_loop()
        self._seq = 0
        self._transitions: deque[_Kept] = deque(maxlen=kept)
        self._decisions: deque[_Kept] = deque(maxlen=max(kept // _DECISIONS_SHARE, 1))
        self._others: deque[_Kept] = deque(maxlen=kept)
        self._allowances: dict[str, _Allowance] = {}
        self._arrival = asyncio.Event()
        self._awaited = 0

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Keep what is logged while the context lasts, also what the log itself leaves out."""
        before = logger.level
        logger.addHandler(self)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(before)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, of whatever thread; called under the lock of this handler."""
        attach(record)
        fields = fields_of(record)
        kept = self._transitions if "reason" in fields else self._others
        text = record.getMessage()[:TEXT_MAX].removeprefix("carp: ")
        self._add(kept, record.created, record.levelname.lower(), text, fields)

    def add_decision(self, text: str, fields: Fields, at_s: float) -> None:
        """Keep a decision about a peer, at a wall-clock time in seconds; of too many of a host only how many they were.

        ``fields`` have ``host``. In the daemon's event loop.
        """
        now_s = self._loop.time()
        host = str(fields["host"])
        allowance = self._allowances.setdefault(host, _Allowance(DECISIONS_AT_ONCE, now_s))
        if not allowance.take(now_s):
            return
        if allowance.left_out:
            text = f"{text} (after {allowance.left_out} more decisions, which are left out)"
            allowance.left_out = 0
        self.acquire()
        try:
            self._add(self._decisions, at_s, "info", text, fields)
        finally:
            self.release()

    def _add(self, kept: deque[_Kept], at_s: float, level: str, text: str, fields: Fields) -> None:
        self._seq += 1
        kept.append(_Kept(self._seq, at_s, level, text, fields))
        if self._awaited:  # Most daemons are followed by nobody, and this wakes the loop up.
            self._loop.call_soon_threadsafe(self._arrival.set)

    def stream(self, request: EventsRequest) -> Stream:
        """Return the records after a number, and then, if wanted, those to come."""

        async def run(send: Send) -> None:
            after = self.last if request.after is None else request.after
            # Of a number that there is not yet, the daemon has been started again since.
            after = 0 if after > self.last else after
            last = request.last
            while True:
                found = self.since(after)
                after = found[-1].seq if found else after
                wanted = [each for each in found if request.host in (None, each.about.get("host"), _key(each))]
                for each in wanted if last is None else wanted[max(len(wanted) - last, 0) :]:
                    await send(each)
                last = None
                if not request.follow:
                    break
                await self._next(send, after)
            await send(EventsEnd(seq=after))

        return Stream(run)

    @property
    def last(self) -> int:
        """The number of the last record; 0 before the first one."""
        return self._seq

    async def arrival(self, after: int) -> None:
        """Wait until there is a record after a number."""
        # Counted before it looks: a record of another thread is seen here, or wakes it up.
        self._awaited += 1
        try:
            while self.last <= after:
                self._arrival.clear()
                await self._arrival.wait()
        finally:
            self._awaited -= 1

    def since(self, seq: int) -> list[EventRecord]:
        """Return the records after a number. The cost is theirs alone: hundreds of callers follow thousands of records.

        The lock of this handler is held, because other threads log as well.
        """
        self.acquire()
        try:
            latest_first = [
                list(itertools.takewhile(lambda each: each.seq > seq, reversed(kept)))
                for kept in (self._transitions, self._decisions, self._others)
            ]
        finally:
            self.release()
        merged = heapq.merge(*(each[::-1] for each in latest_first), key=lambda each: each.seq)
        return [each.record() for each in merged]

    async def _next(self, send: Send, seq: int) -> None:
        """Wait for the next record; say now and then that there is none."""
        while True:
            try:
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await self.arrival(seq)
                return
            except TimeoutError:
                await send(EventsEnd(seq=seq))


def _key(record: EventRecord) -> str:
    return f"{record.about.get('vhid')}@{record.about.get('interface')}"
