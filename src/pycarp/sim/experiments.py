"""Experiments on a cast: what happens when its MASTER is struck, and how often it is taken over from without cause.

A trial is data and may be carried to another process; ``run`` returns what was measured. All times are simulated, all
chance comes from the seed, and what is expected is computed from the settings alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from pycarp.core.precaution import precaution_of
from pycarp.core.state import Reason, State
from pycarp.dialects.base import Verdict
from pycarp.sim import bounds
from pycarp.sim.outcome import Outcome, Ownership, Violation
from pycarp.sim.simulation import simulate
from pycarp.sim.story import THE_MASTER, Fault, Incident, Member, Story
from pycarp.vocabulary import NS_PER_S, HostKey

ORDEAL_EVERY_NS = 60 * NS_PER_S
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
class Strike:
    """A fault that befalls the MASTER; without a span, for as long as a takeover takes."""

    fault: Fault
    span_ns: int | None = None
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordeal:
    """What goes wrong all the time or, with a span, again and again for so long."""

    fault: Fault
    amount: float = 0.0
    span_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The circumstances of a trial; ``name`` is for people."""

    name: str
    ordeals: tuple[Ordeal, ...] = ()


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

    ``broken`` is the first broken promise; only then the story is kept, since results travel between processes.
    """

    steps: int
    simulated_ns: int
    story: Story | None = None
    takeover: Takeover | None = None
    watch: Watch | None = None
    broken: Violation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeTrial:
    """Strikes the MASTER of a virtual host once, at a random moment after the machines have come to rest."""

    members: tuple[Member, ...]
    key: HostKey
    strike: Strike
    condition: Condition = CALM
    seed: int

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return _weight(self.members, 3 * _lasting_ns(self.members))

    def story(self) -> Story:
        """Return what is simulated."""
        chance = Random(f"{self.seed} {self.strike.fault}")
        members = with_first(self.members, self.key)
        rest_ns = rest_at_ns(members)
        hosts = [host for member in members for host in member.hosts if host.key == self.key]
        interval_ns = bounds.interval_max_ns(hosts)
        at_ns = rest_ns + interval_ns + chance.randrange(interval_ns)
        at_ns -= at_ns % _LEGIBLE_NS
        span_ns = _lasting_ns(members) if self.strike.span_ns is None else self.strike.span_ns
        until_ns = at_ns + span_ns + _lasting_ns(members)
        blow = Incident(
            at_ns=at_ns, fault=self.strike.fault, node=THE_MASTER, span_ns=span_ns, amount=self.strike.amount
        )
        lasting = [each for each in self.condition.ordeals if not each.span_ns]
        incidents = [*_incidents(lasting, chance, rest_ns, until_ns), blow]
        return Story(
            seed=self.seed,
            members=members,
            incidents=tuple(sorted(incidents, key=lambda each: each.at_ns)),
            until_ns=until_ns,
            delay_ns=chance.choice(_DELAYS_NS),
        )

    def run(self) -> Result:
        """Simulate, and measure."""
        outcome = simulate(self.story())
        blow = next(each for each in outcome.story.incidents if each.node == THE_MASTER)
        return _result(outcome, takeover=measured(outcome, self.key, blow))


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
        story = Story(
            seed=self.seed,
            members=self.members,
            incidents=tuple(_incidents(self.condition.ordeals, chance, rest_ns, until_ns)),
            until_ns=until_ns,
            delay_ns=chance.choice(_DELAYS_NS),
        )
        outcome = simulate(story)
        watch = Watch(
            span_ns=self.span_ns,
            false_takeovers=false_takeovers(outcome, since_ns=rest_ns),
            ownerless_ns=max(_longest_ownerless_ns(outcome, key, rest_ns, until_ns) for key in keys_of(self.members)),
        )
        return _result(outcome, watch=watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryTrial:
    """Simulates a story to see whether all promises are kept."""

    told: Story

    @property
    def seed(self) -> int:
        """The seed of the story."""
        return self.told.seed

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return _weight(self.told.members, self.told.until_ns)

    def run(self) -> Result:
        """Simulate."""
        return _result(simulate(self.told))


Trial = StrikeTrial | WatchTrial | StoryTrial


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
    outcome = simulate(Story(seed=0, members=members, incidents=(), until_ns=rest_ns))
    return {
        key: tuple(each.node for each in outcome.ownerships if each.key == key and each.until_ns is None)
        for key in keys_of(members)
    }


def _lasting_ns(members: Sequence[Member]) -> int:
    """Return within how many whole seconds a takeover is done, and whoever lost has noticed."""
    story = Story(seed=0, members=tuple(members), incidents=(), until_ns=0)
    longest_ns = max(bounds.takeover_ns(story, key) + bounds.settling_ns(story, key) for key in keys_of(members))
    return -(-longest_ns // NS_PER_S) * NS_PER_S


def _preempts(member: Member, key: HostKey) -> bool:
    return member.settings.preempt or any(host.preempt for host in member.hosts if host.key == key)


# What is expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Between which times after a strike the next host takes over, by the formulae of the dialects."""

    from_ns: int
    to_ns: int


