"""Writes log records in a thread, so that a reader that stalls delays nothing but the log.

The event loop only puts records into a bounded queue. When that is full, records are dropped and counted until the
thread has written all that is in the queue; then one record says how many were dropped.
"""

import logging
import queue
import threading
from collections.abc import Callable

from pycarp.daemon.log_fields import attach

CAPACITY = 1000
"""The most records that wait: some 200 KiB, and minutes of a daemon's usual log."""

CLOSE_TIMEOUT_S = 0.15
"""How long the end waits for a reader, in seconds; a daemon ends within a second of SIGTERM."""

Write = Callable[[logging.LogRecord], None]
"""Writes one record, for as long as it takes; raises OSError when that cannot be done."""


class LogThread(logging.Handler):
    """A handler that never waits: ``write`` is called in the thread, with records whose message is complete."""

    def __init__(self, write: Write, *, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._write = write
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
        while (record := self._queue.get()) is not None:
            self._attempt(record)
            if self._queue.empty():
                self._resume()
        self._resume()

    def _attempt(self, record: logging.LogRecord) -> bool:
        try:
            self._write(record)
        except OSError:
            # A full disk or a reader that has gone: there is nowhere to report it.
            with self._guarded:
                self._dropped += 1
            return False
        return True

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
