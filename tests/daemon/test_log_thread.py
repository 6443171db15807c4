"""The log's thread: what a stalled reader costs, and what it never costs."""

import contextlib
import fcntl
import logging
import os
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pycarp.daemon.log_format import plain
from pycarp.daemon.log_output import DescriptorWriter
from pycarp.daemon.log_thread import LogThread

CAPACITY = 20
PIPE_OCTETS = 4096
LINE = "x" * 200
FILLING = "full pipe"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """Return a logger that only the test uses; its threads end with it."""
    made = logging.getLogger("tests.log_thread")
    made.propagate = False
    made.setLevel(logging.DEBUG)
    yield made
    for thread in threads_of(made):
        assert thread.finish(timeout_s=5)
        made.removeHandler(thread)


def threads_of(log: logging.Logger) -> list[LogThread]:
    return [each for each in log.handlers if isinstance(each, LogThread)]


@pytest.fixture
def pipe(log: logging.Logger) -> Iterator[tuple[int, int]]:
    """Return a small pipe: its end to read from and its end to write to."""
    reading, sysctl_write = os.pipe()
    fcntl.fcntl(sysctl_write, fcntl.F_SETPIPE_SZ, PIPE_OCTETS)
    yield reading, sysctl_write
    # Whoever still writes has nobody to wait for, and ends before the number of the descriptor is given to another.
    os.close(reading)
    for thread in threads_of(log):
        thread.finish(timeout_s=5)
    os.close(sysctl_write)


def started(log: logging.Logger, descriptor: int) -> LogThread:
    thread = LogThread(DescriptorWriter(descriptor, plain), capacity=CAPACITY)
    log.addHandler(thread)
    thread.start()
    return thread


def fill(descriptor: int) -> None:
    """Let a pipe take nothing more."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, f"{FILLING}\n".encode())
    os.set_blocking(descriptor, True)


def waiting_octets(descriptor: int) -> int:
    octets = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(octets, sys.byteorder)


def read_all(descriptor: int, *, until: str) -> list[str]:
    """Read until a line contains a text; the pipe is bounded, so is the time."""
    text = ""
    ends_s = time.monotonic() + 5
    while until not in text:
        assert time.monotonic() < ends_s, text
        text += os.read(descriptor, PIPE_OCTETS).decode()
    return text.splitlines()


def test_nobody_waits_for_a_reader_who_does_not_read(log: logging.Logger, pipe: tuple[int, int]) -> None:
    thread = started(log, pipe[1])

    began_s = time.monotonic()
    for _ in range(1000):
        log.info(LINE)

    assert time.monotonic() - began_s < 1
    assert thread.dropped > 1000 - CAPACITY - PIPE_OCTETS // len(LINE) - 5


def test_when_the_reader_reads_again_one_line_says_how_many_were_dropped(
    log: logging.Logger, pipe: tuple[int, int]
) -> None:
    fill(pipe[1])
    thread = started(log, pipe[1])
    for number in range(200):
        log.info("%s %d", LINE, number)
    dropped = thread.dropped

    lines = [line for line in read_all(pipe[0], until="were dropped") if line != FILLING]

    assert lines[-1].startswith(f"carp: {dropped} lines of the log were dropped")
    assert len(lines) - 1 == 200 - dropped
    assert thread.dropped == dropped


def test_until_all_that_waited_is_written_nothing_new_is_taken(log: logging.Logger, pipe: tuple[int, int]) -> None:
    """So the line that says how many are missing stands where they are missing."""
    fill(pipe[1])
    thread = started(log, pipe[1])
    for _ in range(200):
        log.info(2 * LINE)
    os.read(pipe[0], PIPE_OCTETS)
    ends_s = time.monotonic() + 5
    while waiting_octets(pipe[0]) < PIPE_OCTETS - 3 * len(LINE):
        assert time.monotonic() < ends_s
        time.sleep(0.01)

    dropped = thread.dropped
    log.info("too early")

    assert thread.dropped == dropped + 1
    assert "too early" not in "".join(read_all(pipe[0], until="were dropped"))


def test_after_a_stall_lines_come_again(log: logging.Logger, pipe: tuple[int, int]) -> None:
    fill(pipe[1])
    started(log, pipe[1])
    for _ in range(200):
        log.info(LINE)
    read_all(pipe[0], until="were dropped")

    log.info("as before")

    assert read_all(pipe[0], until="as before") == ["as before"]


def test_the_end_does_not_wait_for_a_reader_who_does_not_read(log: logging.Logger, pipe: tuple[int, int]) -> None:
    thread = started(log, pipe[1])
    for _ in range(200):
        log.info(LINE)

    began_s = time.monotonic()
    is_finished = thread.finish(timeout_s=0.1)

    assert not is_finished
    assert time.monotonic() - began_s < 0.5


def test_at_the_end_all_that_was_said_is_written(log: logging.Logger, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        thread = started(log, file.fileno())
        for number in range(CAPACITY):
            log.info("%d", number)

        assert thread.finish(timeout_s=5)

    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(CAPACITY)]


def test_a_full_disk_costs_lines_and_nothing_else(log: logging.Logger) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        thread = started(log, full.fileno())
        log.info("lost")

        assert thread.finish(timeout_s=5)

    assert thread.dropped == 1


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(log: logging.Logger) -> None:
    reading, sysctl_write = os.pipe()
    os.close(reading)
    thread = started(log, sysctl_write)
    log.info("lost")

    assert thread.finish(timeout_s=5)
    assert thread.dropped == 1
    os.close(sysctl_write)


def test_a_descriptor_that_never_waits_loses_nothing(log: logging.Logger, pipe: tuple[int, int]) -> None:
    """Standard error is shared, and somebody may have made it non-blocking."""
    os.set_blocking(pipe[1], False)
    started(log, pipe[1])
    for number in range(CAPACITY):
        log.info("%s %d", "x" * 500, number)

    lines = read_all(pipe[0], until=f"x {CAPACITY - 1}")

    assert len(lines) == CAPACITY


def test_many_lines_are_written_with_few_calls_and_in_their_order(log: logging.Logger) -> None:
    """After each call the thread waits for the interpreter, which the event loop has while it is busy."""
    writer = _Counting()
    thread = LogThread(writer)
    log.addHandler(thread)
    for number in range(100):
        log.info("%d", number)
    thread.start()

    assert thread.finish(timeout_s=5)
    assert [line for lines in writer.calls for line in lines] == [str(number) for number in range(100)]
    assert len(writer.calls) == 2


def test_with_many_hosts_more_lines_may_wait(log: logging.Logger) -> None:
    thread = LogThread(lambda _record: None, capacity=CAPACITY)
    log.addHandler(thread)
    thread.make_room(10_000)
    for number in range(10_000):
        log.info("%d", number)
    thread.start()

    assert thread.finish(timeout_s=5)
    assert thread.dropped == 0


class _Counting:
    """Notes which lines were written with one call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, record: logging.LogRecord) -> None:
        self.write_together([record])

    def write_together(self, records: Sequence[logging.LogRecord]) -> None:
        self.calls.append([each.getMessage() for each in records])


def test_a_message_is_as_it_was_when_it_was_said(log: logging.Logger) -> None:
    written: list[str] = []
    may_write = threading.Event()

    def write(record: logging.LogRecord) -> None:
        may_write.wait(5)
        written.append(record.getMessage())

    thread = LogThread(write)
    log.addHandler(thread)
    thread.start()
    hosts = ["carp0"]
    log.info("hosts: %s", hosts)
    hosts.clear()
    may_write.set()
    thread.finish(timeout_s=5)

    assert written == ["hosts: ['carp0']"]
