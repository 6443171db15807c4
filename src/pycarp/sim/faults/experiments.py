"""Experiments on a topology: takeovers after a fault of the MASTER, and false takeovers from a MASTER that lives.

A trial is data, so another process can run it; ``run`` returns the measurements. All times are simulated and all chance
comes from the seed. The expected takeover time is computed from the settings alone, never from an engine.
"""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Protocol

import msgspec
from msgspec.structs import replace

from pycarp.core.engine import FULL_DEMOTION
from pycarp.core.lease_timings import lease_timings_of
from pycarp.core.state import Reason, State
from pycarp.dialects.dialect import Verdict, last_claim
from pycarp.sim import bounds
from pycarp.sim.faults.fault_plan import THE_MASTER, Fault, FaultPlan, Incident, Member
from pycarp.sim.outcome import Outcome, Ownership, Violation
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S, HostKey

RECURRING_EVERY_NS = 60 * NS_PER_S
"""A recurring fault with a span happens once in each period of this length, at a random moment."""

_DELAYS_NS = range(20_000, 300_000)
"""The delay of packets; each trial draws one of these."""

_LEGIBLE_NS = 1_000_000
"""Faults begin at multiples of this, so that people can read the times."""

_MUTE = frozenset({Fault.PARTITION, Fault.ONE_WAY})
"""While these last, clients behind the other machines cannot reach the addresses that the faulty machine holds."""

_UNASKED = frozenset({Reason.MASTER_SILENT, Reason.MASTER_LEFT})
_OF_THE_MASTER = frozenset({Fault.STOP, Fault.PAUSE, Fault.LOOP, Fault.REPLAY, Fault.FORGERY, Fault.SEND_ERRORS})


class InjectedFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of the MASTER; without a span it lasts longer than a takeover takes."""

    fault: Fault
    span_ns: int | None = None
    amount: float = 0.0


class RecurringFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that lasts throughout a trial or, with a span, recurs for that long."""

    fault: Fault
    amount: float = 0.0
    span_ns: int = 0


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """The recurring faults of a trial; ``name`` is for people."""

    name: str
    recurring_faults: tuple[RecurringFault, ...] = ()


CALM = Condition(name="calm")


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one fault of ``victim``.

    ``takeover_ns`` is the time from the fault until ``by`` had the addresses, None if nobody took over while it lasted.
    ``ownerless_ns`` is how long no machine that the others hear had them, ``afterwards_ns`` the same after the fault.
    ``double_ns`` is the longest time for which two machines had them.
    """

    victim: str
    by: str = ""
    takeover_ns: int | None = None
    ownerless_ns: int = 0
    afterwards_ns: int = 0
    double_ns: int = 0


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a span: takeovers from a MASTER that lived, and the longest time without an owner."""

    span_ns: int
    false_takeovers: int
    ownerless_ns: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a trial; ``takeover`` is None if nobody was MASTER.

    ``moved`` are the takeovers of the hosts of a group, ``returned_ns`` is how long a machine took to be MASTER again,
    ``released_ns`` how long one without a witness had the addresses.
    ``broken`` is the first broken promise. ``plan`` is None without one: results travel between processes.
    """

    steps: int
    simulated_ns: int
    plan: FaultPlan | None = None
    takeover: Takeover | None = None
    watch: Watch | None = None
    moved: tuple[Takeover, ...] = ()
    returned_ns: int | None = None
    released_ns: int | None = None
    broken: Violation | None = None


class FaultTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Injects one fault into the MASTER of a virtual host, at a random moment after the election is settled."""

    members: tuple[Member, ...]
    key: HostKey
    injected: InjectedFault
    condition: Condition = CALM
    seed: int

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return _weight(self.members, 3 * _lasting_ns(self.members))

    def plan(self) -> FaultPlan:
        """Return what is simulated."""
        chance = Random(f"{self.seed} {self.injected.fault}")
        members = with_first(self.members, self.key)
        rest_ns = rest_at_ns(members)
        hosts = [host for member in members for host in member.hosts if host.key == self.key]
        interval_ns = bounds.interval_max_ns(hosts)
        at_ns = rest_ns + interval_ns + chance.randrange(interval_ns)
        at_ns -= at_ns % _LEGIBLE_NS
        span_ns = _lasting_ns(members) if self.injected.span_ns is None else self.injected.span_ns
        until_ns = at_ns + span_ns + _lasting_ns(members)
        incident = Incident(
            at_ns=at_ns, fault=self.injected.fault, node=THE_MASTER, span_ns=span_ns, amount=self.injected.amount
        )
        lasting = [each for each in self.condition.recurring_faults if not each.span_ns]
        incidents = [*_incidents(lasting, chance, rest_ns, until_ns), incident]
        return FaultPlan(
            seed=self.seed,
            members=members,
            incidents=tuple(sorted(incidents, key=lambda each: each.at_ns)),
            until_ns=until_ns,
            delay_ns=chance.choice(_DELAYS_NS),
        )

    def run(self) -> Result:
        """Simulate, and measure."""
        outcome = simulate(self.plan())
        incident = next(each for each in outcome.plan.incidents if each.node == THE_MASTER)
        return result_of(outcome, takeover=measured(outcome, self.key, incident))


class WatchTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Counts false takeovers for a span in which only the recurring faults of the condition happen."""

    members: tuple[Member, ...]
    condition: Condition
    span_ns: int
    seed: int

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return _weight(self.members, self.span_ns)

    def run(self) -> Result:
        """Simulate, and count."""
        chance = Random(f"{self.seed} {self.condition.name}")
        rest_ns = rest_at_ns(self.members)
        until_ns = rest_ns + self.span_ns
        plan = FaultPlan(
            seed=self.seed,
            members=self.members,
            incidents=tuple(_incidents(self.condition.recurring_faults, chance, rest_ns, until_ns)),
            until_ns=until_ns,
            delay_ns=chance.choice(_DELAYS_NS),
        )
        outcome = simulate(plan)
        watch = Watch(
            span_ns=self.span_ns,
            false_takeovers=false_takeovers(outcome, since_ns=rest_ns),
            ownerless_ns=max(_longest_ownerless_ns(outcome, key, rest_ns, until_ns) for key in keys_of(self.members)),
        )
        return result_of(outcome, watch=watch)


class PlanTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Simulates a plan and checks whether all promises are kept."""

    fault_plan: FaultPlan

    @property
    def seed(self) -> int:
        """The seed of the plan."""
        return self.fault_plan.seed

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return _weight(self.fault_plan.members, self.fault_plan.until_ns)

    def run(self) -> Result:
        """Simulate."""
        return result_of(simulate(self.fault_plan))


class Trial(Protocol):
    """What a process can be sent to simulate."""

    @property
    def seed(self) -> int:
        """The seed of its chance."""
        ...

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        ...

    def run(self) -> Result:
        """Simulate, and measure."""
        ...


def run(trial: Trial) -> Result:
    """Run a trial and return its result; a function of a module, because processes send functions by name."""
    return trial.run()


def _weight(members: Sequence[Member], span_ns: int) -> float:
    hosts = [host for member in members for host in member.hosts]
    interval_ns = min(host.dialect.claim(host.advbase, host.advskew, 0).interval_ns for host in hosts)
    return len(hosts) * span_ns / interval_ns


# Topologies


def keys_of(members: Iterable[Member]) -> tuple[HostKey, ...]:
    """Return the virtual hosts, in their order."""
    return tuple(dict.fromkeys(host.key for member in members for host in member.hosts))


