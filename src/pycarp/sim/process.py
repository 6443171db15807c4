"""A simulated daemon: the real engine and the real runtime on an event queue instead of an event loop.

An attempt to change addresses takes time. It may fail or hang, and it may have done its work all the same.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pycarp.core import Announce, DropAddresses, Engine, HoldAddresses, Input, RenewAddresses, Step
from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import ActuationReported
from pycarp.placement.failback_state import Saved
from pycarp.runtime import Attempt, Runtime
from pycarp.sim.event_queue import EXPIRY
from pycarp.sim.simulated_services import SimulatedServices
from pycarp.vocabulary import NS_PER_S, Datagram, HostKey, Outgoing

if TYPE_CHECKING:
    from pycarp.sim.machine import Machine

SOCKET_QUEUE = 256
"""How many datagrams the sockets of a stopped process keep; later ones are lost."""

_DEAF_NS = NS_PER_S
"""How long a hanging attempt at most goes on after its cancellation; longer than the runtime waits for it."""

_USUAL_NS = 3_000_000
"""The longest time that a change of addresses takes without faults."""


class Watcher(Protocol):
    """Observes what a process does."""

    def stepped(self, machine: "Machine", event: Input, step: Step) -> None:
        """Receive an input and its step, before the runtime carries out the effects."""

    def announced(self, machine: "Machine", effect: Announce) -> None:
        """Receive an announcement that the process makes."""

    def raised(self, machine: "Machine", event: Input, bug: Exception) -> None:
        """Receive an exception of the engine."""


class Fate(NamedTuple):
    """The course of an attempt: it ends after ``span_ns``, None for never, with ``error``.

    ``works`` is True if it has changed the addresses at its end, ``works_anyway`` if it has although it was cancelled.
    A cancelled attempt ends after ``cancel_ns``.
    """

    span_ns: int | None
    error: str | None
    works: bool
    works_anyway: bool
    cancel_ns: int = 0


@dataclass(slots=True)
class Troubles:
    """The faults of address changes: their longest duration, the share of 1 that fails, and whether they hang."""

    slow_ns: int = 0
    failing: float = 0.0
    hang: bool = False

    def fate_of(self, _attempt: Attempt, chance: Random) -> Fate:
        """Return the fate of an attempt that begins now; a failed one may have done its work."""
        span_ns = None if self.hang else chance.randrange(max(_USUAL_NS, self.slow_ns))
        error = "the addresses cannot be changed" if chance.random() < self.failing else None
        cancel_ns = chance.randrange(_DEAF_NS) if self.hang and chance.random() < 0.5 else 0
        return Fate(span_ns, error, error is None or chance.random() < 0.5, chance.random() < 0.5, cancel_ns)


class Process:
    """A running daemon of a machine; it implements ``pycarp.runtime.Ports`` for its runtime."""

    def __init__(
        self,
        engine: Engine,
        machine: "Machine",
        *,
        watcher: Watcher,
        chance: Random,
        memory: MutableMapping[HostKey, Saved],
    ) -> None:
        self.engine = engine
        self.services = SimulatedServices(engine, machine, memory)
        self.is_stopped = False
        self.postponed: list[Callable[[], None]] = []
        self._machine = machine
        self._watcher = watcher
        self._chance = chance
        self._unsubmitted: list[Input] = []
        self._sockets: list[Datagram] = []
        self._armed_ns: int | None = None
        self._fates: dict[Attempt, Fate] = {}
        self._runtime = Runtime(self, self)
        self.wants_held = self._runtime.wants_held

    @property
    def _stands_still(self) -> bool:
        return self.is_stopped or self._machine.is_paused

    def receive(self, datagram: Datagram) -> None:
        """Queue a datagram in a socket, and wake the runtime unless the process is stopped."""
        if len(self._sockets) < SOCKET_QUEUE:
            self._sockets.append(datagram)
        if not self._stands_still:
            self._runtime.wake()

    def submit(self, event: Input) -> None:
        """Submit an input to the runtime: now, or when a stopped process goes on."""
        if self._stands_still:
            self._unsubmitted.append(event)
        else:
            self._runtime.submit(event)

    def go_on(self) -> None:
        """Go on after a stall: first inputs and timers that came meanwhile, and only then the packets that wait."""
        unsubmitted, self._unsubmitted = self._unsubmitted, []
        postponed, self.postponed = self.postponed, []
        for event in unsubmitted:
            self.submit(event)
        for action in postponed:
            if self._machine.process is self:
                action()
        while self._sockets and self._machine.process is self:
            self._runtime.wake()

    # The engine, observed

    def handle(self, event: Input, now_ns: int, /) -> Step:
        """Return the step of the engine, after the watcher has seen it; raises what the engine raises."""
        try:
            step = self.engine.handle(event, now_ns)
        except Exception as bug:
            self._watcher.raised(self._machine, event, bug)
            raise
        self._watcher.stepped(self._machine, event, step)
        if self._machine.process is not self:
            self._runtime.stop()
        return step

    def can_send(self, key: HostKey, /) -> bool:
        """Return ``Engine.can_send``."""
        return self.engine.can_send(key)

    # Clock

    def now_ns(self) -> int:
        """Return the time of the machine's own clock."""
        return self._machine.now_ns

    def arm(self, at_ns: int | None) -> None:
        """Set the timer; a later call replaces it, and None cancels it."""
        self._armed_ns = at_ns
        if at_ns is not None:
            self._machine.plan(at_ns - self.now_ns(), partial(self._fire, at_ns), rank=EXPIRY)

    def _fire(self, at_ns: int) -> None:
        if at_ns == self._armed_ns:
            self._armed_ns = None
            self._runtime.timer_fired()

    def later(self) -> None:
        """Plan ``Runtime.resume`` after the other actions of this moment."""
        self._machine.plan(0, self._runtime.resume)

    # Network

    def send(self, outgoing: Outgoing) -> None:
        """Send; raises OSError while sends fail."""
        if self._machine.sends_fail:
            raise OSError(105, "No buffer space available")
        self._machine.put_on_wire(outgoing)

    def read(self, limit: int) -> Sequence[Datagram]:
        """Return the oldest datagrams in the sockets, at most ``limit``."""
        read, self._sockets = self._sockets[:limit], self._sockets[limit:]
        return read

    def packets_read(self) -> Mapping[str, int] | None:
        """Return None: packets are not filtered here."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Never called, because packets are not counted."""

    # Addresses

    def start(self, attempt: Attempt) -> None:
        """Begin an attempt; without faults it takes at most 3 ms, an announcement no time."""
        self._machine.plan(0, partial(self._begin, attempt))

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt; one that hangs may end up to a second later."""
        fate = self._fates.get(attempt)
        self._machine.plan(fate.cancel_ns if fate else 0, partial(self._end_cancelled, attempt))

    def _begin(self, attempt: Attempt) -> None:
        if not self._runtime.begin(attempt):
            return
        if isinstance(attempt.effect, Announce):
            self._watcher.announced(self._machine, attempt.effect)
            self._runtime.attempt_ended(attempt, None)
            return
        fate = self._fates[attempt] = self._machine.troubles.fate_of(attempt, self._chance)
        if fate.span_ns is not None:
            self._machine.plan(fate.span_ns, partial(self._end, attempt))

    def _end(self, attempt: Attempt) -> None:
        fate = self._fates.pop(attempt, None)
        if fate is None:
            return
        if fate.works:
            self._change(attempt)
        self._runtime.attempt_ended(attempt, fate.error)

    def _end_cancelled(self, attempt: Attempt) -> None:
        """End a cancelled attempt, which may not have begun."""
        fate = self._fates.pop(attempt, None)
        if fate is not None and fate.works_anyway:
            self._change(attempt)
        self._runtime.attempt_ended(attempt, "cancelled")

    def _change(self, attempt: Attempt) -> None:
        effect, kernel = attempt.effect, self._machine.kernel
        if isinstance(effect, DropAddresses):
            kernel.drop(effect.key)
        elif isinstance(effect, HoldAddresses):
            kernel.hold(effect.key, effect.lease_timings.lifetime_s if effect.lease_timings else None)

    def renew(self, effects: Sequence[RenewAddresses]) -> None:
        """Renew the lifetime of the addresses in the kernel."""
        for each in effects:
            if each.lifetime_s is not None:
                self._machine.kernel.renew(each.key, each.lifetime_s)

    # Guardian

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Arm the guardian for a host."""
        self._machine.arm_guardian(effect)

    def renew_guardian(self, keys: Sequence[HostKey]) -> None:
        """Send signs of life to the guardian."""
        for each in keys:
            self._machine.renew_guardian(each)

    def disarm_guardian(self, key: HostKey) -> None:
        """Disarm the guardian for a host."""
        self._machine.disarm_guardian(key)

    # Observers

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """No-op."""

    def reported(self, report: ActuationReported) -> None:
        """No-op."""

    def publish(self, event: Event) -> None:
        """Pass an event on to what follows hosts; the watcher has seen it in the step."""
        self.services.take(event)

    def stalled(self, late_ns: int) -> None:
        """No-op."""

    def failed(self, bug: BaseException) -> None:
        """End the process; the watcher has received the exception."""
        if self._machine.process is self:
            self._machine.process = None
