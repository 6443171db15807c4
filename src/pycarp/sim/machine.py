"""A simulated machine: a process with the real engine and runtime, a guardian, and a kernel that may outlive both.

``sim/process.py`` has the process. It may be stopped, and may die with or without its guardian. The machine may be
paused, its clock included, or switched off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from pycarp.core import Engine, HoldAddresses, Input
from pycarp.core.inputs import AddressesDisturbed, HostAdded, LinkChanged
from pycarp.core.slots import SLOT_NS
from pycarp.placement.failback_state import Saved
from pycarp.sim import process
from pycarp.sim.event_queue import CHANGE, EventQueue
from pycarp.sim.faults.fault_plan import Member
from pycarp.sim.kernel import Kernel
from pycarp.sim.process import Process, Troubles
from pycarp.vocabulary import Datagram, HostKey, LinkFacts, Outgoing

_NOTICED_WITHIN_NS = 1_000_000
"""Within which time a process learns of an external change of its addresses."""


class Watcher(process.Watcher, Protocol):
    """Observes everything that machines do, from outside of the code under test."""

    def changed(self, machine: "Machine", key: HostKey) -> None:
        """Receive a change of a machine's answers for a host: its kernel took or lost addresses, or it came or went."""

    def sent(self, machine: "Machine", outgoing: Outgoing, *, by_guardian: bool) -> None:
        """Receive an advertisement that a machine puts on the wire."""


@dataclass(slots=True)
class _ArmedGuardian:
    """The guardian's task for a host: it bows out at ``due_at_ns`` unless it is renewed before."""

    timeout_ns: int
    bow_out: tuple[Outgoing, ...]
    due_at_ns: int


