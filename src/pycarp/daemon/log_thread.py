"""Writes log records in a thread, so that a reader that stalls delays nothing but the log.

The event loop only puts records into a bounded queue. When that is full, records are dropped and counted until the
thread has written all that is in the queue; then one record says how many were dropped.

After each system call the thread waits for the interpreter, 5 ms while the event loop is busy. So it writes many
records with one call where it can: thousands of hosts that become MASTER log a line each within a second.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from pycarp.daemon.log_fields import attach

CAPACITY = 1000
"""The most records that wait: some 200 KiB, and minutes of a daemon's usual log."""

RECORDS_PER_HOST = 2
"""With many hosts so many more for each, since all may log a line at once."""

_TOGETHER = 64

CLOSE_TIMEOUT_S = 0.15
"""How long the end waits for a reader, in seconds; a daemon ends within a second of SIGTERM."""

Write = Callable[[logging.LogRecord], None]
"""Writes one record, for as long as it takes; raises OSError when that cannot be done."""


@runtime_checkable
class WritesTogether(Protocol):
    """Writes several records with one call, as it writes each."""

    def write_together(self, records: Sequence[logging.LogRecord]) -> None:
        """Write records in their order; raises OSError when that cannot be done."""


class LogThread(logging.Handler):
    """A handler that never waits: ``write`` is called in the thread, with records whose message is complete."""

    def __init__(self, write: Write, *, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._write = write
        writer: object = write
        self._together = writer if isinstance(writer, WritesTogether) else None
        self._capacity = capacity
        self._queue: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._is_dropping = False
        self._dropped = 0
        self._noted = 0
        # A daemon thread, because the process must end also while a write blocks.
        self._thread = threading.Thread(target=self._run, name="pycarp-log", daemon=True)

    @property
    def dropped(self) -> int:
        """How many records were dropped so far."""
        return self._dropped

    def make_room(self, hosts: int) -> None:
        """Let so many records wait as so many hosts log at once."""
        self._capacity = max(self._capacity, CAPACITY + RECORDS_PER_HOST * hosts)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record into the queue, or drop it; ``handle`` calls this under the handler's lock."""
        if self._is_dropping or self._queue.qsize() >= self._capacity:
            self._is_dropping = True
            self._dropped += 1
            return
        attach(record)
        # Formatted here: arguments may change before the thread formats them, or keep objects alive.
        record.msg, record.args = record.getMessage(), None
        self._queue.put(record)

    def finish(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Write what is in the queue and end the thread; False when that was not possible in time."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            records = self._next_records()
            is_over = records[-1] is None
            if wanted := [each for each in records if each is not None]:
                self._attempt(wanted)
            if self._queue.empty():
                self._resume()
        self._resume()

    def _next_records(self) -> "list[logging.LogRecord | None]":
        """Wait for a record, and return it with those behind it that can be written together; None ends the thread."""
        records = [self._queue.get()]
        with contextlib.suppress(queue.Empty):
            while self._together is not None and len(records) < _TOGETHER and records[-1] is not None:
                records.append(self._queue.get_nowait())
        return records

    def _attempt(self, records: list[logging.LogRecord]) -> None:
        try:
            if self._together is not None:
                self._together.write_together(records)
            else:
                for each in records:
                    self._write(each)
        except OSError:
            # A full disk or a reader that has gone: there is nowhere to report it.
            with self._guarded:
                self._dropped += len(records)

    def _resume(self) -> None:
        """Accept records again, and log how many were dropped meanwhile."""
        with self._guarded:
            self._is_dropping = False
            dropped = self._dropped
        if dropped == self._noted:
            return
        try:
            self._write(_note(dropped - self._noted))
        except OSError:
            return
        self._noted = dropped

    @property
    def _guarded(self) -> "threading.RLock | threading._RLock":
        assert self.lock is not None
        return self.lock


def _note(count: int) -> logging.LogRecord:
    text = f"carp: {count} lines of the log were dropped, because nobody read them or they could not be written"
    fields = {"name": "pycarp", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text, "args": None}
    return logging.makeLogRecord(fields)
