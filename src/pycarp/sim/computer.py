"""A simulated machine: a process with the real engine, a guardian, and a kernel that may outlive both.

It does what the daemon does around an engine, in simulated time: sends, keeps the lanes, gives signs of life to kernel
and guardian, reads before it lets timers expire. The process may be stopped, may die with its guardian or without it;
the machine may stand still, clock and all, or be switched off.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, assert_never

from pycarp.core import (
    Announce,
    DropAddresses,
    Effect,
    Engine,
    HoldAddresses,
    Input,
    ProlongAddresses,
    Publish,
    SetPacketFilter,
    Step,
    Transmit,
)
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AddressesDisturbed,
    DatagramReceived,
    HostAdded,
    LinkChanged,
    TimePassed,
    TransmitReported,
)
from pycarp.core.precaution import Precaution
from pycarp.sim.agenda import CHANGE, EXPIRY, Agenda
from pycarp.sim.kernel import Kernel
from pycarp.sim.lane import Lane, Troubles
from pycarp.sim.story import Member
from pycarp.vocabulary import Datagram, Family, HostKey, LinkFacts, Outgoing

SOCKET_QUEUE = 256
"""Datagrams that wait in the sockets of a process that does not read; later ones are lost."""

_NOTICED_WITHIN_NS = 1_000_000
"""How soon a process is told that others changed its addresses."""


class Watcher(Protocol):
    """Sees everything that computers do; it stands outside of what it watches."""

    def stepped(self, computer: "Computer", event: Input, step: Step) -> None:
        """See an input and what the engine made of it, before that is done."""

    def changed(self, computer: "Computer", key: HostKey) -> None:
        """See that a kernel has, or has no more, the addresses of a host; or that a machine comes or goes."""

    def sent(self, computer: "Computer", outgoing: Outgoing, *, by_guardian: bool) -> None:
        """See what goes on the wire."""

    def announced(self, computer: "Computer", effect: Announce) -> None:
        """See a gratuitous ARP."""

    def raised(self, computer: "Computer", event: Input, bug: Exception) -> None:
        """See an engine fail."""


@dataclass(slots=True)
class _Will:
    """What the guardian does for a host, since which epoch, and until when it need not."""

    epoch: int
    patience_ns: int
    bow_out: tuple[Outgoing, ...]
    due_at_ns: int


@dataclass(slots=True)
class Process:
    """A running daemon."""

    engine: Engine
    deadline_ns: int | None = None
    armed_ns: int | None = None
    is_stopped: bool = False
    waiting: list[Datagram] = field(default_factory=list)
    postponed: list[Callable[[], None]] = field(default_factory=list)
    untold: list[Input] = field(default_factory=list)
    inbox: deque[Input] = field(default_factory=deque)
    is_draining: bool = False
    lanes: dict[HostKey, Lane] = field(default_factory=dict)
    troubled: set[HostKey] = field(default_factory=set)
    silent: set[tuple[HostKey, Family]] = field(default_factory=set)


class Computer:
    """One machine of a story; ``transmit`` puts on the wire what it sends."""

    def __init__(
        self,
        member: Member,
        agenda: Agenda,
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
        self._agenda = agenda
        self._transmit = transmit
        self._watcher = watcher
        self._chance = chance
        self._guardian: dict[HostKey, _Will] = {}
        self._behind_ns = 0
        self._paused_at_ns = 0
        self._overslept: list[tuple[int, int, Callable[[], None]]] = []
        self.kernel = self._new_kernel()

    @property
    def now_ns(self) -> int:
        """The time of its own clock, which stands still while the machine does."""
        return self._agenda.now_ns - self._behind_ns

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
        self.process = Process(Engine(entropy=lambda: chance.getrandbits(64), settings=self.member.settings))
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
        """Let it go on: it hears what has waited, then it does what it had planned, and last it looks at the time."""
        process = self.process
        if process is None or not process.is_stopped:
            return
        process.is_stopped = False
        if not self.is_paused:
            self._go_on(process)

    def _go_on(self, process: Process) -> None:
        untold, process.untold = process.untold, []
        waiting, process.waiting = process.waiting, []
        postponed, process.postponed = process.postponed, []
        for event in [*untold, *map(DatagramReceived, waiting)]:
            self.tell(event)
        for action in postponed:
            if self.process is process:
                action()

    def pause(self) -> None:
        """Let the whole machine stand still."""
        if not self.is_paused:
            self.is_paused = True
            self._paused_at_ns = self._agenda.now_ns
            self._tell_watcher()

    def resume(self) -> None:
        """Let it go on, without knowing that time has passed."""
        if not self.is_paused:
            return
        self.is_paused = False
        paused_ns = self._agenda.now_ns - self._paused_at_ns
        self._behind_ns += paused_ns
        overslept, self._overslept = self._overslept, []
        for remaining_ns, rank, action in overslept:
            self._agenda.at(self._agenda.now_ns + remaining_ns, action, rank=rank)
        self._tell_watcher()
        if self.process is not None and not self.process.is_stopped:
            self._go_on(self.process)

    def set_link(self, link: str, *, is_up: bool) -> None:
        """Let a link come or go."""
        (self.links_down.discard if is_up else self.links_down.add)(link)
        self.tell(LinkChanged(self.facts(link)))
        self._tell_watcher()

    def meddle(self) -> None:
        """Remove the addresses behind the back of the process."""
        for key in self.kernel.held:
            self.kernel.drop(key, by_itself=True)

    # What the process does

    def hear(self, datagram: Datagram) -> None:
        """Let a datagram arrive."""
        process = self.process
        if process is None or self.is_paused or datagram.link in self.links_down:
            return
        if not process.is_stopped:
            self.tell(DatagramReceived(datagram))
        elif len(process.waiting) < SOCKET_QUEUE:
            process.waiting.append(datagram)

    def tell(self, event: Input) -> None:
        """Let something happen to the process: now, or when it goes on."""
        process = self.process
        if process is None:
            return
        if process.is_stopped or self.is_paused:
            process.untold.append(event)
            return
        process.inbox.append(event)
        if not process.is_draining:
            self._drain(process)

    def _drain(self, process: Process) -> None:
        process.is_draining = True
        while process.inbox and self.process is process:
            event = process.inbox.popleft()
            try:
                step = process.engine.handle(event, self.now_ns)
            except Exception as bug:  # noqa: BLE001  to be told, not to be hidden: an engine never raises
                self._watcher.raised(self, event, bug)
                self.process = None
                return
            process.deadline_ns = step.deadline_ns
            self._watcher.stepped(self, event, step)
            for effect in step.effects:
                self._perform(process, effect)
        process.is_draining = False
        self._arm(process)

    def _arm(self, process: Process) -> None:
        """Plan to look at the time; an earlier plan stays, and plans anew when it finds that it is too early."""
        deadline_ns = process.deadline_ns
        if deadline_ns is not None and (process.armed_ns is None or deadline_ns < process.armed_ns):
            process.armed_ns = deadline_ns
            self._later(deadline_ns - self.now_ns, lambda: self._expire(process, deadline_ns), rank=EXPIRY)

    def _expire(self, process: Process, armed_ns: int) -> None:
        if process.armed_ns != armed_ns:
            return
        process.armed_ns = None
        if process.deadline_ns is not None and process.deadline_ns <= self.now_ns:
            self.tell(TimePassed())
        else:
            self._arm(process)

    def _perform(self, process: Process, effect: Effect) -> None:
        match effect:
            case Transmit(key, outgoing):
                self._send(process, key, outgoing)
            case HoldAddresses(key, epoch, precaution=precaution):
                if precaution is not None:
                    self._guard(key, epoch, precaution)
                self._lane(process, key).take(effect)
            case DropAddresses(key) | Announce(key):
                self._lane(process, key).take(effect)
            case ProlongAddresses(key, _addresses, lifetime_s):
                if not any((key, family) in process.silent for family in Family):
                    self._prolong(key, lifetime_s)
            case Publish() | SetPacketFilter():
                pass
            case _:
                assert_never(effect)

    def _send(self, process: Process, key: HostKey, outgoing: Outgoing) -> None:
        if self.sends_fail:
            process.troubled.add(key)
            process.silent.add((key, outgoing.family))
            process.inbox.append(TransmitReported(key, "No buffer space available", outgoing.family))
            return
        process.silent.discard((key, outgoing.family))
        if key in process.troubled:
            process.inbox.append(TransmitReported(key, None, outgoing.family))
        self._put_on_wire(outgoing, by_guardian=False)

    def _put_on_wire(self, outgoing: Outgoing, *, by_guardian: bool) -> None:
        if outgoing.link not in self.links_down and not self.sends_fail:
            self._watcher.sent(self, outgoing, by_guardian=by_guardian)
            self._transmit(self, outgoing)

    def _lane(self, process: Process, key: HostKey) -> Lane:
        if key not in process.lanes:
            process.lanes[key] = Lane(
                self.kernel,
                self.troubles,
                later=self._later,
                report=self._report,
                announced=lambda effect: self._watcher.announced(self, effect),
                chance=self._chance,
            )
        return process.lanes[key]

    def _report(self, report: ActuationReported) -> None:
        will = self._guardian.get(report.key)
        if will is not None and report.error is None and report.action is Action.DROP and will.epoch < report.epoch:
            del self._guardian[report.key]
        self.tell(report)

    # Guardian and kernel

    def _guard(self, key: HostKey, epoch: int, precaution: Precaution) -> None:
        is_new = key not in self._guardian
        patience_ns = precaution.patience_ns
        self._guardian[key] = _Will(epoch, patience_ns, precaution.bow_out, self.now_ns + patience_ns)
        if is_new:
            self._later(patience_ns, lambda: self._look_for_life(key), of_process=False)

    def _prolong(self, key: HostKey, lifetime_s: int | None) -> None:
        if lifetime_s is not None:
            self.kernel.prolong(key, lifetime_s)
        if key in self._guardian:
            will = self._guardian[key]
            will.due_at_ns = self.now_ns + will.patience_ns

    def _look_for_life(self, key: HostKey) -> None:
        will = self._guardian.get(key)
        if will is None:
            return
        if will.due_at_ns > self.now_ns:
            self._later(will.due_at_ns - self.now_ns, lambda: self._look_for_life(key), of_process=False)
            return
        del self._guardian[key]
        self._carry_out({key: will})

    def _carry_out(self, wills: dict[HostKey, _Will]) -> None:
        for key in wills:
            self.kernel.drop(key, by_itself=True)
        for will in wills.values():
            for outgoing in will.bow_out:
                self._put_on_wire(outgoing, by_guardian=True)

    def _new_kernel(self) -> Kernel:
        return Kernel(
            later=lambda span_ns, action: self._later(span_ns, action, of_process=False), changed=self._on_kernel
        )

    def _on_kernel(self, key: HostKey, by_others: bool) -> None:  # noqa: FBT001  as the kernel calls it
        self._watcher.changed(self, key)
        if by_others and self.process is not None:
            self._later(self._chance.randrange(_NOTICED_WITHIN_NS), lambda: self._notice(key))

    def _notice(self, key: HostKey) -> None:
        """Tell the process that addresses are gone, if it still thinks that they are held."""
        lane = self.process.lanes.get(key) if self.process else None
        if lane is not None and lane.wants_held and not self.kernel.holds(key):
            self.tell(AddressesDisturbed(key, "the addresses were removed"))

    # Time

    def _later(self, span_ns: int, action: Callable[[], None], *, of_process: bool = True, rank: int = CHANGE) -> None:
        """Plan an action of this life of the machine, and if so of the process: void when that is over."""
        process, kernel, planned_at_ns = self.process, self.kernel, self._agenda.now_ns

        def act() -> None:
            if self.kernel is not kernel or (of_process and self.process is not process):
                return
            if self.is_paused:
                remaining_ns = self._agenda.now_ns - max(planned_at_ns, self._paused_at_ns)
                self._overslept.append((remaining_ns, rank, act))
            elif of_process and process is not None and process.is_stopped:
                process.postponed.append(act)
            else:
                action()

        self._agenda.at(self._agenda.now_ns + span_ns, act, rank=rank)

    def _tell_watcher(self) -> None:
        for host in self.member.hosts:
            self._watcher.changed(self, host.key)
