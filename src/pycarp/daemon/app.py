"""The daemon: a node made from a configuration, its log, its control socket, and its clean end."""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from pycarp import __version__, transports
from pycarp.actuators.base import Actuator
from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import log_event, logger, summary
from pycarp.aio.node import Node
from pycarp.aio.record_file import RecordFile
from pycarp.config.model import NodeConfig
from pycarp.core.events import ActuationFailed, Event
from pycarp.core.precaution import precaution_of
from pycarp.core.settings import Settings
from pycarp.daemon import control_messages as messages
from pycarp.daemon import control_server
from pycarp.daemon.address_plane import AddressPlane
from pycarp.daemon.administration import Administration
from pycarp.daemon.flight import FlightRecorder
from pycarp.daemon.scheduling import be_punctual, settle_memory
from pycarp.daemon.status import counters_of, host_status, link_status
from pycarp.daemon.sysctls import LOG_CHANGES, LOG_NOTHING, LOG_PACKETS, Sysctls
from pycarp.errors import NodeFailedError
from pycarp.system.rotated_file import RotatedFile
from pycarp.vocabulary import NS_PER_S

CLOSE_TIMEOUT_S = 0.9
"""A daemon that was told to go is gone within a second."""

BAD_PACKETS_EVERY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """What a daemon is told beside its configuration.

    ``state`` is the folder where daemons note what they make; ``sysctls`` are name and value, in the order given.
    ``record`` is where every step is written, if anywhere.
    """

    control: Path
    state: Path
    transport: str = "auto"
    actuator: str | Actuator = "auto"
    sysctls: tuple[tuple[str, int], ...] = field(default=())
    record: RotatedFile | None = None


class Daemon:
    """Runs until SIGTERM or SIGINT."""

    def __init__(self, config: NodeConfig, options: DaemonOptions, plane: AddressPlane) -> None:
        self._config = config
        self._options = options
        self._plane = plane
        self._transport = transports.choose(options.transport)
        self._flight = FlightRecorder(options.state)
        self._record = RecordFile(options.record, version=__version__) if options.record else None
        self._node = Node(
            transport=self._transport,
            actuator=plane.actuator,
            guardian=plane.guardian,
            settings=Settings() if config.contest_limit is None else Settings(contest_limit=config.contest_limit),
            close_timeout_s=CLOSE_TIMEOUT_S,
            recorders=[self._flight.ring, *([self._record] if self._record else [])],
        )
        self._log_level = LOG_CHANGES
        self._sysctls = Sysctls(self._node, self._set_log)
        self._administration = Administration(self._node)
        self._started_s = time.monotonic()

    async def run(self) -> None:
        """Serve until a signal comes; then drop the addresses, bow out and return.

        Raises ConfigError, TransportError, RecordingError or ControlError when it cannot start, TimeoutError when
        addresses could not be dropped at the end.
        """
        control_server.refuse_if_alive(self._options.control)
        if self._record is not None:
            self._record.open()
        stop = _stop_signal()
        chroniclers: list[asyncio.Task[None]] = []
        try:
            async with self._node:
                await self._set_up(chroniclers)
                # Answering begins when there is everything to answer about.
                async with control_server.serve(self._options.control, self.answer):
                    await self._wait(stop)
                    logger.info("carp: leaving: dropping addresses, then bowing out")
        finally:
            await _finish(chroniclers)
            self._plane.end()
            await self._flight.close()
            if self._record is not None:
                self._record.close()

    async def _set_up(self, chroniclers: list["asyncio.Task[None]"]) -> None:
        for name, value in self._options.sysctls:
            self._sysctls.write(name, value)
        for config in self._config.hosts:
            host = await self._node.add(config)
            self._greet(host)
            chroniclers.append(asyncio.create_task(self._chronicle(host)))
        scheduling = be_punctual(self._config.hosts)
        if scheduling:
            logger.info("carp: %s", scheduling)
        settle_memory()

    async def answer(self, request: messages.Request) -> messages.Reply:
        """Carry out a request of the control socket; raises CarpError when it cannot be done."""
        match request:
            case messages.StatusRequest():
                return self._status()
            case messages.IfconfigRequest():
                self._administration.change(request)
                return messages.DoneReply()
            case messages.GroupRequest(group, by):
                return self._administration.demote_group(group, by)
            case messages.HandoverRequest():
                return await self._administration.hand_over(request)
            case messages.SysctlRequest(name, value):
                return self._sysctl(name, value)
            case _:
                assert_never(request)

    async def _wait(self, stop: asyncio.Event) -> None:
        counting = asyncio.create_task(self._count_bad_packets())
        try:
            await stop.wait()
        finally:
            counting.cancel()

    def _status(self) -> messages.StatusReply:
        snapshot = self._node.snapshot()
        now_ns = int(asyncio.get_running_loop().time() * NS_PER_S)
        return messages.StatusReply(
            version=messages.VERSION,
            hostname=self._config.hostname,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started_s, 3),
            transport=self._transport,
            hosts=[host_status(host, now_ns, self._plane.actuator.whereabouts(host.key)) for host in snapshot.hosts],
            sysctls=self._sysctls.all(),
            counters=counters_of(snapshot.statistics),
            links={link: link_status(each) for link, each in snapshot.links.items()},
            groups=dict(snapshot.group_demotion),
        )

    def _sysctl(self, name: str, value: int | None) -> messages.SysctlReply:
        before = self._sysctls.read(name)
        if value is not None:
            self._sysctls.write(name, value)
        return messages.SysctlReply(name=name, before=before, value=self._sysctls.read(name))

    def _greet(self, host: VirtualHost) -> None:
        name = "" if host.name == str(host.key) else f"{host.name} "
        logger.info("carp: %s: %s%s, %s transport", host.key, name, summary(host.config), self._transport)
        where = self._plane.actuator.whereabouts(host.key)
        if where:
            logger.info("carp: %s: addresses on %s", host.key, where)
        if self._plane.guardian and precaution_of(host.config).lifetime_s is None:
            text = "carp: %s: too fast for lifetimes in the kernel, which are whole seconds; the guardian is alone"
            logger.info(text, host.key)

    async def _chronicle(self, host: VirtualHost) -> None:
        """Log the events of a host to its end."""
        # Of a failure of the node, the node itself tells.
        with contextlib.suppress(NodeFailedError):
            async with host.events() as events:
                async for event in events:
                    if self._is_worth_logging(event):
                        log_event(event)
                    self._flight.consider(event)

    async def _count_bad_packets(self) -> None:
        """At log level 2, tell every ten seconds what was dropped; a flood costs no more lines than a trickle."""
        before = self._bad_packets()
        while True:
            await asyncio.sleep(BAD_PACKETS_EVERY_S)
            now = self._bad_packets()
            if self._log_level >= LOG_PACKETS and now != before:
                logger.info("carp: packets dropped: %s", ", ".join(f"{name} {n}" for name, n in (now - before).items()))
            before = now

    def _bad_packets(self) -> Counter[str]:
        statistics = self._node.snapshot().statistics
        return Counter({name.value: count for name, count in statistics.items() if name.startswith("bad")})

    def _is_worth_logging(self, event: Event) -> bool:
        return self._log_level > LOG_NOTHING or isinstance(event, ActuationFailed)

    def _set_log(self, level: int) -> None:
        self._log_level = level


def _stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _finish(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Wait for tasks that end with their hosts."""
    for task in tasks:
        await task
