"""A planned hand-over succeeds once the next host advertises; the addresses are never left without an owner."""

import asyncio
from dataclasses import replace

import pytest

from pycarp import HandOverError, State, UsageError
from pycarp.aio.node import Node
from pycarp.core.inputs import Action
from pycarp.dialects import FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.transports.memory import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time

ALL_DIALECTS = (UNIVERSAL, FREEBSD, FREEBSD9, OPENBSD, NETBSD, UCARP)


@in_virtual_time
async def test_the_next_host_is_master_when_it_returns_and_this_one_drops_first() -> None:
    bus = MemoryBus()
    actuator = RecordingActuator()
    async with node(bus, actuator=actuator) as first, node(bus, host=2) as second:
        here, there = await first.add(config(preempt=True)), await second.add(config(advskew=100, preempt=True))
        await here.wait_for(State.MASTER)
        began_s = asyncio.get_running_loop().time()

        master = await here.hand_over()

        assert (str(master), here.state, there.state) == ("192.0.2.2", State.BACKUP, State.MASTER)
        assert asyncio.get_running_loop().time() - began_s < 0.01


@in_virtual_time
async def test_of_several_next_hosts_the_one_that_stays_master_is_returned() -> None:
    """Every BACKUP that receives the bow-out becomes MASTER at once; the least preferred may advertise first."""
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as weaker, node(bus, host=3) as stronger:
        here = await first.add(config())
        await weaker.add(config(advskew=200))
        there = await stronger.add(config(advskew=100))
        await here.wait_for(State.MASTER)

        master = await here.hand_over()

        assert (str(master), there.state) == ("192.0.2.3", State.MASTER)


@in_virtual_time
async def test_a_short_timeout_ends_with_the_first_that_is_heard() -> None:
    """Settling the election takes longer than the timeout; taking the addresses back then would make two owners."""
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as second:
        here = await first.add(config())
        await second.add(config())
        await here.wait_for(State.MASTER)

        assert str(await here.hand_over(timeout_s=0.001)) == "192.0.2.2"


@in_virtual_time
async def test_a_host_that_handed_over_takes_back_what_it_may_again() -> None:
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as second:
        here, _there = await first.add(config(preempt=True)), await second.add(config(advskew=100))
        await here.wait_for(State.MASTER)
        await here.hand_over()
        await asyncio.sleep(60)
        before = here.state
        here.restore("handed over")
        await asyncio.sleep(2)

        assert (before, here.state) == (State.BACKUP, State.MASTER)


@in_virtual_time
async def test_without_a_next_host_the_addresses_are_taken_back_and_that_is_an_error() -> None:
    async with node(MemoryBus()) as alone:
        here = await alone.add(config(preempt=True))
        await here.wait_for(State.MASTER)

        with pytest.raises(
            HandOverError, match="nobody took the addresses of 1@em0 over within 1 s; it is MASTER again"
        ):
            await here.hand_over()

        assert (here.state, here.snapshot().demotion) == (State.MASTER, ())


@in_virtual_time
async def test_only_a_master_hands_over() -> None:
    async with node(MemoryBus()) as alone:
        here = await alone.add(config())

        with pytest.raises(UsageError, match="1@em0 is BACKUP; only a MASTER can hand its addresses over"):
            await here.hand_over()


@in_virtual_time
async def test_of_several_hosts_one_is_left_with_the_addresses() -> None:
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as second, node(bus, host=3) as third:
        nodes: list[Node] = [first, second, third]
        hosts = [await each.add(config(advskew=50 * n, preempt=True)) for n, each in enumerate(nodes)]
        await hosts[0].wait_for(State.MASTER)

        await hosts[0].hand_over()
        await asyncio.sleep(1)

        assert [each.state for each in hosts] == [State.BACKUP, State.MASTER, State.BACKUP]


# Failures


@pytest.mark.parametrize("turns", range(25))
@in_virtual_time
async def test_one_that_is_cancelled_after_any_number_of_turns_leaves_no_demotion(turns: int) -> None:
    async with node(MemoryBus()) as alone:
        here = await alone.add(config(preempt=True))
        await here.wait_for(State.MASTER)
        handing_over = asyncio.create_task(here.hand_over())
        for _ in range(turns):
            await asyncio.sleep(0)
        handing_over.cancel()
        await asyncio.wait({handing_over})
        assert here.snapshot().demotion == ()
        await asyncio.sleep(10)

        assert (here.state, here.snapshot().demotion) == (State.MASTER, ())


