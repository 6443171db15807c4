"""The virtual hosts of a daemon: those that run, and those whose interface does not exist yet."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence

import msgspec

from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import Event
from pycarp.core.host_config import HostConfig
from pycarp.daemon.log_fields import Fields, about
from pycarp.errors import CarpError, UsageError
from pycarp.system.recovery.host_locks import HostLocks
from pycarp.vocabulary import HostKey

LOOK_EVERY_S = 0.25
"""How often to look for an interface that does not exist, in seconds."""

_AT_ONCE = 128
"""How many hosts are added at once: enough for two calls of the actuator's thread, one running and one waiting."""

PAUSE_S, PAUSES_MOST = 0.02, 50
"""A host that is added waits for a second at most while the node is behind with those that run."""


def link_exists(link: str) -> bool:
    """Return whether a network device of this name exists."""
    try:
        socket.if_nametoindex(link)
    except OSError:
        return False
    return True


class Waiting(msgspec.Struct):
    """A host that cannot run yet, why, and since when (``time.monotonic``)."""

    config: HostConfig
    cause: str
    since_s: float = msgspec.field(default_factory=time.monotonic)


class HostSet:
    """Adds hosts to a node and removes them, each with its lock and a task that follows its events.

    A context manager around the life of the hosts. ``on_event`` is given every event, ``on_added`` every host that
    begins to run. ``exists`` says whether there is an interface of a name.
    """

    def __init__(
        self,
        node: Node,
        locks: HostLocks,
        *,
        on_event: Callable[[Event, VirtualHost], None],
        on_added: Callable[[VirtualHost], None],
        exists: Callable[[str], bool] = link_exists,
    ) -> None:
        self._node = node
        self._locks = locks
        self._on_event = on_event
        self._on_added = on_added
        self.exists = exists
        self._waiting: dict[HostKey, Waiting] = {}
        self._has_waiting = asyncio.Event()
        self._followers: dict[HostKey, asyncio.Task[None]] = {}
        self._trying = asyncio.Lock()

    @property
    def running(self) -> tuple[VirtualHost, ...]:
        """The hosts that run."""
        return self._node.hosts

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The hosts that wait for their interface."""
        return tuple(self._waiting.values())

    @property
    def configs(self) -> tuple[HostConfig, ...]:
        """The settings in force, those of waiting hosts last."""
        return (*(host.config for host in self.running), *(each.config for each in self.waiting))

    def find(self, key: HostKey) -> VirtualHost | None:
        """Return a host that runs; None for one that waits or is not here."""
        return self._node.find(key)

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look for interfaces that do not exist yet, while the context lasts."""
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def add(self, config: HostConfig) -> None:
        """Lock a host and let it run, or wait while there is no such interface.

        Raises UsageError when another process has it, and what ``Node.add`` raises.
        """
        await self._locks.take([config.key])
        if not self.exists(config.interface):
            cause = _missing(config.interface)
            with about(_fields(config)):
                logger.warning("carp: %s: %s", config.name, cause)
            self._waiting[config.key] = Waiting(config, cause)
            self._has_waiting.set()
            return
        try:
            await self._start(config)
        except BaseException:
            self._locks.release(config.key)
            raise

    async def add_all(self, configs: Sequence[HostConfig], stop: asyncio.Event) -> None:
        """Add hosts, many at once; after ``stop``, or when one could not be added, no more are begun.

        Raises what ``add`` raises for the first that could not be added.
        """
        # One host of each interface first: the others then use what was read of the interface.
        leaders: dict[str, HostConfig] = {}
        others = [each for each in configs if leaders.setdefault(each.interface, each) is not each]
        await self._add_all(leaders.values(), stop)
        await self._add_all(others, stop)

    async def remove(self, key: HostKey) -> None:
        """Remove a host; its addresses are dropped and its bow-out is sent when this returns.

        Raises TimeoutError when they could not be dropped; the host stays then, and is tried again at the end.
        """
        if key in self._waiting:
            # Its interface may have appeared just now; then the host runs once the lock is free.
            async with self._trying:
                if self._waiting.pop(key, None) is not None:
                    self._locks.release(key)
                    return
        host = self.find(key)
        if host is None:
            raise UsageError(f"virtual host {key} is not here")
        await self._node.remove(host)
        await self._followers.pop(key)
        self._locks.release(key)

    async def finish(self) -> None:
        """Wait until every event of hosts that have left is logged."""
        for task in list(self._followers.values()):
            await task

    async def _add_all(self, configs: Collection[HostConfig], stop: asyncio.Event) -> None:
        errors: list[BaseException] = []
        left = iter(configs)

        async def add_some() -> None:
            for config in left:
                if errors or stop.is_set():
                    return
                await self._until_in_time()
                try:
                    await self.add(config)
                except BaseException as exc:
                    errors.append(exc)
                    raise

        await asyncio.gather(*(add_some() for _ in range(min(_AT_ONCE, len(configs)))), return_exceptions=True)
        if errors:
            raise errors[0]

    async def _until_in_time(self) -> None:
        """Wait, for a while at most, until the node reads and acts in time for the hosts that run."""
        for _ in range(PAUSES_MOST):
            if not self._node.is_behind:
                return
            await asyncio.sleep(PAUSE_S)

    async def _start(self, config: HostConfig) -> None:
        host = await self._node.add(config)
        self._followers[config.key] = asyncio.create_task(self._follow(host))
        with about(_fields(config)):
            self._on_added(host)

    async def _follow(self, host: VirtualHost) -> None:
        # The node itself reports its failure.
        with contextlib.suppress(CarpError):
            async with host.events() as events:
                async for event in events:
                    self._on_event(event, host)

    async def _look(self) -> None:
        while True:
            if not self._waiting:
                # The task ends when all hosts run, so that it does not wake the daemon up.
                self._has_waiting.clear()
                await self._has_waiting.wait()
            await asyncio.sleep(LOOK_EVERY_S)
            for each in self.waiting:
                async with self._trying:
                    if each.config.key in self._waiting and self.exists(each.config.interface):
                        await self._try(each)

    async def _try(self, waiting: Waiting) -> None:
        config = waiting.config
        try:
            # Locked again, because the interface now has an index, which is locked as well.
            self._locks.release(config.key)
            await self._locks.take([config.key])
            await self._start(config)
        except (CarpError, OSError) as exc:
            if str(exc) != waiting.cause:
                with about(_fields(config)):
                    logger.error("carp: %s: cannot start yet: %s", config.name, exc)
            waiting.cause = str(exc)
        else:
            self._waiting.pop(config.key, None)


def _fields(config: HostConfig) -> Fields:
    return {"host": config.name, "vhid": config.vhid, "interface": config.interface, "state": "INIT"}


def _missing(link: str) -> str:
    names = [name for _index, name in socket.if_nameindex()]
    likely = next((name for name in names if name != "lo"), "eth0")
    known = ", ".join(names)
    return (
        f"interface {link} does not exist; it is waited for "
        f"(there are: {known}; if it is one of these: --map {link}={likely})"
    )
