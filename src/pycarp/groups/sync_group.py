"""Follows the members of a group, makes each carry what the others say, and lets all take over when one does."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence

from pycarp.aio.arguments import check_cause
from pycarp.aio.virtual_host import DRAIN_TIMEOUT_S, VirtualHost
from pycarp.core.engine import DRAINED
from pycarp.core.inputs import DemotionSet, RestrictionSet, StateForced
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.errors import ConfigError, NodeFailedError, UsageError
from pycarp.placement.group_state import GroupInput, GroupState
from pycarp.vocabulary import HostKey

_LATE_S = 0.001


async def follow(name: str, *hosts: VirtualHost) -> None:
    """Move hosts of one node together until all have departed or this is cancelled; each is on its own then.

    The first host leads: where it is MASTER, the others belong. ``name`` is in the causes that status and events show.
    Raises ConfigError unless there are two hosts or more, each once.
    """
    await SyncGroup(name, hosts).run()


class SyncGroup:
    """Hosts of one node that move together, in the order in which they leave; see ``follow``.

    A group is demoted and restricted as a host is, so that checks can watch it: ``watch(group, Check(...))``.
    """

    def __init__(self, name: str, hosts: Sequence[VirtualHost]) -> None:
        check_cause(name)
        if len(hosts) < 2 or len(set(hosts)) < len(hosts):
            raise ConfigError(f"group {name!r} has {len(hosts)} hosts; name two or more, each once")
        self._name = name
        self._hosts = list(hosts)
        self._state = GroupState(name)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The name of the group."""
        return self._name

    @property
    def hosts(self) -> tuple[VirtualHost, ...]:
        """The members that have not departed, the leading one first."""
        return tuple(self._hosts)

    @property
    def is_master(self) -> bool:
        """Whether every member is MASTER here."""
        return bool(self._hosts) and all(host.state is State.MASTER for host in self._hosts)

    def demote(self, cause: str, *, by: int | None = None, last: bool = False) -> None:
        """Demote every member, in their order; as ``VirtualHost.demote``."""
        for host in self._hosts:
            host.demote(cause, by=by, last=last)

    def restore(self, cause: str) -> None:
        """Remove a named demotion of every member."""
        for host in self._hosts:
            host.restore(cause)

    def restrict(self, cause: str, to: Restriction | str) -> None:
        """Restrict every member, in their order; as ``VirtualHost.restrict``."""
        for host in self._hosts:
            host.restrict(cause, to)

    def unrestrict(self, cause: str) -> None:
        """Remove a named restriction of every member."""
        for host in self._hosts:
            host.unrestrict(cause)

    async def drain(self, cause: str = DRAINED, *, timeout_s: float = DRAIN_TIMEOUT_S, force: bool = False) -> None:
        """Leave all addresses to another machine and stay the last of all, until ``restore(cause)``.

        As ``VirtualHost.drain``; if nobody takes over from one member, the demotion of each becomes what it was before,
        and HandOverError is raised.
        """
        before = self._views()
        try:
            async with asyncio.TaskGroup() as drains:
                for host in self._hosts:
                    drains.create_task(host.drain(cause, timeout_s=timeout_s, force=force))
        except BaseExceptionGroup as exc:
            self._undo(cause, before)
            raise exc.exceptions[0] from None
        except BaseException:
            self._undo(cause, before)
            raise

    def _undo(self, cause: str, before: Mapping[VirtualHost, HostSnapshot]) -> None:
        for host, view in before.items():
            amount = dict(view.demotion).get(cause)
            with contextlib.suppress(UsageError, NodeFailedError):
                if amount is None:
                    host.restore(cause)
                elif cause in view.last_causes:
                    host.demote(cause, last=True)
                else:
                    host.demote(cause, by=amount)

    async def run(self) -> None:
        """Move the members together; as ``follow``."""
        try:
            self._carry()
            async with asyncio.TaskGroup() as tasks:
                for host in self._hosts:
                    tasks.create_task(self._follow(host), name=f"group {self._name}: {host.name}")
        except* NodeFailedError:
            pass  # All members are in INIT: there is nothing left to move.
        finally:
            if self._timer is not None:
                self._timer.cancel()
            with contextlib.suppress(NodeFailedError):
                self._do(self._state.end(self._views().values()))

    async def _follow(self, host: VirtualHost) -> None:
        async with host.events() as events:
            seen = host.seq
            # What happened before the subscription began is in no event of it.
            self._carry()
            async for event in events:
                if event.seq > seen:
                    now_s = asyncio.get_running_loop().time()
                    self._do(self._state.pull(event, tuple(self._views().values()), now_s))
                    self._carry()

    def _views(self) -> dict[VirtualHost, HostSnapshot]:
        """Return how each member is; one that has departed is none any more."""
        views = {}
        for host in list(self._hosts):
            try:
                views[host] = host.snapshot()
            except UsageError:
                self._hosts.remove(host)
        return views

    def _carry(self) -> None:
        """Make every member carry what the others say now, and look again when time changes something."""
        self._do(self._state.carry(tuple(self._views().values()), asyncio.get_running_loop().time()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (at_s := self._state.looks_at_s) is not None:
            self._timer = asyncio.get_running_loop().call_at(at_s + _LATE_S, self._look)

    def _look(self) -> None:
        with contextlib.suppress(UsageError, NodeFailedError):
            self._carry()

    def _do(self, inputs: Iterable[GroupInput]) -> None:
        hosts = {host.key: host for host in self._hosts}
        for each in inputs:
            _submit(hosts, each)


def _submit(hosts: Mapping[HostKey, VirtualHost], wanted: GroupInput) -> None:
    match wanted:
        case DemotionSet(HostKey() as key, cause, 0):
            hosts[key].restore(cause)
        case DemotionSet(HostKey() as key, cause, amount, is_last):
            hosts[key].demote(cause, by=None if is_last else amount, last=is_last)
        case RestrictionSet(HostKey() as key, cause, None):
            hosts[key].unrestrict(cause)
        case RestrictionSet(HostKey() as key, cause, restriction) if restriction is not None:
            hosts[key].restrict(cause, restriction)
        case StateForced(key, state, is_for_group):
            hosts[key].force(state, is_for_group=is_for_group)