class Machine:
    """One machine of a plan; ``transmit`` carries its packets."""

    def __init__(
        self,
        member: Member,
        event_queue: EventQueue,
        *,
        transmit: Callable[["Machine", Outgoing], None],
        watcher: Watcher,
        chance: Random,
    ) -> None:
        self.member = member
        self.name = member.name
        self.process: Process | None = None
        self.is_on = False
        self.is_paused = False
        self.links_down: set[str] = set()
        self.links_without_witness: frozenset[str] = frozenset()
        self.sends_fail = False
        self.troubles = Troubles()
        self._event_queue = event_queue
        self._transmit = transmit
        self._watcher = watcher
        self._chance = chance
        self._guardian: dict[HostKey, _ArmedGuardian] = {}
        self._behind_ns = 0
        self._paused_at_ns = 0
        self._overslept: list[tuple[int, int, Callable[[], None]]] = []
        self._memory: dict[HostKey, Saved] = {}
        self.kernel = self._new_kernel()

    @property
    def now_ns(self) -> int:
        """The time of its own clock, which stands still while the machine does."""
        return self._event_queue.now_ns - self._behind_ns

    def answers(self, key: HostKey) -> bool:
        """Return whether the machine answers for the addresses of a host: it has them, it runs, and its link is up."""
        return self.is_on and not self.is_paused and key.link not in self.links_down and self.kernel.holds(key)

    def reaches_witness(self, link: str) -> bool:
        """Return whether a witness that is asked on a link now will answer."""
        return link not in self.links_down | self.links_without_witness and not self.sends_fail

    # Coming and going

    def start(self) -> None:
        """Switch the machine on and start the daemon, which first removes the addresses that an earlier one left."""
        self.is_on = True
        if self.process is not None:
            return
        for key in self.kernel.held:
            self.kernel.drop(key)
        chance = Random(self._chance.getrandbits(64))
        engine = Engine(entropy=lambda: chance.getrandbits(64), settings=self.member.settings, slot_ns=SLOT_NS)
        self.process = Process(engine, self, watcher=self._watcher, chance=self._chance, memory=self._memory)
        for link in self.member.own:
            self.submit(LinkChanged(self.facts(link)))
        for host in self.member.hosts:
            self.submit(HostAdded(host))
        self.process.services.begin()

    def facts(self, link: str) -> LinkFacts:
        """Return the facts of a link that a process of this machine reads."""
        return LinkFacts(name=link, is_up=link not in self.links_down, addresses=tuple(self.member.own[link]))

    def crash(self, *, guardian_too: bool) -> None:
        """End the process without a bow-out; the guardian, unless it dies too, drops the addresses and bows out."""
        self.process = None
        armed, self._guardian = self._guardian, {}
        if not guardian_too:
            self._carry_out(armed)

    def switch_off(self) -> None:
        """End process, guardian and kernel at once."""
        keys = self.kernel.held
        self.process, self._guardian, self.is_on = None, {}, False
        self.is_paused, self._overslept = False, []
        self.kernel = self._new_kernel()
        for key in keys:
            self._watcher.changed(self, key)

    def stop(self) -> None:
        """Stop the process, as SIGSTOP does; the guardian runs on."""
        if self.process is not None:
            self.process.is_stopped = True

    def continue_(self) -> None:
        """Continue a stopped process, as SIGCONT does."""
        process = self.process
        if process is None or not process.is_stopped:
            return
        process.is_stopped = False
        if not self.is_paused:
            process.go_on()

    def pause(self) -> None:
        """Pause the whole machine, its clock included."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at_ns = self._event_queue.now_ns
            self._notify_watcher()

    def resume(self) -> None:
        """Resume a paused machine; its clock goes on from the time at which it was paused."""
        if not self.is_paused:
            return
        self.is_paused = False
        paused_ns = self._event_queue.now_ns - self._paused_at_ns
        self._behind_ns += paused_ns
        overslept, self._overslept = self._overslept, []
        for remaining_ns, rank, action in overslept:
            self._event_queue.at(self._event_queue.now_ns + remaining_ns, action, rank=rank)
        self._notify_watcher()
        if self.process is not None and not self.process.is_stopped:
            self.process.go_on()

    def set_link(self, link: str, *, is_up: bool) -> None:
        """Set the carrier of a link."""
        (self.links_down.discard if is_up else self.links_down.add)(link)
        self.submit(LinkChanged(self.facts(link)))
        self._notify_watcher()

    def meddle(self) -> None:
        """Remove all shared addresses as another program would: the process learns of it later."""
        for key in self.kernel.held:
            self.kernel.drop(key, by_itself=True)

    # What reaches the process, and what it does

    def receive(self, datagram: Datagram) -> None:
        """Deliver a datagram to the process; it is lost on a paused machine and on a link that is down."""
        if self.process is not None and not self.is_paused and datagram.link not in self.links_down:
            self.process.receive(datagram)

    def submit(self, event: Input) -> None:
        """Submit an input to the process, if it runs: now, or when it goes on."""
        if self.process is not None:
            self.process.submit(event)

    def put_on_wire(self, outgoing: Outgoing, *, by_guardian: bool = False) -> None:
        """Send an advertisement; it is lost on a link that is down and while sends fail."""
        if outgoing.link not in self.links_down and not self.sends_fail:
            self._watcher.sent(self, outgoing, by_guardian=by_guardian)
            self._transmit(self, outgoing)

    # Guardian and kernel

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Arm the guardian for a host, or replace its task."""
        assert effect.lease_timings is not None
        key, timeout_ns = effect.key, effect.lease_timings.timeout_ns
        is_new = key not in self._guardian
        self._guardian[key] = _ArmedGuardian(timeout_ns, effect.lease_timings.bow_out, self.now_ns + timeout_ns)
        if is_new:
            self.plan(timeout_ns, lambda: self._check_guardian(key), of_process=False)

    def renew_guardian(self, key: HostKey) -> None:
        """Send a sign of life: the timeout of the guardian begins again."""
        if key in self._guardian:
            task = self._guardian[key]
            task.due_at_ns = self.now_ns + task.timeout_ns

    def disarm_guardian(self, key: HostKey) -> None:
        """Disarm the guardian for a host; no-op if it is not armed."""
        self._guardian.pop(key, None)

    def _check_guardian(self, key: HostKey) -> None:
        task = self._guardian.get(key)
        if task is None:
            return
        if task.due_at_ns > self.now_ns:
            self.plan(task.due_at_ns - self.now_ns, lambda: self._check_guardian(key), of_process=False)
            return
        del self._guardian[key]
        self._carry_out({key: task})

    def _carry_out(self, armed: dict[HostKey, _ArmedGuardian]) -> None:
        for key in armed:
            self.kernel.drop(key, by_itself=True)
        for task in armed.values():
            for outgoing in task.bow_out:
                self.put_on_wire(outgoing, by_guardian=True)

    def _new_kernel(self) -> Kernel:
        return Kernel(
            later=lambda span_ns, action: self.plan(span_ns, action, of_process=False), changed=self._on_kernel
        )

    def _on_kernel(self, key: HostKey, by_others: bool) -> None:  # noqa: FBT001  as the kernel calls it
        self._watcher.changed(self, key)
        if by_others and self.process is not None:
            self.plan(self._chance.randrange(_NOTICED_WITHIN_NS), lambda: self._notice(key))

    def _notice(self, key: HostKey) -> None:
        """Report the removal of addresses to the process, if it wants them held and they are still absent."""
        if self.process is not None and self.process.wants_held(key) and not self.kernel.holds(key):
            self.submit(AddressesDisturbed(key, "the addresses were removed"))

    # Time

    def plan(self, span_ns: int, action: Callable[[], None], *, of_process: bool = True, rank: int = CHANGE) -> None:
        """Plan an action after a span; no-op if the machine, or with ``of_process`` the process, has ended by then."""
        process, kernel, planned_at_ns = self.process, self.kernel, self._event_queue.now_ns

        def act() -> None:
            if self.kernel is not kernel or (of_process and self.process is not process):
                return
            if self.is_paused:
                remaining_ns = self._event_queue.now_ns - max(planned_at_ns, self._paused_at_ns)
                self._overslept.append((remaining_ns, rank, act))
            elif of_process and process is not None and process.is_stopped:
                process.postponed.append(act)
            else:
                action()

        self._event_queue.at(self._event_queue.now_ns + span_ns, act, rank=rank)

    def _notify_watcher(self) -> None:
        for host in self.member.hosts:
            self._watcher.changed(self, host.key)
