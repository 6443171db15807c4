"""What the page is sent, in virtual time: everything, then what has changed; without a viewer nothing is computed."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from pycarp.daemon.control_messages import HostStatus, OutlookStatus, StatusReply
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.live_feed import EVERY_S, LiveFeed
from pycarp.daemon.state_timeline import StateTimeline
from tests.support.control import host_of, peer_of, status_of
from tests.support.virtual import in_virtual_time, now_s

log = logging.getLogger("pycarp.state")


class Watched:
    """A feed of a status that a test sets, and how often it was asked for."""

    def __init__(self) -> None:
        self.history = EventHistory()
        self.status = status_of(host_of("web", heard=[peer_of("192.0.2.2")]), host_of("dns", vhid=2))
        self.asked = 0
        self.error: Exception | None = None
        self.in_s: dict[str, float] = {}
        self.condition = "nobody advertises"
        self.feed = LiveFeed(self.now, self.history, StateTimeline(now_s), outlook=self.outlook)

    def outlook(self, host: HostStatus) -> list[OutlookStatus]:
        in_s = self.in_s.get(host.name)
        return [OutlookStatus(state="MASTER", reason="", condition=self.condition, in_s=in_s)] if in_s else []

    async def now(self) -> StatusReply:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return msgspec.structs.replace(self.status, uptime_s=now_s())

    @contextlib.asynccontextmanager
    async def viewer(self, *, pause_s: float = 0) -> AsyncIterator["Viewer"]:
        """Watch, and take so long for each message."""
        viewer = Viewer(pause_s)
        task = asyncio.create_task(self.feed.follow(viewer.send))
        viewer.task = task
        try:
            yield viewer
        finally:
            task.cancel()
            await asyncio.wait({task})


class Viewer:
    """Keeps the messages that it got, by name and content."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.got: list[tuple[str, Any]] = []
        self.task: asyncio.Task[None] | None = None

    async def send(self, message: bytes) -> None:
        name, data, *_end = message.decode().split("\n")
        self.got.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        await asyncio.sleep(self.pause_s)

    @property
    def names(self) -> list[str]:
        return [name for name, _content in self.got]


@in_virtual_time
async def test_a_viewer_gets_everything_and_then_a_sign_of_life_each_second() -> None:
    watched = Watched()
    async with watched.viewer() as viewer:
        await asyncio.sleep(3.5 * EVERY_S)

    assert viewer.names == ["everything", "update", "update", "update"]
    assert [each["status"]["name"] for each in viewer.got[0][1]["hosts"]] == ["web", "dns"]
    assert [each["hosts"] for name, each in viewer.got if name == "update"] == [[], [], []]
    assert viewer.got[-1][1]["heard_s_ago"] == {"1@fxp0": [0.1]}


@in_virtual_time
async def test_a_host_that_changed_is_sent_with_what_is_wrong_and_ages_alone_are_no_change() -> None:
    watched = Watched()
    async with watched.viewer() as viewer:
        await asyncio.sleep(0.5)
        web = host_of("web", heard=[peer_of("192.0.2.2")], missing=["192.0.2.1/24"])
        watched.status = status_of(web, host_of("dns", vhid=2, next_s=0.1))
        await asyncio.sleep(EVERY_S)

    ((name, update),) = viewer.got[1:]
    assert name == "update"
    assert [(each["status"]["name"], each["wrong"]) for each in update["hosts"]] == [("web", "is without 192.0.2.1/24")]


@in_virtual_time
async def test_what_can_happen_next_is_sent_with_its_times_each_second_and_in_full_when_it_changes() -> None:
    watched = Watched()
    watched.in_s = {"web": 3.0}
    async with watched.viewer() as viewer:
        await asyncio.sleep(0.5)
        watched.in_s = {"web": 2.0}
        await asyncio.sleep(EVERY_S)
        watched.condition = "another one"
        await asyncio.sleep(EVERY_S)

    everything, aged, changed = (content for _name, content in viewer.got)
    assert everything["hosts"][0]["outlook"][0]["in_s"] == 3.0
    assert (aged["hosts"], aged["outlook_in_s"]) == ([], {"1@fxp0": [2.0]})
    assert [each["outlook"][0]["condition"] for each in changed["hosts"]] == ["another one"]


@in_virtual_time
async def test_an_event_is_sent_without_waiting_for_the_next_second() -> None:
    watched = Watched()
    with watched.history.recording():
        async with watched.viewer() as viewer:
            await asyncio.sleep(0.3)
            log.info("carp: it happened")
            await asyncio.sleep(0.3)

    assert [each["text"] for each in viewer.got[-1][1]["events"]] == ["it happened"]


@in_virtual_time
async def test_a_host_that_has_departed_is_named() -> None:
    watched = Watched()
    async with watched.viewer() as viewer:
        await asyncio.sleep(0.5)
        watched.status = status_of(host_of("dns", vhid=2))
        await asyncio.sleep(EVERY_S)

    assert viewer.got[-1][1]["gone"] == ["1@fxp0"]


@in_virtual_time
async def test_a_viewer_that_was_too_slow_gets_everything_again() -> None:
    watched = Watched()
    async with watched.viewer(pause_s=2.5) as viewer:
        await asyncio.sleep(7)

    assert set(viewer.names) == {"everything"}
    assert len(viewer.names) == 3


@in_virtual_time
async def test_the_status_is_computed_once_for_all_viewers_and_not_at_all_for_nobody() -> None:
    watched = Watched()
    async with contextlib.AsyncExitStack() as stack:
        for _number in range(50):
            await stack.enter_async_context(watched.viewer())
        await asyncio.sleep(2.5 * EVERY_S)
    assert watched.asked == 3

    await asyncio.sleep(10)
    assert watched.asked == 3


@in_virtual_time
async def test_a_viewer_learns_of_an_error_and_the_next_one_begins_anew() -> None:
    watched = Watched()
    async with watched.viewer() as viewer:
        await asyncio.sleep(0.5)
        watched.error = RuntimeError("a bug")
        await asyncio.sleep(EVERY_S)
        assert viewer.task is not None
        with pytest.raises(RuntimeError, match="a bug"):
            viewer.task.result()

    watched.error = None
    async with watched.viewer() as viewer:
        await asyncio.sleep(0.5)
    assert viewer.names == ["everything"]


@in_virtual_time
async def test_a_machine_that_speaks_two_families_has_one_name() -> None:
    watched = Watched()
    watched.status = status_of(host_of("web", heard=[peer_of("192.0.2.2"), peer_of("fe80::1")]))
    async with watched.viewer() as viewer:
        await asyncio.sleep(0.5)

    assert viewer.got[0][1]["hosts"][0]["machines"] == ["192.0.2.2", "192.0.2.2"]
