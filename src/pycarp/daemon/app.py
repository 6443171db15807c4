"""The daemon: a node made from a configuration, its log, its control socket, and its clean end."""

import asyncio
import contextlib
import errno
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import msgspec

from pycarp import __version__
from pycarp.aio.log_records import logger, summary
from pycarp.aio.node import Node
from pycarp.aio.record_file import RecordFile
from pycarp.aio.source_mac import uses_link_mac as uses_link_mac_of
from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import HttpConfig, NodeConfig
from pycarp.core.events import DecisionChange, Departed, Event, LoopStalled, StateChange
from pycarp.core.host_config import interval_warning
from pycarp.core.lease_timings import lease_timings_of
from pycarp.core.settings import Settings
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.daemon import control_messages as messages
from pycarp.daemon import control_server
from pycarp.daemon.address_plane import AddressPlane
from pycarp.daemon.administration import Administration
from pycarp.daemon.alarms import CAUSES as ALARM_CAUSES
from pycarp.daemon.alarms import Alarms
from pycarp.daemon.config_source import ConfigSource
from pycarp.daemon.conflict_watch import ConflictWatch
from pycarp.daemon.control_desk import ControlDesk
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.event_logger import EventLogger
from pycarp.daemon.flight import FlightRecorder
from pycarp.daemon.host_set import HostSet, link_exists
from pycarp.daemon.mac_watch import MacWatch
from pycarp.daemon.mastership_loans import MastershipLoans
from pycarp.daemon.planning import RecentObstacles, lines
from pycarp.daemon.reloading import Reloader
from pycarp.daemon.scheduling import be_punctual, collect_seldom, settling
from pycarp.daemon.service_notifier import ServiceNotifier, is_on_time
from pycarp.daemon.services import FailbackService, GroupService, HealthService, HookService, Maintenance, Services
from pycarp.daemon.services.maintenance import file_for
from pycarp.daemon.state_timeline import StateTimeline
from pycarp.daemon.status import Place, outlook_status, status_reply
from pycarp.daemon.streams import Stream
from pycarp.daemon.sysctls import LOG_PACKETS, Sysctls
from pycarp.daemon.tallies import Tallies
from pycarp.daemon.unprivileged import Outcome
from pycarp.daemon.warnings import Warnings, contradiction
from pycarp.errors import CarpError, ControlError
from pycarp.system.addresses import address_conflicts
from pycarp.system.files.rotated_file import RotatedFile
from pycarp.system.recovery.host_locks import HostLocks, allow_many_descriptors
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress

CLOSE_TIMEOUT_S = 0.9
"""How long the hosts may take to leave, in seconds: a daemon ends within a second of SIGTERM."""

CLOSE_PER_HOST_S = 0.006
"""How much longer the end may take for each host, so that no device or address of many hosts is left."""

BAD_PACKETS_EVERY_S = 10

STATUS_AFTER_S = 0.05
"""How long after the first of many changes the states are sent to systemd, in seconds."""

MISSING_WITHIN_S = 0.5
"""How long ``status`` waits for the kernel's list of addresses, in seconds."""


class DaemonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a daemon beside its configuration.

    ``state`` is the folder where daemons note what they make; ``sysctls`` are name and value, in the order given.
    ``source`` is where the configuration is read from again. ``record`` is where every step is written, if anywhere.
    ``readers`` is the number of the group whose members may ask, and change nothing. ``privileges`` tells which
    privileges the process gave up.
    """

    control: Path
    state: Path
    source: ConfigSource
    sysctls: tuple[tuple[str, int], ...] = msgspec.field(default=())
    record: RotatedFile | None = None
    readers: int | None = None
    privileges: Outcome = msgspec.field(default_factory=Outcome)


async def serve(config: NodeConfig, options: DaemonOptions) -> None:
    """Run a daemon until SIGTERM or SIGINT; then drop the addresses, bow out and return. SIGHUP reloads.

    It first opens the control socket, which refuses requests until the daemon is ready, and locks each host. Before
    that it changes nothing on the machine. Raises UsageError if another process has the socket or a host; ConfigError,
    TransportError, ActuatorError or RecordingError if it cannot start; TimeoutError if addresses could not be dropped
    at the end.
    """
    stop, hangup = _set_by(signal.SIGTERM, signal.SIGINT), _set_by(signal.SIGHUP)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        # People send these signals because other daemons then show their state; unhandled they would end this one.
        text = "carp: %s means nothing here; ask with pycarp status"
        asyncio.get_running_loop().add_signal_handler(number, logger.info, text, number.name)
    desk = ControlDesk()
    locks = HostLocks()
    allow_many_descriptors(len(config.hosts), len({host.interface for host in config.hosts}))
    asyncio.get_running_loop().set_exception_handler(_log_exception)
    try:
        async with control_server.serve(options.control, desk.answer, readers=options.readers):
            await locks.take(host.key for host in config.hosts)
            _log_privileges(options.privileges)
            plane = await AddressPlane.prepare(config.actuator, state=options.state)
            try:
                await Daemon(config, options, plane, desk=desk, locks=locks).run(stop, hangup)
            finally:
                await plane.end()
    finally:
        locks.close()


class Daemon:
    """A node made from a configuration, with its services; ``run`` serves until it is asked to stop."""

    def __init__(
        self, config: NodeConfig, options: DaemonOptions, plane: AddressPlane, desk: ControlDesk, locks: HostLocks
    ) -> None:
        self._config = config
        self._options = options
        self._plane = plane
        self._desk = desk
        self._notifier = ServiceNotifier(os.environ)
        self._is_status_due = False
        self._refused_reload = ""
        self._scheduling: str | None = None
        self._flight = FlightRecorder(options.state)
        self._record = RecordFile(options.record, version=__version__) if options.record else None
        self._node = Node(
            transport=config.transport or "auto",
            actuator=plane.actuator,
            monitor=config.monitor or "auto",
            guardian=plane.guardian,
            settings=Settings()
            if config.external_change_limit is None
            else Settings(external_change_limit=config.external_change_limit),
            close_timeout_s=CLOSE_TIMEOUT_S + CLOSE_PER_HOST_S * len(config.hosts),
            recorders=[self._flight.ring, *([self._record] if self._record else [])],
            logs_events=False,
        )
        self._events = EventLogger(lambda: self._node.snapshot().hosts, self._present_name)
        self._warnings = Warnings()
        self._obstacles = RecentObstacles()
        self._sysctls = Sysctls(self._node, self._set_log)
        self._hosts = HostSet(self._node, locks, on_event=self._take_note, on_added=self._greet, exists=self._exists)
        lasting = file_for(options.source.file, options.state)
        self._maintenance = Maintenance(self._node, lasting)
        self._failback = FailbackService(lasting, is_wanted=self._maintenance.is_wanted)
        self._history = EventHistory()
        self._tallies = Tallies()
        self._alarms = Alarms(asyncio.get_running_loop().time, present_name=self._present_name)
        self._timeline = StateTimeline(asyncio.get_running_loop().time)
        self._conflicts = (
            ConflictWatch(
                self._warnings,
                glance=partial(address_conflicts.find, tries=1),
                hosts=lambda: self._hosts.running,
                tell=self._alarms.answered,
                present_name=self._present_name,
            )
            if plane.guardian
            else None
        )
        self._services = Services(
            (self._maintenance, self._failback, GroupService(), HealthService(self._node), HookService())
        )
        self._loans = MastershipLoans()
        self._administration = Administration(self._node, remove=self._hosts.remove, renames=options.source.renames)
        self._reloader = Reloader(
            self._node,
            self._hosts,
            self._sysctls,
            source=options.source,
            config=config,
            fixed=dict(options.sysctls),
            check=plane.actuator.check,
            changed=self._reconfigure,
        )
        self._take_http: Callable[[HttpConfig], None] = lambda _config: None
        self._started_s = time.monotonic()

    async def run(self, stop: asyncio.Event, hangup: asyncio.Event) -> None:
        """Serve until ``stop`` is set, also while starting, and reload whenever ``hangup`` is; raises as ``serve``."""
        with self._history.recording():
            await self._run(stop, hangup)

    async def _run(self, stop: asyncio.Event, hangup: asyncio.Event) -> None:
        self._notifier.starting()
        if self._record is not None:
            self._record.open()
        try:
            async with self._services.running(), self._node, self._hosts.looking(), self._serving_http():
                with settling():
                    await self._set_up(stop)
                # Requests are answered from now on, because every host has been added.
                self._desk.open(self.answer)
                self._notifier.ready()
                self._tell_states()
                await self._wait(stop, hangup)
                self._desk.shut()
                self._notifier.stopping()
                logger.info("carp: leaving: dropping addresses%s", self._farewell())
        finally:
            self._desk.shut()
            await self._hosts.finish()
            await self._flight.close()
            if self._record is not None:
                self._record.close()

    @contextlib.asynccontextmanager
    async def _serving_http(self) -> AsyncIterator[None]:
        if self._config.http is None:
            yield
            return
        # Imported late: it needs an extra, and takes a third of a second.
        from pycarp.daemon.http_server import HttpServer  # noqa: PLC0415

        server = HttpServer(
            self._status,
            self._tallies,
            self._history,
            self._timeline,
            carry_out=self._desk.answer,
            readers=self._options.readers,
            present_name=self._present_name,
            outlook=self._outlook,
        )
        self._take_http = server.take
        async with server.serving(self._config.http):
            yield

    def _reconfigure(self, config: NodeConfig) -> None:
        """Take up what a reload has changed beside hosts and sysctls."""
        self._services.configure(config)
        if config.http is not None:
            self._take_http(config.http)

    async def _set_up(self, stop: asyncio.Event) -> None:
        self._services.configure(self._config)
        for name, value in (*self._config.sysctls, *self._options.sysctls):
            self._sysctls.write(name, value)
        # Checked together, including hosts that wait for their interface.
        self._plane.actuator.check(*self._config.hosts)
        await self._hosts.add_all(self._config.hosts, stop)
        self._be_punctual()

    def _be_punctual(self) -> None:
        collect_seldom(len(self._hosts.configs))
        scheduling = be_punctual(self._hosts.configs)
        if scheduling and scheduling != self._scheduling:
            logger.info("carp: %s", scheduling)
        self._scheduling = scheduling

    async def answer(self, request: messages.Request) -> messages.Reply | Stream:
        """Carry out a request of the control socket; raises CarpError when it cannot be done."""
        logger.debug("carp: asked on the control socket: %s", type(request).__name__)
        match request:
            case messages.StatusRequest():
                return await self._status()
            case messages.IfconfigRequest():
                warning = await self._administration.change(request)
                # Removing the last address of a host removes the host.
                self._tell_states()
                return messages.DoneReply(warning)
            case messages.GroupRequest(group, by):
                return self._administration.demote_group(group, by)
            case messages.HandoverRequest():
                return await self._administration.hand_over(request)
            case messages.MastershipRequest(host):
                return self._loans.stream(self._administration.find(host), request)
            case (
                messages.DrainRequest()
                | messages.UndrainRequest()
                | messages.DemoteRequest()
                | messages.RestoreRequest()
                | messages.FailbackRequest()
            ):
                return await self._maintain(request)
            case messages.EventsRequest() | messages.WhyRequest() | messages.FlightRequest():
                return await self._explain(request)
            case messages.SysctlRequest(name, value):
                return self._sysctls.answer(name, value)
            case messages.PlanRequest() | messages.ReloadRequest() | messages.DriftRequest():
                return await self._answer_about_file(request)
            case _:
                assert_never(request)

    async def _explain(
        self, request: messages.EventsRequest | messages.WhyRequest | messages.FlightRequest
    ) -> messages.Reply | Stream:
        if isinstance(request, messages.FlightRequest):
            return self._flight.stream(request)
        if isinstance(request, messages.EventsRequest):
            if request.host is not None:
                self._administration.find(request.host)
            return self._history.stream(request)
        host = self._administration.find(request.host)
        hosts = (await self._status()).hosts
        # Read now, because the host may have departed meanwhile; its status has the interface by its present name.
        snapshot = host.snapshot()
        present = (self._present_name(host.key.link), host.key.vhid)
        (status,) = [each for each in hosts if (each.interface, each.vhid) == present]
        now_ns = int(asyncio.get_running_loop().time() * NS_PER_S)
        return messages.WhyReply(host=status, outlook=outlook_status(snapshot, now_ns))

    async def _maintain(self, request: messages.MaintenanceRequest) -> messages.Reply:
        hosts = self._administration.chosen(request.host)
        if not isinstance(request, messages.FailbackRequest):
            return await self._maintenance.answer(request, hosts)
        for host in hosts:
            self._failback.release(host)
        return messages.DoneReply()

    async def _answer_about_file(
        self, request: messages.PlanRequest | messages.ReloadRequest | messages.DriftRequest
    ) -> messages.Reply:
        match request:
            case messages.PlanRequest(text, file, rolling_s):
                named = None if file is None else Path(file)
                return await self._reloader.plan(text, named, rolling_s=rolling_s)
            case messages.ReloadRequest(rolling_s, is_forced):
                return await self._reload(rolling_s, is_forced=is_forced)
            case messages.DriftRequest():
                return await self._reloader.drift()

    async def _wait(self, stop: asyncio.Event, hangup: asyncio.Event) -> None:
        life = self._notifier.keep_alive(self._is_progressing)
        watches = [self._count_bad_packets(), self._follow_hangups(hangup), life]
        if self._conflicts is not None:
            watches.append(self._conflicts.run())
            watches.append(MacWatch(self._warnings, self._plane.actuator, lambda: self._hosts.running).run())
        tasks = [asyncio.create_task(each) for each in watches]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _follow_hangups(self, hangup: asyncio.Event) -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            # The reload has logged the problem.
            with contextlib.suppress(CarpError):
                # Nobody can be asked for a confirmation; the log warns of hosts that end.
                await self._reload(is_forced=True)

    async def _reload(self, rolling_s: float = 0, *, is_forced: bool) -> messages.PlanReply:
        """Reload, and log each change or problem in a line; raises the error if the reload fails."""
        self._notifier.reloading()
        try:
            reply = await self._reloader.reload(rolling_s=rolling_s, is_forced=is_forced)
            self._refused_reload = ""
        except (CarpError, OSError) as exc:
            problems = str(exc).splitlines() or [type(exc).__name__]
            aftermath = self._reloader.aftermath
            fate = "failed half-way" if aftermath else "was refused"
            self._refused_reload = f"the last reload {fate}: {problems[0]}"
            for problem in problems:
                logger.error(
                    "carp: reload: %s: %s", "it failed half-way" if aftermath else "nothing is changed", problem
                )
            if isinstance(exc, CarpError) and not aftermath:
                raise
            raise ControlError("\n".join([*problems, *aftermath])) from exc
        finally:
            self._notifier.ready()
            self._tell_states()
        for warning in reply.warnings:
            logger.warning("carp: reload: %s", warning)
        for text in lines(reply) or ["nothing has changed"]:
            logger.info("carp: reload: %s", text)
        self._be_punctual()
        return reply

    async def _status(self) -> messages.StatusReply:
        missing = await self._missing()
        self._node.catch_up()
        return status_reply(
            self._node.snapshot(),
            hostname=self._config.hostname,
            uptime_s=time.monotonic() - self._started_s,
            transport=self._node.transport_name,
            sysctls=self._sysctls.all(),
            place=lambda host: self._place(host, missing.get(host.key, ())),
            warnings=self._warnings_about,
            facts=self._node.link_facts,
            waiting=self._hosts.waiting,
            renames=self._options.source.renames,
            describe=self._describe,
        )

    def _describe(self, key: HostKey, status: messages.HostStatus) -> None:
        self._services.describe(key, status)
        host = self._hosts.find(key)
        if host is not None:
            status.alarms = self._alarms.of(host.snapshot(), tuple(status.missing))
        self._loans.describe(key, status)
        self._timeline.describe(key, status)

    def _outlook(self, status: messages.HostStatus) -> list[messages.OutlookStatus]:
        """Return what can happen next to a host; nothing for one that does not run, or is in another state by now."""
        key = self._timeline.key_of(status)
        host = None if key is None else self._hosts.find(key)
        if host is None:
            return []
        snapshot = host.snapshot()
        if snapshot.state != status.state:
            return []
        return outlook_status(snapshot, int(asyncio.get_running_loop().time() * NS_PER_S))

    def _warnings_about(self, key: HostKey) -> list[str]:
        host = self._hosts.find(key)
        # The interval may have been changed live, so the warning is computed now.
        interval = interval_warning(host.config) if host is not None else ""
        return [*self._warnings.about(key), *([interval] if interval else [])]

    def _present_name(self, link: str) -> str:
        facts = self._node.link_facts(link)
        return link if facts is None else facts.present_name

    def _exists(self, link: str) -> bool:
        """Return whether an interface exists; it may be down by the last report, and deleted meanwhile."""
        facts = self._node.link_facts(link)
        return link_exists(link if facts is None else facts.present_name)

    def _place(self, host: HostSnapshot, missing: Iterable[InterfaceAddress]) -> Place:
        running = self._hosts.find(host.key)
        return Place(
            location=self._plane.actuator.location(host.key),
            mac_mode=self._plane.actuator.mac_mode(host.key),
            missing=tuple(missing) if host.state is State.MASTER else (),
            error=running.address_error if running else "",
        )

    async def _missing(self) -> Mapping[HostKey, Collection[InterfaceAddress]]:
        """Return the addresses that are missing from their devices; none if the kernel does not answer in time."""
        with contextlib.suppress(TimeoutError, OSError, CarpError):
            async with asyncio.timeout(MISSING_WITHIN_S):
                return await self._plane.actuator.missing()
        return {}

    def _greet(self, host: VirtualHost) -> None:
        self._services.start(host)
        name = "" if host.name == str(host.key) else f"{host.name} "
        uses_link_mac = uses_link_mac_of(self._plane.actuator, host.config)
        follows_mac = self._config.transport in ("", "auto")
        source = f" from the MAC address of {host.key.link}" if uses_link_mac and follows_mac else ""
        where = self._plane.actuator.location(host.key)
        logger.info(
            "carp: %s: %s%s, %s transport%s%s",
            host.key,
            name,
            summary(host.config),
            self._node.transport_name,
            source,
            f", addresses on {where}" if where else "",
        )
        if self._plane.guardian and lease_timings_of(host.config).lifetime_s is None:
            text = "carp: %s: too fast for lifetimes in the kernel, which are whole seconds; the guardian is alone"
            logger.info(text, host.key)
        if uses_link_mac and not follows_mac and (reason := contradiction(self._node.transport_name, host.config)):
            self._warnings.tell(host.key, reason)
        if reason := self._obstacles.of(host.config):
            self._warnings.tell(host.key, reason)
        if reason := interval_warning(host.config):
            logger.warning("carp: %s: %s", host.key, reason)
        if host.config.clients_may_be_misled:
            text = 'peers and the virtual MAC: clients miss a FreeBSD peer that takes over; use mac_mode = "auto"'
            self._warnings.tell(host.key, text)

    def _farewell(self) -> str:
        """Return what follows when the hosts have dropped their addresses, for the log."""
        dialects = {host.config.dialect for host in self._node.hosts}
        silent = sorted(dialect.name for dialect in dialects if dialect.bow_out is None)
        if not silent:
            return ", then bowing out"
        return f"; dialect {' and '.join(silent)} leaves without a bow-out, so that peers wait for their timers"

    def _take_note(self, event: Event, host: VirtualHost) -> None:
        self._events.log(event, host)
        if isinstance(event, DecisionChange):
            self._history.add_decision(*self._events.decision_record(event, host), at_s=time.time())
        self._tallies.take(event)
        self._timeline.take(event)
        if isinstance(event, LoopStalled):
            with contextlib.suppress(CarpError):
                self._alarms.take_stall(event, host.config)
        elif isinstance(event, ALARM_CAUSES):
            with contextlib.suppress(CarpError):
                self._alarms.take(event, host.snapshot())
        self._flight.consider(event)
        if isinstance(event, Departed):
            self._warnings.forget(event.key)
            self._services.departed(event.key)
            self._alarms.forget(event.key)
            self._timeline.forget(event.key)
        if self._conflicts is not None and isinstance(event, StateChange) and event.old is State.INIT:
            self._conflicts.add(host)
        if isinstance(event, StateChange) and not self._is_status_due and self._notifier.is_heard:
            # Many hosts change at once; one message has all of them.
            self._is_status_due = True
            asyncio.get_running_loop().call_later(STATUS_AFTER_S, self._tell_states)

    def _tell_states(self) -> None:
        self._is_status_due = False
        running = [(host.name, host.state.value) for host in self._hosts.running]
        waiting = [(each.config.name, State.INIT.value) for each in self._hosts.waiting]
        self._notifier.status(running + waiting, self._refused_reload)

    def _is_progressing(self) -> bool:
        now_ns = int(asyncio.get_running_loop().time() * NS_PER_S)
        return is_on_time(self._node.deadline_ns, now_ns)

    async def _count_bad_packets(self) -> None:
        """Tell the alarms every ten seconds which packets were dropped, and at log level 2 log it, in one line."""
        before = self._bad_packets()
        while True:
            await asyncio.sleep(BAD_PACKETS_EVERY_S)
            now = self._bad_packets()
            self._alarms.dropped(now - before)
            if self._events.level >= LOG_PACKETS and now != before:
                logger.info("carp: packets dropped: %s", ", ".join(f"{name} {n}" for name, n in (now - before).items()))
            before = now

    def _bad_packets(self) -> Counter[str]:
        statistics = self._node.statistics()
        return Counter({name.value: count for name, count in statistics.items() if name.startswith("bad")})

    def _set_log(self, level: int) -> None:
        self._events.level = level


def _log_privileges(outcome: Outcome) -> None:
    for warning in outcome.warnings:
        logger.warning("carp: %s", warning)
    for note in outcome.notes:
        logger.info("carp: %s", note)


def _set_by(*signals: signal.Signals) -> asyncio.Event:
    """Return an event that is set by any of these signals."""
    received = asyncio.Event()
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, received.set)
    return received


def _log_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception of a callback; a lack of descriptors is one line, because asyncio repeats it every second."""
    exception = context.get("exception")
    if isinstance(exception, OSError) and exception.errno in (errno.EMFILE, errno.ENFILE):
        logger.warning("carp: %s: %s; raise 'ulimit -n'", context.get("message"), exception.strerror)
    else:
        loop.default_exception_handler(context)
