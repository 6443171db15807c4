"""An event does what that of asyncio does."""

import asyncio

import pytest

from pycarp.aio.small_event import SmallEvent
from pycarp.testing import run


@pytest.mark.parametrize("kind", [SmallEvent, asyncio.Event])
def test_all_who_wait_continue_when_it_is_set_also_if_it_is_cleared_at_once(
    kind: type[SmallEvent] | type[asyncio.Event],
) -> None:
    async def plan() -> list[bool]:
        event = kind()
        waiting = [asyncio.create_task(event.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        event.set()
        event.clear()
        return [*await asyncio.gather(*waiting), event.is_set()]

    assert run(plan()) == [True, True, False]


@pytest.mark.parametrize("kind", [SmallEvent, asyncio.Event])
def test_nobody_waits_for_one_that_is_set(kind: type[SmallEvent] | type[asyncio.Event]) -> None:
    async def plan() -> bool:
        event = kind()
        event.set()
        return await event.wait()

    assert run(plan())


@pytest.mark.parametrize("kind", [SmallEvent, asyncio.Event])
def test_a_task_that_is_cancelled_while_it_waits_keeps_nobody_else(
    kind: type[SmallEvent] | type[asyncio.Event],
) -> None:
    async def plan() -> tuple[bool, bool]:
        event = kind()
        cancelled, other = (asyncio.create_task(event.wait()) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        event.set()
        return await other, (await asyncio.wait({cancelled}))[0].pop().cancelled()

    assert run(plan()) == (True, True)
