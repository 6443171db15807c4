"""Feeds the engine and obeys it: one inbox, one drain, one timer.

Whatever a callback, a failed send or a lane submits during the drain lands behind the current step; re-entry is
impossible by construction. The drain never awaits.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import assert_never

from pycarp.aio.sieges import Sieges
from pycarp.core.effects import (
    Announce,
    DropAddresses,
    Effect,
    HoldAddresses,
    ProlongAddresses,
    Publish,
    Transmit,
)
from pycarp.core.engine import Engine
from pycarp.core.events import Departed, Event, SettingsChange
from pycarp.core.inputs import DatagramReceived, Input, TimePassed, TransmitReported
from pycarp.recording import Recorder
from pycarp.transports.base import Screening, Transport
from pycarp.vocabulary import NS_PER_S, Family, HostKey

TURN_BUDGET = 256
"""Steps in one turn of the loop."""

READ_BATCH = 64
"""Datagrams read in one turn of the loop."""

READ_BEFORE_EXPIRY = 1024
"""Datagrams read at most before timers expire: after a pause the master's advertisements wait in the socket."""

STALL_NS = NS_PER_S // 4
"""A timer later than this is worth telling: a quarter of the shortest whole-second interval."""


class Driver:
    """Owns the inbox and the timer; calls back for slow effects and for events."""

    def __init__(
        self,
        *,
        engine: Engine | Recorder,
        transport: Transport,
        actuate: Callable[[HoldAddresses | DropAddresses | Announce], None],
        prolong: Callable[[ProlongAddresses], None],
        publish: Callable[[Event], None],
        on_stall: Callable[[int, int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._actuate = actuate
        self._prolong = prolong
        self._publish = publish
        self._on_stall = on_stall
        self._on_failure = on_failure
        self._sieges = Sieges(engine, transport, self.submit) if isinstance(transport, Screening) else None
        self._loop = asyncio.get_running_loop()
        # A timer is the node's, not of whoever happened to speak to it last.
        self._context = contextvars.copy_context()
        self._inbox: deque[Input] = deque()
        self._is_draining = False
        self._is_stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_ns: int | None = None
        self._armed_ns: int | None = None
        self._troubled: set[HostKey] = set()
        self._silent: set[tuple[HostKey, Family]] = set()
        self._sent: dict[tuple[HostKey, Family], str | None] = {}

    def submit(self, event: Input) -> None:
        """Give the engine an input now, or right after the current step."""
        self._inbox.append(event)
        if not self._is_draining:
            self._drain()

    def wake(self) -> None:
        """Read what a transport has; called by the loop."""
        self._read(READ_BATCH)

    def can_speak(self, key: HostKey) -> bool:
        """Say whether a host's last advertisements could be sent, in every family."""
        return not any((key, family) in self._silent for family in Family)

    def stop(self) -> None:
        """Handle nothing any more."""
        self._is_stopped = True
        self._inbox.clear()
        self._disarm()

    def _drain(self) -> None:
        self._is_draining = True
        try:
            for _ in range(TURN_BUDGET):
                if not self._inbox or self._is_stopped:
                    break
                step = self._engine.handle(self._inbox.popleft(), self._now_ns())
                self._deadline_ns = step.deadline_ns
                self._perform(step.effects)
            else:
                self._loop.call_soon(self._resume, context=self._context.copy())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as bug:  # noqa: BLE001  the engine never raises but for a bug of ours: stop, release, raise
            self._fail(bug)
        finally:
            self._is_draining = False
        if not self._is_stopped:
            self._arm()

    def _resume(self) -> None:
        if not self._is_draining:
            self._drain()

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        """Send and hand over first, in order; tell observers last, so that none of them delays an advertisement."""
        events: list[Event] = []
        for effect in effects:
            match effect:
                case Transmit():
                    self._transmit(effect)
                case HoldAddresses() | DropAddresses() | Announce():
                    self._actuate(effect)
                case ProlongAddresses(key):
                    # A MASTER that cannot send is silent to its peers, and its addresses must not outlive that.
                    if self.can_speak(key):
                        self._prolong(effect)
                case Publish(event):
                    self._forget_silence(event)
                    events.append(event)
                case _:
                    assert_never(effect)
        self._report_what_was_sent()
        for event in events:
            self._publish(event)

    def _transmit(self, effect: Transmit) -> None:
        """Send; a voice, a family of a host, counts as heard when any of its peers could be sent to."""
        voice = effect.key, effect.outgoing.family
        try:
            self._transport.send(effect.outgoing)
        except OSError as exc:
            if self._sent.setdefault(voice, exc.strerror or str(exc)) is not None:
                self._silent.add(voice)
        else:
            self._sent[voice] = None
            self._silent.discard(voice)

    def _report_what_was_sent(self) -> None:
        for (key, family), error in self._sent.items():
            if error is not None:
                self._troubled.add(key)
            if key in self._troubled:
                self._inbox.append(TransmitReported(key, error, family))
        self._sent.clear()

    def _forget_silence(self, event: Event) -> None:
        """Forget which families could not be sent: those of other settings may never be again."""
        if isinstance(event, SettingsChange | Departed):
            self._silent -= {(event.key, family) for family in Family}

    # Time

    def _now_ns(self) -> int:
        # Rounded, not cut: a deadline as a float must be due when the loop says that it is that late.
        return round(self._loop.time() * NS_PER_S)

    def _arm(self) -> None:
        if self._deadline_ns == self._armed_ns and self._timer is not None:
            return
        self._disarm()
        if self._deadline_ns is not None:
            self._armed_ns = self._deadline_ns
            self._timer = self._loop.call_at(self._deadline_ns / NS_PER_S, self._on_timer, context=self._context.copy())

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._armed_ns = None

    def _on_timer(self) -> None:
        """Read before expiring, then let time pass; a timer that fires early is simply armed again."""
        deadline_ns = self._armed_ns
        self._timer = None
        self._armed_ns = None
        assert deadline_ns is not None
        late_ns = self._now_ns() - deadline_ns
        self._read(READ_BEFORE_EXPIRY)
        if late_ns > STALL_NS:
            self._on_stall(late_ns, self._now_ns())
        self.submit(TimePassed())

    def _read(self, limit: int) -> None:
        try:
            datagrams = self._transport.drain(limit)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as bug:  # noqa: BLE001  transports promise not to raise here; a deaf node must not go on
            self._fail(bug)
            return
        for datagram in datagrams:
            self.submit(DatagramReceived(datagram))
        if self._sieges is not None and not self._is_stopped:
            self._sieges.look(self._now_ns())

    def _fail(self, bug: BaseException) -> None:
        self.stop()
        self._on_failure(bug)