def alike(members: Sequence[Member]) -> list[tuple[HostKey, ...]]:
    """Return the virtual hosts that more than one machine has, in groups with the same settings.

    A virtual host whose machines differ in passphrase or addresses is in no group with one whose machines agree.
    """
    groups: dict[object, list[HostKey]] = {}
    for key in keys_of(members):
        ours = [(member, host) for member in members for host in member.hosts if host.key == key]
        shapes = [
            (
                host.dialect.name,
                host.advbase,
                host.advskew,
                preempts(member, key),
                host.dead_ratio,
                host.families,
                repr(member.failbacks.get(key)),
                [group.name for group in member.groups if key in group.hosts],
            )
            for member, host in ours
        ]
        signed = {(host.passphrase, frozenset(each.ip for each in host.addresses)) for _member, host in ours}
        if len(shapes) > 1:
            groups.setdefault((repr(sorted(shapes)), len(signed)), []).append(key)
    return [tuple(keys) for keys in groups.values()]


def with_first(members: Sequence[Member], key: HostKey) -> tuple[Member, ...]:
    """Return the machines in an order in which THE_MASTER means the MASTER of ``key``."""
    ours = [member for member in members if any(host.key == key for host in member.hosts)]
    others = [member for member in members if member not in ours]
    first = replace(ours[0], hosts=tuple(sorted(ours[0].hosts, key=lambda host: host.key != key)))
    return (first, *ours[1:], *others)


def rest_at_ns(members: Sequence[Member]) -> int:
    """Return the time after which machines that start together have settled the election."""
    return _lasting_ns(members)


def masters_at_rest(members: tuple[Member, ...]) -> dict[HostKey, tuple[str, ...]]:
    """Return the owners of each virtual host in a run without faults: one, unless hosts cannot hear each other."""
    rest_ns = rest_at_ns(members)
    outcome = simulate(FaultPlan(seed=0, members=members, incidents=(), until_ns=rest_ns))
    return {
        key: tuple(each.node for each in outcome.ownerships if each.key == key and each.until_ns is None)
        for key in keys_of(members)
    }


