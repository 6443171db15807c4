"""What the page shows, as it changes: computed once a second for all who watch, and not at all while nobody does.

A viewer gets everything first, then what has changed, each second at least; one that was too slow gets everything
again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from pycarp import __version__
from pycarp.daemon.control_messages import EventRecord, HostStatus, OutlookStatus, Peer, StatusReply
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.state_timeline import StateTimeline, TimelineEntry
from pycarp.daemon.wellness import what_is_wrong
from pycarp.tasks import start_task

EVERY_S = 1.0
"""So often viewers are sent something, whether or not anything has changed."""

TOGETHER_S = 0.25
"""What happens within so long after an update is sent at once."""

EVENTS_MOST = 200
"""Events that a viewer gets at the beginning, the latest."""

_NODE_EVERY = 5
"""Counters change with each packet: they are sent with every fifth update."""

_WOKEN_AT_ONCE = 16
_COMPUTED_AT_ONCE = 16


class HostView(msgspec.Struct, kw_only=True):
    """A host: its status, what is wrong with it (empty if nothing), and its state changes of the last day.

    ``machines`` names the machine of each advertisement in ``status.heard``: one that speaks two families has one name.
    ``outlook`` is what can happen next, as ``pycarp why`` says it.
    """

    status: HostStatus
    wrong: str
    machines: list[str]
    changes: list[TimelineEntry]
    outlook: list[OutlookStatus]


class Everything(msgspec.Struct, kw_only=True):
    """All there is to show; ``node`` is the status without its hosts, ``may_act`` as in ``Update``."""

    version: str
    may_act: bool
    node: StatusReply
    hosts: list[HostView]
    events: list[EventRecord]


class Update(msgspec.Struct, kw_only=True):
    """What has changed: hosts, those that are gone as ``vhid@interface``, and events.

    ``heard_s_ago`` has the ages of all advertisements of hosts that have heard any, by host, in the order of
    ``status.heard``; ``outlook_in_s`` the times of what can happen next, in the order of ``outlook``, where they come
    first; ``next_s`` what it is in the status, at the same moment as ``heard_s_ago``. ``node`` is None where only its
    ``uptime_s`` has changed. ``may_act`` is whether who has the token can change things.
    """

    uptime_s: float
    may_act: bool
    node: StatusReply | None
    hosts: list[HostView]
    gone: list[str]
    heard_s_ago: dict[str, list[float]]
    outlook_in_s: dict[str, list[float]]
    next_s: dict[str, float | None]
    events: list[EventRecord]


_Steady: TypeAlias = tuple[HostStatus, list[OutlookStatus]]
"""A host, and what can happen to it next, without what changes while nothing happens."""


@dataclass(slots=True)
class _Moment:
    """What was seen last: the hosts and how each was without what ages, and the update that led here."""

    number: int = 0
    at_s: float = 0.0
    status: StatusReply | None = None
    steady: dict[str, "_Steady"] = field(default_factory=dict)
    outlooks: dict[str, list[OutlookStatus]] = field(default_factory=dict)
    seq: int = 0
    update: bytes = b""
    everything: bytes = b""


class LiveFeed:
    """Follows status, events and state changes while there are viewers.

    ``status`` returns the status of a moment ago, ``outlook`` what can happen next to a host of it; ``may_act`` whether
    who has the token can change things.
    """

    def __init__(
        self,
        status: Callable[[], Awaitable[StatusReply]],
        history: EventHistory,
        timeline: StateTimeline,
        *,
        outlook: Callable[[HostStatus], list[OutlookStatus]] = lambda _host: [],
        may_act: Callable[[], bool] = lambda: False,
    ) -> None:
        self._status = status
        self._outlook = outlook
        self._history = history
        self._timeline = timeline
        self._may_act = may_act
        self._moment = _Moment()
        self._viewers: dict[asyncio.Event, None] = {}
        self._task: asyncio.Task[None] | None = None

    async def follow(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send what the page shows until cancelled, each message an event of ``text/event-stream``.

        Raises what ``send`` raises, and what the status does.
        """
        news = asyncio.Event()
        self._viewers[news] = None
        try:
            if self._task is None:
                self._task = start_task(self._run())
            task = self._task
            seen = None
            if self._moment.number and asyncio.get_running_loop().time() < self._moment.at_s + 2 * EVERY_S:
                news.set()
            while True:
                await news.wait()
                if task.done():
                    # It ends with the last viewer only, or by what went wrong.
                    task.result()
                    return
                news.clear()
                moment = self._moment
                number = moment.number
                await send(moment.update if seen == number - 1 else self._all(moment))
                seen = number
        finally:
            del self._viewers[news]

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            self._moment = _Moment(seq=self._history.last)
            while self._viewers:
                began_s = asyncio.get_running_loop().time()
                await self._look()
                await self._wake()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S):
                        await self._history.arrival(self._moment.seq)
                await asyncio.sleep(max(began_s + TOGETHER_S - asyncio.get_running_loop().time(), 0))
        finally:
            self._task = None
            self._moment = _Moment()
            for each in self._viewers:
                each.set()

    async def _wake(self) -> None:
        """Wake the viewers, a few in a turn of the loop."""
        for number, each in enumerate(list(self._viewers)):
            each.set()
            if number % _WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _look(self) -> None:
        before, status = self._moment, await self._status()
        hosts = {_id(each): each for each in status.hosts}
        outlooks: dict[str, list[OutlookStatus]] = {}
        steady: dict[str, _Steady] = {}
        for position, (name, host) in enumerate(hosts.items()):
            if position % _COMPUTED_AT_ONCE == 0:
                await asyncio.sleep(0)
            outlooks[name] = self._outlook(host)
            steady[name] = _without_ages(host), [replace(each, in_s=None) for each in outlooks[name]]
        changed = [hosts[name] for name, each in steady.items() if before.steady.get(name) != each]
        events = self._history.since(before.seq)
        number = before.number + 1
        update = Update(
            uptime_s=status.uptime_s,
            may_act=self._may_act(),
            node=replace(status, hosts=[]) if number % _NODE_EVERY == 0 else None,
            hosts=[self._view(each, outlooks) for each in changed] if before.number else [],
            gone=[name for name in before.steady if name not in hosts],
            heard_s_ago={name: [each.heard_s_ago for each in host.heard] for name, host in hosts.items() if host.heard},
            next_s={name: host.next_s for name, host in hosts.items() if host.heard},
            outlook_in_s={name: times for name, each in outlooks.items() if (times := _times(each))},
            events=events[-EVENTS_MOST:],
        )
        self._moment = _Moment(
            number=number,
            at_s=asyncio.get_running_loop().time(),
            status=status,
            steady=steady,
            outlooks=outlooks,
            seq=events[-1].seq if events else before.seq,
            update=_message("update", update),
        )

    def _all(self, moment: _Moment) -> bytes:
        """Return everything of a moment, as it is put together for the first who asks."""
        assert moment.status is not None
        if not moment.everything:
            everything = Everything(
                version=__version__,
                may_act=self._may_act(),
                node=replace(moment.status, hosts=[]),
                hosts=[self._view(each, moment.outlooks) for each in moment.status.hosts],
                events=[each for each in self._history.since(moment.seq - EVENTS_MOST) if each.seq <= moment.seq],
            )
            moment.everything = _message("everything", everything)
        return moment.everything

    def _view(self, host: HostStatus, outlooks: Mapping[str, list[OutlookStatus]]) -> HostView:
        return HostView(
            status=host,
            wrong=what_is_wrong(host),
            machines=[_machine(each, host.heard) for each in host.heard],
            changes=self._timeline.of(host),
            outlook=outlooks[_id(host)],
        )


