"""Runs a runtime on asyncio: the loop's clock and timers, a transport, an actuator and a guardian.

It decides nothing. Each attempt is a task in the context of the node, not of the caller. A task that raises, or that
anything but the runtime cancels, is a failed attempt.
"""

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from pycarp.actuators.actuator import Actuator
from pycarp.aio.source_mac import SourceMacs
from pycarp.core.calm import SettledHosts
from pycarp.core.effects import Announce, DropAddresses, HoldAddresses, RenewAddresses
from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import ActuationReported, Input
from pycarp.errors import ActuatorError
from pycarp.runtime import Attempt, Door, Pace, Runtime
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket
from pycarp.tasks import start_task
from pycarp.transports.transport import PacketFiltering, PacketPreparing, SettingAside, Transport
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress, Outgoing

ATTEMPT_TIMEOUT_S = 15.0

READING_S = 0.03
"""For so long datagrams are read in a turn of the loop, and one batch more."""

_LAST_RETRY_S = 1.0
"""Seconds between two attempts of a failed node to drop its addresses."""

_CANCELLATION_TIMEOUT_S = 1.0
"""Seconds that cancelled attempts of a released host may take to end."""


class GuardianProtocol(Protocol):
    """Drops the addresses of a host when this process is dead, or has sent no sign of life in time."""

    async def start(self) -> None:
        """Start; called once, before any other method. Raises ActuatorError."""

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Set or replace the clean-up plan of a host; counts as a sign of life. ``limit_ns`` is the timeout."""

    def beat(self, key: HostKey) -> None:
        """Receive a sign of life of a host."""

    def disarm(self, key: HostKey) -> None:
        """Remove the clean-up plan of a host."""

    async def close(self) -> None:
        """End; carries out the clean-up plan of every host that is still armed."""


@runtime_checkable
class GatheringGuardian(Protocol):
    """A guardian that can be told of many hosts at once, where thousands become MASTER together."""

    def gather(self) -> None:
        """Pass on what is armed and disarmed from now on in the next turn of the loop, before any task begins."""


@runtime_checkable
class BeatingTogether(Protocol):
    """A guardian to which signs of life of many hosts at once take less than one after the other."""

    def beat_together(self, keys: Sequence[HostKey]) -> None:
        """Receive a sign of life of each host."""


class Observers(msgspec.Struct, frozen=True, kw_only=True):
    """The functions that the shell calls; see ``pycarp.runtime.Ports``.

    ``vacated`` is awaited before addresses are dropped, so that masterships can clean up first; it bounds its own time.
    ``preparation`` returns what is to be awaited before addresses are held, None for nothing.
    """

    asked: Callable[[HoldAddresses | DropAddresses | Announce], None]
    renewed: Callable[[Sequence[RenewAddresses]], None]
    reported: Callable[[ActuationReported], None]
    published: Callable[[Event], None]
    stalled: Callable[[int, int], None]
    failed: Callable[[BaseException], None]
    vacated: Callable[[HostKey], Awaitable[object]]
    preparation: Callable[[HostKey], Awaitable[object] | None] = lambda _key: None


class Shell:
    """One node's runtime in the running loop; ``settled`` lists the advertisements that may wait in the transport."""

    def __init__(
        self,
        *,
        engine: Door,
        settled: SettledHosts | None = None,
        transport: Transport,
        actuator: Actuator,
        observers: Observers,
        guardian: GuardianProtocol | None = None,
        source_macs: SourceMacs | None = None,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
    ) -> None:
        self._transport = transport
        self._preparing = transport if isinstance(transport, PacketPreparing) else None
        self._filtering = transport if isinstance(transport, PacketFiltering) else None
        self._source_macs = source_macs
        self.send: Callable[[Outgoing], None] = transport.send if source_macs is None else self._send
        self.read = transport.drain
        self.packets_read: Callable[[], Mapping[str, int] | None]
        self.packets_read = self._filtering.packets_read if self._filtering else _no_counts
        self._actuator = actuator
        self._guardian = guardian
        whoever: object = guardian
        self._gather = whoever.gather if isinstance(whoever, GatheringGuardian) else _nothing
        self._beating = whoever if isinstance(whoever, BeatingTogether) else None
        self._observers = observers
        self._loop = asyncio.get_running_loop()
        # Timers and attempts run in the node's context, not in that of the last caller.
        self._context = contextvars.copy_context()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: dict[HostKey, dict[Attempt, asyncio.Task[None]]] = {}
        self._bow_outs: dict[HostKey, tuple[HoldAddresses, tuple[PreparedPacket, ...]]] = {}
        self._ended = asyncio.Event()
        self._settled = settled or SettledHosts()
        pace = Pace(timeout_ns=round(attempt_timeout_s * NS_PER_S))
        self._aside = transport if isinstance(transport, SettingAside) else None
        self._runtime = Runtime(engine, self, pace=pace, afterwards=self._set_aside if self._aside else None)
        self.submit: Callable[[Input], None] = self._runtime.submit
        self._reads_on = self._is_behind = False
        self._read_s = 0.0
        self.can_send = self._runtime.can_send
        self.stop = self._runtime.stop

    # Closing

    def surrender(self) -> None:
        """Handle no more inputs, and drop every address that may be held, with retries until it succeeds."""
        self._runtime.surrender()

    async def surrendered(self, limit_s: float) -> dict[HostKey, frozenset[InterfaceAddress]]:
        """Wait, at most ``limit_s`` seconds, until every address has been dropped after ``surrender``.

        Failed drops are repeated at once, then every second. Returns the addresses that may still be held.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._runtime.may_hold:
                    await self._retried()
        return self._runtime.may_hold

    async def _retried(self) -> None:
        """Repeat every failed drop; return when all have succeeded, after a second at the latest."""
        for key in self._runtime.may_hold:
            self._runtime.retry(key)
        try:
            async with asyncio.timeout(_LAST_RETRY_S):
                while self._runtime.may_hold:
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            return

    async def release(self, *keys: HostKey) -> None:
        """Forget hosts, cancel their running attempts, and wait for the end of these."""
        if tasks := self.forget(*keys):
            await asyncio.wait(tasks, timeout=_CANCELLATION_TIMEOUT_S)

    def forget(self, *keys: HostKey) -> "list[asyncio.Task[None]]":
        """Forget hosts, and cancel and return their running attempts; most hosts that depart have none."""
        for key in keys:
            self._runtime.release(key)
        tasks = [task for key in keys for task in self._tasks.get(key, {}).values()]
        for task in tasks:
            task.cancel()
        return tasks

    # Clock

    def now_ns(self) -> int:
        """Return the loop's time, rounded, not truncated: a deadline must be due when the loop's float reaches it."""
        return round(self._loop.time() * NS_PER_S)

    def arm(self, at_ns: int | None) -> None:
        """Set the timer, or cancel it if ``at_ns`` is None."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at_ns is not None:
            self._timer = self._loop.call_at(at_ns / NS_PER_S, self._on_timer, context=self._context.copy())

    def later(self) -> None:
        """Resume the runtime in the next turn of the loop."""
        self._loop.call_soon(self._runtime.resume, context=self._context.copy())

    def _on_timer(self) -> None:
        self._timer = None
        self._runtime.timer_fired()

    # Network

    def _send(self, outgoing: Outgoing) -> None:
        macs = self._source_macs
        self._transport.send(macs.applied(outgoing) if macs is not None and macs.replaced else outgoing)

    def _with_source_mac(self, outgoing: Outgoing) -> Outgoing:
        return outgoing if self._source_macs is None else self._source_macs.applied(outgoing)

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Set the packet filter of a link, None for none."""
        assert self._filtering is not None
        self._filtering.set_packet_filter(link, packet_filter)

    def wake(self) -> None:
        """Read what has arrived, only for a while in each turn of the loop: forty links may call this in one."""
        if self._is_behind:
            return
        began_s = self._loop.time()
        if not self._runtime.wake():
            return
        if not self._reads_on:
            self._reads_on, self._read_s = True, 0.0
            self._loop.call_soon(self._read_on, context=self._context.copy())
        self._read_s += self._loop.time() - began_s
        self._is_behind = self._read_s >= READING_S

    def _read_on(self) -> None:
        self._reads_on = self._is_behind = False
        self.wake()

    @property
    def is_behind(self) -> bool:
        """Whether more arrives than one turn of the loop has time for, or the engine's deadline has passed."""
        return self._is_behind or self._runtime.is_late

    def catch_up(self) -> None:
        """Read what has arrived at once."""
        self._runtime.wake()

    def _set_aside(self) -> None:
        """Pass the transport the advertisements that may wait, where these have changed."""
        if self._settled.has_changed and self._aside is not None:
            for (link, family), heads in self._settled.changes().items():
                self._aside.set_aside(link, family, heads)

    # Addresses

    def start(self, attempt: Attempt) -> None:
        """Make an attempt in a task."""
        task = start_task(self._carry_out(attempt), context=self._context.copy())
        self._tasks.setdefault(attempt.key, {})[attempt] = task
        task.add_done_callback(lambda done: self._end(attempt, done), context=self._context.copy())

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the task of an attempt."""
        self._tasks[attempt.key][attempt].cancel()

    async def _carry_out(self, attempt: Attempt) -> None:
        effect, actuator = attempt.effect, self._actuator
        if isinstance(effect, DropAddresses):
            await self._observers.vacated(effect.key)
        elif isinstance(effect, HoldAddresses) and (preparation := self._observers.preparation(effect.key)) is not None:
            self._runtime.stand_aside(attempt)
            await preparation
        if not self._runtime.begin(attempt):
            return
        match effect:
            case DropAddresses(key, _epoch, addresses):
                await _awaitable("drop", actuator, actuator.drop(key, addresses))
            case HoldAddresses(key, _epoch, addresses, previous, lease_timings=lease_timings):
                if previous:
                    await _awaitable("drop", actuator, actuator.drop(key, previous))
                lifetime_s = lease_timings.lifetime_s if lease_timings else None
                await _awaitable("hold", actuator, actuator.hold(key, addresses, lifetime_s=lifetime_s))
            case Announce(key, _epoch, addresses, form):
                await _awaitable("announce", actuator, actuator.announce(key, addresses, form))

    def _end(self, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        tasks = self._tasks[attempt.key]
        del tasks[attempt]
        if not tasks:
            del self._tasks[attempt.key]
        self._runtime.attempt_ended(attempt, _error_of(task))
        self._ended.set()

    def renew(self, effects: Sequence[RenewAddresses]) -> None:
        """Renew the lifetime of the addresses in the kernel."""
        renew = self._actuator.renew
        for each in effects:
            if each.lifetime_s is not None:
                renew(each.key, each.addresses, each.lifetime_s)
        self._actuator.send_renewals()
        self._observers.renewed(effects)

    # Guardian

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Give the guardian its clean-up plan: how to drop the addresses, and the bow-out to send then."""
        if self._guardian is None or effect.lease_timings is None:
            return
        steps = self._actuator.clean_up_plan(effect.key, effect.addresses + effect.previous)
        self._gather()
        self._guardian.arm(effect.key, (*steps, *self._bow_out_of(effect)), effect.lease_timings.timeout_ns)

    def renew_guardian(self, keys: Sequence[HostKey]) -> None:
        """Send the guardian a sign of life of each host."""
        if self._beating is not None:
            self._beating.beat_together(keys)
        elif self._guardian is not None:
            for each in keys:
                self._guardian.beat(each)

    def disarm_guardian(self, key: HostKey) -> None:
        """Remove a host from the guardian."""
        if self._guardian is not None:
            self._guardian.disarm(key)
        self._bow_outs.pop(key, None)

    def _bow_out_of(self, effect: HoldAddresses) -> tuple[PreparedPacket, ...]:
        """Return the bow-out as packets, prepared once for each hold: the guardian is armed before it and after it."""
        prepared = self._bow_outs.get(effect.key)
        if prepared is None or prepared[0] is not effect:
            outgoing = effect.lease_timings.bow_out if effect.lease_timings else ()
            packets = tuple(packet for each in outgoing if (packet := self._prepared_packet(each)))
            prepared = self._bow_outs[effect.key] = effect, packets
        return prepared[1]

    def _prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        if self._preparing is None:
            return None
        with contextlib.suppress(OSError):
            return self._preparing.prepared_packet(self._with_source_mac(outgoing))
        return None

    # Observers

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Report an effect to the node."""
        self._observers.asked(effect)

    def reported(self, report: ActuationReported) -> None:
        """Report the result of an actuation to the node."""
        self._observers.reported(report)

    def publish(self, event: Event) -> None:
        """Pass an event to the node."""
        self._observers.published(event)

    def stalled(self, late_ns: int) -> None:
        """Report a stall to the node, with the present time."""
        self._observers.stalled(late_ns, self.now_ns())

    def failed(self, bug: BaseException) -> None:
        """Report a failure of the engine to the node."""
        self._observers.failed(bug)


def _nothing() -> None:
    """Do nothing, for a guardian that cannot gather."""


def _no_counts() -> None:
    """Return None: a transport that cannot filter packets counts none."""


def _awaitable(name: str, actuator: Actuator, result: Any) -> Awaitable[None]:
    """Return what a call of an actuator returned; ActuatorError if it cannot be awaited."""
    if not inspect.isawaitable(result):
        raise ActuatorError(
            f"{name} of {type(actuator).__name__} returned {result!r}, which cannot be awaited; write async def {name}"
        )
    return result


def _error_of(task: "asyncio.Task[None]") -> str | None:
    """Return why an attempt failed; None if it did not."""
    exc = asyncio.CancelledError() if task.cancelled() else task.exception()
    if exc is None:
        return None
    if isinstance(exc, ActuatorError | OSError):
        return str(exc)
    text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
