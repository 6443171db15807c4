"""Why a host was what it was at an earlier time: from the daemon's events and its flight recorder.

Events reach back for days, and say when a host changed its state and why. The flight recorder has every step of the
last minutes. These happen again here, in an engine of this process, so that it is known what was claimed, what was
heard, and what would have come next.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from pycarp.cli.stream_reading import event_text, replies, time_of
from pycarp.core.snapshot import HostSnapshot
from pycarp.daemon.control_messages import (
    EventRecord,
    EventsRequest,
    FlightEnd,
    FlightLines,
    FlightRequest,
    HostStatus,
    OutlookStatus,
)
from pycarp.daemon.status import Place, host_status, outlook_status
from pycarp.errors import CarpError, UsageError
from pycarp.recording import Replay, read
from pycarp.system.files.bounded_read import bounded_lines, open_to_read

EVENTS_MOST = 20
"""So many events that led to it are shown."""

_LOG_LATE = timedelta(milliseconds=20)
"""A record of the log is made a moment after the step that it is about."""

_LINE_OCTETS_MOST = 64 << 20
_RECORDER = "the flight recorder"


class PastWhy(msgspec.Struct, tag="why-at", kw_only=True):
    """What a host was at a time, and why.

    ``source`` says where ``host`` and ``outlook`` come from; they are None where only events reach back so far, and
    ``note`` says why. ``state`` is known from either. ``events`` led to it, the latest last; ``then`` is the next
    transition, None if there was none.
    """

    at: str
    state: str
    source: str
    note: str
    host: HostStatus | None
    outlook: list[OutlookStatus] | None
    events: list[EventRecord]
    then: EventRecord | None


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording says of a host at a time; without ``host``, ``note`` says why."""

    source: str = ""
    note: str = ""
    host: HostStatus | None = None
    outlook: list[OutlookStatus] | None = None


def past_why(control: Path, present: HostStatus, at: datetime) -> PastWhy:
    """Return why a host of a daemon was what it was; ``present`` is what it is now.

    Raises UsageError when nothing is known of that time, ControlError when the daemon does not answer.
    """
    every = [each for each in replies(control, EventsRequest(after=0)) if isinstance(each, EventRecord)]
    events = [each for each in every if _concerns(each, present)]
    before = [each for each in events if time_of(each) <= at + _LOG_LATE]
    transitions = [each for each in before if "reason" in each.about]
    known = _known(control, present, at)
    if known.host is None and not transitions:
        raise UsageError(_out_of_reach(present, at, every))
    return PastWhy(
        at=at.isoformat(timespec="milliseconds"),
        state=known.host.state if known.host else str(transitions[-1].about["state"]),
        source=known.source or "events",
        note=known.note,
        host=known.host,
        outlook=known.outlook,
        events=_chain(before, transitions),
        then=next((each for each in events[len(before) :] if "reason" in each.about), None),
    )


def last_transition_at(control: Path, present: HostStatus) -> datetime:
    """Return the time just after the last transition of a host; UsageError if there was none."""
    change = present.last_change
    if change is None or change.epoch == 0:
        raise UsageError(f"{present.name} has not changed its state yet")
    logged = [
        time_of(each)
        for each in replies(control, EventsRequest(after=0))
        if isinstance(each, EventRecord) and _concerns(each, present) and each.about.get("epoch") == change.epoch
        if "reason" in each.about
    ]
    return max([datetime.fromisoformat(change.at).astimezone(), *logged]) + timedelta(milliseconds=2)


def _chain(before: list[EventRecord], transitions: list[EventRecord]) -> list[EventRecord]:
    """Return what happened since the transition before the last one, or since the host began."""
    own = [each for each in before if "host" in each.about]
    first = transitions[-2] if len(transitions) > 1 else own[0] if own else None
    return [each for each in before if first is not None and each.seq >= first.seq][-EVENTS_MOST:]


