"""A planned hand-over: the next host is heard before anybody is content, and nobody is left without an owner."""

import asyncio

import pytest

from pycarp import HandOverError, State, UsageError
from pycarp.aio.node import Node
from pycarp.transports.memory import MemoryBus
from tests.support.actuators import RecordingActuator
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time


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
        assert asyncio.get_running_loop().time() - began_s < 0.001


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
