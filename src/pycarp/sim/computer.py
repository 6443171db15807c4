"""A simulated machine: a process with the real engine and runtime, a guardian, and a kernel that may outlive both.

The process is what ``sim/process.py`` says. It may be stopped, may die with its guardian or without it; the machine may
stand still, clock and all, or be switched off.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from pycarp.core import Engine, HoldAddresses, Input
from pycarp.core.inputs import AddressesDisturbed, HostAdded, LinkChanged
from pycarp.core.slots import SLOT_NS
from pycarp.sim import process
from pycarp.sim.event_queue import CHANGE, EventQueue
from pycarp.sim.faults.fault_plan import Member
from pycarp.sim.kernel import Kernel
from pycarp.sim.process import Process, Troubles
from pycarp.vocabulary import Datagram, HostKey, LinkFacts, Outgoing

_NOTICED_WITHIN_NS = 1_000_000
"""How soon a process is told that others changed its addresses."""


class Watcher(process.Watcher, Protocol):
    """Sees everything that computers do; it stands outside of what it watches."""

    def changed(self, computer: "Computer", key: HostKey) -> None:
        """See that a kernel has, or has no more, the addresses of a host; or that a machine comes or goes."""

    def sent(self, computer: "Computer", outgoing: Outgoing, *, by_guardian: bool) -> None:
        """See what goes on the wire."""


@dataclass(slots=True)
class _ArmedGuardian:
    """What the guardian does for a host, and until when it need not."""

    timeout_ns: int
    bow_out: tuple[Outgoing, ...]
    due_at_ns: int


class Computer:
    """One machine of a plan; ``transmit`` puts on the wire what it sends."""

    def __init__(
        self,
        member: Member,
        event_queue: EventQueue,
        *,
        transmit: Callable[["Computer", Outgoing], None],
        watcher: Watcher,
        chance: Random,
    ) -> None:
        self.member = member
        self.name = member.name
        self.process: Process | None = None
        self.is_on = False
        self.is_paused = False
        self.links_down: set[str] = set()
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
        self.kernel = self._new_kernel()

    @property
    def now_ns(self) -> int:
        """The time of its own clock, which stands still while the machine does."""
        return self._event_queue.now_ns - self._behind_ns

    def answers(self, key: HostKey) -> bool:
        """Say whether whoever asks for the addresses of a host gets an answer from here."""
        return self.is_on and not self.is_paused and key.link not in self.links_down and self.kernel.holds(key)

    # Coming and going

    def start(self) -> None:
        """Switch on, if need be, and start the daemon, which first puts away what a former one left."""
        self.is_on = True
        if self.process is not None:
            return
        for key in self.kernel.held:
            self.kernel.drop(key)
        chance = Random(self._chance.getrandbits(64))
        engine = Engine(entropy=lambda: chance.getrandbits(64), settings=self.member.settings, slot_ns=SLOT_NS)
        self.process = Process(engine, self, watcher=self._watcher, chance=self._chance)
        for link in self.member.own:
            self.tell(LinkChanged(self.facts(link)))
        for host in self.member.hosts:
            self.tell(HostAdded(host))

    def facts(self, link: str) -> LinkFacts:
        """Return what a process of this machine sees of a link."""
        return LinkFacts(name=link, is_up=link not in self.links_down, addresses=tuple(self.member.own[link]))

    def crash(self, *, guardian_too: bool) -> None:
        """Let the process die without a word; its guardian does what is left to do, if it lives."""
        self.process = None
        wills, self._guardian = self._guardian, {}
        if not guardian_too:
            self._carry_out(wills)

    def switch_off(self) -> None:
        """Let all be gone at once."""
        keys = self.kernel.held
        self.process, self._guardian, self.is_on = None, {}, False
        self.is_paused, self._overslept = False, []
        self.kernel = self._new_kernel()
        for key in keys:
            self._watcher.changed(self, key)

    def stop(self) -> None:
        """Let the process stand still."""
        if self.process is not None:
            self.process.is_stopped = True

    def continue_(self) -> None:
        """Let it go on."""
        process = self.process
        if process is None or not process.is_stopped:
            return
        process.is_stopped = False
        if not self.is_paused:
            process.go_on()

    def pause(self) -> None:
        """Let the whole machine stand still."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at_ns = self._event_queue.now_ns
            self._tell_watcher()

    def resume(self) -> None:
        """Let it go on, without knowing that time has passed."""
        if not self.is_paused:
            return
        self.is_paused = False
        paused_ns = self._event_queue.now_ns - self._paused_at_ns
        self._behind_ns += paused_ns
        overslept, self._overslept = self._overslept, []
        for remaining_ns, rank, action in overslept:
            self._event_queue.at(self._event_queue.now_ns + remaining_ns, action, rank=rank)
        self._tell_watcher()
        if self.process is not None and not self.process.is_stopped:
            self.process.go_on()

    def set_link(self, link: str, *, is_up: bool) -> None:
        """Let a link come or go."""
        (self.links_down.discard if is_up else self.links_down.add)(link)
        self.tell(LinkChanged(self.facts(link)))
        self._tell_watcher()

    def meddle(self) -> None:
        """Remove the addresses behind the back of the process."""
        for key in self.kernel.held:
            self.kernel.drop(key, by_itself=True)

    # What reaches the process, and what it does

    def hear(self, datagram: Datagram) -> None:
        """Let a datagram arrive."""
        if self.process is not None and not self.is_paused and datagram.link not in self.links_down:
            self.process.hear(datagram)

    def tell(self, event: Input) -> None:
        """Let something happen to the process: now, or when it goes on."""
        if self.process is not None:
            self.process.tell(event)

    def put_on_wire(self, outgoing: Outgoing, *, by_guardian: bool = False) -> None:
        """Send, in vain on a link that is down."""
        if outgoing.link not in self.links_down and not self.sends_fail:
            self._watcher.sent(self, outgoing, by_guardian=by_guardian)
            self._transmit(self, outgoing)

    # Guardian and kernel

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Let the guardian look after a host, as long as it hears nothing else."""
        assert effect.lease_timings is not None
        key, timeout_ns = effect.key, effect.lease_timings.timeout_ns
        is_new = key not in self._guardian
        self._guardian[key] = _ArmedGuardian(timeout_ns, effect.lease_timings.bow_out, self.now_ns + timeout_ns)
        if is_new:
            self.plan(timeout_ns, lambda: self._look_for_life(key), of_process=False)

    def renew_guardian(self, key: HostKey) -> None:
        """Let the guardian know that a host is well."""
        if key in self._guardian:
            clean_up_plan = self._guardian[key]
            clean_up_plan.due_at_ns = self.now_ns + clean_up_plan.timeout_ns

    def disarm_guardian(self, key: HostKey) -> None:
        """Let the guardian forget a host."""
        self._guardian.pop(key, None)

    def _look_for_life(self, key: HostKey) -> None:
        clean_up_plan = self._guardian.get(key)
        if clean_up_plan is None:
            return
        if clean_up_plan.due_at_ns > self.now_ns:
            self.plan(clean_up_plan.due_at_ns - self.now_ns, lambda: self._look_for_life(key), of_process=False)
            return
        del self._guardian[key]
        self._carry_out({key: clean_up_plan})

    def _carry_out(self, wills: dict[HostKey, _ArmedGuardian]) -> None:
        for key in wills:
            self.kernel.drop(key, by_itself=True)
        for clean_up_plan in wills.values():
            for outgoing in clean_up_plan.bow_out:
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
        """Tell the process that addresses are gone, if it still thinks that they are held."""
        if self.process is not None and self.process.wants_held(key) and not self.kernel.holds(key):
            self.tell(AddressesDisturbed(key, "the addresses were removed"))

    # Time

    def plan(self, span_ns: int, action: Callable[[], None], *, of_process: bool = True, rank: int = CHANGE) -> None:
        """Plan an action of this life of the machine, and if so of the process: void when that is over."""
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

    def _tell_watcher(self) -> None:
        for host in self.member.hosts:
            self._watcher.changed(self, host.key)
