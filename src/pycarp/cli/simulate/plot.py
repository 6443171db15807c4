"""Plots a plan: a row for each virtual host of each machine, time from left to right, incidents below."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
from rich.text import Text

from pycarp.core.state import State
from pycarp.sim.faults.experiments import master_at
from pycarp.sim.faults.fault_plan import DEATHS, THE_MASTER, Fault, FaultPlan, Incident
from pycarp.sim.narrative_log import words_for
from pycarp.sim.outcome import Outcome
from pycarp.vocabulary import NS_PER_S, HostKey

WIDTH = 72
"""Characters for the time; what a terminal of 80 columns, or a page, has room for."""

LEGEND = "█ MASTER  ░ BACKUP  · INIT  ▒ stands still  ▄ not MASTER, but has the addresses"

_STANDSTILLS = frozenset({Fault.STOP, Fault.PAUSE})
_LOOKS = {
    "█": "bold green",
    "░": "yellow",
    "·": "dim",
    "▄": "bold red",
    "▒": "magenta",
    " ": "",
}
_OF_STATES = {State.MASTER: "█", State.BACKUP: "░", State.INIT: "·"}
_INCIDENT = "red"
_TICKS = 6
_STEPS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 36000)

_Span = tuple[int, int]


class _Scale(msgspec.Struct, frozen=True):
    """The times of the columns."""

    from_ns: int
    to_ns: int
    width: int

    def column(self, at_ns: int) -> int:
        return min(max((at_ns - self.from_ns) * self.width // (self.to_ns - self.from_ns), 0), self.width - 1)

    def middle_ns(self, column: int) -> int:
        return self.from_ns + (self.to_ns - self.from_ns) * (2 * column + 1) // (2 * self.width)


def plot(
    outcome: Outcome,
    *,
    keys: Sequence[HostKey] = (),
    from_ns: int = 0,
    to_ns: int | None = None,
    width: int = WIDTH,
) -> list[Text]:
    """Return the lines of a plot of some virtual hosts, of all if none are named."""
    plan = outcome.plan
    scale = _Scale(from_ns, max(plan.until_ns if to_ns is None else to_ns, from_ns + 1), width)
    incidents = tuple(_resolved(outcome, each) for each in plan.incidents)
    rows = [
        (_label(plan, member.name, host.key), _row(outcome, incidents, member.name, host.key, scale))
        for member in plan.members
        for host in member.hosts
        if not keys or host.key in keys
    ]
    margin = max(len(label) for label, _row in rows) + 1
    lines = [Text(label.ljust(margin)).append_text(row) for label, row in rows]
    lines += [_indented(margin, line, "dim") for line in _axis(scale)]
    shown = [each for each in incidents if each.at_ns < scale.to_ns and each.until_ns >= scale.from_ns]
    for number, incident in enumerate(shown):
        lines += _mark(incident, scale, margin, chr(ord("a") + number % 26))
    return [*lines, Text(LEGEND, style="dim")]


def _indented(margin: int, line: str, style: str) -> Text:
    """Return a line whose leading blanks have no style: pictures lose those that have one."""
    words = line.lstrip()
    return Text(" " * (margin + len(line) - len(words))).append(words, style=style)


def plain(lines: Iterable[Text]) -> list[str]:
    """Return lines without their colours."""
    return [line.plain.rstrip() for line in lines]


def _label(plan: FaultPlan, name: str, key: HostKey) -> str:
    member = next(each for each in plan.members if each.name == name)
    return name if len(member.hosts) == 1 else f"{name}/{key.vhid}"


def _resolved(outcome: Outcome, incident: Incident) -> Incident:
    """Return an incident with the name of who was MASTER then."""
    if THE_MASTER not in (incident.node, incident.other):
        return incident
    first = outcome.plan.members[0]
    name = master_at(outcome, first.hosts[0].key, incident.at_ns) or first.name
    return Incident(
        at_ns=incident.at_ns,
        fault=incident.fault,
        node=name if incident.node == THE_MASTER else incident.node,
        other=name if incident.other == THE_MASTER else incident.other,
        span_ns=incident.span_ns,
        amount=incident.amount,
    )


def _row(outcome: Outcome, incidents: Sequence[Incident], name: str, key: HostKey, scale: _Scale) -> Text:
    """Return the row of a host: the state in the middle of each column, and states shorter than a column."""
    states = _states(outcome, name, key)
    owned = [
        (each.from_ns, outcome.plan.until_ns if each.until_ns is None else each.until_ns)
        for each in outcome.ownerships
        if each.node == name and each.key == key
    ]
    gone = [(each.at_ns, each.until_ns) for each in incidents if each.node == name and each.fault in DEATHS]
    still = [(each.at_ns, each.until_ns) for each in incidents if each.node == name and each.fault in _STANDSTILLS]
    cells = [_cell(scale.middle_ns(column), states, owned, gone, still) for column in range(scale.width)]
    for begin, end, state in states:
        if state is State.MASTER and end > scale.from_ns and begin < scale.to_ns:
            column = scale.column(begin)
            if column == scale.column(end):
                cells[column] = _OF_STATES[State.MASTER]
    row = Text()
    for cell in cells:
        row.append(cell, style=_LOOKS[cell])
    return row


def _states(outcome: Outcome, name: str, key: HostKey) -> list[tuple[int, int, State]]:
    """Return the spans of a host's states, by the transitions that it published."""
    changes = [(each.at_ns, each.event.new) for each in outcome.changes if each.node == name and each.event.key == key]
    ends = [*changes[1:], (outcome.plan.until_ns, State.INIT)]
    return [(begin, end, state) for (begin, state), (end, _next) in zip(changes, ends, strict=True)]


