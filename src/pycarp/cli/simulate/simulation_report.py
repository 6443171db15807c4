"""What ``pycarp simulate`` found, as data: ``--json`` prints it, tables show it. Spans are seconds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from pycarp.durations import format_duration
from pycarp.placement.policy import AUTO, FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim import bounds
from pycarp.sim.faults.configuration_conflicts import Finding
from pycarp.sim.faults.experiments import Expectation, InjectedFault, Result, Takeover, Watch
from pycarp.sim.faults.fault_plan import Member
from pycarp.vocabulary import NS_PER_S, HostKey

_HOURS_A_DAY = 24
S_AN_HOUR = 3600
_RULE_OF_THREE = 3
"""An event that was not seen in a time T has, with 95 % confidence, a rate below 3 / T."""


class HostRow(msgspec.Struct, kw_only=True, frozen=True):
    """A virtual host of a machine."""

    vhid: int
    segment: str
    addresses: list[str]
    advbase: int
    advskew: int
    preempt: bool
    dialect: str
    master_down_s: float


class MachineRow(msgspec.Struct, kw_only=True, frozen=True):
    """A machine, with its own addresses by segment."""

    name: str
    own: dict[str, list[str]]
    hosts: list[HostRow]


class FindingRow(msgspec.Struct, kw_only=True, frozen=True):
    """A configuration conflict; ``serious`` if it makes two MASTERs."""

    kind: str
    vhid: int
    machines: list[str]
    serious: bool
    text: str


class TakeoverRow(msgspec.Struct, kw_only=True, frozen=True):
    """The takeovers after one fault of the MASTER, in ``trials`` trials; ``median_s`` is None if nobody took over."""

    condition: str
    vhids: list[int]
    fault: str
    fault_s: float | None
    expected_s: tuple[float, float] | None
    trials: int
    taken_over: int
    median_s: float | None
    worst_s: float | None
    ownerless_s: float
    two_owners_s: float
    ownerless_afterwards_s: float
    by: dict[str, int]


class GroupRow(msgspec.Struct, kw_only=True, frozen=True):
    """How a sync group moves when the link of its host ``cut_vhid`` goes down, in ``trials`` trials.

    ``together`` is in how many of them one machine took all over, ``worst_s`` how long the last host took.
    """

    group: str
    vhids: list[int]
    cut_vhid: int
    trials: int
    together: int
    worst_s: float | None
    ownerless_s: float


class FailbackRow(msgspec.Struct, kw_only=True, frozen=True):
    """When the preferred machine is MASTER again after a power cut; ``expected_s`` is None if no time makes it."""

    vhids: list[int]
    machine: str
    policy: str
    expected_s: tuple[float, float] | None
    trials: int
    returned: int
    median_s: float | None
    worst_s: float | None


class IsolationRow(msgspec.Struct, kw_only=True, frozen=True):
    """When a MASTER that reaches no witness lets go, in ``trials`` trials.

    Its machine is ``cut-off``, or the ``witnesses`` answer nobody, as ``what`` says. ``released`` is in how many trials
    it let go, ``ownerless_s`` and ``two_owners_s`` are worst cases.
    """

    vhid: int
    what: str
    expected_s: tuple[float, float]
    trials: int
    released: int
    median_s: float | None
    worst_s: float | None
    ownerless_s: float
    two_owners_s: float


class WatchRow(msgspec.Struct, kw_only=True, frozen=True):
    """The false takeovers under one condition; ``below_a_day`` is their upper bound, None if any happened."""

    condition: str
    hours: float
    false_takeovers: int
    a_day: float
    below_a_day: float | None
    ownerless_s: float


class AdvbaseRow(msgspec.Struct, kw_only=True, frozen=True):
    """The machines with another advbase; with 0 the advskews are multiples of ``advskew_step``.

    ``broken`` is how many of its plans broke a promise.
    """

    advbase: int
    advskew_step: int | None
    worst_s: float | None
    watched: list[WatchRow]
    broken: int


class FastestRow(msgspec.Struct, kw_only=True, frozen=True):
    """The advbases tried; ``fastest`` is the index of the fastest without false takeovers and broken promises."""

    advbases: list[AdvbaseRow]
    fastest: int | None


class BrokenRow(msgspec.Struct, kw_only=True, frozen=True):
    """A broken promise, and the shortest plan of it; ``plans`` is how many plans broke one."""

    promise: str
    at_s: float
    machine: str
    text: str
    plans: int
    file: str | None
    lines: list[str]
    plot: list[str]


class PromisesRow(msgspec.Struct, kw_only=True, frozen=True):
    """How many plans were simulated, and in how many all promises were kept."""

    plans: int
    kept: int
    broken: BrokenRow | None = None


class ExampleRow(msgspec.Struct, kw_only=True, frozen=True):
    """One plan as a plot."""

    title: str
    plot: list[str]


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """The whole report."""

    machines: list[MachineRow]
    findings: list[FindingRow]
    takeovers: list[TakeoverRow]
    groups: list[GroupRow]
    failbacks: list[FailbackRow]
    isolations: list[IsolationRow]
    watched: list[WatchRow]
    fastest: FastestRow | None
    promises: PromisesRow
    example: ExampleRow | None
    simulated_h: float
    interrupted: bool


class ViolationRow(msgspec.Struct, kw_only=True, frozen=True):
    """A broken promise of a plan."""

    promise: str
    at_s: float
    machine: str
    text: str


class PlanReport(msgspec.Struct, kw_only=True, frozen=True):
    """The history of one kept plan."""

    file: str
    violations: list[ViolationRow]
    lines: list[str]
    plot: list[str]


def machine_row(member: Member) -> MachineRow:
    """Return the row of a machine, as pycarp read its files."""
    return MachineRow(
        name=member.name,
        own={link: [str(each) for each in owns] for link, owns in member.own.items()},
        hosts=[
            HostRow(
                vhid=host.vhid,
                segment=host.interface,
                addresses=[str(each) for each in host.addresses],
                advbase=host.advbase,
                advskew=host.advskew,
                preempt=host.preempt or member.settings.preempt,
                dialect=host.dialect.name,
                master_down_s=seconds(bounds.master_down_ns(host)),
            )
            for host in member.hosts
        ],
    )


def finding_row(finding: Finding) -> FindingRow:
    """Return the row of a finding."""
    return FindingRow(
        kind=finding.conflict.value,
        vhid=finding.key.vhid,
        machines=list(finding.machines),
        serious=finding.is_deafness,
        text=finding.words,
    )


def takeover_row(
    injected: InjectedFault,
    takeovers: Sequence[Takeover],
    *,
    condition: str,
    keys: Iterable[HostKey],
    expectation: Expectation | None,
) -> TakeoverRow:
    """Return the row of one injected fault; ``takeovers`` has the result of each trial, one at least."""
    spans_ns = [each.takeover_ns for each in takeovers if each.takeover_ns is not None]
    expected_s = None if expectation is None else (seconds(expectation.from_ns), seconds(expectation.to_ns))
    return TakeoverRow(
        condition=condition,
        vhids=[key.vhid for key in keys],
        fault=injected.fault.value,
        fault_s=None if injected.span_ns is None else seconds(injected.span_ns),
        expected_s=expected_s,
        trials=len(takeovers),
        taken_over=len(spans_ns),
        median_s=seconds(round(median(spans_ns))) if spans_ns else None,
        worst_s=seconds(max(spans_ns)) if spans_ns else None,
        ownerless_s=seconds(max(each.ownerless_ns for each in takeovers)),
        two_owners_s=seconds(max(each.double_ns for each in takeovers)),
        ownerless_afterwards_s=seconds(max(each.afterwards_ns for each in takeovers)),
        by=dict(Counter(each.by for each in takeovers if each.by).most_common()),
    )


def group_row(group: SyncGroupConfig, cut: HostKey, moves: Sequence[Sequence[Takeover]]) -> GroupRow:
    """Return the row of one link of a group; ``moves`` has the takeovers of its hosts for each trial, one at least."""
    whole = [each for each in moves if {takeover.takeover_ns for takeover in each} and _are_together(each, group)]
    spans_ns = [takeover.takeover_ns for each in moves for takeover in each if takeover.takeover_ns is not None]
    return GroupRow(
        group=group.name,
        vhids=[key.vhid for key in group.hosts],
        cut_vhid=cut.vhid,
        trials=len(moves),
        together=len(whole),
        worst_s=seconds(max(spans_ns)) if spans_ns else None,
        ownerless_s=seconds(max((takeover.ownerless_ns for each in moves for takeover in each), default=0)),
    )


def _are_together(moved: Sequence[Takeover], group: SyncGroupConfig) -> bool:
    return len(moved) == len(group.hosts) and len({each.by for each in moved}) == 1 and bool(moved[0].by)


def failback_row(
    keys: Sequence[HostKey],
    machine: str,
    policies: Iterable[FailbackPolicy],
    expectation: Expectation | None,
    returned_ns: Sequence[int | None],
) -> FailbackRow:
    """Return the row of a virtual host; ``returned_ns`` has the result of each trial."""
    spans_ns = [each for each in returned_ns if each is not None]
    expected_s = None if expectation is None else (seconds(expectation.from_ns), seconds(expectation.to_ns))
    return FailbackRow(
        vhids=[key.vhid for key in keys],
        machine=machine,
        policy="; ".join(dict.fromkeys(map(policy_in_words, policies))),
        expected_s=expected_s,
        trials=len(returned_ns),
        returned=len(spans_ns),
        median_s=seconds(round(median(spans_ns))) if spans_ns else None,
        worst_s=seconds(max(spans_ns)) if spans_ns else None,
    )


def isolation_row(key: HostKey, what: str, expectation: Expectation, results: Sequence[Result]) -> IsolationRow:
    """Return the row of a virtual host; each result has a takeover."""
    spans_ns = [each.released_ns for each in results if each.released_ns is not None]
    takeovers = [each.takeover for each in results if each.takeover is not None]
    return IsolationRow(
        vhid=key.vhid,
        what=what,
        expected_s=(seconds(expectation.from_ns), seconds(expectation.to_ns)),
        trials=len(results),
        released=len(spans_ns),
        median_s=seconds(round(median(spans_ns))) if spans_ns else None,
        worst_s=seconds(max(spans_ns)) if spans_ns else None,
        ownerless_s=seconds(max(each.ownerless_ns for each in takeovers)),
        two_owners_s=seconds(max(each.double_ns for each in takeovers)),
    )


def policy_in_words(policy: FailbackPolicy) -> str:
    """Return the settings of a policy that differ from none, as a configuration names them."""
    spans = {
        "startup_hold": policy.startup_hold_s,
        "failback_delay": policy.failback_delay_s,
        "min_dwell": policy.min_dwell_s,
    }
    words = [] if policy.failback == AUTO else [policy.failback]
    words += [f"{name} {format_duration(span_s)}" for name, span_s in spans.items() if span_s]
    words += ["damping"] if policy.damping is not None else []
    return ", ".join(words) or policy.failback


def watch_row(condition: str, watches: Sequence[Watch]) -> WatchRow:
    """Return the row of one condition, summed over its watches."""
    hours = sum(each.span_ns for each in watches) / NS_PER_S / S_AN_HOUR
    count = sum(each.false_takeovers for each in watches)
    return WatchRow(
        condition=condition,
        hours=round(hours, 3),
        false_takeovers=count,
        a_day=round(count / hours * _HOURS_A_DAY, 2),
        below_a_day=None if count else round(_RULE_OF_THREE / hours * _HOURS_A_DAY, 2),
        ownerless_s=seconds(max(each.ownerless_ns for each in watches)),
    )


def hours_of(span_ns: int) -> float:
    """Return a span in hours, rounded to hundredths."""
    return round(span_ns / NS_PER_S / S_AN_HOUR, 2)


def seconds(span_ns: int) -> float:
    """Return a span in seconds, rounded to microseconds."""
    return round(span_ns / NS_PER_S, 6)
