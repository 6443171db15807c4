"""Checks a simulation from outside of the code under test, and records every broken promise.

The checks observe packets on the wire, addresses in kernels, and published events. They read the state of an engine
only to compare it with those. A promise that cannot be kept during a fault is judged from the end of the last incident.
"""

from collections.abc import Callable, Sequence

from pycarp.core import Announce, Publish, Step
from pycarp.core.engine import EXTERNALLY_CHANGED
from pycarp.core.events import StateChange
from pycarp.core.inputs import DatagramReceived, DatagramsReceived, Input, TimePassed
from pycarp.core.lease_timings import lease_timings_of
from pycarp.core.restriction import Restrictions
from pycarp.core.state import EDGES, Reason, State
from pycarp.core.trouble import EXTERNAL_CHANGES_NS
from pycarp.dialects.dialect import AddressMac, Claim, Farewell
from pycarp.placement.failback_state import Cause
from pycarp.placement.isolation import Isolation
from pycarp.placement.share import PREFIX
from pycarp.sim import bounds
from pycarp.sim.event_queue import EventQueue
from pycarp.sim.fabric import Fabric
from pycarp.sim.faults.fault_plan import DEATHS, OUTLASTING, THE_MASTER, Fault, FaultPlan, Incident
from pycarp.sim.machine import Machine
from pycarp.sim.narrative_log import NarrativeLog
from pycarp.sim.outcome import Change, Outcome, Ownership, Promise, Violation
from pycarp.sim.process import Process
from pycarp.sim.reachability import PLANNED, Reachability, shared_mac
from pycarp.vocabulary import NS_PER_S, HostKey, MacAddress, Outgoing
from pycarp.wire.advertisement import BOW_OUT

PEOPLE_AND_PROCESSES = OUTLASTING | {
    *(Fault.STOP, Fault.CRASH, Fault.CRASH_ALL, Fault.POWER, Fault.ADMIN_DOWN, Fault.HAND_OVER, Fault.DEMOTION),
}
"""Faults that must never lead to two owners, where MASTERs send a farewell after the drop."""

_ADDRESS_TROUBLES = frozenset({Fault.SLOW_ADDRESSES, Fault.FAILING_ADDRESSES, Fault.HANGING_ADDRESSES, Fault.PAUSE})
_REMOVING = frozenset({Fault.MEDDLING, Fault.STOP, Fault.SEND_ERRORS})
"""Faults with which a kernel may lose addresses while its process still takes them for held."""

_STANDING_STILL = DEATHS | {Fault.STOP, Fault.PAUSE}
"""Faults after which a machine asks its witnesses late."""

_NEVER_NS = 1 << 62
_FORGIVEN_NS = EXTERNAL_CHANGES_NS + 5 * NS_PER_S
_ADVSKEW_OCTET, _ADVBASE_OCTET, _VHID_OCTET = 2, 5, 1
_SENDING, _HOLDING = "send errors on ", "addresses not held"
"""Demotion causes that a host keeps while it is not MASTER: only holding or sending shows that they are over."""

_CONTESTED_IN_GROUP = f": {EXTERNALLY_CHANGED}"
"""How the causes end that the other members of a sync group carry for as long."""

Where = tuple[str, HostKey]
Since = tuple[int, Process | None]
"""The time at which a state began, and the process at that time: after a restart the state begins again."""


