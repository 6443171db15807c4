"""The log's thread: what a stalled reader costs, and what it never costs."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.log_format import plain
from pycarp.daemon.log_output import DescriptorWriter
from pycarp.daemon.log_thread import LogThread

CAPACITY = 20
PIPE_OCTETS = 4096
LINE = "x" * 200


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return a small pipe: its end to read from and its end to write to."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_OCTETS)
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """Return a logger that only the test uses."""
    made = logging.getLogger("tests.log_thread")
    made.propagate = False
    made.setLevel(logging.DEBUG)
    yield made
    made.handlers.clear()


def started(log: logging.Logger, descriptor: int) -> LogThread:
    thread = LogThread(DescriptorWriter(descriptor, plain), capacity=CAPACITY)
    log.addHandler(thread)
    thread.start()
    return thread


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
    read_all(pipe[0], until="dropped")


def test_when_the_reader_reads_again_one_line_says_how_many_were_dropped(
    log: logging.Logger, pipe: tuple[int, int]
) -> None:
    thread = started(log, pipe[1])
    for number in range(200):
        log.info("%s %d", LINE, number)
    dropped = thread.dropped

    lines = read_all(pipe[0], until="were dropped")

    assert lines[-1].startswith(f"carp: {dropped} lines of the log were dropped")
    assert len(lines) - 1 == 200 - dropped
    assert thread.dropped == dropped


def test_after_a_stall_lines_come_again(log: logging.Logger, pipe: tuple[int, int]) -> None:
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
    read_all(pipe[0], until="were dropped")


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
    reading, writing = os.pipe()
    os.close(reading)
    thread = started(log, writing)
    log.info("lost")

    assert thread.finish(timeout_s=5)
    assert thread.dropped == 1
    os.close(writing)


def test_a_descriptor_that_never_waits_loses_nothing(log: logging.Logger, pipe: tuple[int, int]) -> None:
    """Standard error is shared, and somebody may have made it non-blocking."""
    os.set_blocking(pipe[1], False)
    started(log, pipe[1])
    for number in range(CAPACITY):
        log.info("%s %d", "x" * 500, number)

    lines = read_all(pipe[0], until=f"x {CAPACITY - 1}")

    assert len(lines) == CAPACITY


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
