"""The failback policies, sync groups and witnesses of a simulated daemon, in simulated time.

What follows from them is decided by ``pycarp.placement``.

Like the services of the real daemon they learn of an event just after the step in which it happened. What a policy has
to remember across restarts is kept by the machine.
"""

import zlib
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from pycarp.core.engine import FULL_DEMOTION, Engine
from pycarp.core.events import Event
from pycarp.core.inputs import DemotionSet, Input, RestrictionSet
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.placement.failback_state import FailbackState, Moment, RestrictionsInForce, Saved
from pycarp.placement.group_state import GroupState
from pycarp.placement.isolation import Isolation, counted
from pycarp.vocabulary import NS_PER_S, HostKey

if TYPE_CHECKING:
    from pycarp.sim.machine import Machine

CLOCK_BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
"""The local time of every machine when a simulation begins: midnight, for policies with a time of day."""

_LATE_NS = 1_000_000
"""So much after its time a look is, as in the daemon."""


@dataclass(slots=True)
class _Failback:
    """The policy of one host; ``looks_at_ns`` is when it looks again, None for not by time."""

    state: FailbackState
    in_force: RestrictionsInForce = field(default_factory=RestrictionsInForce)
    looks_at_ns: int | None = None


@dataclass(slots=True)
class _Group:
    """One group; ``looks_at_ns`` as that of a policy."""

    keys: tuple[HostKey, ...]
    state: GroupState
    looks_at_ns: int | None = None


@dataclass(slots=True)
class _Witnesses:
    """A check of witnesses: whether it passes, and how many answers in a row speak against that."""

    isolation: Isolation
    passes: bool = False
    in_a_row: int = 0


class SimulatedServices:
    """Restricts and moves the hosts of one process; ``memory`` outlives the process."""

    def __init__(self, engine: Engine, machine: "Machine", memory: MutableMapping[HostKey, Saved]) -> None:
        self._engine = engine
        self._machine = machine
        self._memory = memory
        self._failbacks: dict[HostKey, _Failback] = {}
        self._groups: list[_Group] = []

    def begin(self) -> None:
        """Begin to follow the hosts, which have been added."""
        member = self._machine.member
        if member.failbacks or member.groups or member.isolations:
            self._machine.plan(0, self._begin)

    def take(self, event: Event) -> None:
        """Receive an event of a host; it is acted upon after the step."""
        if event.key in self._failbacks or any(event.key in group.keys for group in self._groups):
            self._machine.plan(0, partial(self._handle, event))

    def _begin(self) -> None:
        now, member = self._now(), self._machine.member
        for key, policy in member.failbacks.items():
            state = FailbackState(policy, now, self._memory.get(key))
            state.catch_up(self._engine.host_snapshot(key), now)
            self._failbacks[key] = _Failback(state)
        self._groups = [_Group(each.hosts, GroupState(each.name)) for each in member.groups]
        for key, failback in self._failbacks.items():
            self._restrict(key, failback)
        for group in self._groups:
            self._carry(group)
        for each in member.isolations:
            witnesses = _Witnesses(each)
            self._release(witnesses)
            phase = zlib.crc32(f"{member.name} {each.cause}".encode()) / 2**32
            self._machine.plan(round(phase * each.every_s * NS_PER_S), partial(self._ask, witnesses))

    def _handle(self, event: Event) -> None:
        failback = self._failbacks.get(event.key)
        if failback is not None:
            failback.state.handle(event, self._now())
            self._restrict(event.key, failback)
        for group in self._groups:
            if event.key in group.keys:
                self._submit(group.state.pull(event, self._views(group), self._now().s))
                self._carry(group)

    def _restrict(self, key: HostKey, failback: _Failback) -> None:
        now = self._now()
        wanted = {hold.cause: hold.restriction for hold in failback.state.holds(now)}
        self._submit(failback.in_force.become(wanted, self._engine.host_snapshot(key)))
        self._memory[key] = failback.state.saved(now)
        failback.looks_at_ns = self._later(failback.state.changes_at_s(now), partial(self._look_at_host, key, failback))

    def _ask(self, witnesses: _Witnesses) -> None:
        """Ask the witnesses, and plan to ask again; without an answer that counts when the timeout is over."""
        isolation = witnesses.isolation
        is_answered = self._machine.reaches_witness(isolation.link)
        took_s = 0.0 if is_answered else isolation.timeout_s
        self._machine.plan(round(took_s * NS_PER_S), partial(self._count, witnesses, is_good=is_answered))
        self._machine.plan(round(max(isolation.every_s, took_s) * NS_PER_S), partial(self._ask, witnesses))

    def _count(self, witnesses: _Witnesses, *, is_good: bool) -> None:
        before, each = witnesses.passes, witnesses.isolation
        witnesses.passes, witnesses.in_a_row = counted(
            witnesses.in_a_row, passes=before, is_good=is_good, rise=each.rise, fall=each.fall
        )
        if witnesses.passes is not before:
            self._release(witnesses)

    def _release(self, witnesses: _Witnesses) -> None:
        """Keep the hosts from being MASTER while the check fails, as a check of the daemon does that releases."""
        key, cause, passes = witnesses.isolation.host, witnesses.isolation.cause, witnesses.passes
        restriction = None if passes else Restriction.BACKUP_ONLY
        demotion = DemotionSet(key, cause, 0 if passes else FULL_DEMOTION, is_last=not passes)
        self._submit([RestrictionSet(key, cause, restriction), demotion])

    def _carry(self, group: _Group) -> None:
        self._submit(group.state.carry(self._views(group), self._now().s))
        group.looks_at_ns = self._later(group.state.looks_at_s, partial(self._look_at_group, group))

    def _look_at_host(self, key: HostKey, failback: _Failback, at_ns: int) -> None:
        if failback.looks_at_ns == at_ns:
            self._restrict(key, failback)

    def _look_at_group(self, group: _Group, at_ns: int) -> None:
        if group.looks_at_ns == at_ns:
            self._carry(group)

    def _later(self, at_s: float | None, look: "partial[None]") -> int | None:
        """Plan a look, which does nothing if another one has been planned since; return its time."""
        if at_s is None:
            return None
        at_ns = max(round(at_s * NS_PER_S), self._machine.now_ns) + _LATE_NS
        self._machine.plan(at_ns - self._machine.now_ns, partial(look, at_ns))
        return at_ns

    def _views(self, group: _Group) -> Sequence[HostSnapshot]:
        return [self._engine.host_snapshot(key) for key in group.keys]

    def _submit(self, inputs: Iterable[Input]) -> None:
        for each in inputs:
            self._machine.submit(each)

    def _now(self) -> Moment:
        now_s = self._machine.now_ns / NS_PER_S
        return Moment(now_s, CLOCK_BEGINS + timedelta(seconds=now_s))
