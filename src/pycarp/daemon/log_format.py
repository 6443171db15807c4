"""Formats a log record: as text for people, or as one JSON object per line."""

import datetime
import json
import logging
from collections.abc import Callable

from pycarp.daemon.log_fields import fields_of

Format = Callable[[logging.LogRecord], str]
"""Returns the lines of a record, without the last line end."""

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_formatter = logging.Formatter()


def priority(level: int) -> int:
    """Return the priority of syslog(3), 0-7, for a level of ``logging``."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


def message(record: logging.LogRecord) -> str:
    """Return the message, and the traceback if the record has one."""
    return _formatter.format(record)


def plain(record: logging.LogRecord) -> str:
    """Return the message for a reader that adds the time itself."""
    return message(record)


def timed(record: logging.LogRecord) -> str:
    """Return the message after its local time: ``2026-11-28 20:40:30.123 carp: ...``."""
    at = datetime.datetime.fromtimestamp(record.created)
    return f"{at.isoformat(sep=' ', timespec='milliseconds')} {message(record)}"


def prefixed(record: logging.LogRecord) -> str:
    """Return the message with ``<N>`` before each line, as services tell systemd the priority. Source: sd-daemon(3)."""
    return "\n".join(f"<{priority(record.levelno)}>{line}" for line in message(record).splitlines() or [""])


def as_json(record: logging.LogRecord) -> str:
    """Return one JSON object: time in UTC, level, message, and the fields of the record."""
    at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    head = {"time": at.isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
    return json.dumps({**head, "message": message(record), **fields_of(record)}, ensure_ascii=False)
