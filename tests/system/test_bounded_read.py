"""Reading files without an end, and FIFOs without a writer."""

import os
import threading
from pathlib import Path

import pytest

from pycarp.system.files.bounded_read import bounded_lines, open_to_read, read_at_most, read_first_line

ZERO = Path("/dev/zero")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    made = tmp_path / "fifo"
    os.mkfifo(made)
    return made


def test_of_a_file_without_an_end_the_beginning_is_read() -> None:
    assert read_at_most(ZERO, 100_000) == bytes(100_000)


def test_a_fifo_that_is_written_to_is_read_to_its_end(fifo: Path) -> None:
    writer = threading.Thread(target=fifo.write_bytes, args=(b"x" * 200_000,))
    writer.start()
    octets = read_at_most(fifo, 1_000_000)
    writer.join()

    assert octets == b"x" * 200_000


def test_a_fifo_that_stays_silent_is_an_error_that_says_so(fifo: Path) -> None:
    silent = r"it is a FIFO, and nobody has written to it for 0\.05 s"
    with pytest.raises(OSError, match=silent):
        read_at_most(fifo, 10, timeout_s=0.05)
    with pytest.raises(OSError, match=silent), open_to_read(fifo, timeout_s=0.05):
        pass


def test_a_fifo_that_falls_silent_is_an_error_as_well(fifo: Path) -> None:
    keeps_open = os.open(fifo, os.O_RDWR)
    os.write(keeps_open, b"half")
    try:
        with pytest.raises(OSError, match="nobody has written to it"):
            read_at_most(fifo, 10, timeout_s=0.05)
    finally:
        os.close(keeps_open)


def test_a_pipe_may_take_its_time_because_it_ends_with_its_writer() -> None:
    reader, writer = os.pipe()

    def write() -> None:
        os.write(writer, b"late")
        os.close(writer)

    threading.Timer(0.2, write).start()
    octets = read_at_most(Path(f"/dev/fd/{reader}"), 10, timeout_s=0.05)
    os.close(reader)

    assert octets == b"late"


@pytest.mark.parametrize(
    ("octets", "line"),
    [(b"first\nsecond\n", b"first\n"), (b"only", b"only"), (b"", b""), (b"x" * 50, b"x" * 20)],
    ids=str,
)
def test_the_first_line_is_read_to_its_end_or_bound(tmp_path: Path, octets: bytes, line: bytes) -> None:
    (tmp_path / "file").write_bytes(octets)

    assert read_first_line(tmp_path / "file", 20) == line


def test_the_first_line_does_not_wait_for_a_second_one(fifo: Path) -> None:
    keeps_open = os.open(fifo, os.O_RDWR)
    os.write(keeps_open, b"secret\n")
    line = read_first_line(fifo, 100)
    os.close(keeps_open)

    assert line == b"secret\n"


def test_lines_have_a_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\n" + b"b" * (1 << 20) + b"\nc")
    with open_to_read(tmp_path / "file") as file:
        assert list(bounded_lines(file, 2 << 20)) == [b"a\n", b"b" * (1 << 20) + b"\n", b"c"]
    with open_to_read(tmp_path / "file") as file, pytest.raises(OSError, match="a line has more than 1 MiB"):
        list(bounded_lines(file, 1 << 20))


def test_nothing_stays_open_of_what_could_not_be_read(fifo: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(TimeoutError):
        read_at_most(fifo, 10, timeout_s=0)

    assert os.listdir("/proc/self/fd") == before
