"""Of two readings of a link at the same time, the one that began later wins."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from msgspec.structs import replace

from pycarp.monitors.netlink_monitor import NetlinkMonitor
from pycarp.vocabulary import LinkFacts
from tests.support.nodes import LINK, link
from tests.support.virtual import in_virtual_time

UP, DOWN = link(1), link(1, is_up=False)
UP_WITH_INDEX = replace(UP, index=7)


class Kernel:
    """Returns the facts at the time of the call; each call takes its number of seconds of ``takes_s``."""

    def __init__(self, takes_s: Iterable[float] = ()) -> None:
        self.facts: LinkFacts | None = UP
        self.readings = 0
        self._takes_s = iter(takes_s)
        self._news: asyncio.Queue[str | None] = asyncio.Queue()

    def change(self, facts: LinkFacts | None) -> None:
        """Change the link and notify of it."""
        self.facts = facts
        self._news.put_nowait(LINK)

    async def link_facts(self, _link: str, _index: int = 0) -> LinkFacts | None:
        """Answer late."""
        self.readings += 1
        facts = self.facts
        await asyncio.sleep(next(self._takes_s, 0))
        return facts

    async def changes(self) -> AsyncIterator[str | None]:
        """Yield the names of changed links."""
        while True:
            yield await self._news.get()

    async def __aenter__(self) -> None:
        """Do nothing."""

    async def __aexit__(self, *_exc: object) -> None:
        """Do nothing."""


@contextlib.asynccontextmanager
async def watching(kernel: Kernel) -> AsyncIterator[tuple[NetlinkMonitor, list[LinkFacts]]]:
    """Run a monitor and return it with the changes that it reports."""
    monitor = NetlinkMonitor(kernel=kernel, changes=kernel.changes)
    noticed: list[LinkFacts] = []
    running = asyncio.create_task(monitor.run(noticed.append))
    await asyncio.sleep(0)
    try:
        yield monitor, noticed
    finally:
        running.cancel()
        await asyncio.wait({running})


@in_virtual_time
async def test_watching_a_link_again_does_not_bring_back_what_it_was_before() -> None:
    kernel = Kernel(takes_s=[0, 0.2, 0])
    async with watching(kernel) as (monitor, noticed):
        await monitor.watch(LINK)
        second = asyncio.create_task(monitor.watch(LINK))
        await asyncio.sleep(0.05)
        kernel.change(DOWN)

        assert await second == DOWN
        await asyncio.sleep(1)
        assert noticed == [DOWN]


@in_virtual_time
async def test_a_reading_after_a_change_does_not_bring_back_what_a_later_watch_has_seen() -> None:
    kernel = Kernel(takes_s=[0, 0.2, 0])
    async with watching(kernel) as (monitor, noticed):
        await monitor.watch(LINK)
        kernel.change(DOWN)
        await asyncio.sleep(0.05)
        kernel.change(UP)

        assert await monitor.watch(LINK) == UP
        await asyncio.sleep(1)
        assert noticed in ([], [UP])


@in_virtual_time
async def test_a_link_that_is_gone_when_an_older_reading_ends_stays_gone() -> None:
    kernel = Kernel(takes_s=[0, 0.2, 0])
    async with watching(kernel) as (monitor, noticed):
        await monitor.watch(LINK)
        second = asyncio.create_task(monitor.watch(LINK))
        await asyncio.sleep(0.05)
        kernel.change(None)

        assert await second == LinkFacts(name=LINK, is_up=False, exists=False)
        assert noticed == [LinkFacts(name=LINK, is_up=False, exists=False)]


@in_virtual_time
async def test_a_device_that_is_another_one_is_noticed_though_all_else_is_the_same() -> None:
    kernel = Kernel()
    async with watching(kernel) as (monitor, noticed):
        kernel.facts = replace(UP, index=3)
        await monitor.watch(LINK)
        kernel.change(replace(UP, index=4))
        await asyncio.sleep(1)

        assert [facts.index for facts in noticed] == [4]


@in_virtual_time
async def test_a_link_that_has_not_changed_is_read_once_for_all_who_watch_it() -> None:
    kernel = Kernel()
    kernel.change(UP_WITH_INDEX)
    async with watching(kernel) as (monitor, _noticed):
        await monitor.watch(LINK)
        await asyncio.sleep(1)
        before = kernel.readings

        assert [await monitor.watch(LINK) for _ in range(100)] == [UP_WITH_INDEX] * 100
        assert kernel.readings == before


@in_virtual_time
async def test_a_link_of_which_a_change_was_heard_is_read_again_though_the_change_is_not_dealt_with_yet() -> None:
    kernel = Kernel()
    kernel.change(UP_WITH_INDEX)
    async with watching(kernel) as (monitor, _noticed):
        await monitor.watch(LINK)
        await asyncio.sleep(1)
        for facts in (replace(UP_WITH_INDEX, is_up=False), UP_WITH_INDEX, replace(UP_WITH_INDEX, index=8)):
            kernel.change(facts)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

            assert await monitor.watch(LINK) == facts
