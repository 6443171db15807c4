"""Writes every step of an engine to a file, in a thread, so that neither disk nor encoding delays a step."""

import secrets
import threading
import time
from collections import deque

from pycarp.aio.log_records import logger
from pycarp.core.checkpoint import Checkpoint, PendingCheckpoint
from pycarp.errors import CarpError, RecordingError, RecordingFileError
from pycarp.recording import Entry, Writer
from pycarp.system.files.open_errors import may_pass
from pycarp.system.files.rotated_file import RotatedFile

WAITING_MOST = 8192
"""How many steps may wait to be written; the datagrams of one reading count as one each.

When a flood of packets exceeds this, steps are left out, and a new file begins after the flood.
"""

_LOOK_EVERY_S = 0.2
_CLOSE_TIMEOUT_S = 0.5


class RecordFile:
    """A ``Sink`` that writes files; each begins with a checkpoint, so it can be replayed alone.

    A failure to write ends the recording and logs one line; the node goes on.
    """

    def __init__(self, file: RotatedFile, *, version: str) -> None:
        self._file = file
        self._version = version
        self._waiting: deque[Checkpoint | Entry] = deque()
        self._thread = threading.Thread(target=self._run, name="pycarp-record", daemon=True)
        self._end = threading.Event()
        # Each of the two is counted by one thread only, so neither needs a lock.
        self._taken = self._written = 0
        self._is_begun = False
        self._is_over = False
        self._next_checkpoint: Checkpoint | None = None
        self._writer: Writer | None = None
        self._longest = 0
        self._has_complained = False

    def open(self) -> None:
        """Begin the first file; raises RecordingFileError when it cannot be opened, RecordingError on a full disk."""
        try:
            self._file.begin()
        except OSError as exc:
            kind = RecordingError if may_pass(exc) else RecordingFileError
            raise kind(f"cannot record to {self._file.path}: {exc.strerror or exc}") from exc
        self._thread.start()

    def close(self) -> None:
        """Write the waiting steps, for at most half a second."""
        self._end.set()
        self._thread.join(_CLOSE_TIMEOUT_S)

    @property
    def wants_checkpoint(self) -> bool:
        """True if the next entry begins a file: the first entry, and the first one after entries were left out."""
        return not self._is_begun and not self._waiting and not self._is_over

    def begin(self, checkpoint: PendingCheckpoint) -> None:
        """Begin a file with this checkpoint and the next entry."""
        self._is_begun = True
        self._taken += 1
        self._waiting.append(checkpoint.complete())

    def take(self, entry: Entry) -> None:
        """Queue an entry to be written, unless too many wait."""
        if not self._is_begun or self._is_over:
            return
        if self._taken - self._written >= WAITING_MOST:
            self._is_begun = False
            return
        self._taken += entry.size
        self._waiting.append(entry)

    # In the thread

    def _run(self) -> None:
        try:
            is_last = False
            while not is_last:
                # Read before writing, so that the entries of before the end are written too.
                is_last = self._end.wait(_LOOK_EVERY_S)
                self._write_waiting()
        except (OSError, CarpError) as exc:
            self._log_end(getattr(exc, "strerror", None) or str(exc))
        except Exception as bug:  # noqa: BLE001  a bug in the recording must not stop the daemon
            self._log_end(f"{type(bug).__name__}, a bug of pycarp")
        finally:
            self._is_over = True
            self._waiting.clear()
            self._file.close()

    def _log_end(self, why: str) -> None:
        logger.error("carp: the recording %s ends: %s; all else goes on", self._file.path, why)

    def _write_waiting(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Checkpoint):
                self._next_checkpoint = item
                self._written += 1
            else:
                self._write(item)
                self._written += item.size
            # Releases the interpreter lock, in case the event loop waits for it.
            time.sleep(0)

    def _write(self, entry: Entry) -> None:
        if self._next_checkpoint is not None:
            is_first = self._writer is None
            self._writer = Writer(self._next_checkpoint, entropy=_entropy)
            self._next_checkpoint = None
            if not is_first:
                self._file.begin()
            self._write_opening(self._writer, entry.at_ns)
        assert self._writer is not None
        if self._file.is_full_for(self._longest):
            self._file.begin()
            self._write_opening(self._writer, entry.at_ns)
        line = self._writer.line(entry)
        if self._writer.unlike and not self._has_complained:
            self._has_complained = True
            logger.warning(
                "carp: the recording %s has a step that this daemon did otherwise, a bug of pycarp: report it with "
                "the file; the recording goes on",
                self._file.path,
            )
        self._longest = max(self._longest, len(line))
        self._file.write(line)

    def _write_opening(self, writer: Writer, at_ns: int) -> None:
        self._file.write(writer.opening(version=self._version, at_ns=at_ns, wall_ns=wall_ns_of(at_ns)))


def wall_ns_of(at_ns: int) -> int:
    """Return the wall-clock time, in nanoseconds since 1970, at ``at_ns`` of the loop's clock."""
    return time.time_ns() - (time.monotonic_ns() - at_ns)


def _entropy() -> int:
    return secrets.randbits(64)
