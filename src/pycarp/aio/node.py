"""The virtual hosts of a process: opens the backends they need, adds and removes hosts, fails, and leaves cleanly."""

import asyncio
import contextlib
import contextvars
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from pycarp import actuators, monitors, transports
from pycarp.actuators.actuator import Actuator
from pycarp.aio.arguments import (
    check_cause,
    check_group,
    check_settings,
    demotion_amount,
    restriction_named,
)
from pycarp.aio.backends import check_backend
from pycarp.aio.bounded import outcome_of, result_of
from pycarp.aio.host_runtime import Backends, HostRuntime
from pycarp.aio.links import Links
from pycarp.aio.log_records import EventLines, logger
from pycarp.aio.mastership_context import ClockTokens
from pycarp.aio.shell import ATTEMPT_TIMEOUT_S, GuardianProtocol, Observers, Shell
from pycarp.aio.source_mac import SourceMacs
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.checks import check_flag, check_span
from pycarp.core.effects import RenewAddresses
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
    RestrictionSet,
    SettingsChanged,
)
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.slots import SLOT_NS
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.core.statistics import Statistics
from pycarp.errors import ActuatorError, ConfigError, NodeFailedError, UsageError
from pycarp.monitors.link_monitor import LinkForgetting, Monitor
from pycarp.recording import Recorder, Sink
from pycarp.tasks import start_task
from pycarp.transports.transport import PARTS as TRANSPORT_PARTS
from pycarp.transports.transport import SourceChoosing, Transport
from pycarp.vocabulary import NS_PER_S, HostKey, LinkFacts

CLOSE_TIMEOUT_S = 5.0

_RELEASE_SHARE = 10
"""Closing gets a tenth of ``close_timeout_s`` more if dropping the addresses has used it all up."""

_AT_ONCE = 256
"""How many hosts are removed at a time, and how many learn of a stall before the event loop gets a turn."""

_OTHERS_AT_ONCE = 1024
"""How many hosts that are not MASTER leave in one turn of the loop."""

_NEXT_AFTER_S = 1.0
"""After so many seconds the next host is removed although one has not ended."""

_LOOKS_MAX = 5
"""How often a link that keeps changing is read before a host is added on it."""


