"""Reads files that users name, safely: files without an end, without a line feed, or FIFOs without a writer."""

import contextlib
import errno
import os
import select
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

FIFO_TIMEOUT_S = 5.0
"""How long a named FIFO may stay silent. An unnamed pipe ends with its writer, so it has no limit."""

_CHUNK_OCTETS = 1 << 16
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def read_at_most(path: Path, limit: int, *, until: bytes = b"", timeout_s: float | None = None) -> bytes:
    """Return at most the first ``limit`` octets of a file; stop reading after the chunk in which ``until`` appears.

    Raises OSError when the file cannot be read, or when a FIFO is silent for ``timeout_s`` seconds (default 5), and
    ValueError for a malformed path.
    """
    octets = bytearray()
    with _opened(path, timeout_s) as descriptor:
        is_fifo = _is_named_fifo(descriptor)
        while len(octets) < limit and not (until and until in octets):
            if is_fifo:
                _wait(descriptor, timeout_s)
            more = os.read(descriptor, min(limit - len(octets), _CHUNK_OCTETS))
            if not more:
                break
            octets += more
    return bytes(octets)


def read_first_line(path: Path, limit: int) -> bytes:
    """Return the first line of a file with its line feed, or its first ``limit`` octets; raises as ``read_at_most``."""
    line, line_feed, _rest = read_at_most(path, limit, until=b"\n").partition(b"\n")
    return line + line_feed


@contextlib.contextmanager
def open_to_read(path: Path, *, timeout_s: float | None = None) -> Iterator[BinaryIO]:
    """Open a file as a stream of octets; wait until a FIFO has content.

    Raises OSError when the file cannot be opened, or when a FIFO is silent for ``timeout_s`` seconds (default 5).
    """
    with _opened(path, timeout_s) as descriptor:
        os.set_blocking(descriptor, True)
        with open(descriptor, "rb", closefd=False) as file:
            yield file


def bounded_lines(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield the lines of a file; raises OSError at a line of more than ``limit`` octets."""
    while line := file.readline(limit + 1):
        if len(line) > limit:
            raise OSError(errno.EFBIG, f"a line has more than {limit >> 20} MiB")
        yield line


@contextlib.contextmanager
def _opened(path: Path, timeout_s: float | None) -> Iterator[int]:
    descriptor = os.open(path, _FLAGS)
    try:
        if _is_named_fifo(descriptor):
            _wait(descriptor, timeout_s)
        else:
            os.set_blocking(descriptor, True)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_named_fifo(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    if not stat.S_ISFIFO(status.st_mode):
        return False
    ends = os.pipe()
    try:
        return status.st_dev != os.fstat(ends[0]).st_dev
    finally:
        for each in ends:
            os.close(each)


def _wait(descriptor: int, timeout_s: float | None) -> None:
    """Wait until the FIFO is readable or its writer has closed it; raises TimeoutError after ``timeout_s``."""
    limit_s = FIFO_TIMEOUT_S if timeout_s is None else timeout_s
    events = select.poll()
    events.register(descriptor, select.POLLIN)
    if not events.poll(limit_s * 1000):
        raise TimeoutError(errno.ETIMEDOUT, f"it is a FIFO, and nobody has written to it for {limit_s:g} s")
