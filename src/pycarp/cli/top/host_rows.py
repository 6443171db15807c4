"""What ``pycarp top`` shows, as text: a row for each host, the details of one, and a line for each daemon.

Nothing here knows of a terminal. Of a daemon that is not believed to be alive no state is shown as if it held.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum

import msgspec

from pycarp.cli.host_words import NO_NAMES, age, interval_s, remarks_of, role_of
from pycarp.cli.host_words import details_of as details_of_host
from pycarp.cli.top.daemon_watch import WatchedDaemon
from pycarp.core.state import State
from pycarp.daemon.control_messages import EventRecord, HostStatus
from pycarp.daemon.wellness import what_is_wrong

UNKNOWN = "unknown"
HEADINGS = ("", "HOST", "STATE", "FOR", "MASTER", "CLAIM", "NEXT", "REMARK")
TIMED_COLUMNS = (HEADINGS.index("FOR"), HEADINGS.index("NEXT"))
"""The columns that change without any news."""

_MARK = "!"
_WIDTHS = (2, 12, 8, 7, 16, 8, 12, 15)


class Order(Enum):
    """How rows are sorted; the value is what the head line says."""

    CONFIGURED = "as configured"
    NAME = "by name"
    STATE = "by state"
    PROBLEMS = "problems first"


class RowKey(msgspec.Struct, frozen=True):
    """A host of a daemon, by the path of its control socket."""

    control: str
    interface: str
    vhid: int


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One host: the status as its daemon said it, how old that is, and whether it is believed."""

    key: RowKey
    host: HostStatus
    daemon: WatchedDaemon
    age_s: float
    is_believed: bool

    @property
    def state(self) -> str:
        """The state, or that it is unknown."""
        return self.host.state if self.is_believed else UNKNOWN

    @property
    def problem(self) -> str:
        """What is wrong, the shortest way to say it; empty if nothing."""
        if not self.is_believed:
            return f"was {self.host.state}"
        return ", ".join(each.name for each in self.host.alarms) or what_is_wrong(self.host)

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of the columns."""
        host = self.host
        claim = f"{host.effective_advbase}+{host.effective_advskew}"
        return (
            _MARK if self.problem else "",
            host.name,
            self.state,
            age(host.last_change.s_ago + self.age_s) if host.last_change and self.is_believed else "",
            (host.master or "") if self.is_believed else "",
            claim,
            self._next(),
            self.problem or self._note(),
        )

    def _next(self) -> str:
        """Return what happens next if nothing else does, counting down."""
        host = self.host
        if not self.is_believed or host.next_s is None or host.state == State.INIT:
            return ""
        left_s = host.next_s - self.age_s
        if host.state == State.BACKUP:
            return f"takes {max(left_s, 0.0):.1f}s"
        every_s = interval_s(host.effective_advbase, host.effective_advskew)
        # What was due meanwhile has been sent, or the daemon would not be believed.
        return f"sends {left_s if left_s >= 0 else left_s % every_s:.1f}s"

    def _note(self) -> str:
        if self.host.is_drained:
            return "drained"
        if self.host.demotion:
            return f"demoted {sum(each.amount for each in self.host.demotion)}"
        return "preempts" if self.host.preempt and self.host.state == State.BACKUP else ""


def rows_of(daemons: Iterable[WatchedDaemon], now_s: float) -> list[HostRow]:
    """Return a row for each host of each daemon that has ever answered, in their order."""
    return [
        HostRow(
            key=RowKey(str(daemon.path), host.interface, host.vhid),
            host=host,
            daemon=daemon,
            age_s=max(daemon.age_s(now_s), 0.0),
            is_believed=daemon.is_believed(now_s),
        )
        for daemon in daemons
        if daemon.reply is not None
        for host in daemon.reply.hosts
    ]


def chosen_rows(rows: Sequence[HostRow], *, text: str, only_problems: bool, order: Order) -> list[HostRow]:
    """Return the rows that contain a text, and, if wanted, only those with a problem; sorted."""
    wanted = text.casefold()
    found = [
        row
        for row in rows
        if (not only_problems or row.problem) and (not wanted or any(wanted in each.casefold() for each in _words(row)))
    ]
    match order:
        case Order.CONFIGURED:
            return found
        case Order.NAME:
            return sorted(found, key=lambda row: row.host.name)
        case Order.STATE:
            ranks = {state.value: rank for rank, state in enumerate((State.MASTER, State.BACKUP, State.INIT))}
            return sorted(found, key=lambda row: ranks.get(row.state, len(ranks)))
        case Order.PROBLEMS:
            return sorted(found, key=lambda row: not row.problem)


def widths_for(columns: int) -> tuple[int, ...]:
    """Return the widths of the columns on a terminal: the name and the remark get what there is more than 80."""
    more = max(columns - sum(_WIDTHS), 0)
    widths = list(_WIDTHS)
    widths[1] += min(more // 4, 24)
    widths[4] += min(more // 4, 24)
    widths[-1] = max(columns - sum(widths[:-1]), 8)
    return tuple(widths)


def head_of(daemon: WatchedDaemon, now_s: float) -> str:
    """Return what a daemon is, how many of its hosts are what, and how old that is; or that it does not answer."""
    reply = daemon.reply
    if reply is None:
        return f"{daemon.path}: {daemon.trouble or 'asking'}"
    again = "" if daemon.earlier_pid is None else f" (started again; was pid {daemon.earlier_pid})"
    who = f"{reply.hostname or daemon.path.name} pid {reply.pid}{again}"
    if not daemon.is_believed(now_s):
        why = daemon.trouble or "it says nothing any more"
        return f"NO ANSWER for {age(daemon.age_s(now_s))}, state unknown: {who}: {why}"
    counts = [(sum(host.state == state for host in reply.hosts), state.value) for state in reversed(State)]
    counted = ", ".join(f"{count} {state}" for count, state in counts if count) or "no hosts"
    wrong = sum(1 for host in reply.hosts if what_is_wrong(host))
    counted += f", {wrong} with a problem" if wrong else ""
    return f"{who}, up {age(reply.uptime_s + daemon.age_s(now_s))}: {counted}; {daemon.age_s(now_s):.1f}s old"


def details_of(row: HostRow, names: Mapping[str, str] = NO_NAMES) -> Iterator[str]:
    """Yield all there is to say of a host, the most important first."""
    host = row.host
    yield f"{host.name} ({host.vhid}@{host.interface})"
    if not row.is_believed:
        yield f"state unknown: its daemon does not answer; {age(row.age_s)} ago it was {role_of(host, names)}"
        return
    yield role_of(host, names)
    yield from remarks_of(host)
    change = host.last_change
    if change is not None:
        yield f"last: {change.old} -> {change.new} {age(change.s_ago + row.age_s)} ago: {change.explanation}"
    yield from details_of_host(host, names, older_s=row.age_s)
    yield f"shares {' '.join(host.addresses)}; {host.dialect}, {'preempts' if host.preempt else 'does not preempt'}"


def event_line(event: EventRecord) -> str:
    """Return an event as one line, with its time of day."""
    at = datetime.fromisoformat(event.at).astimezone()
    level = "" if event.level == "info" else f"{event.level}: "
    return f"{at:%H:%M:%S} {level}{event.text}"


def shown_events(daemons: Iterable[WatchedDaemon], *, everything: bool) -> list[EventRecord]:
    """Return the transitions and warnings of all daemons, or every event, the latest last."""
    events = [event for daemon in daemons for event in daemon.events]
    wanted = events if everything else [each for each in events if "reason" in each.about or each.level != "info"]
    return sorted(wanted, key=lambda each: each.at)


def _words(row: HostRow) -> Iterator[str]:
    host = row.host
    yield from (host.name, f"{host.vhid}@{host.interface}", row.state, row.problem, *host.addresses)