def _cell(
    at_ns: int,
    states: Sequence[tuple[int, int, State]],
    owned: Sequence[_Span],
    gone: Sequence[_Span],
    still: Sequence[_Span],
) -> str:
    state = next((state for begin, end, state in states if begin <= at_ns < end), None)
    is_gone = state is None or _is_within(at_ns, gone)
    if _is_within(at_ns, owned) and (is_gone or state is not State.MASTER):
        return "▄"
    if is_gone or state is None:
        return " "
    return "▒" if _is_within(at_ns, still) else _OF_STATES[state]


def _is_within(at_ns: int, spans: Iterable[_Span]) -> bool:
    return any(begin <= at_ns < end for begin, end in spans)


def _axis(scale: _Scale) -> tuple[str, str]:
    """Return a ruler, and the times under its marks."""
    span_s = (scale.to_ns - scale.from_ns) / NS_PER_S
    step_s = next((each for each in _STEPS_S if span_s / each <= _TICKS), _STEPS_S[-1])
    first = -(-scale.from_ns // round(step_s * NS_PER_S))
    last = (scale.to_ns - 1) // round(step_s * NS_PER_S)
    ruler, times = ["-"] * scale.width, [" "] * scale.width
    columns = []
    for number in range(first, last + 1):
        column = scale.column(round(number * step_s * NS_PER_S))
        ruler[column] = "+"
        columns.append((column, f"{number * step_s:g} s"))
    for (column, words), (following, _words) in pairwise([*columns, (scale.width + 1, "")]):
        if column + len(words) < following:
            times[column : column + len(words)] = words
    return "".join(ruler), "".join(times)[: scale.width].rstrip()


def _mark(incident: Incident, scale: _Scale, margin: int, letter: str) -> list[Text]:
    """Return a line that shows when an incident began and ended, and says what it was; two if there is no room."""
    begin, end = scale.column(incident.at_ns), scale.column(incident.until_ns)
    bar = letter + "~" * (end - begin)
    words = f"{incident.at_ns / NS_PER_S:.3f} s: {words_for(incident)}"
    room = scale.width - begin - len(bar) - 1
    line = Text(" " * (margin + begin)).append(bar, style=_INCIDENT)
    if len(words) <= room:
        return [line.append(" ", style=_INCIDENT).append(words, style="default")]
    if len(words) < begin:
        line = Text(" " * (margin + begin - len(words) - 1)).append(words, style="default")
        return [line.append(" ").append(bar, style=_INCIDENT)]
    return [line, Text(" " * margin).append(words, style="default")]
