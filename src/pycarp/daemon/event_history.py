"""The last records of the log, kept in memory and numbered, for ``pycarp events``: whatever becomes of the log itself.

What is worth a line of the log is an event: transitions, demotions, checks, hooks, reloads, and what is wrong.
"""

import asyncio
import contextlib
import datetime
import itertools
import logging
from collections import deque
from collections.abc import Iterator

from pycarp.aio.log_records import logger
from pycarp.daemon.control_messages import EventRecord, EventsEnd, EventsRequest
from pycarp.daemon.log_fields import attach, fields_of
from pycarp.daemon.streams import Send, Stream

KEPT = 4000
"""Records that are kept, of some 400 octets each."""

ALIVE_EVERY_S = 5.0
"""So often a stream that follows says that the daemon lives, while nothing happens."""

TEXT_MAX = 2000


class EventHistory(logging.Handler):
    """Keeps records from ``info`` on, numbered from 1; older ones are forgotten. In the daemon's event loop."""

    def __init__(self, *, kept: int = KEPT) -> None:
        super().__init__(logging.INFO)
        self._loop = asyncio.get_running_loop()
        self._records: deque[EventRecord] = deque(maxlen=kept)
        self._arrival = asyncio.Event()

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
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        self._records.append(
            EventRecord(
                seq=self._seq + 1,
                at=at.isoformat(timespec="milliseconds"),
                level=record.levelname.lower(),
                text=record.getMessage()[:TEXT_MAX].removeprefix("carp: "),
                about=dict(fields_of(record)),
            )
        )
        self._loop.call_soon_threadsafe(self._arrival.set)

    def stream(self, request: EventsRequest) -> Stream:
        """Return the records after a number, and then, if wanted, those to come."""

        async def run(send: Send) -> None:
            after = self._seq if request.after is None else request.after
            # Of a number that there is not yet, the daemon has been started again since.
            after = 0 if after > self._seq else after
            while True:
                self._arrival.clear()
                for each in self._since(after):
                    if request.host is None or request.host in (each.about.get("host"), _key(each)):
                        await send(each)
                    after = each.seq
                if not request.follow:
                    break
                if self._seq == after:
                    await self._next(send, after)
            await send(EventsEnd(seq=after))

        return Stream(run)

    @property
    def _seq(self) -> int:
        """The number of the last record; 0 before the first one."""
        return self._records[-1].seq if self._records else 0

    def _since(self, seq: int) -> list[EventRecord]:
        """Return the records after a number. The cost is theirs alone: hundreds of callers follow thousands of records.

        The lock of this handler is held, because other threads log as well.
        """
        self.acquire()
        try:
            latest_first = list(itertools.islice(reversed(self._records), self._seq - seq))
        finally:
            self.release()
        return latest_first[::-1]

    async def _next(self, send: Send, seq: int) -> None:
        """Wait for the next record; say now and then that there is none."""
        while True:
            try:
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await self._arrival.wait()
                return
            except TimeoutError:
                await send(EventsEnd(seq=seq))


def _key(record: EventRecord) -> str:
    return f"{record.about.get('vhid')}@{record.about.get('interface')}"
