"""Reads a stream of the control socket to its end, and writes events as lines."""

import datetime
import select
from collections.abc import Iterator
from pathlib import Path

from pycarp.daemon.control_client import error_of, open_stream
from pycarp.daemon.control_messages import EventRecord, EventsEnd, FlightEnd, RefusedReply, Reply, Request
from pycarp.errors import ControlError

SILENT_S = 15.0
"""A daemon that streams says within a third of that that it lives."""


def replies(path: Path, message: Request, *, is_endless: bool = False) -> Iterator[Reply]:
    """Yield the answers to a request, the one that ends them as well; one that ``is_endless`` goes on after that.

    Raises ControlError when the daemon does not answer, hangs up or says nothing any more, and what it refuses with.
    """
    lines = open_stream(path, message)
    try:
        while True:
            reply = lines.next()
            if reply is None:
                if not select.select([lines], [], [], SILENT_S)[0]:
                    raise ControlError(f"the pycarp at {path} says nothing any more; its state is unknown")
                continue
            if isinstance(reply, RefusedReply):
                raise error_of(reply)
            yield reply
            if isinstance(reply, EventsEnd | FlightEnd) and not is_endless:
                return
    finally:
        lines.close()


def time_of(event: EventRecord) -> datetime.datetime:
    """Return the local time of an event."""
    return datetime.datetime.fromisoformat(event.at).astimezone()


def event_text(event: EventRecord) -> str:
    """Return an event as one line, with its local time."""
    at = time_of(event)
    level = "" if event.level == "info" else f"{event.level}: "
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}  {level}{event.text}"
