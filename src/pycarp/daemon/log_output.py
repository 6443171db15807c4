"""Writes the log of a daemon to standard error or the journal, in the chosen format."""

import contextlib
import logging
import os
import select
import stat
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

from pycarp.daemon import journald
from pycarp.daemon.log_format import Format, as_json, plain, prefixed, timed
from pycarp.daemon.log_thread import LogThread, Write

STDOUT, STDERR = 1, 2
LEVELS = ("debug", "info", "warning", "error")


class LogFormat(StrEnum):
    """The values of ``--log-format``."""

    TEXT = "text"
    JSON = "json"
    JOURNALD = "journald"


class DescriptorWriter:
    """Writes records to a descriptor; waits while its reader does not read."""

    def __init__(self, descriptor: int, form: Format) -> None:
        self._descriptor = descriptor
        self._form = form
        self._is_within_line = False

    def __call__(self, record: logging.LogRecord) -> None:
        """Write a record; raises OSError when the descriptor takes no more."""
        self.write_together((record,))

    def write_together(self, records: Sequence[logging.LogRecord]) -> None:
        """Write records with one call; raises OSError when the descriptor takes no more."""
        lines = "".join(self._form(each) + "\n" for each in records).encode(errors="backslashreplace")
        # On a full disk a line may be cut; the next one begins on a new line.
        octets = b"\n" + lines if self._is_within_line else lines
        while octets:
            try:
                written = os.write(self._descriptor, octets)
                self._is_within_line = octets[written - 1 : written] != b"\n"
                octets = octets[written:]
            except BlockingIOError:
                # Another process that shares the descriptor has set it to non-blocking.
                select.select([], [self._descriptor], [])


@contextlib.contextmanager
def logging_to_stderr(form: LogFormat | None, *, level: str = "info") -> Iterator[LogThread]:
    """Write the log to standard error, or to the journal, while the context lasts; ``form`` None for what fits.

    Afterwards nothing can wait for a reader that has stalled: standard error leads nowhere then.
    """
    _open_standard_descriptors()
    # On the handler as well: pycarp's own loggers may let more through, for the history of events.
    thread = LogThread(choose(form, descriptor=STDERR, environment=os.environ))
    root = logging.getLogger()
    before = root.level
    root.setLevel(level.upper())
    thread.setLevel(level.upper())
    root.addHandler(thread)
    thread.start()
    try:
        with _without_origin():
            yield thread
    finally:
        root.removeHandler(thread)
        root.setLevel(before)
        if not thread.finish():
            lead_nowhere(STDERR)


@contextlib.contextmanager
def _without_origin() -> Iterator[None]:
    """Leave out of records by what thread and line of code they were made: no format shows it, and it costs most.

    Source: "Optimization" in Python's "Logging HOWTO".
    """
    names = ("logThreads", "logProcesses", "logMultiprocessing", "_srcfile")
    before = {name: getattr(logging, name) for name in names}
    for name in names:
        setattr(logging, name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(logging, name, value)


def choose(
    form: LogFormat | None, *, descriptor: int, environment: Mapping[str, str], socket: Path = journald.SOCKET
) -> Write:
    """Return what writes records.

    Without a wish it is the journal if the descriptor leads there, else text. Text has its time in a terminal and a
    file; the reader of a pipe or a socket adds its own times. Without a journal, ``journald`` is text.
    """
    is_stream = journald.is_stream(descriptor, environment)
    wants_journal = form is LogFormat.JOURNALD or (form is None and is_stream)
    if wants_journal and socket.is_socket():
        return partial(journald.send, path=socket)
    if form is LogFormat.JSON:
        return DescriptorWriter(descriptor, as_json)
    if is_stream:
        return DescriptorWriter(descriptor, prefixed)
    return DescriptorWriter(descriptor, plain if _has_reader(descriptor) else timed)


def _has_reader(descriptor: int) -> bool:
    """Return True if a process reads at the other end: a pipe or a socket, and no terminal."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _open_standard_descriptors() -> None:
    """Open /dev/null for what is closed of 0, 1 and 2, so that no socket gets such a number and the log with it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # open() returns the lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)


def lead_nowhere(*descriptors: int) -> None:
    """Discard what is written to descriptors from now on, without blocking."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
