"""Writes every step of an engine to a file, from a thread: neither disk nor encoding is in the way of a step."""

import secrets
import threading
import time
from collections import deque

from pycarp.aio.log_records import logger
from pycarp.core.checkpoint import Checkpoint
from pycarp.errors import CarpError, RecordingError
from pycarp.recording import Entry, Writer
from pycarp.system.files.rotated_file import RotatedFile

WAITING_MOST = 8192
"""Steps, and datagrams that were read together, that wait to be written.

In a flood of packets more are left out, and a new file begins after it.
"""

_LOOK_EVERY_S = 0.2
_CLOSE_TIMEOUT_S = 0.5


class RecordFile:
    """A ``Sink`` that writes files of which each begins with a checkpoint, and so can be replayed alone.

    What cannot be written ends the recording with one line in the log, and nothing else.
    """

    def __init__(self, file: RotatedFile, *, version: str) -> None:
        self._file = file
        self._version = version
        self._waiting: deque[Checkpoint | Entry] = deque()
        self._thread = threading.Thread(target=self._run, name="pycarp-record", daemon=True)
        self._end = threading.Event()
        # Of what was taken and written, each is counted by one thread only.
        self._taken = self._written = 0
        self._is_begun = False
        self._is_over = False
        self._begins_anew: Checkpoint | None = None
        self._writer: Writer | None = None
        self._longest = 0

    def open(self) -> None:
        """Begin the first file; raises RecordingError when that cannot be."""
        try:
            self._file.begin()
        except OSError as exc:
            raise RecordingError(f"cannot record to {self._file.path}: {exc.strerror or exc}") from exc
        self._thread.start()

    def close(self) -> None:
        """Write what waits, for half a second at most."""
        self._end.set()
        self._thread.join(_CLOSE_TIMEOUT_S)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the next entry begins a file: the first one, and one after others were left out."""
        return not self._is_begun and not self._waiting and not self._is_over

    def begin(self, checkpoint: Checkpoint) -> None:
        """Begin a file with the next entry."""
        self._is_begun = True
        self._taken += 1
        self._waiting.append(checkpoint)

    def take(self, entry: Entry) -> None:
        """Let an entry be written, unless too many wait."""
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
                # Looked at before writing: what was taken before the end is written.
                is_last = self._end.wait(_LOOK_EVERY_S)
                self._write_waiting()
        except (OSError, CarpError) as exc:
            self._complain(getattr(exc, "strerror", None) or str(exc))
        except Exception as bug:  # noqa: BLE001  whatever it is, the daemon goes on
            self._complain(f"{type(bug).__name__}, a bug of pycarp")
        finally:
            self._is_over = True
            self._waiting.clear()
            self._file.close()

    def _complain(self, why: str) -> None:
        logger.error("carp: the recording %s ends: %s; all else goes on", self._file.path, why)

    def _write_waiting(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, Checkpoint):
                self._begins_anew = item
                self._written += 1
            else:
                self._write(item)
                self._written += item.size
            # Gives the interpreter to the event loop, should that wait for it.
            time.sleep(0)

    def _write(self, entry: Entry) -> None:
        if self._begins_anew is not None:
            is_first = self._writer is None
            self._writer = Writer(self._begins_anew, entropy=_entropy)
            self._begins_anew = None
            if not is_first:
                self._file.begin()
            self._write_opening(self._writer, entry.at_ns)
        assert self._writer is not None
        if self._file.is_full_for(self._longest):
            self._file.begin()
            self._write_opening(self._writer, entry.at_ns)
        line = self._writer.line(entry)
        self._longest = max(self._longest, len(line))
        self._file.write(line)

    def _write_opening(self, writer: Writer, at_ns: int) -> None:
        self._file.write(writer.opening(version=self._version, at_ns=at_ns, wall_ns=wall_ns_of(at_ns)))


def wall_ns_of(at_ns: int) -> int:
    """Return what the time was, since 1970, when the loop's clock showed ``at_ns``."""
    return time.time_ns() - (time.monotonic_ns() - at_ns)


def _entropy() -> int:
    return secrets.randbits(64)