class Checks:
    """Observes all machines of a plan; ``outcome`` returns the observations and the broken promises."""

    def __init__(
        self,
        plan: FaultPlan,
        event_queue: EventQueue,
        fabric_of: Callable[[str], Fabric],
        narrative: NarrativeLog | None,
    ) -> None:
        self._plan = plan
        self._event_queue = event_queue
        self._fabric_of = fabric_of
        self._narrative = narrative
        self._machines: dict[str, Machine] = {}
        self._active: list[Incident] = []
        self._quiet_since_ns = plan.apart_ns * max(0, len(plan.members) - 1)
        self._troubled_until_ns: dict[str, int] = {}
        self._changes: list[Change] = []
        self._violations: list[Violation] = []
        self._ownerships: list[Ownership] = []
        self._last: dict[Where, StateChange] = {}
        self._since_ns: dict[Where, int] = {}
        self._owned_since: dict[Where, int] = {}
        self._strange_since: dict[Where, Since] = {}
        self._without_witness: dict[tuple[str, Isolation], int] = {}
        self._conflicts: dict[tuple[HostKey, str, str], int] = {}
        self._ownerless_since: dict[HostKey, int] = {}
        self._steps = 0
        self._keys = tuple(dict.fromkeys(host.key for member in plan.members for host in member.hosts))
        self._settling_ns = {key: bounds.settling_ns(plan, key) for key in self._keys}
        self._takeover_ns = {key: bounds.takeover_ns(plan, key) for key in self._keys}
        self._is_orderly = _is_orderly(plan)
        self._reachability = Reachability(
            plan,
            fabric_of=fabric_of,
            answers=lambda name, key: self._machines[name].answers(key),
            is_master=self._is_master,
            violate=lambda name, words: self._violate(Promise.REACHABLE, name, words),
        )
        self._may_lose_addresses = any(each.fault in _REMOVING for each in plan.incidents)

    def begin(self, machines: Sequence[Machine]) -> None:
        """Set the machines; nobody owns any addresses yet."""
        self._machines = {machine.name: machine for machine in machines}
        for key in self._keys:
            self._note_ownerless(key)

    def master(self, key: HostKey) -> str | None:
        """Return a running node that published MASTER last; None without one."""
        return next((name for name in self._machines if self._is_master(name, key)), None)

    def outcome(self) -> Outcome:
        """Judge the final state, and return the outcome."""
        for key in self._keys:
            self._judge_end(key)
        self._judge_groups()
        self._reachability.end(self._event_queue.now_ns)
        open_ones = [
            Ownership(key=key, node=node, from_ns=since_ns, until_ns=None)
            for (node, key), since_ns in self._owned_since.items()
        ]
        return Outcome(
            plan=self._plan,
            changes=tuple(self._changes),
            ownerships=tuple(sorted([*self._ownerships, *open_ones], key=lambda each: each.from_ns)),
            violations=tuple(self._violations),
            steps=self._steps,
            lines=tuple(self._narrative.lines) if self._narrative else (),
        )

    # Observations

    def begins(self, incident: Incident) -> None:
        """Receive the beginning of an incident."""
        self._active.append(incident)
        self._inject(incident)
        self._quiet_since_ns = _NEVER_NS
        if incident.fault in _ADDRESS_TROUBLES:
            self._troubled_until_ns[incident.node] = _NEVER_NS

    def ends(self, incident: Incident) -> None:
        """Receive the end of an incident."""
        self._active.remove(incident)
        self._inject(incident)
        now_ns = self._event_queue.now_ns
        if not self._active:
            self._quiet_since_ns = now_ns
        others = [each for each in self._active if each.node == incident.node and each.fault in _ADDRESS_TROUBLES]
        if incident.fault in _ADDRESS_TROUBLES and not others:
            self._troubled_until_ns[incident.node] = now_ns + bounds.aftermath_ns(self._plan)

    def surroundings_changed(self) -> None:
        """Check all owners again after a change of machines or segments."""
        for key in self._keys:
            self._weigh(key)
            self._look_at_switch(key)
        for machine in self._machines.values():
            for key in machine.kernel.held:
                self._look_at_owner(machine, key)

        for machine in self._machines.values():
            for isolation in machine.member.isolations:
                self._look_at_witnesses(machine, isolation)

    def stepped(self, machine: Machine, event: Input, step: Step) -> None:
        """Check a step of an engine."""
        self._steps += 1
        if self._narrative is not None:
            self._narrative.write_step(self._event_queue.now_ns, machine.name, event, step)
        published = [effect.event for effect in step.effects if isinstance(effect, Publish)]
        for each in published:
            if isinstance(each, StateChange):
                self._note_change(machine, each)
        if published or not isinstance(event, DatagramReceived | DatagramsReceived | TimePassed):
            self._compare(machine)
        if isinstance(event, TimePassed) and step.deadline_ns is not None and step.deadline_ns <= machine.now_ns:
            self._violate(Promise.ALIVE, machine.name, f"wants to be called at {step.deadline_ns} again")
            machine.process = None

    def changed(self, machine: Machine, key: HostKey) -> None:
        """Check the owners of a host after a kernel took or lost addresses, or a machine came or went."""
        where, now_ns = (machine.name, key), self._event_queue.now_ns
        owns = machine.answers(key)
        if owns and where not in self._owned_since:
            self._owned_since[where] = now_ns
        elif not owns and where in self._owned_since:
            since_ns = self._owned_since.pop(where)
            self._ownerships.append(Ownership(key=key, node=machine.name, from_ns=since_ns, until_ns=now_ns))
        if self._narrative is not None:
            self._narrative.write_owner(now_ns, machine.name, key, owns=owns)
        self._weigh(key)
        self._look_at_switch(key)
        self._look_at_owner(machine, key)

    def sent(self, machine: Machine, outgoing: Outgoing, *, by_guardian: bool) -> None:
        """Check an advertisement on the wire: a bow-out must follow the drop."""
        payload = outgoing.payload
        if payload[_ADVSKEW_OCTET] == payload[_ADVBASE_OCTET] == BOW_OUT:
            if machine.kernel.holds(HostKey(outgoing.link, payload[_VHID_OCTET])):
                self._violate(Promise.DROPPED_FIRST, machine.name, "bows out with the addresses still there")
            if by_guardian and self._narrative is not None:
                self._narrative.write(
                    self._event_queue.now_ns, machine.name, "its guardian drops the addresses and bows out"
                )

    def forwarded(self, outgoing: Outgoing) -> None:
        """Check what the switch has learned from an advertisement."""
        self._look_at_switch(HostKey(outgoing.link, outgoing.payload[_VHID_OCTET]))

    def announced(self, machine: Machine, effect: Announce) -> None:
        """Check an announcement, and what the switch learns from it."""
        key = effect.key
        self._fabric_of(key.link).announce(machine.name, effect.addresses, effect.form, self._owner_mac(machine, key))
        self._look_at_switch(key)
        if not machine.kernel.holds(effect.key) and not self._may_lose_addresses:
            self._violate(Promise.HELD_FIRST, machine.name, "announces addresses that it does not have")

    def raised(self, machine: Machine, event: Input, bug: Exception) -> None:
        """Record an exception of an engine as a broken promise."""
        self._violate(Promise.ALIVE, machine.name, f"{type(bug).__name__} at {type(event).__name__}: {bug}")

    # Transitions

    def _note_change(self, machine: Machine, event: StateChange) -> None:
        where = (machine.name, event.key)
        before = self._last.get(where)
        if event.reason is Reason.ADDED:
            before = None
        self._changes.append(Change(at_ns=self._event_queue.now_ns, node=machine.name, event=event))
        if before is not None and (before.new is not event.old or event.epoch < before.epoch):
            words = f"publishes {event.old} -> {event.new} after {before.old} -> {before.new}"
            self._violate(Promise.PUBLISHED, machine.name, words)
        if event.reason not in EDGES[event.old, event.new]:
            words = f"publishes {event.old} -> {event.new} because of {event.reason}"
            self._violate(Promise.PUBLISHED, machine.name, words)
        if event.reason is Reason.MASTER_SILENT:
            self._judge_takeover(machine, event)
        if event.new is State.MASTER and any(
            each.fault is Fault.GATE and each.node == machine.name for each in self._active
        ):
            self._violate(Promise.RESTRICTED, machine.name, f"becomes MASTER ({event.reason})")
        self._judge_failback(machine, event, before)
        self._last[where] = event
        self._since_ns[where] = self._event_queue.now_ns
        self._look_at_switch(event.key)
        if machine.kernel.holds(event.key):
            self._look_at_owner(machine, event.key)

    def _judge_failback(self, machine: Machine, event: StateChange, before: StateChange | None) -> None:
        """Judge a host that preempts against its policy, as far as its transitions show that."""
        policy = machine.member.failbacks.get(event.key)
        if policy is None or before is None or event.reason is not Reason.PREEMPTING:
            return
        waited_ns = self._event_queue.now_ns - self._since_ns[machine.name, event.key]
        if policy.is_manual or waited_ns < policy.failback_delay_s * NS_PER_S:
            self._violate(Promise.HELD_BACK, machine.name, f"preempts after {waited_ns / NS_PER_S:g} s as BACKUP")

    def _compare(self, machine: Machine) -> None:
        if machine.process is None:
            return
        for host in machine.process.engine.snapshot().hosts:
            last = self._last[machine.name, host.config.key]
            if host.state is not last.new:
                self._violate(Promise.PUBLISHED, machine.name, f"is {host.state}, but published {last.new} last")

    def _judge_takeover(self, machine: Machine, event: StateChange) -> None:
        """Judge a takeover after silence: false if another MASTER was heard, long after the last fault."""
        now_ns, key = self._event_queue.now_ns, event.key
        timeout_ns = max(map(bounds.master_down_ns, bounds.hosts_of(self._plan, key)))
        if now_ns - self._quiet_since_ns < timeout_ns + bounds.aftermath_ns(self._plan):
            return
        for other in self._machines:
            since_ns = self._owned_since.get((other, key), now_ns)
            if other != machine.name and now_ns - since_ns > timeout_ns and self._is_master(other, key):
                self._violate(Promise.NO_FALSE_TAKEOVER, machine.name, f"takes over while {other} is MASTER")

    def _is_master(self, name: str, key: HostKey) -> bool:
        process, last = self._machines[name].process, self._last.get((name, key))
        return process is not None and not process.is_stopped and last is not None and last.new is State.MASTER

    # Witnesses

    def _look_at_witnesses(self, machine: Machine, isolation: Isolation) -> None:
        """Judge that a machine lets go, once it has reached no witness for as long as it may take."""
        where, now_ns = (machine.name, isolation), self._event_queue.now_ns
        if machine.reaches_witness(isolation.link):
            self._without_witness.pop(where, None)
        elif where not in self._without_witness:
            self._without_witness[where] = now_ns
            allowed_ns = round(isolation.lets_go_within_s[1] * NS_PER_S) + bounds.DROP_NS
            self._event_queue.at(now_ns + allowed_ns, lambda: self._judge_witnesses(machine, isolation, now_ns))

    def _judge_witnesses(self, machine: Machine, isolation: Isolation, since_ns: int) -> None:
        is_still_so = self._without_witness.get((machine.name, isolation)) == since_ns
        has_stood_still = any(
            each.fault in _STANDING_STILL and each.at_ns <= self._event_queue.now_ns and each.until_ns >= since_ns
            for each in self._plan.incidents
            if each.node in (machine.name, THE_MASTER)
        )
        if not is_still_so or has_stood_still:
            return
        for host in machine.member.hosts:
            if isolation.host in (None, host.key) and self._is_master(machine.name, host.key):
                self._violate(Promise.ISOLATED, machine.name, f"is MASTER of {host.key} and reaches no witness")

    # Owners

    def _weigh(self, key: HostKey) -> None:
        """Update the owners of a host, and note two that hear each other, or none."""
        owners = [name for name, machine in self._machines.items() if machine.answers(key)]
        found = {
            (key, a, b)
            for index, a in enumerate(owners)
            for b in owners[index + 1 :]
            if self._hear_each_other(a, b, key)
        }
        for conflict in [each for each in self._conflicts if each[0] == key and each not in found]:
            del self._conflicts[conflict]
        for conflict in sorted(found - self._conflicts.keys()):
            self._note_conflict(conflict)
        if owners:
            self._ownerless_since.pop(key, None)
        elif key not in self._ownerless_since:
            self._note_ownerless(key)

    def _hear_each_other(self, a: str, b: str, key: HostKey) -> bool:
        fabric = self._fabric_of(key.link)
        return fabric.carries(a, b) and fabric.carries(b, a)

    def _note_conflict(self, conflict: tuple[HostKey, str, str]) -> None:
        now_ns = self._conflicts[conflict] = self._event_queue.now_ns
        key, a, b = conflict
        if self._is_orderly and self._claim(a, key) != self._claim(b, key):
            self._violate(Promise.ORDERLY, b, f"owns the addresses of {key} while {a} does")
        self._judge_later(
            self._settling_ns[key],
            now_ns,
            lambda: self._conflicts.get(conflict) == now_ns,
            lambda: self._violate(Promise.ONE_OWNER, b, f"owns the addresses of {key} as long as {a} does"),
        )

    def _claim(self, name: str, key: HostKey) -> Claim | None:
        """Return the present claim of a host, with its demotion; None if no process runs."""
        process = self._machines[name].process
        return process.engine.host_snapshot(key).claim if process is not None else None

    def _note_ownerless(self, key: HostKey) -> None:
        now_ns = self._ownerless_since[key] = self._event_queue.now_ns
        self._judge_later(
            self._takeover_ns[key],
            now_ns,
            lambda: self._ownerless_since.get(key) == now_ns,
            lambda: self._violate(Promise.AN_OWNER, "", f"nobody owns the addresses of {key}"),
        )

    def _judge_later(
        self, timeout_ns: int, since_ns: int, is_still_so: Callable[[], bool], judge: Callable[[], None]
    ) -> None:
        """Call ``judge`` once a state has lasted for ``timeout_ns`` without a fault; never if it ends before."""

        def look() -> None:
            if not is_still_so():
                return
            due_ns = max(since_ns, self._quiet_since_ns) + timeout_ns
            if due_ns <= self._event_queue.now_ns:
                judge()
            else:
                self._event_queue.at(min(due_ns, self._event_queue.now_ns + NS_PER_S), look)

        self._event_queue.at(since_ns + timeout_ns, look)

    def _inject(self, incident: Incident) -> None:
        if incident.fault in PLANNED:
            for key in self._keys:
                self._reachability.injected(key)

    def _look_at_switch(self, key: HostKey) -> None:
        is_healed = all(each.fault is not Fault.PARTITION for each in self._active)
        self._reachability.look(key, self._event_queue.now_ns, is_healed=is_healed)

    def _owner_mac(self, machine: Machine, key: HostKey) -> MacAddress | None:
        """Return the MAC address of a host's shared addresses on a machine; None if it is that of the link."""
        host = next(each for each in machine.member.hosts if each.key == key)
        return shared_mac(key) if host.dialect.address_mac is AddressMac.VIRTUAL else None

    # Owners that are not MASTER

    def _look_at_owner(self, machine: Machine, key: HostKey) -> None:
        """Plan a second look if a kernel has addresses of a host that is not MASTER."""
        where, since = (machine.name, key), (self._event_queue.now_ns, machine.process)
        if not machine.kernel.holds(key) or self._is_master(machine.name, key):
            self._strange_since.pop(where, None)
        elif where not in self._strange_since or self._strange_since[where][1] is not machine.process:
            self._strange_since[where] = since
            self._look_again(where, since, self._allowed_ns(machine, key))

    def _look_again(self, where: Where, since: Since, allowed_ns: int) -> None:
        def look() -> None:
            if self._strange_since.get(where) is not since:
                return
            now_ns, troubled_until_ns = self._event_queue.now_ns, self._troubled_until_ns.get(where[0], 0)
            if now_ns >= troubled_until_ns + allowed_ns:
                self._violate(Promise.OWNER_IS_MASTER, where[0], f"still has the addresses of {where[1]}")
            else:
                self._event_queue.at(min(troubled_until_ns + allowed_ns, now_ns + NS_PER_S), look)

        self._event_queue.at(since[0] + allowed_ns, look)

    def _allowed_ns(self, machine: Machine, key: HostKey) -> int:
        """Return how long the kernel may keep the addresses after the end of the mastership or of the process."""
        host = next(each for each in machine.member.hosts if each.key == key)
        lease_timings = lease_timings_of(host)
        process = machine.process
        if process is None:
            lifetime_s = lease_timings.lifetime_s
            return _NEVER_NS // 4 if lifetime_s is None else lifetime_s * NS_PER_S + NS_PER_S // 2
        return lease_timings.timeout_ns + bounds.DROP_NS if process.is_stopped else bounds.DROP_NS

    # The end

    def _judge_end(self, key: HostKey) -> None:
        now_ns = self._event_queue.now_ns
        if now_ns - self._quiet_since_ns < self._takeover_ns[key] + self._settling_ns[key]:
            return
        hosts = bounds.hosts_of(self._plan, key)
        demoted, restricted = False, set()
        for name, machine in self._machines.items():
            if machine.process is None:
                continue
            for host in machine.process.engine.snapshot().hosts:
                if host.config.key == key:
                    demoted = demoted or bool(host.demotion)
                    self._judge_demotion(name, host.state, host.demotion)
                    if host.restrictions:
                        restricted.add(name)
                    self._judge_restrictions(machine, host.restrictions)
        preference = min((host.advbase, host.advskew) for host in hosts)
        master = self.master(key)
        wanted = [
            member.name
            for member in self._plan.members
            for host in member.hosts
            if host.key == key and (host.advbase, host.advskew) == preference
        ]
        follows = any(key in group.hosts[1:] for member in self._plan.members for group in member.groups)
        may_preempt = all(host.preempt for host in hosts) and not demoted and not restricted.intersection(wanted)
        if may_preempt and not follows and master is not None and master not in wanted:
            self._violate(Promise.RIGHT_MASTER, master, f"is MASTER of {key} instead of {' or '.join(wanted)}")

    def _judge_restrictions(self, machine: Machine, restrictions: Restrictions) -> None:
        """Judge restrictions: those of policies and groups may be in force for ever."""
        lasting = [f"{PREFIX}{group.name}: " for group in machine.member.groups]
        for cause, restriction in restrictions:
            if not cause.startswith(tuple(lasting)) and not (machine.member.failbacks and cause in tuple(Cause)):
                words = f"is still restricted ({restriction}): {cause}"
                self._violate(Promise.NO_STRANDED_DEMOTION, machine.name, words)

    def _judge_groups(self) -> None:
        """Judge that the machine that is MASTER of a group's leader is MASTER of the whole group."""
        if self._event_queue.now_ns - self._quiet_since_ns < bounds.grouping_ns(self._plan):
            return
        for member in self._plan.members:
            for group in member.groups:
                if not self._is_master(member.name, group.hosts[0]):
                    continue
                for key in group.hosts[1:]:
                    if (other := self.master(key)) != member.name:
                        words = f"is MASTER of {group.hosts[0]}, but {other or 'nobody'} of {key} in {group.name}"
                        self._violate(Promise.GROUPED, member.name, words)

    def _judge_demotion(self, name: str, state: State, causes: tuple[tuple[str, int], ...]) -> None:
        for cause, amount in causes:
            if cause.startswith(_SENDING) and self._is_no_master(name, cause.removeprefix(_SENDING)):
                continue
            is_contested = cause == EXTERNALLY_CHANGED or cause.endswith(_CONTESTED_IN_GROUP)
            is_fresh = is_contested and self._event_queue.now_ns < self._quiet_since_ns + _FORGIVEN_NS
            if not is_fresh and (state is State.MASTER or cause != _HOLDING):
                self._violate(Promise.NO_STRANDED_DEMOTION, name, f"is still demoted by {amount}: {cause}")

    def _is_no_master(self, name: str, host: str) -> bool:
        return any(
            node == name and str(key) == host and last.new is not State.MASTER
            for (node, key), last in self._last.items()
        )

    def _violate(self, promise: Promise, node: str, words: str) -> None:
        self._violations.append(Violation(promise=promise, at_ns=self._event_queue.now_ns, node=node, words=words))
        if self._narrative is not None:
            self._narrative.write(self._event_queue.now_ns, node or "-", f"BROKEN: {promise.value}: {words}")


def _is_orderly(plan: FaultPlan) -> bool:
    """Return whether two owners are never allowed.

    That needs a plan whose faults are all of people and processes, hosts that send farewells and bow-outs, and claims
    that all differ.
    """
    hosts = [host for member in plan.members for host in member.hosts]
    claims = {(host.key, host.advbase, host.advskew) for host in hosts}
    return (
        all(each.fault in PEOPLE_AND_PROCESSES for each in plan.incidents)
        and all(host.dialect.farewell is Farewell.DROPPED and host.dialect.bow_out for host in hosts)
        and len(claims) == len(hosts)
    )
