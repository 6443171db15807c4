"""The services that accompany the virtual hosts of a daemon: maintenance, failback, groups, health checks, hooks.

Each kind is a ``Service``: an ordinary user of the library, which decides nothing about the election. The daemon knows
nothing of a kind but this protocol.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from pycarp.aio.log_records import logger
from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import Attached, NodeConfig
from pycarp.daemon.control_messages import HostStatus
from pycarp.daemon.log_fields import about
from pycarp.errors import CarpError
from pycarp.vocabulary import HostKey

AGAIN_AFTER_S = 1.0
"""Seconds before a service of a host begins again after a fault of its own."""

T = TypeVar("T")


class Service(Protocol):
    """One service of a daemon, for all of its hosts."""

    def configure(self, config: NodeConfig) -> None:
        """Apply the settings in force from now on: before the hosts start, and after each reload."""

    def start(self, host: VirtualHost) -> None:
        """Begin for a host that runs from now on."""

    def departed(self, key: HostKey) -> None:
        """Forget a host that has departed."""

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add to the status of a host what this service knows of it."""

    async def finish(self) -> None:
        """End, after waiting in bounded time for work that is due when hosts have departed."""


class Services:
    """The services of a daemon; each is called for every host."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services

    def configure(self, config: NodeConfig) -> None:
        """Pass the settings in force on."""
        for service in self._services:
            service.configure(config)

    def start(self, host: VirtualHost) -> None:
        """Start every service for a host."""
        # Later log records of the services get the fields of this host.
        with about({"host": host.name, "vhid": host.key.vhid, "interface": host.key.link}):
            for service in self._services:
                service.start(host)

    def departed(self, key: HostKey) -> None:
        """Make every service forget a host."""
        for service in self._services:
            service.departed(key)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add to the status of a host what every service knows of it."""
        for service in self._services:
            service.describe(key, status)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End the services when the context ends: inside it the hosts depart, and their hooks are called."""
        try:
            yield
        finally:
            await asyncio.gather(*(service.finish() for service in self._services))


class SupervisedTasks:
    """Tasks that are begun again when they fail, because a fault in one must not end the others."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self, what: str, run: Callable[[], Awaitable[None]], ended: Callable[[], None] = lambda: None
    ) -> "asyncio.Task[None]":
        """Run ``run`` in a task until it returns; then call ``ended``."""
        task = asyncio.create_task(_supervised(what, run, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ended(self, within_s: float) -> None:
        """Wait for the tasks to end by themselves."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)

    async def end(self) -> None:
        """Cancel the tasks and wait for their end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _supervised(what: str, run: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
    try:
        while True:
            try:
                await run()
            except CarpError:
                return  # The node itself reports its failure.
            except Exception:  # noqa: BLE001  whatever it is, the hosts must be served on
                logger.exception("carp: %s: a fault; they begin again in %g s", what, AGAIN_AFTER_S)
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                return
    finally:
        ended()


def of_hosts(attached: Iterable[Attached[T]], *keys: HostKey | None) -> tuple[T, ...]:
    """Return the objects of these hosts, in their order; the key None stands for every host."""
    return tuple(each.item for key in keys for each in attached if each.host == key)


def kept(before: tuple[Attached[T], ...], after: tuple[Attached[T], ...]) -> tuple[Attached[T], ...]:
    """Return ``after``, with the objects of ``before`` where the settings are equal."""
    return tuple(next((old for old in before if old == each), each) for each in after)
