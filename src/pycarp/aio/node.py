"""A process's set of virtual hosts: opens what they need, adds, removes, and leaves cleanly."""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pycarp import actuators, monitors, transports
from pycarp.actuators.base import Actuator
from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import logger
from pycarp.aio.reign import Reign
from pycarp.aio.shell import ATTEMPT_TIMEOUT_S, Guardian, Observers, Shell
from pycarp.aio.subscriptions import EventLog
from pycarp.aio.tenure import ClockTokens
from pycarp.core.engine import Engine
from pycarp.core.events import Event, LoopStalled
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    ActuationReported,
    AdminChanged,
    DemotionSet,
    HostAdded,
    HostRemoved,
    Input,
    LinkChanged,
    SettingsChanged,
)
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot
from pycarp.errors import ActuatorError, ConfigError, TransportError, UsageError
from pycarp.monitors.base import Monitor
from pycarp.recording import Recorder, Sink
from pycarp.transports.base import Transport
from pycarp.vocabulary import HostKey

CLOSE_TIMEOUT_S = 5.0


@dataclass(slots=True)
class _Place:
    """What the node keeps about one host."""

    host: VirtualHost
    log: EventLog
    reign: Reign


class Node:
    """An async context manager that owns one engine and its surroundings.

    ``transport`` and ``actuator`` are names (``auto``, ``packet``, ``raw``; ``auto``, ``netlink``, ``null``) or
    objects that satisfy the protocols; ``monitor`` is an object, None for the operating system's. Leaving the
    context removes every host: addresses dropped, then bow-out, within ``close_timeout_s``. An actuator may take
    ``actuation_timeout_s`` for one call. ``guardian`` drops the addresses when this process cannot. ``recorders`` are
    given every step of the engine; see ``pycarp.recording``.
    """

    def __init__(
        self,
        *,
        transport: str | Transport = "auto",
        actuator: str | Actuator = "auto",
        monitor: Monitor | None = None,
        settings: Settings | None = None,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
        actuation_timeout_s: float = ATTEMPT_TIMEOUT_S,
        guardian: Guardian | None = None,
        recorders: Sequence[Sink] = (),
    ) -> None:
        self._transport = transports.by_name(transport) if isinstance(transport, str) else transport
        self._actuator = actuators.by_name(actuator) if isinstance(actuator, str) else actuator
        self._monitor = monitor or monitors.system_monitor()
        self._guardian = guardian
        self._close_timeout_s = close_timeout_s
        self._actuation_timeout_s = actuation_timeout_s
        self._engine = _engine(settings, recorders)
        self._places: dict[HostKey, _Place] = {}
        self._tokens = ClockTokens()
        self._opening = asyncio.Lock()
        self._driver: Shell | None = None
        self._stack = contextlib.AsyncExitStack()
        self._user: asyncio.Task[object] | None = None
        self._is_leaving = False
        self._failure: BaseException | None = None
        self._has_cancelled_user = False

    async def __aenter__(self) -> Self:
        if self._user is not None:
            raise UsageError("a node can be entered once only")
        self._user = asyncio.current_task()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._transport.close)
            await self._actuator.open()
            stack.push_async_callback(self._actuator.close)
            if self._guardian is not None:
                await self._guardian.start()
                stack.push_async_callback(self._guardian.close)
            await self._monitor.open()
            stack.push_async_callback(self._monitor.close)
            self._driver = Shell(
                engine=self._engine,
                transport=self._transport,
                actuator=self._actuator,
                guardian=self._guardian,
                attempt_timeout_s=self._actuation_timeout_s,
                observers=Observers(
                    asked=lambda effect: self._places[effect.key].reign.take(effect),
                    renewed=lambda key: self._places[key].reign.live(),
                    reported=self._note_report,
                    published=self._publish,
                    stalled=self._tell_stall,
                    failed=self._fail,
                    vacated=lambda key: self._places[key].reign.vacated(),
                ),
            )
            for watch in (self._follow_links(self._driver), self._actuator.watch(self._driver.submit)):
                follower = asyncio.create_task(watch)
                follower.add_done_callback(self._stop_if_blind)
                stack.push_async_callback(_cancel, follower)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A cancelled body must still leave cleanly, so this runs to its bounded end in a task of its own.
        try:
            await _uninterrupted(asyncio.create_task(self._close()))
        finally:
            if self._failure is not None:
                if self._has_cancelled_user and self._user is not None:
                    self._user.uncancel()
                raise self._failure

    @property
    def hosts(self) -> tuple[VirtualHost, ...]:
        """The hosts, in the order in which they were added."""
        return tuple(place.host for place in self._places.values())

    def snapshot(self) -> EngineSnapshot:
        """Return everything that is known of the node now."""
        return self._engine.snapshot()

    async def add(self, config: HostConfig) -> VirtualHost:
        """Add a virtual host; it is in BACKUP when this returns, or in INIT while its link is down.

        Raises ConfigError (no such interface, vhid in use there), TransportError, or ActuatorError when what its
        addresses need cannot be made.
        """
        self._running()
        self._check_is_free(config)
        facts = await self._monitor.watch(config.interface)
        # At once: what the monitor notices from here on is newer.
        self._running().submit(LinkChanged(facts))
        async with self._opening:
            driver = self._running()
            if self._is_leaving:
                raise UsageError("the node is leaving")
            self._check_is_free(config)
            await self._open_link(config, driver)
            try:
                await self._actuator.adopt(config)
            except (ActuatorError, OSError):
                await self._close_link_if_idle(config.interface)
                raise
            log = EventLog(config.key)
            reign = Reign(config, lambda: driver.can_send(config.key))
            host = VirtualHost(config, log, self._inform, self._engine.host_snapshot, reign, self._tokens)
            self._places[config.key] = _Place(host, log, reign)
        driver.submit(HostAdded(config))
        return host

    async def _open_link(self, config: HostConfig, driver: Shell) -> None:
        """Open the link of a host unless it is open, and join the groups that the host speaks to."""
        is_first = not self._has_hosts_on(config.interface)
        if is_first:
            await self._transport.open_link(config.interface, driver.wake)
        try:
            for family in config.families:
                if not config.has_peers_in(family):
                    await self._transport.join(config.interface, config.group_of(family))
        except TransportError:
            if is_first:
                await self._transport.close_link(config.interface)
            raise

    async def remove(self, host: VirtualHost) -> None:
        """Remove a virtual host; it has dropped its addresses and bowed out when this returns.

        Raises UsageError when it is not here, TimeoutError when the addresses could not be dropped within
        ``close_timeout_s``. In that case, and when this is cancelled, dropping goes on, and the host stays until it is
        removed again.
        """
        driver = self._running()
        place = self._places.get(host.key)
        if place is None:
            raise UsageError(f"virtual host {host.name} is not on this node")
        driver.submit(HostRemoved(host.key))
        try:
            async with asyncio.timeout(self._close_timeout_s):
                await place.log.departure()
        except TimeoutError:
            addresses = " ".join(str(each) for each in place.host.config.shared)
            text = f"{host.name}: {addresses} could not be dropped within {self._close_timeout_s:g} s"
            raise TimeoutError(text) from None
        await self._forget(host.key)

    @property
    def settings(self) -> Settings:
        """The switches of the node."""
        return self._engine.snapshot().settings

    def set_settings(self, settings: Settings) -> None:
        """Set the switches; in force when this returns."""
        self._running().submit(SettingsChanged(settings))

    def demote(self, cause: str, *, by: int, group: str | None = None) -> None:
        """Demote every host of the node, or of an interface group, for a named cause.

        The same cause again replaces its amount.
        """
        self._running().submit(DemotionSet(group, cause, by))

    def restore(self, cause: str, *, group: str | None = None) -> None:
        """Take a named demotion of the node, or of an interface group, back."""
        self._running().submit(DemotionSet(group, cause, 0))

    def _running(self) -> Shell:
        if self._driver is None or self._failure is not None:
            raise UsageError("the node is not running; use it inside 'async with'")
        return self._driver

    def _has_hosts_on(self, link: str) -> bool:
        return any(key.link == link for key in self._places)

    def _check_is_free(self, config: HostConfig) -> None:
        if config.key in self._places:
            raise ConfigError(f"vhid {config.vhid} is in use on {config.interface} already")

    async def _forget(self, key: HostKey) -> None:
        """Release what the shell keeps for a host; nothing happens when somebody else has."""
        place = self._places.pop(key, None)
        if place is None:
            return
        place.reign.close(f"virtual host {key} has departed")
        async with self._opening:
            await self._close_link_if_idle(key.link)
        if self._driver is not None:
            await self._driver.release(key)
        if not self._is_leaving:
            await self._abandon(key)
        await place.log.close(self._close_timeout_s)

    async def _close_link_if_idle(self, link: str) -> None:
        if not self._has_hosts_on(link):
            await self._transport.close_link(link)

    async def _abandon(self, *keys: HostKey) -> None:
        try:
            await self._actuator.abandon(*keys)
        except (ActuatorError, OSError) as exc:
            # The addresses are gone, which is what matters; the next start cleans up the rest.
            logger.warning("carp: cannot clean up: %s", exc)

    async def _close(self) -> None:
        assert self._driver is not None
        self._is_leaving = True
        results: list[BaseException | None] = []
        keys = tuple(self._places)
        async with self._stack:
            if self._failure is None:
                results = await asyncio.gather(*map(self.remove, self.hosts), return_exceptions=True)
            if self._failure is not None:
                await self._driver.surrendered(self._close_timeout_s)
            self._driver.stop()
            await asyncio.gather(*map(self._forget, list(self._places)))
            await self._abandon(*keys)
        self._driver = None
        for result in results:
            if result is not None:
                raise result

    def _inform(self, event: Input) -> None:
        """Give the engine what a user of a host wants; where the addresses are shows it, if it is about up or down."""
        if isinstance(event, AdminChanged):
            self._actuator.set_up(event.key, is_up=event.is_up)
        self._running().submit(event)

    def _note_report(self, report: ActuationReported) -> None:
        place = self._places.get(report.key)
        if place is not None:
            place.reign.note(report)

    async def _follow_links(self, driver: Shell) -> None:
        await self._monitor.run(lambda facts: driver.submit(LinkChanged(facts)))

    def _stop_if_blind(self, follower: "asyncio.Task[None]") -> None:
        """Fail when the monitor did: a node that does not see its links must not hold an address."""
        bug = None if follower.cancelled() else follower.exception()
        if bug is not None:
            self._fail(bug)

    def _publish(self, event: Event) -> None:
        place = self._places.get(event.key)
        if place is not None:
            place.reign.hear(event)
            place.log.publish(event)

    def _tell_stall(self, late_ns: int, now_ns: int) -> None:
        for key, place in self._places.items():
            place.log.publish(LoopStalled(key=key, at_ns=now_ns, late_ns=late_ns))

    def _fail(self, bug: BaseException) -> None:
        """Stop for good: cancel the body of the ``async with``, whose end drops the addresses and raises the bug."""
        if self._failure is not None:
            return
        self._failure = bug
        if self._driver is not None:
            self._driver.surrender()
        for place in self._places.values():
            place.reign.fail()
        if self._user is not None and not self._is_leaving:
            self._has_cancelled_user = True
            self._user.cancel()


def _engine(settings: Settings | None, recorders: Sequence[Sink]) -> Engine | Recorder:
    def entropy() -> int:
        return secrets.randbits(64)

    if recorders:
        return Recorder(recorders, entropy=entropy, settings=settings)
    return Engine(entropy=entropy, settings=settings)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


async def _uninterrupted(task: "asyncio.Task[None]") -> None:
    """Await a task to its end, whatever cancellation comes meanwhile; then let the cancellation have its way."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            cancelled = exc
        except Exception:  # noqa: BLE001, S110  re-raised by result() below
            pass
    task.result()
    if cancelled is not None:
        raise cancelled
