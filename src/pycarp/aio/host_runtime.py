"""One host of a node, from its addition to its removal.

Each step of the addition is undone in reverse order when a later one fails, and when the host departs. The shell holds
and drops the addresses; the runtime of a host knows whether they are dropped as the engine wants.
"""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from pycarp.actuators.actuator import Actuator
from pycarp.aio.bounded import outcome_of
from pycarp.aio.callback_queue import Callback
from pycarp.aio.links import Links
from pycarp.aio.log_records import logger
from pycarp.aio.mastership_monitor import MastershipMonitor
from pycarp.aio.shell import Shell
from pycarp.aio.small_event import SmallEvent
from pycarp.aio.subscriptions import EventLog
from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.events import AddressesHeld, Departed, Event, SettingsChange, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import Action, ActuationReported
from pycarp.tasks import start_task
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress


class Backends(msgspec.Struct, frozen=True, kw_only=True):
    """The objects that the hosts of a node share.

    ``release`` removes what was made for a host on this machine; ``left_s`` returns how many seconds that may take.
    """

    links: Links
    actuator: Actuator
    shell: Shell
    release: Callable[[HostKey], Coroutine[Any, Any, None]]
    left_s: Callable[[], float]
    callback_timeout_s: float


class HostRuntime:
    """The resources and the event log of one host; ``forget`` is called when every resource is released."""

    def __init__(self, config: HostConfig, backends: Backends, forget: Callable[["HostRuntime"], None]) -> None:
        self.key = config.key
        self.config = config
        self.log = EventLog(config.key, callback_timeout_s=backends.callback_timeout_s)
        self.monitor = MastershipMonitor(config, lambda: backends.shell.can_send(config.key))
        self.has_departed = False
        self._backends = backends
        self._forget = forget
        self._latest: HoldAddresses | DropAddresses | None = None
        self._shared = frozenset(config.addresses)
        self._errors: dict[Action, str] = {}
        self._before_hold: list[Callback] = []
        self._prepared: StateChange | None = None
        self._held: StateChange | None = None
        self._dropped = SmallEvent()
        self._has_link = False
        self._may_be_prepared = False
        self._closing: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()

    async def open(self) -> None:
        """Open the link, join the groups, and make what the addresses need.

        When a step fails or is cancelled, that step and those before it are undone.
        """
        try:
            await self._backends.links.acquire(self.config)
            self._has_link = True
            # Before the call: a cancelled preparation may be half done, and releasing nothing is a no-op.
            self._may_be_prepared = True
            await self._backends.actuator.prepare(self.config)
        except BaseException:
            await self._undo()
            raise

    # Actuation

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Record an effect that the engine asks the actuator for."""
        if not isinstance(effect, Announce):
            self._latest = effect
            self._dropped.clear()
        self.monitor.record_effect(effect)

    def note(self, report: ActuationReported) -> None:
        """Record the result of an actuation."""
        self.monitor.record_result(report)
        self._errors[report.action] = report.error or ""
        effect = self._latest
        if effect is None or report.error is not None or report.epoch != effect.epoch:
            return
        if report.action is Action.DROP and isinstance(effect, DropAddresses):
            self._dropped.set()
        change = self.log.last_change
        if report.action is Action.HOLD and change is not None and self._held is not change:
            self._held = change
            at_ns = round(asyncio.get_running_loop().time() * NS_PER_S)
            self.publish(AddressesHeld(key=self.key, at_ns=at_ns, epoch=change.epoch))
        if report.action is not Action.ANNOUNCE and self._shared != frozenset(self.config.addresses):
            # The addresses that were shared before are dropped by now, too.
            self._shared = frozenset(self.config.addresses)
            self._backends.actuator.set_shared(self.key, self.config.addresses)

    @property
    def address_error(self) -> str:
        """Why the last hold or drop failed; empty if it succeeded."""
        return self._errors.get(Action.DROP) or self._errors.get(Action.HOLD) or ""

    async def try_out(self, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Raise ActuatorError if this machine refuses one of the addresses that are not shared yet."""
        more = tuple(each for each in addresses if each not in self.config.addresses)
        if more:
            await self._backends.actuator.try_out(self.key, more)

    # Before the addresses are held

    def add_before_hold(self, callback: Callback) -> None:
        """Await a function before the addresses are held for the first time in each mastership."""
        self._before_hold.append(callback)

    def remove_before_hold(self, callback: Callback) -> None:
        """Remove such a function; no-op if it is absent."""
        self._before_hold = [each for each in self._before_hold if each != callback]

    def preparation(self) -> Awaitable[None] | None:
        """Return what is to be awaited before a hold; None if nothing is, or it has been in this mastership."""
        change = self.log.last_change
        if change is None or not self._before_hold or change in (self._prepared, self._held):
            return None
        return self._prepare(change)

    async def _prepare(self, change: StateChange) -> None:
        for callback in list(self._before_hold):
            outcome = callback(change)
            if inspect.isawaitable(outcome):
                await outcome
        self._prepared = change

    def publish(self, event: Event) -> None:
        """Publish an event to the observers; apply new settings, and begin to close when the host has departed."""
        if isinstance(event, SettingsChange):
            self.config = event.config
            self._backends.links.follow_settings(event.config)
        if isinstance(event, Departed):
            self.has_departed = True
        self.monitor.receive(event)
        self.log.publish(event)
        if isinstance(event, Departed):
            self._begin_closing()

    async def dropped(self) -> None:
        """Wait until the addresses are dropped as the engine wants, or until the host or the node ends."""
        await self._dropped.wait()

    # Closing

    async def close(self) -> None:
        """Release everything but the addresses, in bounded time; a second call waits for the first."""
        await asyncio.shield(self._begin_closing())

    def fail(self, failure: BaseException, at_ns: int) -> None:
        """End every wait, subscription and mastership with NodeFailedError."""
        self._dropped.set()
        self.monitor.fail(failure)
        self.log.fail(failure, at_ns)

    def _begin_closing(self) -> "asyncio.Task[None]":
        if self._closing is None:
            self.monitor.close(f"virtual host {self.key} has departed")
            self._dropped.set()
            self._closing = start_task(self._close(), context=self._context.copy())
        return self._closing

    async def _close(self) -> None:
        try:
            if self._backends.shell.forget(self.key):
                await self._bounded("stop working on the addresses", self._backends.shell.release(self.key))
            await self._undo()
        finally:
            self.log.end()
            self._forget(self)

    async def _undo(self) -> None:
        """Undo the steps of ``open``, the last one first, each once."""
        try:
            if self._may_be_prepared:
                self._may_be_prepared = False
                await self._release_hosts()
        finally:
            if self._has_link:
                self._has_link = False
                await self._release_link()

    async def _release_link(self) -> None:
        await self._bounded("leave its link", self._backends.links.release(self.key))

    async def _release_hosts(self) -> None:
        await self._bounded("clean up", self._backends.release(self.key))

    async def _bounded(self, what: str, call: Coroutine[Any, Any, object]) -> None:
        """Run one step of closing for at most a third of the remaining time; log its failure."""
        error = await outcome_of(call, within_s=self._backends.left_s() / 3)
        if error is not None:
            # Not fatal: the addresses are dropped, and the next start cleans up the rest.
            logger.warning("carp: %s: cannot %s: %s", self.key, what, error)