def _message(name: str, content: msgspec.Struct) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(content))


def _id(host: HostStatus) -> str:
    return f"{host.vhid}@{host.interface}"


def _times(outlook: Iterable[OutlookStatus]) -> list[float]:
    return [each.in_s for each in outlook if each.in_s is not None]


def _without_ages(host: HostStatus) -> HostStatus:
    """Return a status without what changes while nothing happens."""
    return replace(
        host,
        next_s=None,
        last_change=None if host.last_change is None else replace(host.last_change, at="", s_ago=0),
        peer=None,
        heard=[replace(each, heard_s_ago=0) for each in host.heard],
        demotion=[replace(each, ends_in_s=None) for each in host.demotion],
        restrictions=[replace(each, ends_in_s=None) for each in host.restrictions],
        checks=[replace(each, s_ago=0) for each in host.checks],
    )


def _machine(peer: Peer, heard: Iterable[Peer]) -> str:
    """Return the address that names the machine of an advertisement: IPv4 if one says the same there.

    Nothing else identifies a machine that speaks two families; see ``HostSnapshot.name_of``.
    """
    if ":" not in peer.source:
        return peer.source
    said = (peer.advbase, peer.advskew, peer.has_left)
    twins = [x.source for x in heard if ":" not in x.source and (x.advbase, x.advskew, x.has_left) == said]
    return twins[0] if len(twins) == 1 else peer.source
