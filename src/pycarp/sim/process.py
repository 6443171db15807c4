"""A simulated daemon: the real engine and the real runtime, with an event queue in the place of a loop.

An attempt at the addresses takes a while and may fail, hang, or do its work without anybody knowing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pycarp.core import Announce, DropAddresses, Engine, HoldAddresses, Input, RenewAddresses, Step
from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import ActuationReported
from pycarp.runtime import Attempt, Runtime
from pycarp.sim.event_queue import EXPIRY
from pycarp.vocabulary import NS_PER_S, Datagram, HostKey, Outgoing

if TYPE_CHECKING:
    from pycarp.sim.computer import Computer

SOCKET_QUEUE = 256
"""Datagrams that wait in the sockets of a process that does not read; later ones are lost."""

_DEAF_NS = NS_PER_S
"""How long at most what hangs goes on after it was cancelled, longer than the runtime waits for it."""

_USUAL_NS = 3_000_000
"""How long a change of addresses takes at most when nothing is wrong."""


class Watcher(Protocol):
    """Sees what a process does."""

    def stepped(self, computer: "Computer", event: Input, step: Step) -> None:
        """See an input and what the engine made of it, before that is done."""

    def announced(self, computer: "Computer", effect: Announce) -> None:
        """See a gratuitous ARP."""

    def raised(self, computer: "Computer", event: Input, bug: Exception) -> None:
        """See an engine fail."""


class Fate(NamedTuple):
    """What becomes of an attempt: it takes ``span_ns``, None for ever, and ends with ``error``.

    ``works`` says whether it has done its work then; ``works_anyway`` whether it has when it is cancelled. That ends it
    after ``cancel_ns``.
    """

    span_ns: int | None
    error: str | None
    works: bool
    works_anyway: bool
    cancel_ns: int = 0


@dataclass(slots=True)
class Troubles:
    """What is wrong with changes of addresses: how long they take at most, the share that fails, whether they hang."""

    slow_ns: int = 0
    failing: float = 0.0
    hang: bool = False

    def fate_of(self, _attempt: Attempt, chance: Random) -> Fate:
        """Return what becomes of an attempt that begins now; when it fails, nobody knows what it did."""
        span_ns = None if self.hang else chance.randrange(max(_USUAL_NS, self.slow_ns))
        error = "the addresses cannot be changed" if chance.random() < self.failing else None
        cancel_ns = chance.randrange(_DEAF_NS) if self.hang and chance.random() < 0.5 else 0
        return Fate(span_ns, error, error is None or chance.random() < 0.5, chance.random() < 0.5, cancel_ns)


class Process:
    """A running daemon of a computer; it supplies what its runtime needs, see ``pycarp.runtime.Ports``."""

    def __init__(self, engine: Engine, computer: "Computer", *, watcher: Watcher, chance: Random) -> None:
        self.engine = engine
        self.is_stopped = False
        self.postponed: list[Callable[[], None]] = []
        self._computer = computer
        self._watcher = watcher
        self._chance = chance
        self._untold: list[Input] = []
        self._sockets: list[Datagram] = []
        self._armed_ns: int | None = None
        self._fates: dict[Attempt, Fate] = {}
        self._runtime = Runtime(self, self)
        self.wants_held = self._runtime.wants_held

    @property
    def _stands_still(self) -> bool:
        return self.is_stopped or self._computer.is_paused

    def hear(self, datagram: Datagram) -> None:
        """Let a datagram arrive in a socket."""
        if len(self._sockets) < SOCKET_QUEUE:
            self._sockets.append(datagram)
        if not self._stands_still:
            self._runtime.wake()

    def tell(self, event: Input) -> None:
        """Let something happen: now, or when the process goes on."""
        if self._stands_still:
            self._untold.append(event)
        else:
            self._runtime.submit(event)

    def go_on(self) -> None:
        """Go on after standing still: nobody has read yet when what was planned for meanwhile happens."""
        untold, self._untold = self._untold, []
        postponed, self.postponed = self.postponed, []
        for event in untold:
            self.tell(event)
        for action in postponed:
            if self._computer.process is self:
                action()
        while self._sockets and self._computer.process is self:
            self._runtime.wake()

    # An engine that is watched

    def handle(self, event: Input, now_ns: int, /) -> Step:
        """Let the engine take a step, and somebody see it."""
        try:
            step = self.engine.handle(event, now_ns)
        except Exception as bug:
            self._watcher.raised(self._computer, event, bug)
            raise
        self._watcher.stepped(self._computer, event, step)
        if self._computer.process is not self:
            self._runtime.stop()
        return step

    def can_send(self, key: HostKey, /) -> bool:
        """Ask the engine."""
        return self.engine.can_send(key)

    # Clock

    def now_ns(self) -> int:
        """Return the time of the computer's own clock."""
        return self._computer.now_ns

    def arm(self, at_ns: int | None) -> None:
        """Plan to let the timer fire, if it is not set anew before."""
        self._armed_ns = at_ns
        if at_ns is not None:
            self._computer.plan(at_ns - self.now_ns(), partial(self._fire, at_ns), rank=EXPIRY)

    def _fire(self, at_ns: int) -> None:
        if at_ns == self._armed_ns:
            self._armed_ns = None
            self._runtime.timer_fired()

    def later(self) -> None:
        """Let others have a turn."""
        self._computer.plan(0, self._runtime.resume)

    # Network

    def send(self, outgoing: Outgoing) -> None:
        """Send; raises OSError while sends fail."""
        if self._computer.sends_fail:
            raise OSError(105, "No buffer space available")
        self._computer.put_on_wire(outgoing)

    def read(self, limit: int) -> Sequence[Datagram]:
        """Read what waits in the sockets."""
        read, self._sockets = self._sockets[:limit], self._sockets[limit:]
        return read

    def packets_read(self) -> Mapping[str, int] | None:
        """Return None: packets are not filtered here."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Never called, because packets are not counted."""

    # Addresses

    def start(self, attempt: Attempt) -> None:
        """Make an attempt; when nothing is wrong it takes some milliseconds, an announcement none."""
        self._computer.plan(0, partial(self._begin, attempt))

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt."""
        fate = self._fates.get(attempt)
        self._computer.plan(fate.cancel_ns if fate else 0, partial(self._end_cancelled, attempt))

    def _begin(self, attempt: Attempt) -> None:
        if not self._runtime.begin(attempt):
            return
        if isinstance(attempt.effect, Announce):
            self._watcher.announced(self._computer, attempt.effect)
            self._runtime.attempt_ended(attempt, None)
            return
        fate = self._fates[attempt] = self._computer.troubles.fate_of(attempt, self._chance)
        if fate.span_ns is not None:
            self._computer.plan(fate.span_ns, partial(self._end, attempt))

    def _end(self, attempt: Attempt) -> None:
        fate = self._fates.pop(attempt, None)
        if fate is None:
            return
        if fate.works:
            self._change(attempt)
        self._runtime.attempt_ended(attempt, fate.error)

    def _end_cancelled(self, attempt: Attempt) -> None:
        """End an attempt that was cancelled, maybe before it began."""
        fate = self._fates.pop(attempt, None)
        if fate is not None and fate.works_anyway:
            self._change(attempt)
        self._runtime.attempt_ended(attempt, "cancelled")

    def _change(self, attempt: Attempt) -> None:
        effect, kernel = attempt.effect, self._computer.kernel
        if isinstance(effect, DropAddresses):
            kernel.drop(effect.key)
        elif isinstance(effect, HoldAddresses):
            kernel.hold(effect.key, effect.lease_timings.lifetime_s if effect.lease_timings else None)

    def renew(self, effect: RenewAddresses) -> None:
        """Let the kernel keep the addresses."""
        if effect.lifetime_s is not None:
            self._computer.kernel.renew(effect.key, effect.lifetime_s)

    # Guardian

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Tell the guardian."""
        self._computer.arm_guardian(effect)

    def renew_guardian(self, key: HostKey) -> None:
        """Tell the guardian."""
        self._computer.renew_guardian(key)

    def disarm_guardian(self, key: HostKey) -> None:
        """Tell the guardian."""
        self._computer.disarm_guardian(key)

    # Observers

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Nobody is interested."""

    def reported(self, report: ActuationReported) -> None:
        """Nobody is interested."""

    def publish(self, event: Event) -> None:
        """Nobody is interested: whoever watches has seen it."""

    def stalled(self, late_ns: int) -> None:
        """Nobody is interested."""

    def failed(self, bug: BaseException) -> None:
        """End; the watcher knows why."""
        if self._computer.process is self:
            self._computer.process = None
