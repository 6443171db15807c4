"""Moves the hosts of the sync groups of a configuration together."""

import asyncio
import contextlib

from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import Attached, NodeConfig
from pycarp.daemon.control_messages import HostStatus
from pycarp.daemon.services.service import SupervisedTasks, kept
from pycarp.errors import CarpError
from pycarp.placement.share import SyncGroupConfig
from pycarp.vocabulary import HostKey


class GroupService:
    """Runs each group while all of its hosts are here; while one is not, the others are the last of all."""

    def __init__(self) -> None:
        self._tasks = SupervisedTasks()
        self._groups: tuple[Attached[SyncGroupConfig], ...] = ()
        self._names: dict[HostKey, str] = {}
        self._hosts: dict[HostKey, VirtualHost] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._incomplete: dict[str, str] = {}

    def configure(self, config: NodeConfig) -> None:
        """Apply other groups; one with the same settings as before goes on."""
        self._names = {host.key: host.name for host in config.hosts}
        before, self._groups = self._groups, kept(self._groups, config.sync_groups)
        for gone in [each for each in before if each not in self._groups]:
            self._stop(gone.item)
        self._form()

    def start(self, host: VirtualHost) -> None:
        """Add a host to its group, which begins once all its members are here."""
        self._hosts[host.key] = host
        self._form()

    def departed(self, key: HostKey) -> None:
        """Forget a host; its group begins again when it is back."""
        self._hosts.pop(key, None)
        for group in self._groups:
            if key in group.item.hosts:
                self._stop(group.item)
        self._form()

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Add its group to the status of a host."""
        status.sync_group = next((each.name for each in self._groups if key in each.item.hosts), None)

    async def finish(self) -> None:
        """End every group."""
        await self._tasks.end()

    def _form(self) -> None:
        for each in self._groups:
            group = each.item
            present = [self._hosts[key] for key in group.hosts if key in self._hosts]
            if len(present) < len(group.hosts):
                self._wait(group, present)
            elif group.name not in self._running:
                self._run(group, present)

    def _wait(self, group: SyncGroupConfig, present: list[VirtualHost]) -> None:
        """Make the present hosts the last of all, because the group must be where all of its members can be."""
        absent = [self._names.get(key, str(key)) for key in group.hosts if key not in self._hosts]
        cause = f"group {group.name}: {' and '.join(absent)} not here"
        self._restore(group, unless=cause)
        self._incomplete[group.name] = cause
        for host in present:
            with contextlib.suppress(CarpError):
                host.demote(cause, last=True)

    def _run(self, group: SyncGroupConfig, present: list[VirtualHost]) -> None:
        # Imported here because most daemons have no group.
        from pycarp.groups import SyncGroup  # noqa: PLC0415

        members = SyncGroup(group.name, present)
        self._running[group.name] = self._tasks.start(f"group {group.name}", members.run)
        self._restore(group)

    def _stop(self, group: SyncGroupConfig) -> None:
        if (task := self._running.pop(group.name, None)) is not None:
            task.cancel()
        self._restore(group)

    def _restore(self, group: SyncGroupConfig, *, unless: str = "") -> None:
        cause = self._incomplete.get(group.name, unless)
        if cause == unless:
            return
        del self._incomplete[group.name]
        for key in group.hosts:
            if (host := self._hosts.get(key)) is not None:
                with contextlib.suppress(CarpError):
                    host.restore(cause)