def _lasting_ns(members: Sequence[Member]) -> int:
    """Return the time, in whole seconds, within which a takeover is complete and the old MASTER has yielded."""
    plan = FaultPlan(seed=0, members=tuple(members), incidents=(), until_ns=0)
    longest_ns = max(bounds.takeover_ns(plan, key) + bounds.settling_ns(plan, key) for key in keys_of(members))
    return -(-longest_ns // NS_PER_S) * NS_PER_S


def preempts(member: Member, key: HostKey) -> bool:
    """Return whether the host of a machine preempts."""
    return member.settings.preempt or any(host.preempt for host in member.hosts if host.key == key)


# What is expected


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """The earliest and latest time after a fault at which the next host takes over, by the formulas of the dialects."""

    from_ns: int
    to_ns: int


def expected(members: Sequence[Member], key: HostKey, victim: str, injected: InjectedFault) -> Expectation | None:
    """Return when the next host takes over from the MASTER ``victim``, None if nobody does.

    The next host takes over one master-down time after the last advertisement, which the MASTER sent up to an interval
    before the fault. It takes over at once after a bow-out, which the guardian sends when its timeout is over.
    """
    host_of = {member.name: host for member in members for host in member.hosts if host.key == key}
    faulty = host_of[victim]
    others = [host for name, host in host_of.items() if name != victim]
    next_ns = min(map(bounds.master_down_ns, others))
    interval_ns = faulty.dialect.claim(faulty.advbase, faulty.advskew, 0).interval_ns
    silent = Expectation(from_ns=max(next_ns - interval_ns, 0), to_ns=next_ns)
    at_once = Expectation(from_ns=0, to_ns=0)
    match injected.fault:
        case Fault.CRASH | Fault.HAND_OVER | Fault.ADMIN_DOWN | Fault.GATE:
            return at_once if faulty.dialect.bow_out else silent
        case Fault.STOP:
            timeout_ns = lease_timings_of(faulty).timeout_ns
            watched = Expectation(
                from_ns=max(min(timeout_ns, next_ns) - interval_ns, 0), to_ns=min(timeout_ns, next_ns)
            )
            return _unless_over(watched if faulty.dialect.bow_out else silent, injected)
        case Fault.DEMOTION:
            claim = faulty.dialect.claim(faulty.advbase, faulty.advskew, round(injected.amount))
            for member in members:
                rival = host_of.get(member.name)
                if rival is None or rival is faulty:
                    continue
                ours = rival.dialect.claim(rival.advbase, rival.advskew, 0)
                is_stronger = rival.dialect.compare(ours, claim) is Verdict.STRONGER
                if is_stronger and (preempts(member, key) or (rival.dialect.preempts_demoted and claim.demote)):
                    return at_once
            return None
        case Fault.CHECK | Fault.DRAIN:
            claim = last_claim(faulty.dialect.claim(faulty.advbase, faulty.advskew, FULL_DEMOTION))
            return at_once if any(rival.tolerated_ns < claim.interval_ns for rival in others) else None
        case Fault.MEDDLING | Fault.HOLD:
            return None
        case Fault.ONE_LINK if _moves_with_others(members, key):
            # The other hosts of the group leave at once, and those who take them over take this one along.
            return at_once
        case _:
            return _unless_over(silent, injected)


def _moves_with_others(members: Sequence[Member], key: HostKey) -> bool:
    """Return whether a host is in a group whose hosts are on more than one link, on every machine that has it."""
    ours = [member for member in members if any(host.key == key for host in member.hosts)]
    links = [{each.link for group in member.groups if key in group.hosts for each in group.hosts} for member in ours]
    return all(len(each) > 1 for each in links)


def _unless_over(expectation: Expectation, injected: InjectedFault) -> Expectation | None:
    """Return None if the fault ends before the earliest expected takeover."""
    is_over = injected.span_ns is not None and injected.span_ns <= expectation.from_ns
    return None if is_over else expectation


# What is measured


def measured(outcome: Outcome, key: HostKey, incident: Incident) -> Takeover | None:
    """Return the measurements of a fault of THE_MASTER; None if nobody was MASTER."""
    victim = master_at(outcome, key, incident.at_ns)
    if victim is None:
        return None
    plan_ends_ns = outcome.plan.until_ns
    over_ns = incident.until_ns if incident.span_ns else plan_ends_ns
    spans = [each for each in outcome.ownerships if each.key == key]
    others = [each for each in spans if each.node != victim and _end_ns(each, plan_ends_ns) > incident.at_ns]
    first = min(others, key=lambda each: each.from_ns, default=None)
    heard = [each for span in spans for each in _heard_part(span, victim, incident, plan_ends_ns)]
    return Takeover(
        victim=victim,
        by=first.node if first and first.from_ns < over_ns else "",
        takeover_ns=max(first.from_ns - incident.at_ns, 0) if first and first.from_ns < over_ns else None,
        ownerless_ns=sum(end - begin for begin, end in _uncovered(heard, incident.at_ns, over_ns)),
        afterwards_ns=sum(end - begin for begin, end in _uncovered(heard, over_ns, plan_ends_ns)),
        double_ns=_longest_double_ns(spans, incident.at_ns, plan_ends_ns),
    )


def master_at(outcome: Outcome, key: HostKey, at_ns: int) -> str | None:
    """Return a node that was MASTER just before a moment; None if there was none."""
    states = states_at(outcome, key, at_ns)
    return next((node for node, state in states.items() if state is State.MASTER), None)


def states_at(outcome: Outcome, key: HostKey, at_ns: int) -> Mapping[str, State]:
    """Return the states that the machines published last before a moment, in the order of the topology."""
    states: dict[str, State] = {}
    for change in outcome.changes:
        if change.at_ns >= at_ns:
            break
        if change.event.key == key:
            states[change.node] = change.event.new
    return {member.name: states[member.name] for member in outcome.plan.members if member.name in states}


def false_takeovers(outcome: Outcome, *, since_ns: int) -> int:
    """Count the takeovers because of a silent or leaving MASTER while another node had published that it is MASTER."""
    masters: dict[HostKey, set[str]] = {}
    count = 0
    for change in outcome.changes:
        event, current = change.event, masters.setdefault(change.event.key, set())
        if event.new is not State.MASTER:
            current.discard(change.node)
            continue
        if current and event.reason in _UNASKED and change.at_ns >= since_ns:
            count += 1
        current.add(change.node)
    return count


def _longest_ownerless_ns(outcome: Outcome, key: HostKey, from_ns: int, to_ns: int) -> int:
    spans = [(each.from_ns, _end_ns(each, to_ns)) for each in outcome.ownerships if each.key == key]
    return max((end - begin for begin, end in _uncovered(spans, from_ns, to_ns)), default=0)


def _heard_part(span: Ownership, victim: str, incident: Incident, plan_ends_ns: int) -> list[tuple[int, int]]:
    """Return the parts of an ownership in which clients can reach its owner."""
    begin, end = span.from_ns, _end_ns(span, plan_ends_ns)
    if span.node != victim or incident.fault not in _MUTE:
        return [(begin, end)]
    parts = [(begin, min(end, incident.at_ns)), (max(begin, incident.until_ns), end)]
    return [(since, until) for since, until in parts if until > since]


def _end_ns(span: Ownership, plan_ends_ns: int) -> int:
    return plan_ends_ns if span.until_ns is None else span.until_ns


def _uncovered(spans: Iterable[tuple[int, int]], from_ns: int, to_ns: int) -> list[tuple[int, int]]:
    """Return the parts of a time that no span covers."""
    holes, at_ns = [], from_ns
    for begin, end in sorted(spans):
        if begin >= to_ns:
            break
        if begin > at_ns:
            holes.append((at_ns, begin))
        at_ns = max(at_ns, end)
    if at_ns < to_ns:
        holes.append((at_ns, to_ns))
    return holes


def _longest_double_ns(spans: Sequence[Ownership], from_ns: int, plan_ends_ns: int) -> int:
    overlaps = [
        min(_end_ns(a, plan_ends_ns), _end_ns(b, plan_ends_ns)) - max(a.from_ns, b.from_ns, from_ns)
        for index, a in enumerate(spans)
        for b in spans[index + 1 :]
        if a.node != b.node
    ]
    return max([0, *overlaps])


def _incidents(
    recurring_faults: Iterable[RecurringFault], chance: Random, from_ns: int, until_ns: int
) -> list[Incident]:
    found = []
    for recurring in recurring_faults:
        node = THE_MASTER if recurring.fault in _OF_THE_MASTER else ""
        starts = range(from_ns, until_ns, RECURRING_EVERY_NS) if recurring.span_ns else [from_ns]
        for start_ns in starts:
            span_ns = recurring.span_ns or until_ns - start_ns
            wait_ns = chance.randrange(max(RECURRING_EVERY_NS - span_ns, 1)) if recurring.span_ns else 0
            found.append(
                Incident(
                    at_ns=start_ns + wait_ns,
                    fault=recurring.fault,
                    node=node,
                    span_ns=span_ns,
                    amount=recurring.amount,
                )
            )
    return found


def result_of(
    outcome: Outcome,
    *,
    takeover: Takeover | None = None,
    watch: Watch | None = None,
    moved: tuple[Takeover, ...] = (),
    returned_ns: int | None = None,
    released_ns: int | None = None,
) -> Result:
    """Return the result of a trial: what was measured, and the first broken promise of the outcome."""
    broken = min(outcome.violations, key=lambda each: each.at_ns, default=None)
    plan = None if broken is None else outcome.plan
    return Result(
        simulated_ns=outcome.plan.until_ns,
        plan=plan,
        steps=outcome.steps,
        takeover=takeover,
        watch=watch,
        moved=moved,
        returned_ns=returned_ns,
        released_ns=released_ns,
        broken=broken,
    )