@pytest.mark.parametrize("after_s", [0.5, 2.5])
@in_virtual_time
async def test_one_that_is_cancelled_while_the_drop_is_slow_leaves_no_demotion(after_s: float) -> None:
    bus = MemoryBus()
    async with node(bus, actuator=RecordingActuator(takes_s=2)) as first, node(bus, host=2) as second:
        here, there = await first.add(config()), await second.add(config(advskew=100))
        await here.wait_for(State.MASTER)
        await asyncio.sleep(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(min(after_s, 1.9)):
                await here.hand_over()
        await asyncio.sleep(20)

        assert here.snapshot().demotion == ()
        assert sorted([here.state, there.state]) == [State.BACKUP, State.MASTER]


@in_virtual_time
async def test_a_slow_drop_does_not_count_against_the_time_to_take_over() -> None:
    bus = MemoryBus()
    actuator = RecordingActuator(takes_s=5)
    async with node(bus, actuator=actuator) as first, node(bus, host=2) as second:
        here, there = await first.add(config()), await second.add(config(advskew=100))
        await here.wait_for(State.MASTER)
        await asyncio.sleep(20)

        master = await here.hand_over()

        assert (str(master), there.state, actuator.held) == ("192.0.2.2", State.MASTER, set())


@in_virtual_time
async def test_a_drop_that_never_succeeds_is_an_error_that_leaves_no_demotion() -> None:
    actuator = RecordingActuator()
    async with node(MemoryBus(), actuator=actuator) as alone:
        here = await alone.add(config())
        await here.wait_for(State.MASTER)
        await asyncio.sleep(1)
        actuator.refused.add(Action.DROP)

        with pytest.raises(HandOverError, match="the addresses of 1@em0 could not be dropped within 15 s"):
            await here.hand_over()

        assert here.snapshot().demotion == ()
        actuator.refused.clear()
        await here.wait_for(State.MASTER)


async def handed_over(dialect: Dialect, *, here: int, there: int) -> str:
    """Hand over from a host of one advskew to one of another, and return the address of the new MASTER."""
    bus = MemoryBus()
    async with node(bus) as first, node(bus, host=2) as second:
        ours = await first.add(replace(config(advskew=here), dialect=dialect))
        await ours.wait_for(State.MASTER)
        await second.add(replace(config(advskew=there), dialect=dialect))
        await asyncio.sleep(10)

        return str(await ours.hand_over())


@pytest.mark.parametrize("dialect", ALL_DIALECTS, ids=lambda each: each.name)
@pytest.mark.parametrize(("here", "there"), [(100, 0), (254, 0), (254, 100)])
@in_virtual_time
async def test_the_next_host_is_waited_for_as_long_as_its_dialect_lets_it_wait(
    dialect: Dialect, here: int, there: int
) -> None:
    assert await handed_over(dialect, here=here, there=there) == "192.0.2.2"


@pytest.mark.parametrize("dialect", [each for each in ALL_DIALECTS if each.bow_out], ids=lambda each: each.name)
@pytest.mark.parametrize("there", [100, 254])
@in_virtual_time
async def test_a_slower_host_is_called_by_the_bow_out(dialect: Dialect, there: int) -> None:
    assert await handed_over(dialect, here=0, there=there) == "192.0.2.2"


@pytest.mark.parametrize("dialect", [each for each in ALL_DIALECTS if not each.bow_out], ids=lambda each: each.name)
@in_virtual_time
async def test_a_slower_host_is_waited_for_though_no_bow_out_calls_it(dialect: Dialect) -> None:
    assert await handed_over(dialect, here=0, there=100) == "192.0.2.2"


@in_virtual_time
async def test_a_host_that_departs_meanwhile_is_a_usage_error() -> None:
    async with node(MemoryBus()) as alone:
        here = await alone.add(config())
        await here.wait_for(State.MASTER)
        handing_over = asyncio.create_task(here.hand_over(timeout_s=60))
        await asyncio.sleep(0.1)
        await alone.remove(here)

        with pytest.raises(UsageError, match="has departed"):
            await handing_over
