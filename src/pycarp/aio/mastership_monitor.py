"""Decides whether a host is surely the only MASTER, and ends the masterships on it when it no longer is.

The shell reports every effect and event to it in the step in which it happens, so it ends a mastership before any other
task runs. Silence it finds by the clock: each advertisement that was sent extends the mastership by one ``Lease``.
"""

import asyncio
from collections.abc import Callable
from typing import assert_never

from pycarp.aio.mastership import LossReason, Mastership
from pycarp.aio.small_event import SmallEvent
from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.events import Event, SettingsChange, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import Action, ActuationReported
from pycarp.core.lease import lease_of
from pycarp.core.state import TAKES_OVER_FROM_LIVE_MASTER, Reason, State
from pycarp.errors import NodeFailedError, UsageError
from pycarp.vocabulary import NS_PER_S, HostKey

_WAITS_FOR_BOW_OUT = frozenset({Reason.HANDED_OVER, Reason.ADMIN_DOWN, Reason.REMOVED, Reason.FORCED, Reason.GROUPED})
"""Reasons after which peers wait for the bow-out, sent once the addresses are dropped, for as long as the lease."""

_RIVAL_NS = NS_PER_S // 10
"""How long after a takeover a stronger MASTER may appear: a bow-out makes every BACKUP take over at the same moment."""


