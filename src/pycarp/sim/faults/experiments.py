"""Experiments on a cast: what happens when its MASTER is struck, and how often it is taken over from without cause.

A trial is data and may be carried to another process; ``run`` returns what was measured. All times are simulated, all
chance comes from the seed, and what is expected is computed from the settings alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from pycarp.core.lease_timings import lease_timings_of
from pycarp.core.state import Reason, State
from pycarp.dialects.base import Verdict
from pycarp.sim import bounds
from pycarp.sim.faults.fault_plan import THE_MASTER, Fault, FaultPlan, Incident, Member
from pycarp.sim.outcome import Outcome, Ownership, Violation
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S, HostKey

RECURRING_EVERY_NS = 60 * NS_PER_S
"""How often what does not last happens: once in every such span, at a random moment."""

_DELAYS_NS = range(20_000, 300_000)
"""How long packets take, drawn anew for each trial."""

_LEGIBLE_NS = 1_000_000
"""What moments are multiples of, so that people can read them."""

_MUTE = frozenset({Fault.PARTITION, Fault.ONE_WAY})
"""While these last, what the struck machine owns is of no use to those whom it does not reach."""

_UNASKED = frozenset({Reason.MASTER_SILENT, Reason.MASTER_LEFT})
_OF_THE_MASTER = frozenset({Fault.STOP, Fault.PAUSE, Fault.LOOP, Fault.REPLAY, Fault.FORGERY, Fault.SEND_ERRORS})


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFault:
    """A fault that befalls the MASTER; without a span, for as long as a takeover takes."""

    fault: Fault
    span_ns: int | None = None
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurringFault:
    """What goes wrong all the time or, with a span, again and again for so long."""

    fault: Fault
    amount: float = 0.0
    span_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The circumstances of a trial; ``name`` is for people."""

    name: str
    recurring_faults: tuple[RecurringFault, ...] = ()


