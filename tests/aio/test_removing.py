"""Removing a host: twice, at the same time, after a drop that failed, after a cancellation, with backends that fail."""

import asyncio

import pytest

from pycarp import ConfigError, UsageError, VirtualHost
from pycarp.actuators import NullActuator
from pycarp.transports import MemoryBus
from tests.support.backends import Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time, let_others_run, now_s, until_held


async def master(here: FaultyNode) -> VirtualHost:
    """Return a host that holds its addresses."""
    web = await here.node.add(config())
    await until_held(web)
    assert here.actuator.held
    return web


async def assert_gone(here: FaultyNode) -> None:
    """Assert that nothing is left of a removed host; then add it again."""
    assert here.node.hosts == ()
    assert here.actuator.held == set()
    assert here.actuator.adopted == set()
    assert here.transport.opened == []
    assert here.guardian.armed == set()
    await here.node.add(config())


@in_virtual_time
async def test_two_who_remove_a_host_at_the_same_time_both_see_it_go() -> None:
    here = FaultyNode()
    async with here.node:
        web = await master(here)
        await asyncio.gather(here.node.remove(web), here.node.remove(web))

        await assert_gone(here)


@in_virtual_time
async def test_a_host_that_was_removed_cannot_be_removed_again() -> None:
    here = FaultyNode()
    async with here.node:
        web = await master(here)
        await here.node.remove(web)

        with pytest.raises(UsageError, match="is not on this node"):
            await here.node.remove(web)


@in_virtual_time
async def test_a_host_whose_removal_was_cancelled_goes_by_itself_and_can_be_removed_again() -> None:
    here = FaultyNode()
    async with here.node:
        web = await master(here)
        here.faults.wrong["drop"] = Hang.UNTIL_CANCELLED
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await here.node.remove(web)
        here.faults.wrong.clear()
        here.faults.released.set()
        await asyncio.sleep(1)
        await here.node.remove(web)

        await assert_gone(here)


@in_virtual_time
async def test_a_host_whose_drop_failed_goes_by_itself_once_it_succeeds() -> None:
    here = FaultyNode(close_timeout_s=2)
    async with here.node:
        web = await master(here)
        here.faults.wrong["drop"] = OSError(5, "no")
        with pytest.raises(TimeoutError, match=r"192\.0\.2\.10/24 could not be dropped within 2 s"):
            await here.node.remove(web)
        assert here.actuator.held
        here.faults.wrong.clear()
        await asyncio.sleep(10)

        await assert_gone(here)


@pytest.mark.parametrize("turns", range(30))
@in_virtual_time
async def test_a_removal_that_is_cancelled_after_any_number_of_turns_goes_on(turns: int) -> None:
    here = FaultyNode()
    async with here.node:
        web = await master(here)
        removing = asyncio.create_task(here.node.remove(web))
        for _ in range(turns):
            await asyncio.sleep(0)
        removing.cancel()
        await asyncio.wait({removing})
        await asyncio.sleep(1)
        if turns == 0:
            await here.node.remove(web)

        await assert_gone(here)


@pytest.mark.parametrize("call", ["release", "close_link"])
@pytest.mark.parametrize("fault", [ValueError("a bug"), asyncio.CancelledError(), Foreign(), *Hang], ids=repr)
@in_virtual_time
async def test_a_host_whose_remains_cannot_be_released_is_gone_all_the_same(
    call: str, fault: BaseException | Hang
) -> None:
    here = FaultyNode(close_timeout_s=3)
    async with here.node:
        web = await master(here)
        here.faults.wrong[call] = fault
        began_s = now_s()
        await here.node.remove(web)

        assert now_s() - began_s <= 3
        assert here.node.hosts == ()
        assert here.actuator.held == set()
        here.faults.wrong.clear()
        here.faults.released.set()


@in_virtual_time
async def test_a_host_of_another_node_is_not_taken_for_the_one_here() -> None:
    async with node(MemoryBus(), actuator=NullActuator()) as here, node(MemoryBus(), actuator=NullActuator()) as there:
        ours, theirs = await here.add(config()), await there.add(config())

        with pytest.raises(UsageError, match="is not on this node"):
            await here.remove(theirs)
        assert here.hosts == (ours,)


@pytest.mark.parametrize("junk", [None, "web", 1], ids=repr)
@in_virtual_time
async def test_what_is_no_host_cannot_be_removed(junk: object) -> None:
    async with FaultyNode().node as here:
        with pytest.raises(UsageError, match="is not on this node"):
            await here.remove(junk)  # type: ignore[arg-type]  # that is the mistake


@in_virtual_time
async def test_a_host_that_departs_is_not_listed_while_it_is_released() -> None:
    here = FaultyNode()
    async with here.node:
        web = await master(here)
        here.faults.wrong["release"] = Hang.UNTIL_CANCELLED
        removing = asyncio.create_task(here.node.remove(web))
        await let_others_run()

        assert here.node.hosts == ()
        with pytest.raises(ConfigError, match="in use"):
            await here.node.add(config())
        here.faults.released.set()
        await removing
