"""Follows the members of a group, makes each carry what the others say, and lets all take over when one does."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from pycarp.aio.arguments import check_cause
from pycarp.aio.virtual_host import DRAIN_TIMEOUT_S, DRAINED, VirtualHost
from pycarp.core.events import Event, StateChange
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.errors import ConfigError, NodeFailedError, UsageError
from pycarp.groups.share import Share, own_share, shares

WELL_S = 3.0
"""A member that was given up may be taken over again once a MASTER that is well was heard for so many seconds."""

_LATE_S = 0.001

_MEANS_ONE_HOST = frozenset({Reason.FORCED, Reason.GROUPED})
"""After these a MASTER does not pull the other members: an administrator means one host, and a group has pulled all."""


async def follow(name: str, *hosts: VirtualHost) -> None:
    """Let hosts of one node move together until all have departed or this is cancelled; then each is on its own again.

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
        self._in_force: dict[VirtualHost, Share] = {}
        self._given_up: dict[VirtualHost, float | None] = {}
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
        """Let the members move together; as ``follow``."""
        try:
            self._apply()
            async with asyncio.TaskGroup() as tasks:
                for host in self._hosts:
                    tasks.create_task(self._follow(host), name=f"group {self._name}: {host.name}")
        except* NodeFailedError:
            pass  # All members are in INIT: there is nothing left to move.
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for host in self._hosts:
                with contextlib.suppress(UsageError, NodeFailedError):
                    self._carry(host, Share())

    async def _follow(self, host: VirtualHost) -> None:
        async with host.events() as events:
            seen = host.seq
            # What happened before the subscription began is in no event of it.
            self._apply()
            async for event in events:
                if event.seq > seen:
                    self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, StateChange) and event.new is State.MASTER and event.reason not in _MEANS_ONE_HOST:
            self._pull()
        self._apply()

    def _pull(self) -> None:
        """Let the members that are BACKUP take over as well: the MASTER of one is gone, or leaves this group to us.

        A MASTER that is stronger keeps its addresses, and the member yields before it has held them.
        """
        views = self._views()
        if all(own_share(view).is_able for view in views.values()):
            for host, view in views.items():
                if view.state is State.BACKUP:
                    host.force(State.MASTER, is_for_group=True)

    def _views(self) -> dict[VirtualHost, HostSnapshot]:
        """Return how each member is; one that has departed is none any more."""
        views = {}
        for host in list(self._hosts):
            try:
                views[host] = host.snapshot()
            except UsageError:
                self._hosts.remove(host)
                self._in_force.pop(host, None)
                self._given_up.pop(host, None)
        return views

    def _apply(self) -> None:
        """Make every member carry what the others say now."""
        views = self._views()
        self._note_given_up(views)
        given_up = {host.key for host in self._given_up}
        for host, share in zip(views, shares(self._name, tuple(views.values()), given_up), strict=True):
            self._carry(host, share)

    def _note_given_up(self, views: Mapping[VirtualHost, HostSnapshot]) -> None:
        """Note which members are here without the leader; forget those that have been well elsewhere for a while."""
        loop = asyncio.get_running_loop()
        leader = next(iter(views.values()), None)
        for host, view in views.items():
            if leader is None or leader.state is State.MASTER:
                self._given_up.pop(host, None)
            elif leader.state is State.BACKUP and view is not leader and view.state is State.MASTER:
                self._given_up[host] = None
            elif host in self._given_up:
                self._given_up[host] = since_s = self._well_since_s(host, view)
                if since_s is not None and loop.time() >= since_s + WELL_S:
                    del self._given_up[host]

    def _well_since_s(self, host: VirtualHost, view: HostSnapshot) -> float | None:
        """Return since when a MASTER of a member that was given up is heard that is not the last of all."""
        if view.state is not State.BACKUP or view.master is None or view.master.claim.is_last:
            return None
        before_s = self._given_up[host]
        if before_s is not None:
            return before_s
        loop = asyncio.get_running_loop()
        # One timer for all: whoever is well later is looked at again then.
        if self._timer is None:
            self._timer = loop.call_later(WELL_S + _LATE_S, self._look)
        return loop.time()

    def _look(self) -> None:
        self._timer = None
        with contextlib.suppress(UsageError, NodeFailedError):
            self._apply()
        if any(since_s is not None for since_s in self._given_up.values()) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WELL_S + _LATE_S, self._look)

    def _carry(self, host: VirtualHost, share: Share) -> None:
        """Make a host carry exactly this; a cause that somebody else removed is put back."""
        view, before = host.snapshot(), self._in_force.get(host, Share())
        self._in_force[host] = share
        demotions, restrictions = dict(view.demotion), dict(view.restrictions)
        # What is added comes first, so that no moment lies between two causes.
        for cause, amount in share.demotions.items():
            if cause not in demotions or cause not in before.demotions or before.demotions[cause] != amount:
                host.demote(cause, by=amount, last=amount is None)
        for cause, restriction in share.restrictions.items():
            if cause not in restrictions or before.restrictions.get(cause) is not restriction:
                host.restrict(cause, restriction)
        for cause in before.demotions.keys() - share.demotions.keys():
            host.restore(cause)
        for cause in before.restrictions.keys() - share.restrictions.keys():
            host.unrestrict(cause)
