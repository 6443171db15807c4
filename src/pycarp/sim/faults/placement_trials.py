"""Trials of sync groups, failback and witnesses.

One link of a group is cut, the preferred machine comes back, or a MASTER reaches no witness any more.

As in ``experiments.py`` a trial is data, and expected times are computed from the settings alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from pycarp.placement.damping import PENALTY, Damping
from pycarp.placement.policy import FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim import bounds
from pycarp.sim.faults.experiments import (
    Expectation,
    FaultTrial,
    InjectedFault,
    Result,
    measured,
    preempts,
    result_of,
)
from pycarp.sim.faults.fault_plan import THE_MASTER, Fault, FaultPlan, Member
from pycarp.sim.outcome import Outcome
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S, HostKey

AWAY_NS = 10 * NS_PER_S
"""For so long the preferred machine has no power."""

CUT_OFF_NS = 10 * NS_PER_S
"""For so long a machine reaches no witness after it should have let go."""

LONGEST_WAIT_NS = 3600 * NS_PER_S
"""A failback that waits longer is not waited for."""


class _OfOneFault(ABC):
    """What measures the consequences of one fault in its own way."""

    __slots__ = ()

    @property
    def weight(self) -> float:
        """How long it takes, compared to other trials."""
        return self._fault_trial.weight

    def plan(self) -> FaultPlan:
        """Return what is simulated."""
        return self._fault_trial.plan()

    @property
    @abstractmethod
    def _fault_trial(self) -> FaultTrial: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTrial(_OfOneFault):
    """Cuts the link of one host of a group, on the machine that is MASTER of it."""

    members: tuple[Member, ...]
    group: SyncGroupConfig
    cut: HostKey
    seed: int

    @property
    def _fault_trial(self) -> FaultTrial:
        injected = InjectedFault(fault=Fault.ONE_LINK)
        return FaultTrial(members=self.members, key=self.cut, injected=injected, seed=self.seed)

    def run(self) -> Result:
        """Simulate, and measure every host of the group."""
        outcome = simulate(self.plan())
        incident = next(each for each in outcome.plan.incidents if each.node == THE_MASTER)
        moved = tuple(measured(outcome, key, incident) for key in self.group.hosts)
        return result_of(outcome, moved=tuple(each for each in moved if each is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailbackTrial(_OfOneFault):
    """Switches the preferred machine of a virtual host off, and measures when it is MASTER again."""

    members: tuple[Member, ...]
    key: HostKey
    seed: int

    @property
    def _fault_trial(self) -> FaultTrial:
        injected = InjectedFault(fault=Fault.POWER, span_ns=AWAY_NS)
        return FaultTrial(members=self.members, key=self.key, injected=injected, seed=self.seed)

    def plan(self) -> FaultPlan:
        """Return what is simulated: as much longer as the host may wait."""
        plan = self._fault_trial.plan()
        wait = failback_wait(self.members, self.key)
        return plan if wait is None else replace(plan, until_ns=plan.until_ns + wait.to_ns)

    def run(self) -> Result:
        """Simulate, and measure."""
        outcome = simulate(self.plan())
        incident = next(each for each in outcome.plan.incidents if each.node == THE_MASTER)
        takeover = measured(outcome, self.key, incident)
        returned_ns = None
        if takeover is not None:
            returned_ns = _returned_ns(outcome, self.key, takeover.victim, incident.until_ns)
        return result_of(outcome, takeover=takeover, returned_ns=returned_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationTrial(_OfOneFault):
    """Lets the MASTER of a virtual host reach no witness any more, and measures when it lets go.

    With ``fault`` PARTITION it is cut off from all others, with WITNESS no witness answers anybody.
    """

    members: tuple[Member, ...]
    key: HostKey
    fault: Fault
    seed: int

    @property
    def _fault_trial(self) -> FaultTrial:
        wait = isolation_wait(self.members, self.key)
        return FaultTrial(
            members=self.members,
            key=self.key,
            injected=InjectedFault(fault=self.fault, span_ns=CUT_OFF_NS + (wait.to_ns if wait else 0)),
            seed=self.seed,
        )

    def run(self) -> Result:
        """Simulate, and measure."""
        outcome = simulate(self.plan())
        incident = next(each for each in outcome.plan.incidents if each.node == THE_MASTER)
        takeover = measured(outcome, self.key, incident)
        released_ns = None
        if takeover is not None:
            released_ns = _released_ns(outcome, self.key, takeover.victim, incident.at_ns)
        return result_of(outcome, takeover=takeover, released_ns=released_ns)


def isolated(members: Sequence[Member]) -> tuple[HostKey, ...]:
    """Return the virtual hosts that a machine lets go when it reaches no witness."""
    keys = dict.fromkeys(host.key for member in members for host in member.hosts)
    return tuple(key for key in keys if isolation_wait(members, key) is not None)


def isolation_wait(members: Sequence[Member], key: HostKey) -> Expectation | None:
    """Return when a machine that reaches no witness lets go; None if no machine does."""
    waits = [
        isolation.lets_go_within_s
        for member in members
        for isolation in member.isolations
        if isolation.host in (None, key) and any(host.key == key for host in member.hosts)
    ]
    if not waits:
        return None
    from_s, to_s = min(each[0] for each in waits), max(each[1] for each in waits)
    return Expectation(from_ns=round(from_s * NS_PER_S), to_ns=round(to_s * NS_PER_S) + bounds.DROP_NS)


def _released_ns(outcome: Outcome, key: HostKey, node: str, since_ns: int) -> int | None:
    """Return how long after a moment a machine ceased to have the addresses; None if it did not."""
    spans = [each for each in outcome.ownerships if (each.key, each.node) == (key, node) and each.from_ns <= since_ns]
    ends = [each.until_ns for each in spans if each.until_ns is not None and each.until_ns >= since_ns]
    return min(ends) - since_ns if ends else None


def groups_of(members: Sequence[Member]) -> tuple[SyncGroupConfig, ...]:
    """Return the groups that two machines or more have."""
    groups = [group for member in members for group in member.groups]
    return tuple(each for each in dict.fromkeys(groups) if groups.count(each) > 1)


def held_back(members: Sequence[Member]) -> tuple[HostKey, ...]:
    """Return the virtual hosts whose preferred machine has a failback policy; of a group, the leading one."""
    keys = dict.fromkeys(key for member in members for key in member.failbacks)
    of_groups = {key: group.hosts[0] for group in groups_of(members) for key in group.hosts}
    leading = dict.fromkeys(of_groups.get(key, key) for key in keys)
    return tuple(key for key in leading if policies_of(preferred(members, key), key))


def preferred(members: Sequence[Member], key: HostKey) -> Member:
    """Return the machine that is to be MASTER of a virtual host."""
    ours = [(host.advbase, host.advskew, member) for member in members for host in member.hosts if host.key == key]
    return min(ours, key=lambda each: each[:2])[2]


def policies_of(member: Member, key: HostKey) -> tuple[FailbackPolicy, ...]:
    """Return the policies that hold a host back: its own, and those of the group that it moves with."""
    keys = next((group.hosts for group in member.groups if key in group.hosts), (key,))
    return tuple(member.failbacks[each] for each in keys if each in member.failbacks)


def failback_wait(members: Sequence[Member], key: HostKey) -> Expectation | None:
    """Return when the preferred machine preempts after it was switched on again; None if no time makes it.

    The delay begins when it hears the MASTER, which it does within an interval; it preempts at an advertisement.
    """
    member = preferred(members, key)
    policies = policies_of(member, key)
    if not preempts(member, key) or any(each.is_manual or each.window is not None for each in policies):
        return None
    others = [host for each in members if each is not member for host in each.hosts if host.key == key]
    interval_ns = max((host.dialect.claim(host.advbase, host.advskew, 0).interval_ns for host in others), default=0)
    fixed_ns = max((_fixed_wait_ns(each) for each in policies), default=0)
    delay_ns = max((round(each.failback_delay_s * NS_PER_S) for each in policies), default=0)
    from_ns = max(fixed_ns, delay_ns)
    to_ns = max(fixed_ns, delay_ns + interval_ns) + interval_ns + bounds.DROP_NS
    return Expectation(from_ns=from_ns, to_ns=to_ns) if from_ns <= LONGEST_WAIT_NS else None


def _fixed_wait_ns(policy: FailbackPolicy) -> int:
    """Return how long a policy holds a host back after its start, when it was MASTER when the power failed."""
    waits_s = [policy.startup_hold_s, policy.min_dwell_s]
    waits_s += [] if policy.damping is None else _suppressed_s(policy.damping)
    return round(max(waits_s) * NS_PER_S)


def _suppressed_s(damping: Damping) -> Iterator[float]:
    penalty = min(PENALTY, damping.ceiling)
    if penalty >= damping.suppress:
        yield damping.half_life_s * math.log2(penalty / damping.reuse)


def _returned_ns(outcome: Outcome, key: HostKey, node: str, since_ns: int) -> int | None:
    """Return how long after a moment a machine had the addresses again; None if it had not."""
    spans = (each.from_ns for each in outcome.ownerships if (each.key, each.node) == (key, node))
    first_ns = min((each for each in spans if each >= since_ns), default=None)
    return None if first_ns is None else first_ns - since_ns