class Node:
    """An async context manager that owns one engine, its backends and its hosts.

    ``transport``, ``actuator`` and ``monitor`` are names (``auto``, ``packet``, ``raw``; ``auto``, ``netlink``,
    ``null``; ``auto``, ``netlink``; and what other packages register) or objects that satisfy the protocols. With
    transport ``auto``, a host whose addresses are on the interface advertises from the MAC address of that interface.
    Leaving the context removes every host: each drops its addresses, then bows out, within ``close_timeout_s``, or a
    tenth more if calls hang. An actuator may take ``actuation_timeout_s`` for one call. ``guardian`` drops the
    addresses when this process cannot. ``recorders`` receive every step of the engine; see ``pycarp.recording``. The
    events of the hosts are logged on ``pycarp.state``, ``pycarp.settings``, ``pycarp.addresses`` and ``pycarp.peers``,
    unless ``logs_events`` is False.

    A node that fails (a bug, a monitor that ends) logs the failure, drops its addresses and closes. It ends every wait
    with NodeFailedError and cancels the task that entered it; leaving the context then raises ``failure``.

    Only the thread that entered the context may call a node; every other thread gets UsageError.
    """

    def __init__(
        self,
        *,
        transport: str | Transport = "auto",
        actuator: str | Actuator = "auto",
        monitor: str | Monitor = "auto",
        settings: Settings | None = None,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
        actuation_timeout_s: float = ATTEMPT_TIMEOUT_S,
        guardian: GuardianProtocol | None = None,
        recorders: Sequence[Sink] = (),
        logs_events: bool = True,
    ) -> None:
        check_span("close_timeout_s", close_timeout_s)
        check_span("actuation_timeout_s", actuation_timeout_s)
        check_flag("logs_events", logs_events)
        if settings is not None:
            check_settings(settings)
        self._transport_name = transports.choose(transport) if isinstance(transport, str) else ""
        self._transport = transports.by_name(self._transport_name) if isinstance(transport, str) else transport
        self._actuator = actuators.by_name(actuator) if isinstance(actuator, str) else actuator
        self._monitor = monitors.by_name(monitor) if isinstance(monitor, str) else monitor
        self._source_macs = SourceMacs(self._actuator) if transport == "auto" else None
        check_backend("transport", self._transport, Transport, optional=TRANSPORT_PARTS)
        check_backend("actuator", self._actuator, Actuator)
        check_backend("monitor", self._monitor, Monitor, optional=(LinkForgetting,))
        self._source_choosing = self._transport if isinstance(self._transport, SourceChoosing) else None
        self._guardian = guardian
        self._lines = EventLines() if logs_events else None
        self._close_timeout_s = close_timeout_s
        self._actuation_timeout_s = actuation_timeout_s
        self._engine = _engine(settings, recorders)
        self._runtimes: dict[HostKey, HostRuntime] = {}
        self._handles: dict[HostRuntime, VirtualHost] = {}
        self._openings: dict[HostKey, asyncio.Task[HostRuntime]] = {}
        self._unconfirmed: set[VirtualHost] = set()
        self._remains: set[HostKey] = set()
        self._noticed: Counter[str] = Counter()
        self._link_facts: dict[str, LinkFacts] = {}
        self._tokens = ClockTokens()
        self._shell: Shell | None = None
        self._backends: Backends | None = None
        self._stack = contextlib.AsyncExitStack()
        self._thread = threading.get_ident()
        self._context = contextvars.copy_context()
        self._user: asyncio.Task[Any] | None = None
        self._has_cancelled_user = False
        self._leaving: asyncio.Task[BaseException | None] | None = None
        self._leave_by_s: float | None = None
        self._failure: BaseException | None = None
        self._failed_at_ns = 0

    async def __aenter__(self) -> Self:
        if self._user is not None:
            raise UsageError("a node can be entered once only; make another one")
        self._user = asyncio.current_task()
        self._thread = threading.get_ident()
        self._context = contextvars.copy_context()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._release, "transport", self._transport.close)
            await self._actuator.open()
            stack.push_async_callback(self._release, "actuator", self._actuator.close)
            if self._guardian is not None:
                await self._guardian.start()
                stack.push_async_callback(self._release, "guardian", self._guardian.close)
            await self._monitor.open()
            stack.push_async_callback(self._release, "monitor", self._monitor.close)
            self._shell = self._new_shell()
            links = Links(self._transport, self._shell.wake, left_s=self._left_s)
            stack.push_async_callback(self._release, "links", links.close)
            self._backends = self._new_backends(links, self._shell)
            self._follow(stack, "monitor.run()", self._monitor.run(self._notice_link))
            self._follow(stack, "actuator.watch()", self._actuator.watch(self._submit))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A cancelled body must still leave cleanly, so this runs to its bounded end in a task of its own.
        leaving = self._begin_leaving()
        try:
            await _uninterrupted(leaving)
        finally:
            if self._failure is not None:
                task = asyncio.current_task()
                if task is not None and self._has_cancelled_user and task is self._user:
                    task.uncancel()
                raise self._failure
        error = leaving.result()
        if error is not None:
            raise error

    @property
    def hosts(self) -> tuple[VirtualHost, ...]:
        """The hosts, in the order in which they were added."""
        return tuple(self._handles[each] for each in self._runtimes.values() if not each.has_departed)

    def find(self, key: HostKey) -> VirtualHost | None:
        """Return the host of an interface and a vhid, None if the node has none."""
        runtime = self._runtimes.get(key)
        return None if runtime is None or runtime.has_departed else self._handles[runtime]

    @property
    def failure(self) -> BaseException | None:
        """The exception that the node failed with; None while it has not failed."""
        return self._failure

    @property
    def transport_name(self) -> str:
        """The name of the transport, which for ``auto`` is the chosen one; empty if the node was given an object."""
        return self._transport_name

    def link_facts(self, link: str) -> LinkFacts | None:
        """Return the facts of the interface that is configured as ``link``; None if no host has used it.

        A renamed interface is followed: see ``LinkFacts.present_name``.
        """
        return self._link_facts.get(link)

    def snapshot(self) -> EngineSnapshot:
        """Return everything that is known of the node now; once it has failed, every host is in INIT."""
        snapshot = self._engine.snapshot()
        if self._failure is None:
            return snapshot
        return replace(snapshot, hosts=tuple(self._failed(each) for each in snapshot.hosts))

    def catch_up(self) -> None:
        """Read the advertisements that have arrived, also those that may wait, so that a snapshot has them."""
        self._check_thread()
        if self._shell is not None:
            self._shell.catch_up()

    def statistics(self) -> Statistics:
        """Return the counters of the whole node, as in its snapshot, at a cost that does not grow with its hosts."""
        return self._engine.statistics()

    @property
    def deadline_ns(self) -> int | None:
        """By when this node looks at its timers, in ns of the loop's time; None if none runs."""
        return self._engine.deadline_ns

    @property
    def is_behind(self) -> bool:
        """Whether there is more to read or to do than there is time for; more hosts had better be added later."""
        return self._shell is not None and self._shell.is_behind

    async def add(self, config: HostConfig) -> VirtualHost:
        """Add a virtual host; it is in BACKUP when this returns, or in INIT while its link is down.

        Raises ConfigError (no such interface, vhid in use there, an address is this machine's own), TransportError, or
        ActuatorError when the machine cannot be prepared for the addresses. When it fails or is cancelled, every step
        is undone.
        """
        if not isinstance(config, HostConfig):
            raise ConfigError(f"add() takes a HostConfig, not {config!r}; pass pycarp.HostConfig(...)")
        self._running()
        self._check_is_open()
        self._check_is_free(config)
        opening = start_task(self._open(config))
        self._openings[config.key] = opening
        try:
            runtime = await self._opened(opening, config)
        finally:
            del self._openings[config.key]
        return self._enter(runtime)

    async def remove(self, host: VirtualHost) -> None:
        """Remove a virtual host; it has dropped its addresses and bowed out when this returns.

        Raises UsageError when the host is not on this node, TimeoutError when the addresses could not be dropped within
        ``close_timeout_s``. After that timeout, or a cancellation, dropping goes on and the host departs when it is
        done; call ``remove`` again to wait for that.
        """
        self._running()
        runtime = self._runtime_of(host)
        if runtime is not None:
            await self._remove(runtime, host)
        elif host in self._unconfirmed:
            self._unconfirmed.discard(host)
        else:
            raise UsageError(f"virtual host {getattr(host, 'name', host)} is not on this node")

    @property
    def settings(self) -> Settings:
        """The settings of the node, which are the sysctls of CARP."""
        return self._engine.snapshot().settings

    def set_settings(self, settings: Settings) -> None:
        """Set the settings; in force when this returns. Raises ConfigError unless they are legal."""
        check_settings(settings)
        self._running().submit(SettingsChanged(settings))

    def demote(self, cause: str, *, by: int | None = None, last: bool = False, group: str | None = None) -> None:
        """Demote every host of the node, or of an interface group, for a named cause.

        ``by`` and ``last`` are those of ``VirtualHost.demote``, one of both. The same cause again replaces its amount.
        Raises ConfigError as that does.
        """
        amount = demotion_amount(cause, by, last=last)
        check_group(group)
        self._running().submit(DemotionSet(group, cause, amount, last))

    def restrict(self, cause: str, to: Restriction | str, *, group: str | None = None) -> None:
        """Forbid every host of the node, or of an interface group, to take over; see ``VirtualHost.restrict``.

        Hosts that are added later are restricted from their beginning. Raises ConfigError as that does.
        """
        check_cause(cause)
        check_group(group)
        self._running().submit(RestrictionSet(group, cause, restriction_named(to)))

    def unrestrict(self, cause: str, *, group: str | None = None) -> None:
        """Remove a named restriction of the node, or of an interface group; no-op if it is absent."""
        check_cause(cause)
        check_group(group)
        self._running().submit(RestrictionSet(group, cause, None))

    def restore(self, cause: str, *, group: str | None = None) -> None:
        """Remove a named demotion of the node, or of an interface group; no-op if it is absent."""
        check_cause(cause)
        check_group(group)
        self._running().submit(DemotionSet(group, cause, 0))

    # Adding

    async def _open(self, config: HostConfig) -> HostRuntime:
        """Read the facts of the link, then open the host; runs in a task that leaving the node can cancel."""
        assert self._backends is not None
        # Submitted without an await in between: whatever the monitor reports from here on is newer.
        facts = await self._facts_of(config.interface)
        if self._source_choosing is not None or facts != self._link_facts.get(facts.name):
            self._notice_link(facts)
        runtime = HostRuntime(config, self._backends, self._forget)
        await runtime.open()
        if self._source_macs is not None:
            self._source_macs.note(config)
        return runtime

    async def _facts_of(self, link: str) -> LinkFacts:
        """Return the facts of a link; read them again if the monitor, meanwhile, reported others that may be newer."""
        for _ in range(_LOOKS_MAX):
            noticed = self._noticed[link]
            facts = await self._monitor.watch(link)
            if noticed == self._noticed[link]:
                break
        return facts

    async def _opened(self, opening: "asyncio.Task[HostRuntime]", config: HostConfig) -> HostRuntime:
        """Wait until a host is open and return it; close it again if it can no longer be added.

        That is so when the node is leaving or has failed, or when the call is cancelled.
        """
        cancelled = None
        try:
            await opening
        except asyncio.CancelledError as exc:
            cancelled = exc
        has_failed = opening.cancelled() or opening.exception() is not None
        runtime = None if has_failed else opening.result()
        try:
            if cancelled is not None and _is_cancelled():
                raise cancelled
            self._running()
            self._check_is_open()
            if runtime is None:
                raise ActuatorError(f"adding {config.name} was cancelled by what it called") from cancelled
        except BaseException:
            if runtime is not None:
                await runtime.close()
            raise
        return runtime

    def _enter(self, runtime: HostRuntime) -> VirtualHost:
        """Add an opened host to the engine, and return its handle."""
        host = VirtualHost(runtime, self._inform, self._check_thread, self._host_snapshot, self._tokens, self._check)
        self._runtimes[runtime.key] = runtime
        self._handles[runtime] = host
        self._running().submit(HostAdded(runtime.config))
        return host

    def _check(self, config: HostConfig) -> None:
        self._actuator.check(config)

    def _check_is_free(self, config: HostConfig) -> None:
        if config.key in self._runtimes or config.key in self._openings:
            raise ConfigError(
                f"vhid {config.vhid} is in use on {config.interface} already; take another, or remove that host"
            )

    def _check_is_open(self) -> None:
        if self._leaving is not None:
            raise UsageError("the node is leaving")

    # Removing

    def _runtime_of(self, host: VirtualHost) -> HostRuntime | None:
        return next((runtime for runtime, handle in self._handles.items() if handle is host), None)

    def _remove(self, runtime: HostRuntime, host: VirtualHost) -> Coroutine[Any, Any, None]:
        """Remove a host from the engine at once, and return what awaits its end."""
        self._unconfirmed.add(host)
        deadline_s = _now_s() + self._close_timeout_s
        if self._leave_by_s is not None:
            deadline_s = min(deadline_s, self._leave_by_s)
        self._submit(HostRemoved(runtime.key))
        return self._left(runtime, host, deadline_s)

    async def _left(self, runtime: HostRuntime, host: VirtualHost, deadline_s: float) -> None:
        try:
            if not runtime.has_departed:
                async with asyncio.timeout_at(deadline_s):
                    await runtime.log.departure()
        except TimeoutError:
            addresses = " ".join(str(each) for each in runtime.config.addresses)
            text = f"{host.name}: {addresses} could not be dropped within {self._close_timeout_s:g} s"
            raise TimeoutError(text) from None
        await runtime.close()
        self._unconfirmed.discard(host)
        await runtime.log.close(max(deadline_s - _now_s(), 0.0))

    def _forget(self, runtime: HostRuntime) -> None:
        if self._runtimes.get(runtime.key) is runtime:
            del self._runtimes[runtime.key]
            if self._source_macs is not None:
                self._source_macs.forget(runtime.key)
            del self._handles[runtime]
            self._forget_link(runtime.key.link)

    async def _release_unless_leaving(self, key: HostKey) -> None:
        # Leaving releases all hosts in one call, those included whose release failed before.
        self._remains.add(key)
        if self._leaving is None:
            await self._actuator.release(key)
            self._remains.discard(key)

    # Leaving

    def _begin_leaving(self) -> "asyncio.Task[BaseException | None]":
        if self._leaving is None:
            loop = asyncio.get_running_loop()
            self._leave_by_s = loop.time() + self._close_timeout_s
            self._leaving = start_task(self._leave(), context=self._context.copy())
        return self._leaving

    async def _leave(self) -> BaseException | None:
        """Drop and release everything in bounded time, also after a failure; return the first error, None if none."""
        assert self._leave_by_s is not None
        self._remains.update(self._runtimes, self._openings)
        openings = [outcome_of(self._stopped(each), within_s=self._left_s()) for each in self._openings.values()]
        stopping = asyncio.gather(*openings)
        errors: list[BaseException | None] = []
        if self._failure is None:
            errors += await self._remove_all()
        if self._shell is not None:
            if self._failure is not None:
                await self._surrendered(self._shell, self._leave_by_s)
            self._shell.stop()
        await stopping
        runtimes = list(self._runtimes.values())
        await asyncio.gather(*(each.close() for each in runtimes))
        await asyncio.gather(*(each.log.close(max(self._leave_by_s - _now_s(), 0.0)) for each in runtimes))
        if self._remains:
            await self._release_hosts(tuple(self._remains))
        try:
            await self._stack.aclose()
        except BaseException as exc:  # noqa: BLE001  __aexit__ raises what closing raised
            errors.append(exc)
        self._shell = None
        return next((each for each in errors if each is not None), None)

    async def _remove_all(self) -> list[BaseException | None]:
        """Remove every host, MASTERs first; return what each removal raised, None if nothing.

        What was made for hosts is removed as soon as they have departed, unless a MASTER still waits for its drop: the
        kernel does that while the loop sees to the rest of their end.
        """
        handles = list(self._handles.items())
        masters = [each for each in handles if each[1].state is State.MASTER]
        others = [each for each in handles if each[1].state is not State.MASTER]
        removals: list[asyncio.Task[None]] = []
        leaving = start_task(self._remove_by_turns(masters, removals))
        # A MASTER whose drop hangs must not keep the others from leaving.
        await asyncio.wait({leaving}, timeout=min(_NEXT_AFTER_S, self._left_s() / 2))
        releases: list[asyncio.Task[None]] = []
        for some in (
            masters,
            *(others[start : start + _OTHERS_AT_ONCE] for start in range(0, len(others), _OTHERS_AT_ONCE)),
        ):
            if all(runtime.has_departed for runtime, _host in masters):
                # Started first: a BACKUP departs at once, and its tasks and log lines come after this one.
                releases.append(start_task(self._release_departed([runtime for runtime, _host in some])))
            if some is not masters:
                removals += [start_task(self._remove(*each)) for each in some]
            await asyncio.sleep(0)
        await leaving
        errors = await asyncio.gather(*removals, return_exceptions=True)
        for each in releases:
            each.add_done_callback(result_of)
            await outcome_of(asyncio.wait({each}), within_s=self._left_s() / 2)
            each.cancel()
        return errors

    async def _remove_by_turns(
        self, handles: Sequence[tuple[HostRuntime, VirtualHost]], removals: "list[asyncio.Task[None]]"
    ) -> None:
        """Remove so many hosts at a time: thousands that have not begun to leave go on giving signs of life."""
        waiting = iter(handles)

        async def remove_next() -> None:
            for each in waiting:
                removals.append(start_task(self._remove(*each)))
                # A drop that hangs must not keep the others from being tried.
                await asyncio.wait({removals[-1]}, timeout=_NEXT_AFTER_S)

        await asyncio.gather(*(remove_next() for _ in range(min(_AT_ONCE, len(handles)))))

    async def _release_departed(self, hosts: Sequence[HostRuntime]) -> None:
        """Release those hosts that have departed; what fails is tried once more later."""
        keys = [each.key for each in hosts if each.has_departed]
        if keys:
            await self._actuator.release(*keys)
            self._remains.difference_update(keys)

    async def _surrendered(self, shell: Shell, leave_by_s: float) -> None:
        """Wait until a failed node has dropped its addresses; log those that it could not drop."""
        left = await shell.surrendered(max(leave_by_s - _now_s(), self._close_timeout_s / _RELEASE_SHARE))
        for key, addresses in left.items():
            text = " ".join(str(each) for each in addresses)
            logger.error("carp: %s: the node failed and could not drop %s", key, text)

    async def _stopped(self, opening: "asyncio.Task[HostRuntime]") -> None:
        opening.cancel()
        await asyncio.wait({opening})

    async def _release_hosts(self, keys: tuple[HostKey, ...]) -> None:
        error = await outcome_of(self._actuator.release(*keys), within_s=self._left_s() / 2)
        if error is not None:
            # Not fatal: the addresses are dropped, and the next start cleans up the rest.
            logger.warning("carp: cannot clean up: %s", error)

    def _left_s(self) -> float:
        """Return how many seconds are left to release everything."""
        if self._leave_by_s is None:
            return self._close_timeout_s
        return max(self._leave_by_s + self._close_timeout_s / _RELEASE_SHARE - _now_s(), 0.0)

    async def _release(self, what: str, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Close a backend in bounded time; raises what it raises, and TimeoutError when it hangs."""
        error = await outcome_of(close(), within_s=self._left_s() / 2)
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"closing the {what} {error}") from error
        if isinstance(error, asyncio.CancelledError):
            raise ActuatorError(f"closing the {what} was cancelled by what it called") from error
        if error is not None:
            raise error

    # Failing

    def _fail(self, bug: BaseException) -> None:
        """Fail for good: drop the addresses, close, end every wait, and cancel the body of the ``async with``."""
        if self._failure is not None:
            return
        self._failure = bug
        self._failed_at_ns = round(_now_s() * NS_PER_S)
        if self._shell is not None:
            self._shell.surrender()
        logger.error("carp: the node has failed, drops its addresses and stops: %r", bug, exc_info=bug)
        is_left = self._leaving is not None
        self._begin_leaving()
        for runtime in list(self._runtimes.values()):
            runtime.fail(bug, self._failed_at_ns)
        if self._user is not None and not self._user.done() and not is_left:
            self._has_cancelled_user = True
            self._user.cancel()

    def _running(self) -> Shell:
        self._check_thread()
        if self._failure is not None:
            raise NodeFailedError(f"the node is not running; it failed: {self._failure!r}") from self._failure
        if self._shell is None:
            raise UsageError("the node is not running; use it inside 'async with'")
        return self._shell

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise UsageError(
                "this node runs in another thread; call it there: loop.call_soon_threadsafe(function, ...), or "
                "asyncio.run_coroutine_threadsafe(coroutine, loop)"
            )

    def _host_snapshot(self, key: HostKey) -> HostSnapshot:
        snapshot = self._engine.host_snapshot(key)
        return snapshot if self._failure is None else self._failed(snapshot)

    def _failed(self, host: HostSnapshot) -> HostSnapshot:
        """Return a host in INIT, as it is once the node has failed; the engine does not know of the failure."""
        last = host.last_change
        if last is not None:
            at_ns = self._failed_at_ns
            last = replace(last, at_ns=at_ns, old=host.state, new=State.INIT, reason=Reason.NODE_FAILED, peer=None)
            last = replace(last, silent_ns=None)
        return replace(host, state=State.INIT, last_change=last)

    # Between the engine and the backends

    def _new_shell(self) -> Shell:
        return Shell(
            engine=self._engine,
            settled=self._engine.settled,
            transport=self._transport,
            actuator=self._actuator,
            guardian=self._guardian,
            source_macs=self._source_macs,
            attempt_timeout_s=self._actuation_timeout_s,
            observers=Observers(
                asked=lambda effect: self._runtimes[effect.key].asked(effect),
                renewed=self._extend_leases,
                reported=self._note_report,
                published=self._publish,
                stalled=self._publish_stall,
                failed=self._fail,
                vacated=lambda key: self._runtimes[key].monitor.vacated(),
                preparation=lambda key: self._runtimes[key].preparation(),
            ),
        )

    def _new_backends(self, links: Links, shell: Shell) -> Backends:
        return Backends(
            links=links,
            actuator=self._actuator,
            shell=shell,
            release=self._release_unless_leaving,
            left_s=self._left_s,
            callback_timeout_s=self._close_timeout_s,
        )

    def _follow(self, stack: contextlib.AsyncExitStack, what: str, watch: Coroutine[Any, Any, None]) -> None:
        """Run a watch of links or addresses until leaving.

        The node fails if the watch ends, because a node that sees no changes must not hold addresses.
        """
        follower = start_task(watch)

        def ended(follower: "asyncio.Task[None]") -> None:
            bug = result_of(follower)
            if self._leaving is None:
                text = f"{what} ended; it must run until it is cancelled"
                self._fail(NodeFailedError(text) if bug is None or follower.cancelled() else bug)

        follower.add_done_callback(ended)
        stack.push_async_callback(self._stop_following, follower)

    async def _stop_following(self, follower: "asyncio.Task[None]") -> None:
        follower.cancel()
        await asyncio.wait({follower}, timeout=self._left_s() / 2)

    def _inform(self, event: Input) -> None:
        """Submit an input of a host's user; show up or down on the interface that has the addresses."""
        shell = self._running()
        if isinstance(event, AdminChanged):
            try:
                self._actuator.set_up(event.key, is_up=event.is_up)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:  # noqa: BLE001  a failure to show it must not keep a host from going down
                logger.warning("carp: %s: cannot show whether it is up: %s", event.key, exc)
        shell.submit(event)

    def _submit(self, event: Input) -> None:
        """Submit an input to the engine; no-op once the node has failed."""
        self._check_thread()
        if self._shell is not None and self._failure is None:
            self._shell.submit(event)

    def _notice_link(self, facts: LinkFacts) -> None:
        self._noticed[facts.name] += 1
        if self._source_choosing is not None:
            facts = replace(facts, addresses=self._source_choosing.sources(facts.name, facts.addresses))
        self._follow_link(facts)
        self._submit(LinkChanged(facts))
        if self._backends is not None:
            self._backends.links.note_facts(facts)

    def _follow_link(self, facts: LinkFacts) -> None:
        """Log that a link was renamed, deleted or created again, and pass its name to the actuator."""
        before = self._link_facts.get(facts.name)
        self._link_facts[facts.name] = facts
        if before is None and not facts.renamed_to:
            return
        if before is not None and before.exists and not facts.exists:
            logger.warning("carp: interface %s does not exist any more; it is waited for", before.present_name)
        elif before is not None and facts.exists and not before.exists:
            logger.info("carp: interface %s exists again", facts.present_name)
        if before is None or before.present_name != facts.present_name:
            called = facts.name if before is None else before.present_name
            if facts.exists and (before is None or before.exists):
                logger.warning("carp: interface %s is called %s now, and followed", called, facts.present_name)
            self._rename_link(facts.name, facts.present_name)

    def _rename_link(self, link: str, name: str) -> None:
        self._actuator.rename_link(link, name)

    def _forget_link(self, link: str) -> None:
        """Stop following a link without hosts; the next host there uses the interface that has the name then."""
        if self._leaving is not None or any(key.link == link for key in (*self._runtimes, *self._openings)):
            return
        facts = self._link_facts.pop(link, None)
        if facts is not None and facts.renamed_to:
            self._rename_link(link, link)
        if isinstance(self._monitor, LinkForgetting):
            self._monitor.forget(link)

    def _extend_leases(self, renewed: Sequence[RenewAddresses]) -> None:
        now_ns, runtimes = round(_now_s() * NS_PER_S), self._runtimes
        for each in renewed:
            runtimes[each.key].monitor.extend_lease(now_ns)

    def _note_report(self, report: ActuationReported) -> None:
        runtime = self._runtimes.get(report.key)
        if runtime is not None:
            runtime.note(report)

    def _publish(self, event: Event) -> None:
        runtime = self._runtimes.get(event.key)
        if runtime is not None:
            # Logged first: what a callback does about it is logged by the callback.
            if self._lines is not None:
                self._lines.log(event)
            runtime.publish(event)

    def _publish_stall(self, late_ns: int, now_ns: int) -> None:
        """Publish a stall to each host, to some of them in each turn of the loop: it must not cause the next stall."""
        events = [LoopStalled(key=key, at_ns=now_ns, late_ns=late_ns) for key in self._runtimes]
        self._publish_some(deque(events))

    def _publish_some(self, events: deque[LoopStalled]) -> None:
        for _ in range(min(_AT_ONCE, len(events))):
            event = events.popleft()
            runtime = self._runtimes.get(event.key)
            if runtime is not None:
                if self._lines is not None:
                    self._lines.log(event)
                runtime.log.publish(event)
        if events:
            asyncio.get_running_loop().call_soon(self._publish_some, events, context=self._context.copy())


def _engine(settings: Settings | None, recorders: Sequence[Sink]) -> Engine | Recorder:
    def entropy() -> int:
        return secrets.randbits(64)

    if recorders:
        return Recorder(recorders, entropy=entropy, settings=settings, slot_ns=SLOT_NS)
    return Engine(entropy=entropy, settings=settings, slot_ns=SLOT_NS)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _uninterrupted(task: "asyncio.Task[Any]") -> None:
    """Await a task to its end; raise a cancellation that arrived meanwhile only then."""
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