class MastershipMonitor:
    """Keeps the masterships of one host, from the host's addition to its removal.

    ``can_send`` returns whether the last advertisement could be sent.
    """

    def __init__(self, config: HostConfig, can_send: Callable[[], bool]) -> None:
        self._config = config
        self._lease = lease_of(config)
        self._can_send = can_send
        self._loop = asyncio.get_running_loop()
        self._masterships: list[Mastership] = []
        self._change = SmallEvent()
        self._waiting = 0
        self._began: StateChange | None = None
        self._alive_at_ns: int | None = None
        self._hold_epoch: int | None = None
        self._is_held = False
        self._settled_at_ns = 0
        self._settling: asyncio.TimerHandle | None = None
        self._drops_at_s = 0.0
        self._end: str | None = None
        self._failure: BaseException | None = None

    @property
    def failure(self) -> BaseException | None:
        """The exception that the node failed with, None if it has not failed."""
        return self._failure

    @property
    def key(self) -> HostKey:
        """The host."""
        return self._config.key

    # Masterships

    async def begin(self, *, clean_up_s: float) -> Mastership:
        """Wait until the host is surely the only MASTER, then return a new mastership.

        Raises UsageError when the host departs first, NodeFailedError when the node fails first.
        """
        mastership = Mastership(self, clean_up_s=clean_up_s)
        while not (self._is_open and mastership.remaining_s > 0):
            if self._failure is not None:
                raise NodeFailedError(f"{self.key} is on a node that failed: {self._failure!r}") from self._failure
            if self._end is not None:
                raise UsageError(self._end)
            await self._changed()
        self._masterships.append(mastership)
        return mastership

    @property
    def _is_open(self) -> bool:
        """True if the addresses are held and every earlier mastership is over, on this host and on its peers."""
        is_settled = self._now_ns() >= self._settled_at_ns
        return self._is_held and is_settled and not any(mastership.is_lost for mastership in self._masterships)

    async def vacated(self) -> None:
        """Wait until the addresses may be dropped: every lost mastership has ended, or its time has run out."""
        while any(mastership.is_lost for mastership in self._masterships):
            try:
                async with asyncio.timeout_at(self._drops_at_s):
                    await self._changed()
            except TimeoutError:
                return

    def clean_up_s(self, wanted_s: float) -> float:
        """Return how many seconds clean-up may take: ``wanted_s``, or less where the lease is shorter."""
        return min(wanted_s, self._lease.reserve_ns / NS_PER_S)

    def remaining_s(self) -> float:
        """Return for how many seconds no peer takes over even if no advertisement is sent; negative when a peer may."""
        if self._alive_at_ns is None:
            return -1.0
        return (self._alive_at_ns + self._lease.timeout_ns - self._now_ns()) / NS_PER_S

    async def next_sign(self, after_ns: int | None) -> int | None:
        """Wait for another sign of life than that at ``after_ns``; return the time of it."""
        while self._alive_at_ns == after_ns:
            await self._changed()
        return self._alive_at_ns

    def leave(self, mastership: Mastership) -> None:
        """Forget a mastership that has ended, or that has not ended within its time."""
        if mastership in self._masterships:
            self._masterships.remove(mastership)
            self._notify()

    # What the shell reports

    def extend_lease(self, now_ns: int) -> None:
        """Extend the lease: an advertisement was sent at ``now_ns``, just now."""
        if self._began is None:
            return
        if self._alive_at_ns is None or self._alive_at_ns + self._lease.timeout_ns <= now_ns:
            self._lose(LossReason.SILENT)
        self._alive_at_ns = now_ns
        if self._waiting:
            self._notify()

    def record_effect(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Record an effect that the actuator is asked for."""
        match effect:
            case HoldAddresses(epoch=epoch):
                self._hold_epoch, self._is_held = epoch, False
            case DropAddresses():
                self._hold_epoch, self._is_held = None, False
            case Announce():
                pass
            case _:
                assert_never(effect)

    def record_result(self, report: ActuationReported) -> None:
        """Record the result of an actuation."""
        if report.action is Action.HOLD and report.error is None and report.epoch == self._hold_epoch:
            self._is_held = True
            self._notify()

    def receive(self, event: Event) -> None:
        """Begin or end masterships as an event of the host requires."""
        if isinstance(event, SettingsChange):
            self._config = event.config
            self._lease = lease_of(event.config)
            for mastership in list(self._masterships):
                mastership.look_again()
        elif isinstance(event, StateChange) and event.new is State.MASTER:
            self._ascend(event)
        elif isinstance(event, StateChange):
            self._descend(event)

    def fail(self, failure: BaseException) -> None:
        """End every mastership: the node has failed."""
        self._failure = failure
        self._lose(LossReason.FAILED)
        self.close("the node has failed")

    def close(self, why: str) -> None:
        """End every wait for a mastership with UsageError ``why``, or NodeFailedError when the node has failed."""
        self._end = why
        self._stop_settling()
        self._began = self._alive_at_ns = None
        self._is_held = False
        self._notify()

    def _ascend(self, change: StateChange) -> None:
        self._began = change
        # The first advertisement was sent in the same step, unless sending failed.
        self._alive_at_ns = change.at_ns if self._can_send() else None
        settling_ns = self._lease.settling_ns if self._replaces_live_master(change) else _RIVAL_NS
        self._settled_at_ns = change.at_ns + settling_ns
        self._settling = self._loop.call_at(self._settled_at_ns / NS_PER_S, self._notify)

    def _replaces_live_master(self, change: StateChange) -> bool:
        config = self._config
        master_down_ns = config.dialect.master_down_ns(config.advbase, config.advskew, config.dead_ratio)
        return (
            change.reason in TAKES_OVER_FROM_LIVE_MASTER
            and change.silent_ns is not None
            and change.silent_ns < master_down_ns
        )

    def _descend(self, change: StateChange) -> None:
        self._stop_settling()
        self._began = None
        self._lose(change)
        self._alive_at_ns = None

    def _lose(self, reason: StateChange | LossReason) -> None:
        """End every mastership, and delay the drop of the addresses for as long as no peer is affected."""
        left_s = max((mastership.clean_up_s for mastership in self._masterships), default=0.0)
        self._drops_at_s = self._loop.time() + min(left_s, self._grace_s(reason))
        for mastership in list(self._masterships):
            mastership.lose(reason)

    def _grace_s(self, reason: StateChange | LossReason) -> float:
        """Return for how many seconds the addresses may stay after a mastership was lost."""
        if not isinstance(reason, StateChange):
            return 0.0
        if reason.reason in _WAITS_FOR_BOW_OUT:
            return max(self.remaining_s(), 0.0)
        if reason.reason is Reason.BETTER_MASTER:
            # The new MASTER waits that long for our farewell, then holds the addresses without it.
            return self._config.dialect.yield_grace_ns / NS_PER_S / 2
        return 0.0

    def _stop_settling(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def _notify(self) -> None:
        """Wake every task that waits for a mastership, so that it checks its condition again."""
        if self._waiting:
            self._change.set()
            self._change.clear()

    async def _changed(self) -> None:
        """Wait for the next call of ``_notify``, which comes with every advertisement and mostly finds no waiter."""
        self._waiting += 1
        try:
            await self._change.wait()
        finally:
            self._waiting -= 1

    def _now_ns(self) -> int:
        return round(self._loop.time() * NS_PER_S)