def _concerns(event: EventRecord, host: HostStatus) -> bool:
    """Return whether an event is about a host, about its interface, or about the daemon as a whole."""
    about = event.about
    if "host" in about:
        return (about.get("vhid"), about.get("interface")) == (host.vhid, host.interface)
    return about.get("interface") in (None, host.interface)


def _out_of_reach(host: HostStatus, at: datetime, events: list[EventRecord]) -> str:
    said = f"nothing is known any more of {host.name} at {at:%Y-%m-%d %H:%M:%S}"
    if not events:
        return f"{said}: the daemon has no event yet"
    begins = f"{time_of(events[0]):%Y-%m-%d %H:%M:%S}"
    if events[0].seq == 1:
        return f"{said}: the daemon's events begin at {begins}, with its start; look into its log of before"
    first = next((each for each in events if _concerns(each, host) and "reason" in each.about), None)
    reach = "it has none of its transitions" if first is None else f"its transitions begin at {time_of(first):%F %T}"
    return f"{said}: the daemon keeps 4000 transitions, and {reach}; look into its log, or run it with --record"


# The flight recorder


def _known(control: Path, present: HostStatus, at: datetime) -> _Known:
    lines: list[str] = []
    dump = None
    try:
        for each in replies(control, FlightRequest(at.timestamp())):
            if isinstance(each, FlightLines):
                lines += each.lines
            elif isinstance(each, FlightEnd):
                dump = each.dump
        if lines:
            return _replayed("".join(lines).encode().splitlines(keepends=True), _RECORDER, present, at)
        if dump is not None:
            with open_to_read(Path(dump)) as octets:
                return _replayed(bounded_lines(octets, _LINE_OCTETS_MOST), dump, present, at)
    except CarpError as exc:
        return _Known(note=f"{_RECORDER} cannot be read: {exc}")
    except OSError as exc:
        return _Known(note=f"{dump} cannot be read: {exc.strerror or exc}")
    return _Known(note=f"{_RECORDER} does not reach back so far, and no file of it has that time")


def _replayed(lines: Iterable[bytes], source: str, present: HostStatus, at: datetime) -> _Known:
    """Let a recording happen again until a time, and look at the host then."""
    recording = read(lines, file=source)
    replay = Replay(recording)
    at_ns = recording.head.at + (at - recording.head.began) // timedelta(microseconds=1) * 1000
    for played in replay.steps(until_ns=at_ns):
        if played.difference is not None:
            return _Known(note=f"{source} is of another version of pycarp: replay it with that one")
    host = _same(replay.snapshot().hosts, present)
    if host is None:
        return _Known(note=f"{present.name} did not run then, by {source}")
    status = host_status(host, at_ns, Place())
    if status.last_change is not None:
        changed_at = at - timedelta(seconds=status.last_change.s_ago)
        status.last_change.at = changed_at.astimezone(UTC).isoformat(timespec="milliseconds")
    return _Known(source=source, host=status, outlook=outlook_status(host, at_ns))


def _same(hosts: Iterable[HostSnapshot], present: HostStatus) -> HostSnapshot | None:
    """Return the host that is ``present`` now; if it has no name, its interface may have been renamed since."""
    alike = [each for each in hosts if each.key.vhid == present.vhid]
    exact = [each for each in alike if present.name in (each.config.name, str(each.key))]
    renamed = [each for each in alike if each.config.name == str(each.key)]
    return exact[0] if exact else renamed[0] if len(renamed) == 1 else None


def lines_of(past: PastWhy, about: Iterable[str]) -> Iterator[str]:
    """Yield the answer for people; ``about`` is what there is to say of the host as it was."""
    at = datetime.fromisoformat(past.at)
    source = "from the daemon's events" if past.host is None else f"by {past.source}"
    yield f"At {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}, {source}:"
    yield from about
    if past.note:
        yield f"({past.note})"
    yield ""
    for number, each in enumerate(past.events):
        yield f"{'Led to it:  ' if number == 0 else ' ' * 12}{event_text(each)}"
    if past.then is not None:
        yield f"Then:       {event_text(past.then)}"