CALM = Condition(name="calm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What one strike led to.

    ``takeover_ns`` is from the strike until ``by`` had the addresses, None when nobody took over while it lasted;
    ``ownerless_ns`` how long nobody had them whom the others hear, ``afterwards_ns`` the same after it was over, and
    ``double_ns`` the longest time for which two had them.
    """

    victim: str
    by: str = ""
    takeover_ns: int | None = None
    ownerless_ns: int = 0
    afterwards_ns: int = 0
    double_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What was seen in a span: takeovers from a MASTER that lived, and the longest time without any owner."""

    span_ns: int
    false_takeovers: int
    ownerless_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a trial came to: the takeover is None where nobody was MASTER.

    ``broken`` is the first broken promise; only then the plan is kept, since results travel between processes.
    """

    steps: int
    simulated_ns: int
    plan: FaultPlan | None = None
    takeover: Takeover | None = None
    watch: Watch | None = None
    broken: Violation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTrial:
    """Strikes the MASTER of a virtual host once, at a random moment after the machines have come to rest."""

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
        return _result(outcome, takeover=measured(outcome, self.key, incident))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTrial:
    """Watches a cast for a span in which nothing but the condition is wrong."""

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
        return _result(outcome, watch=watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTrial:
    """Simulates a plan to see whether all promises are kept."""

    told: FaultPlan

    @property
    def seed(self) -> int:
        """The seed of the plan."""
        return self.told.seed

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return _weight(self.told.members, self.told.until_ns)

    def run(self) -> Result:
        """Simulate."""
        return _result(simulate(self.told))


Trial = FaultTrial | WatchTrial | PlanTrial


def run(trial: Trial) -> Result:
    """Return what a trial comes to; for processes, which carry functions by their names."""
    return trial.run()


def _weight(members: Sequence[Member], span_ns: int) -> float:
    hosts = [host for member in members for host in member.hosts]
    interval_ns = min(host.dialect.claim(host.advbase, host.advskew, 0).interval_ns for host in hosts)
    return len(hosts) * span_ns / interval_ns


# Casts


def keys_of(members: Iterable[Member]) -> tuple[HostKey, ...]:
    """Return the virtual hosts, in their order."""
    return tuple(dict.fromkeys(host.key for member in members for host in member.hosts))


def alike(members: Sequence[Member]) -> list[tuple[HostKey, ...]]:
    """Return the virtual hosts that more than one machine has; those of the same settings are one group.

    Those whose machines do not sign the same are never alike to those whose machines do.
    """
    groups: dict[object, list[HostKey]] = {}
    for key in keys_of(members):
        ours = [(member, host) for member in members for host in member.hosts if host.key == key]
        shapes = [
            (host.dialect.name, host.advbase, host.advskew, _preempts(member, key), host.dead_ratio, host.families)
            for member, host in ours
        ]
        signed = {(host.secret, frozenset(each.ip for each in host.shared)) for _member, host in ours}
        if len(shapes) > 1:
            groups.setdefault((*sorted(shapes), len(signed)), []).append(key)
    return [tuple(keys) for keys in groups.values()]


def with_first(members: Sequence[Member], key: HostKey) -> tuple[Member, ...]:
    """Return the same machines in an order that makes THE_MASTER the one of a virtual host."""
    ours = [member for member in members if any(host.key == key for host in member.hosts)]
    others = [member for member in members if member not in ours]
    first = replace(ours[0], hosts=tuple(sorted(ours[0].hosts, key=lambda host: host.key != key)))
    return (first, *ours[1:], *others)


def rest_at_ns(members: Sequence[Member]) -> int:
    """Return when machines that start together have long settled who is MASTER."""
    return _lasting_ns(members)


def masters_at_rest(members: tuple[Member, ...]) -> dict[HostKey, tuple[str, ...]]:
    """Return who has the addresses when nothing goes wrong: one of each virtual host, unless they are deaf."""
    rest_ns = rest_at_ns(members)
    outcome = simulate(FaultPlan(seed=0, members=members, incidents=(), until_ns=rest_ns))
    return {
        key: tuple(each.node for each in outcome.ownerships if each.key == key and each.until_ns is None)
        for key in keys_of(members)
    }


def _lasting_ns(members: Sequence[Member]) -> int:
    """Return within how many whole seconds a takeover is done, and whoever lost has noticed."""
    plan = FaultPlan(seed=0, members=tuple(members), incidents=(), until_ns=0)
    longest_ns = max(bounds.takeover_ns(plan, key) + bounds.settling_ns(plan, key) for key in keys_of(members))
    return -(-longest_ns // NS_PER_S) * NS_PER_S


def _preempts(member: Member, key: HostKey) -> bool:
    return member.settings.preempt or any(host.preempt for host in member.hosts if host.key == key)


# What is expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Between which times after a strike the next host takes over, by the formulae of the dialects."""

    from_ns: int
    to_ns: int


def expected(members: Sequence[Member], key: HostKey, victim: str, injected: InjectedFault) -> Expectation | None:
    """Return when the next host takes over from the MASTER ``victim``, None if nobody does.

    A silent MASTER is missed one master-down time of the next host after its last advertisement, which was sent up to
    an interval before the strike. A bow-out is heard at once; the guardian sends it when its timeout is over.
    """
    host_of = {member.name: host for member in members for host in member.hosts if host.key == key}
    struck = host_of[victim]
    others = [host for name, host in host_of.items() if name != victim]
    next_ns = min(map(bounds.master_down_ns, others))
    interval_ns = struck.dialect.claim(struck.advbase, struck.advskew, 0).interval_ns
    silent = Expectation(from_ns=max(next_ns - interval_ns, 0), to_ns=next_ns)
    at_once = Expectation(from_ns=0, to_ns=0)
    match injected.fault:
        case Fault.CRASH | Fault.HAND_OVER | Fault.ADMIN_DOWN:
            return at_once if struck.dialect.bow_out else silent
        case Fault.STOP:
            timeout_ns = lease_timings_of(struck).timeout_ns
            watched = Expectation(
                from_ns=max(min(timeout_ns, next_ns) - interval_ns, 0), to_ns=min(timeout_ns, next_ns)
            )
            return _unless_over(watched if struck.dialect.bow_out else silent, injected)
        case Fault.DEMOTION:
            claim = struck.dialect.claim(struck.advbase, struck.advskew, round(injected.amount))
            for member in members:
                rival = host_of.get(member.name)
                if rival is None or rival is struck:
                    continue
                ours = rival.dialect.claim(rival.advbase, rival.advskew, 0)
                is_stronger = rival.dialect.compare(ours, claim) is Verdict.STRONGER
                if is_stronger and (_preempts(member, key) or (rival.dialect.preempts_demoted and claim.demote)):
                    return at_once
            return None
        case Fault.MEDDLING:
            return None
        case _:
            return _unless_over(silent, injected)


def _unless_over(expectation: Expectation, injected: InjectedFault) -> Expectation | None:
    """Return nothing where the MASTER is back before anybody has missed it."""
    is_over = injected.span_ns is not None and injected.span_ns <= expectation.from_ns
    return None if is_over else expectation


# What is measured


def measured(outcome: Outcome, key: HostKey, incident: Incident) -> Takeover | None:
    """Return what a strike on THE_MASTER led to; None if nobody was MASTER."""
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
    """Return who was MASTER just before a moment; whoever became it last, if there were two."""
    states = states_at(outcome, key, at_ns)
    return next((node for node, state in states.items() if state is State.MASTER), None)


def states_at(outcome: Outcome, key: HostKey, at_ns: int) -> Mapping[str, State]:
    """Return what the machines told last before a moment, in the order of the cast."""
    states: dict[str, State] = {}
    for change in outcome.changes:
        if change.at_ns >= at_ns:
            break
        if change.event.key == key:
            states[change.node] = change.event.new
    return {member.name: states[member.name] for member in outcome.plan.members if member.name in states}


def false_takeovers(outcome: Outcome, *, since_ns: int) -> int:
    """Count how often a BACKUP believed that its MASTER was gone, while that was MASTER by its own account."""
    masters: dict[HostKey, set[str]] = {}
    count = 0
    for change in outcome.changes:
        event, reigning = change.event, masters.setdefault(change.event.key, set())
        if event.new is not State.MASTER:
            reigning.discard(change.node)
            continue
        if reigning and event.reason in _UNASKED and change.at_ns >= since_ns:
            count += 1
        reigning.add(change.node)
    return count


def _longest_ownerless_ns(outcome: Outcome, key: HostKey, from_ns: int, to_ns: int) -> int:
    spans = [(each.from_ns, _end_ns(each, to_ns)) for each in outcome.ownerships if each.key == key]
    return max((end - begin for begin, end in _uncovered(spans, from_ns, to_ns)), default=0)


def _heard_part(span: Ownership, victim: str, incident: Incident, plan_ends_ns: int) -> list[tuple[int, int]]:
    """Return an ownership without the time for which those who are asking cannot reach its owner."""
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


def _result(outcome: Outcome, *, takeover: Takeover | None = None, watch: Watch | None = None) -> Result:
    broken = min(outcome.violations, key=lambda each: each.at_ns, default=None)
    plan = None if broken is None else outcome.plan
    return Result(
        simulated_ns=outcome.plan.until_ns,
        plan=plan,
        steps=outcome.steps,
        takeover=takeover,
        watch=watch,
        broken=broken,
    )
