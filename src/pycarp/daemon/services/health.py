"""Runs the health checks of a configuration."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import Attached, NodeConfig
from pycarp.daemon.control_messages import CheckStatus, HostStatus
from pycarp.daemon.services.service import SupervisedTasks, kept, of_hosts
from pycarp.errors import CarpError
from pycarp.vocabulary import HostKey

if TYPE_CHECKING:
    from pycarp.health import Check
    from pycarp.health.watching import Watcher


class HealthService:
    """Runs the checks of the configuration; those of every host run once and demote the whole node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._tasks = SupervisedTasks()
        self._checks: tuple[Attached[Check], ...] = ()
        self._watchers: dict[HostKey | None, Watcher] = {}
        self._hosts: dict[HostKey, VirtualHost] = {}

    def configure(self, config: NodeConfig) -> None:
        """Apply other checks; one with the same settings as before keeps its results."""
        self._checks = kept(self._checks, config.checks)
        for key in [None, *self._hosts]:
            self._follow(key)

    def start(self, host: VirtualHost) -> None:
        """Begin the checks of a host, which count as failing until they have passed."""
        self._hosts[host.key] = host
        self._watchers.pop(host.key, None)
        self._follow(host.key)

    def departed(self, key: HostKey) -> None:
        """Forget a host; its checks end by themselves."""
        self._hosts.pop(key, None)

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add its checks, and those of every host, to the status of a host."""
        now_s = asyncio.get_running_loop().time()
        for scope in (key, None):
            watcher = self._watchers.get(scope)
            if watcher is None:
                continue
            for check in of_hosts(self._checks, scope):
                state = watcher.states[check.name]
                status.checks.append(
                    CheckStatus(
                        name=check.name,
                        passes=state.passes,
                        answer=None if state.last is None else state.last.answer.value,
                        detail="" if state.last is None else state.last.detail,
                        by=check.by,
                        releases=check.release,
                        s_ago=None if state.changed_at_s is None else round(now_s - state.changed_at_s, 6),
                    )
                )

    async def finish(self) -> None:
        """End every check."""
        await self._tasks.end()

    def _follow(self, key: HostKey | None) -> None:
        """Start and stop checks of a host, or of all, so that those of the configuration run."""
        checks = of_hosts(self._checks, key)
        if (watcher := self._watchers.get(key)) is not None:
            with contextlib.suppress(CarpError):  # a host that has departed meanwhile
                watcher.replace(checks)
        elif checks:
            # Imported here because most daemons check nothing.
            from pycarp.health.watching import Watcher  # noqa: PLC0415

            target = self._node if key is None else self._hosts[key]
            watcher = self._watchers[key] = Watcher(target, checks)
            what = "checks of every host" if key is None else f"{self._hosts[key].name}: checks"
            self._tasks.start(what, watcher.run, lambda: self._end(key, watcher))

    def _end(self, key: HostKey | None, watcher: "Watcher") -> None:
        if self._watchers.get(key) is watcher:
            del self._watchers[key]
