"""Makes random fault plans: machines of several dialects, and a random subset of the faults. One seed, one plan."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from itertools import combinations
from random import Random

from msgspec.structs import replace

from pycarp.core.host_config import HostConfig
from pycarp.dialects import ALL, UCARP, UNIVERSAL, Dialect
from pycarp.dialects.compatibility import incompatibilities
from pycarp.placement.damping import Damping
from pycarp.placement.isolation import Isolation
from pycarp.placement.policy import AUTO, MANUAL, FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim import bounds
from pycarp.sim.checking import PEOPLE_AND_PROCESSES
from pycarp.sim.faults.fault_plan import THE_MASTER, Fault, FaultPlan, Incident, Member
from pycarp.vocabulary import NS_PER_S, InterfaceAddress

LINK = "em0"
OTHER_LINK = "em1"
NODES = range(2, 8)

_ADDRESS_SETS: tuple[tuple[str, ...], ...] = (
    ("192.0.2.50/24",),
    ("192.0.2.50/24", "192.0.2.51/24"),
    ("2001:db8::50/64",),
    ("192.0.2.50/24", "2001:db8::50/64"),
)
_ADVBASES = (1, 1, 1, 2)
_AT_MOST = 12
_LONGEST_NS = 12 * NS_PER_S

_AMOUNTS: dict[Fault, Callable[[Random], float]] = {
    Fault.LOSS: lambda chance: round(chance.uniform(0.05, 0.6), 2),
    Fault.DELAY: lambda chance: round(chance.uniform(0.001, 0.4), 3),
    Fault.DUPLICATION: lambda chance: round(chance.uniform(0.1, 1.0), 2),
    Fault.SLOW_ADDRESSES: lambda chance: round(chance.uniform(0.05, 4.0), 2),
    Fault.FAILING_ADDRESSES: lambda chance: round(chance.uniform(0.3, 1.0), 2),
    Fault.REPLAY: lambda chance: round(chance.uniform(0.5, 20.0), 1),
    Fault.FORGERY: lambda chance: round(chance.uniform(1.0, 20.0), 1),
    Fault.DEMOTION: lambda chance: float(chance.choice((1, 50, 240))),
}
_MOMENTARY = frozenset({Fault.MEDDLING, Fault.FORCE})
_OF_THE_SEGMENT = frozenset({Fault.LOSS, Fault.DELAY, Fault.DUPLICATION, Fault.CLOG, Fault.WITNESS})


def random_plan(
    seed: int, *, members: Sequence[Member] = (), faults: Collection[Fault] = (), calm_s: float | None = None
) -> FaultPlan:
    """Return the plan of a seed; without ``members`` and ``faults`` these are random as well.

    Each plan uses a random subset of the faults, because some faults hide others. ``calm_s`` is the time after the last
    fault; None for as long as the checks need.
    """
    chance = Random(seed)
    topology = tuple(members) or with_services(random_members(chance), Random(f"{seed} services"))
    apart_ns = chance.choice((0, 0, 1_000_000, NS_PER_S, 4 * NS_PER_S))
    begins_ns = apart_ns * len(topology) + 5 * NS_PER_S
    swarm = _swarm(chance, tuple(faults), has_witnesses=any(member.isolations for member in topology))
    incidents = tuple(
        sorted(
            (
                _incident(chance, chance.choice(swarm), topology, begins_ns)
                for _each in range(chance.randint(0, _AT_MOST))
            ),
            key=lambda each: each.at_ns,
        )
    )
    plan = FaultPlan(seed=seed, members=topology, incidents=incidents, until_ns=0, apart_ns=apart_ns)
    return lengthened(plan, calm_s=calm_s)


def lengthened(plan: FaultPlan, *, calm_s: float | None = None) -> FaultPlan:
    """Return a plan that goes on after its last incident for as long as is needed to judge it."""
    keys = dict.fromkeys(host.key for member in plan.members for host in member.hosts)
    needed_ns = max(bounds.takeover_ns(plan, key) + bounds.settling_ns(plan, key) for key in keys)
    needed_ns += bounds.grouping_ns(plan) + NS_PER_S
    calm_ns = needed_ns if calm_s is None else round(calm_s * NS_PER_S)
    ends_ns = max(plan.calm_from_ns, plan.apart_ns * len(plan.members))
    return replace(plan, until_ns=ends_ns + calm_ns)


def random_members(chance: Random) -> tuple[Member, ...]:
    """Return two to seven machines whose dialects can share the addresses, each with an advskew of its own."""
    while True:
        addresses = chance.choice(_ADDRESS_SETS)
        interfaces = tuple(ip_interface(each) for each in addresses)
        dialects = [chance.choice(ALL) for _each in range(chance.choice(NODES))]
        if chance.random() < 0.4:
            dialects = [chance.choice((UNIVERSAL, dialects[0]))] * len(dialects)
        if _fit(dialects, interfaces):
            break
    vhids = chance.choice((1, 1, 2))
    links = (LINK, chance.choice((LINK, OTHER_LINK)))[:vhids]
    advbase = chance.choice(_ADVBASES)
    preempts = chance.choice((True, False, None))
    skews = [_skews(chance, dialects) for _each in links]
    return tuple(
        Member(
            name="abcdefg"[number],
            hosts=tuple(
                HostConfig(
                    interface=link,
                    vhid=vhid,
                    passphrase="secret",  # noqa: S106  nothing is protected by it
                    addresses=[each + 10 * vhid for each in interfaces],
                    advbase=advbase,
                    advskew=skews[vhid - 1][number],
                    preempt=chance.random() < 0.5 if preempts is None else preempts,
                    dialect=dialect,
                )
                for vhid, link in enumerate(links, 1)
            ),
            own={
                link: (IPv4Interface(f"192.0.2.{number + 1}/24"), IPv6Interface(f"fe80::{number + 1}/64"))
                for link in dict.fromkeys(links)
            },
        )
        for number, dialect in enumerate(dialects)
    )


def with_services(members: Sequence[Member], chance: Random) -> tuple[Member, ...]:
    """Return machines of which some have failback policies, and those with two virtual hosts often a sync group.

    Half of the groups prefer different machines for their hosts. Some let go when they reach no witness.
    """
    keys = tuple(host.key for host in members[0].hosts)
    is_grouped = len(keys) > 1 and chance.random() < 0.5
    groups = (SyncGroupConfig(name="router", hosts=keys),) if is_grouped else ()
    is_agreed = is_grouped and chance.random() < 0.5
    has_policies = chance.random() < 0.3
    followed = tuple(
        replace(
            member,
            hosts=tuple(_as_preferred(host, member.hosts[0]) for host in member.hosts) if is_agreed else member.hosts,
            groups=groups,
            failbacks={key: _policy(chance) for key in keys if has_policies and chance.random() < 0.6},
        )
        for member in members
    )
    return _with_witnesses(followed, chance) if chance.random() < 0.2 else followed


def _with_witnesses(members: Sequence[Member], chance: Random) -> tuple[Member, ...]:
    every_s = chance.choice((0.1, 0.5, 1.0))
    isolation = Isolation(
        name="isolation",
        host=chance.choice((None, members[0].hosts[0].key)),
        link=members[0].hosts[0].interface,
        every_s=every_s,
        timeout_s=every_s * chance.choice((0.5, 1, 2)),
        rise=chance.choice((1, 2)),
        fall=chance.choice((1, 4)),
    )
    return tuple(replace(member, isolations=(isolation,)) for member in members)


def _as_preferred(host: HostConfig, leader: HostConfig) -> HostConfig:
    return dataclasses.replace(host, advbase=leader.advbase, advskew=leader.advskew, preempt=leader.preempt)


def _policy(chance: Random) -> FailbackPolicy:
    return FailbackPolicy(
        startup_hold_s=chance.choice((0, 0, 3)),
        failback_delay_s=chance.choice((0, 2, 8)),
        min_dwell_s=chance.choice((0, 0, 6)),
        failback=chance.choice((AUTO, AUTO, AUTO, MANUAL)),
        damping=chance.choice((None, None, Damping(half_life_s=5, longest_s=20))),
    )


def _fit(dialects: Sequence[Dialect], interfaces: Sequence[InterfaceAddress]) -> bool:
    ips = [each.ip for each in interfaces]
    return not any(incompatibilities(ours, theirs, ips) for ours, theirs in combinations(dialects, 2))


def _skews(chance: Random, dialects: Sequence[Dialect]) -> list[int]:
    """Return as many advskews: different by more than packets take, or all alike where a tie is always settled."""
    if chance.random() < 0.2 and all(dialect in (UNIVERSAL, UCARP) for dialect in dialects):
        return [chance.choice((0, 100))] * len(dialects)
    step = chance.choice((10, 20, 30))
    return [step * each for each in chance.sample(range(len(dialects)), len(dialects))]


def _swarm(chance: Random, faults: Sequence[Fault], *, has_witnesses: bool) -> list[Fault]:
    """Return the faults of one plan: some of those allowed, at times only what people and processes do."""
    allowed = list(faults) or [fault for fault in Fault if has_witnesses or fault is not Fault.WITNESS]
    if not faults and chance.random() < 0.25:
        allowed = [fault for fault in Fault if fault in PEOPLE_AND_PROCESSES]
    return chance.sample(allowed, chance.randint(1, len(allowed)))


def _incident(chance: Random, fault: Fault, topology: Sequence[Member], begins_ns: int) -> Incident:
    names = [member.name for member in topology]
    node = "" if fault in _OF_THE_SEGMENT else chance.choice([THE_MASTER, *names])
    other = ""
    if fault in (Fault.ONE_WAY, Fault.PARTITION) and chance.random() < 0.5:
        node, other = chance.sample(names, 2)
    links = [link for member in topology if member.name in (node, "") or node == THE_MASTER for link in member.own]
    return Incident(
        at_ns=begins_ns + chance.randrange(15_000) * 1_000_000,
        fault=fault,
        node=node,
        other=other,
        span_ns=0 if fault in _MOMENTARY else chance.randrange(1, _LONGEST_NS // 1_000_000) * 1_000_000,
        amount=_AMOUNTS[fault](chance) if fault in _AMOUNTS else 0.0,
        link=chance.choice(sorted(set(links))) if fault is Fault.ONE_LINK else "",
    )
