"""In which form the log is written, and where it goes."""

import json
import logging
import os
import re
import resource
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pycarp.core.events import Event, MasterHeard, StateChange
from pycarp.core.state import Reason, State
from pycarp.daemon import journald, log_format
from pycarp.daemon.log_fields import about, attach, fields_of_event
from pycarp.daemon.log_output import LogFormat, choose
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import HostKey

KEY = HostKey("fxp0", 1)
PEER = IPv4Address("192.168.1.3")
CHANGE = StateChange(
    key=KEY, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=Reason.MASTER_SILENT, epoch=7, peer=PEER
)


def record(text: str = "carp: text", *, level: int = logging.INFO, event: Event | None = None) -> logging.LogRecord:
    made = logging.LogRecord("pycarp", level, __file__, 1, text, None, None)
    with about(fields_of_event(event, "carp0", None) if event else {}):
        attach(made)
    return made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Return a socket that plays the journal, at ``socket`` in the folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "socket"))
        made.settimeout(5)
        yield made


def stream_of(descriptor: int) -> dict[str, str]:
    status = os.fstat(descriptor)
    return {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}


def through_pipe(form: LogFormat | None, said: logging.LogRecord, *, is_stream: bool = False) -> str:
    reading, sysctl_write = os.pipe()
    environment = stream_of(sysctl_write) if is_stream else {}
    choose(form, descriptor=sysctl_write, environment=environment, socket=Path("/nowhere/socket"))(said)
    os.close(sysctl_write)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


def test_a_change_is_about_host_state_reason_peer_and_epoch() -> None:
    assert fields_of_event(CHANGE, "carp0", None) == {
        "host": "carp0",
        "vhid": 1,
        "interface": "fxp0",
        "state": "MASTER",
        "reason": "master-silent",
        "peer": "192.168.1.3",
        "epoch": 7,
    }


def test_an_event_about_a_peer_names_it() -> None:
    heard = MasterHeard(key=KEY, at_ns=0, source=PEER, claim=Claim(advbase=1, advskew=0))

    assert fields_of_event(heard, "carp0", None)["peer"] == "192.168.1.3"


def test_what_is_said_outside_is_about_nothing() -> None:
    with about({"host": "carp0"}):
        pass
    said = logging.LogRecord("pycarp", logging.INFO, __file__, 1, "text", None, None)
    attach(said)

    assert json.loads(log_format.as_json(said)).keys() == {"time", "level", "message"}


def test_json_is_one_object_a_line() -> None:
    text = through_pipe(LogFormat.JSON, record("one\ntwo", event=CHANGE))

    assert text.count("\n") == 1
    said = json.loads(text)
    assert (said["message"], said["level"], said["host"], said["epoch"]) == ("one\ntwo", "info", "carp0", 7)
    assert said["time"].endswith("+00:00")


def test_the_journal_gets_fields_and_priority(journal: socket.socket, tmp_path: Path) -> None:
    write = choose(LogFormat.JOURNALD, descriptor=2, environment={}, socket=tmp_path / "socket")
    write(record("carp: lost", level=logging.WARNING, event=CHANGE))

    lines = journal.recv(65536).decode().splitlines()
    assert lines == [
        "MESSAGE=carp: lost",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=pycarp",
        "CARP_HOST=carp0",
        "CARP_VHID=1",
        "CARP_INTERFACE=fxp0",
        "CARP_STATE=MASTER",
        "CARP_REASON=master-silent",
        "CARP_EPOCH=7",
        "CARP_PEER=192.168.1.3",
    ]


def test_a_message_of_several_lines_reaches_the_journal_with_its_length() -> None:
    octets = journald.datagram(record("one\ntwo"))

    assert octets.startswith(b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nPRIORITY=6\n")


def test_no_message_is_too_long_for_the_journal(journal: socket.socket, tmp_path: Path) -> None:
    write = choose(LogFormat.JOURNALD, descriptor=2, environment={}, socket=tmp_path / "socket")
    write(record("x" * 10_000_000))

    assert len(journal.recv(1 << 20)) < 40_000


def test_the_journal_is_used_unasked_where_it_reads(journal: socket.socket, tmp_path: Path) -> None:
    _reading, sysctl_write = os.pipe()
    write = choose(None, descriptor=sysctl_write, environment=stream_of(sysctl_write), socket=tmp_path / "socket")
    write(record())

    assert b"MESSAGE=carp: text\n" in journal.recv(65536)


def test_another_descriptor_than_the_journal_s_gets_text(journal: socket.socket, tmp_path: Path) -> None:
    """Who redirects standard error of a service wants the lines there."""
    reading, sysctl_write = os.pipe()
    said = {"JOURNAL_STREAM": "1:2"}
    choose(None, descriptor=sysctl_write, environment=said, socket=tmp_path / "socket")(record())

    assert os.read(reading, 100) == b"carp: text\n"
    assert journal.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_without_its_socket_the_journal_is_told_the_priority_before_each_line(level: int, number: int) -> None:
    text = through_pipe(None, record("one\ntwo", level=level), is_stream=True)

    assert text == f"<{number}>one\n<{number}>two\n"


def test_a_pipe_gets_no_time_because_its_reader_has_one() -> None:
    assert through_pipe(None, record()) == "carp: text\n"


def test_a_file_gets_the_time(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        choose(LogFormat.TEXT, descriptor=file.fileno(), environment={})(record())

    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} carp: text\n", (tmp_path / "log").read_text())


def test_after_a_line_that_was_cut_short_the_next_one_begins_on_its_own(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "log").open("wb", buffering=0) as file:
        write = choose(LogFormat.JSON, descriptor=file.fileno(), environment={})
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                write(record("carp: lost"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        write(record("carp: kept"))

    cut, kept = (tmp_path / "log").read_text().splitlines()
    assert len(cut) == 20
    assert json.loads(kept)["message"] == "carp: kept"


def test_a_terminal_gets_the_time() -> None:
    leader, terminal = os.openpty()
    choose(None, descriptor=terminal, environment={})(record())

    assert re.match(rb"\d{4}-\d\d-\d\d ", os.read(leader, 100))
    os.close(leader)
    os.close(terminal)


def test_a_traceback_goes_along() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        said = logging.LogRecord("pycarp", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())

    assert through_pipe(None, said).endswith("ValueError: why\n")