def expected(members: Sequence[Member], key: HostKey, victim: str, strike: Strike) -> Expectation | None:
    """Return when the next host takes over from the MASTER ``victim``, None if nobody does.

    A silent MASTER is missed one master-down time of the next host after its last advertisement, which was sent up to
    an interval before the strike. A bow-out is heard at once; the guardian sends it when its patience is over.
    """
    host_of = {member.name: host for member in members for host in member.hosts if host.key == key}
    struck = host_of[victim]
    others = [host for name, host in host_of.items() if name != victim]
    next_ns = min(map(bounds.master_down_ns, others))
    interval_ns = struck.dialect.claim(struck.advbase, struck.advskew, 0).interval_ns
    silent = Expectation(from_ns=max(next_ns - interval_ns, 0), to_ns=next_ns)
    at_once = Expectation(from_ns=0, to_ns=0)
    match strike.fault:
        case Fault.CRASH | Fault.HAND_OVER | Fault.ADMIN_DOWN:
            return at_once if struck.dialect.bow_out else silent
        case Fault.STOP:
            patience_ns = precaution_of(struck).patience_ns
            watched = Expectation(
                from_ns=max(min(patience_ns, next_ns) - interval_ns, 0), to_ns=min(patience_ns, next_ns)
            )
            return _unless_over(watched if struck.dialect.bow_out else silent, strike)
        case Fault.DEMOTION:
            claim = struck.dialect.claim(struck.advbase, struck.advskew, round(strike.amount))
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
            return _unless_over(silent, strike)


def _unless_over(expectation: Expectation, strike: Strike) -> Expectation | None:
    """Return nothing where the MASTER is back before anybody has missed it."""
    is_over = strike.span_ns is not None and strike.span_ns <= expectation.from_ns
    return None if is_over else expectation


# What is measured


def measured(outcome: Outcome, key: HostKey, blow: Incident) -> Takeover | None:
    """Return what a strike on THE_MASTER led to; None if nobody was MASTER."""
    victim = master_at(outcome, key, blow.at_ns)
    if victim is None:
        return None
    story_ends_ns = outcome.story.until_ns
    over_ns = blow.until_ns if blow.span_ns else story_ends_ns
    spans = [each for each in outcome.ownerships if each.key == key]
    others = [each for each in spans if each.node != victim and _end_ns(each, story_ends_ns) > blow.at_ns]
    first = min(others, key=lambda each: each.from_ns, default=None)
    heard = [each for span in spans for each in _heard_part(span, victim, blow, story_ends_ns)]
    return Takeover(
        victim=victim,
        by=first.node if first and first.from_ns < over_ns else "",
        takeover_ns=max(first.from_ns - blow.at_ns, 0) if first and first.from_ns < over_ns else None,
        ownerless_ns=sum(end - begin for begin, end in _uncovered(heard, blow.at_ns, over_ns)),
        afterwards_ns=sum(end - begin for begin, end in _uncovered(heard, over_ns, story_ends_ns)),
        double_ns=_longest_double_ns(spans, blow.at_ns, story_ends_ns),
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
    return {member.name: states[member.name] for member in outcome.story.members if member.name in states}


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


def _heard_part(span: Ownership, victim: str, blow: Incident, story_ends_ns: int) -> list[tuple[int, int]]:
    """Return an ownership without the time for which those who are asking cannot reach its owner."""
    begin, end = span.from_ns, _end_ns(span, story_ends_ns)
    if span.node != victim or blow.fault not in _MUTE:
        return [(begin, end)]
    parts = [(begin, min(end, blow.at_ns)), (max(begin, blow.until_ns), end)]
    return [(since, until) for since, until in parts if until > since]


def _end_ns(span: Ownership, story_ends_ns: int) -> int:
    return story_ends_ns if span.until_ns is None else span.until_ns


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


def _longest_double_ns(spans: Sequence[Ownership], from_ns: int, story_ends_ns: int) -> int:
    overlaps = [
        min(_end_ns(a, story_ends_ns), _end_ns(b, story_ends_ns)) - max(a.from_ns, b.from_ns, from_ns)
        for index, a in enumerate(spans)
        for b in spans[index + 1 :]
        if a.node != b.node
    ]
    return max([0, *overlaps])


def _incidents(ordeals: Iterable[Ordeal], chance: Random, from_ns: int, until_ns: int) -> list[Incident]:
    found = []
    for ordeal in ordeals:
        node = THE_MASTER if ordeal.fault in _OF_THE_MASTER else ""
        starts = range(from_ns, until_ns, ORDEAL_EVERY_NS) if ordeal.span_ns else [from_ns]
        for start_ns in starts:
            span_ns = ordeal.span_ns or until_ns - start_ns
            wait_ns = chance.randrange(max(ORDEAL_EVERY_NS - span_ns, 1)) if ordeal.span_ns else 0
            found.append(
                Incident(
                    at_ns=start_ns + wait_ns,
                    fault=ordeal.fault,
                    node=node,
                    span_ns=span_ns,
                    amount=ordeal.amount,
                )
            )
    return found


def _result(outcome: Outcome, *, takeover: Takeover | None = None, watch: Watch | None = None) -> Result:
    broken = min(outcome.violations, key=lambda each: each.at_ns, default=None)
    story = None if broken is None else outcome.story
    return Result(
        simulated_ns=outcome.story.until_ns,
        story=story,
        steps=outcome.steps,
        takeover=takeover,
        watch=watch,
        broken=broken,
    )
