"""Records in the native protocol of systemd's journal: one datagram each, with fields.

Source: systemd's documentation, JOURNAL_NATIVE_PROTOCOL.
"""

import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from pycarp.daemon.log_fields import fields_of
from pycarp.daemon.log_format import message, priority

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "pycarp"
STREAM_VARIABLE = "JOURNAL_STREAM"
MESSAGE_MOST = 32 * 1024
"""The most characters of a message: a datagram is bounded, a traceback is not."""


def is_stream(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Return whether a descriptor leads to the journal, as systemd says in JOURNAL_STREAM. Source: systemd.exec(5)."""
    said = environment.get(STREAM_VARIABLE, "")
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return said == f"{status.st_dev}:{status.st_ino}"


def datagram(record: logging.LogRecord) -> bytes:
    """Return a record as the journal takes it."""
    fields: dict[str, str | int] = {
        "MESSAGE": message(record)[:MESSAGE_MOST],
        "PRIORITY": priority(record.levelno),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        **{f"CARP_{name.upper()}": value for name, value in fields_of(record).items()},
    }
    return b"".join(_field(name, str(value)) for name, value in fields.items())


def send(record: logging.LogRecord, path: Path = SOCKET) -> None:
    """Send a record to the journal, and wait while that is slow; raises OSError when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(datagram(record), str(path))


def _field(name: str, value: str) -> bytes:
    octets = value.encode(errors="replace")
    if b"\n" not in octets:
        return name.encode() + b"=" + octets + b"\n"
    return name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n"
