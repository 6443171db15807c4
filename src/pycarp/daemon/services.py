"""What goes with the virtual hosts of a daemon: health checks and hooks.

Each kind is a ``Service``: an ordinary user of the library, which decides nothing about the election. The daemon knows
nothing of a kind but this protocol.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.config.model import Attached, NodeConfig
from pycarp.daemon.control_messages import CheckStatus, HookStatus, HostStatus
from pycarp.errors import CarpError
from pycarp.health import Check
from pycarp.health.watching import Watcher
from pycarp.hooks import Hook
from pycarp.hooks.following import LEAVING_S, HookFollower
from pycarp.vocabulary import HostKey

AGAIN_AFTER_S = 1.0
"""Seconds before a service of a host begins again after a fault of its own."""

_END_S = LEAVING_S + 0.1

T = TypeVar("T")


class Service(Protocol):
    """One kind of thing that goes with the hosts of a daemon."""

    def configure(self, config: NodeConfig) -> None:
        """Take the settings in force from now on: before the hosts start, and after each reload."""

    def start(self, host: VirtualHost) -> None:
        """Begin for a host that runs from now on."""

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Write what there is to say about a host into its status."""

    async def finish(self) -> None:
        """Wait, in bounded time, for what is due when hosts have departed; then end."""


class Services:
    """The services of a daemon, each told of all hosts."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services

    def configure(self, config: NodeConfig) -> None:
        """Pass the settings in force on."""
        for service in self._services:
            service.configure(config)

    def start(self, host: VirtualHost) -> None:
        """Let every service begin for a host."""
        for service in self._services:
            service.start(host)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Let every service write into the status of a host."""
        for service in self._services:
            service.describe(key, status)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End the services when the context ends: inside it the hosts depart, and their hooks are called."""
        try:
            yield
        finally:
            await asyncio.gather(*(service.finish() for service in self._services))


class HealthService:
    """Runs the checks of the configuration; those of every host run once and demote the whole node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tasks = SupervisedTasks()
        self._checks: tuple[Attached[Check], ...] = ()
        self._watchers: dict[HostKey | None, Watcher] = {}
        self._hosts: dict[HostKey, VirtualHost] = {}

    def configure(self, config: NodeConfig) -> None:
        """Take other checks; one that says the same as before goes on with what it has found."""
        self._checks = _kept(self._checks, config.checks)
        for key in [None, *self._hosts]:
            self._follow(key)

    def start(self, host: VirtualHost) -> None:
        """Begin the checks of a host, which count as failing until they have passed."""
        self._hosts[host.key] = host
        self._watchers.pop(host.key, None)
        self._follow(host.key)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Write the checks of a host, and those of every host."""
        now_s = asyncio.get_running_loop().time()
        for scope in (key, None):
            watcher = self._watchers.get(scope)
            if watcher is None:
                continue
            for check in _of(self._checks, scope):
                state = watcher.states[check.name]
                status.checks.append(
                    CheckStatus(
                        name=check.name,
                        passes=state.passes,
                        answer=None if state.last is None else state.last.answer.value,
                        detail="" if state.last is None else state.last.detail,
                        by=check.by,
                        s_ago=None if state.changed_at_s is None else round(now_s - state.changed_at_s, 6),
                    )
                )

    async def finish(self) -> None:
        """End every check."""
        await self._tasks.end()

    def _follow(self, key: HostKey | None) -> None:
        """Make the checks that run for a host, or for all, those that the configuration has."""
        checks = _of(self._checks, key)
        if (watcher := self._watchers.get(key)) is not None:
            with contextlib.suppress(CarpError):  # a host that has departed meanwhile
                watcher.replace(checks)
        elif checks:
            target = self._node if key is None else self._hosts[key]
            watcher = self._watchers[key] = Watcher(target, checks)
            what = "checks of every host" if key is None else f"{self._hosts[key].name}: checks"
            self._tasks.start(what, watcher.run, lambda: self._end(key, watcher))

    def _end(self, key: HostKey | None, watcher: Watcher) -> None:
        if self._watchers.get(key) is watcher:
            del self._watchers[key]
            if key is not None:
                self._hosts.pop(key, None)


class HookService:
    """Calls the hooks of the configuration; those of every host are called for each."""

    def __init__(self) -> None:
        self._tasks = SupervisedTasks()
        self._hooks: tuple[Attached[Hook], ...] = ()
        self._followers: dict[HostKey, HookFollower] = {}
        self._hosts: dict[HostKey, VirtualHost] = {}

    def configure(self, config: NodeConfig) -> None:
        """Take other hooks; they are called from the next change on."""
        self._hooks = _kept(self._hooks, config.hooks)
        for key, host in self._hosts.items():
            self._follow(host, _of(self._hooks, key, None), calls_for_present=False)

    def start(self, host: VirtualHost) -> None:
        """Begin to follow a host; its hooks are called on its present state first."""
        self._hosts[host.key] = host
        self._followers.pop(host.key, None)
        self._follow(host, _of(self._hooks, host.key, None), calls_for_present=True)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Write the hooks of a host, and how their last calls ended."""
        follower = self._followers.get(key)
        if follower is None:
            return
        for hook in follower.hooks:
            last = follower.last_call(hook)
            status.hooks.append(
                HookStatus(
                    name=hook.name,
                    on=sorted(each.value for each in hook.on),
                    is_running=follower.is_running(hook),
                    last_on=None if last is None else last.on.value,
                    error="" if last is None else last.error,
                )
            )

    async def finish(self) -> None:
        """Wait for the hooks that are due after the departure of their host, which bound their own time."""
        await self._tasks.ended(_END_S)
        await self._tasks.end()

    def _follow(self, host: VirtualHost, hooks: tuple[Hook, ...], *, calls_for_present: bool) -> None:
        if (follower := self._followers.get(host.key)) is not None:
            follower.hooks = hooks
        elif hooks:
            follower = self._followers[host.key] = HookFollower(host, hooks, calls_for_present=calls_for_present)
            self._tasks.start(f"{host.name}: hooks", follower.run, lambda: self._end(host, follower))

    def _end(self, host: VirtualHost, follower: HookFollower) -> None:
        if self._followers.get(host.key) is follower:
            del self._followers[host.key]
            self._hosts.pop(host.key, None)


class SupervisedTasks:
    """Tasks that are begun again when they fail, because a fault in one must not end the others."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, what: str, run: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
        """Run ``run`` until it returns; then call ``ended``."""
        task = asyncio.create_task(_supervised(what, run, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
                return  # The node has failed, and says so itself.
            except Exception:  # noqa: BLE001  whatever it is, the hosts must be served on
                logger.exception("carp: %s: a fault; they begin again in %g s", what, AGAIN_AFTER_S)
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                return
    finally:
        ended()


def _of(attached: Iterable[Attached[T]], *keys: HostKey | None) -> tuple[T, ...]:
    """Return what belongs to these hosts, in their order; None stands for every host."""
    return tuple(each.item for key in keys for each in attached if each.host == key)


def _kept(before: tuple[Attached[T], ...], after: tuple[Attached[T], ...]) -> tuple[Attached[T], ...]:
    """Return ``after``, with the objects of ``before`` where both say the same."""
    return tuple(next((old for old in before if old == each), each) for each in after)
