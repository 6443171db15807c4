"""A node with actuators that hang or fail.

Every test goes through a node, so that it holds whoever does the work on the addresses.
"""

import asyncio

import pytest

from pycarp import State
from pycarp.vocabulary import HostKey, InterfaceAddress
from tests.support.backends import FaultyActuator, Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import config
from tests.support.virtual import in_virtual_time, let_others_run, until_held


@pytest.mark.parametrize("call", ["hold", "drop"])
@pytest.mark.parametrize("fault", [ValueError("a bug"), asyncio.CancelledError(), Foreign()], ids=repr)
@in_virtual_time
async def test_whatever_an_actuator_raises_is_tried_again(call: str, fault: BaseException) -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        await until_held(web)
        web.force(State.BACKUP)
        await let_others_run()
        here.faults.wrong[call] = fault
        web.force(State.MASTER)
        await asyncio.sleep(0.05)
        if call == "drop":
            web.force(State.BACKUP)
        await asyncio.sleep(1)
        assert bool(here.actuator.held) is (call == "drop")
        here.faults.wrong.clear()
        await asyncio.sleep(8)

        # A host that could not hold its addresses has left, and tries again as MASTER.
        assert bool(here.actuator.held) is (web.state is State.MASTER)


@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_a_drop_does_not_wait_for_a_hold_that_hangs(hang: Hang) -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        here.faults.wrong["hold"] = hang
        await until_held(web)
        here.faults.calls.clear()
        web.force(State.BACKUP)
        await asyncio.sleep(0.02 if hang is Hang.UNTIL_CANCELLED else 1.1)

        assert "drop" in here.faults.calls
        here.faults.wrong.clear()
        here.faults.released.set()


class OneHangs(FaultyActuator):
    """Hangs in holds of every vhid but 1."""

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Hold, or hang."""
        if key.vhid > 1:
            await asyncio.Event().wait()
        await super().hold(key, addresses, lifetime_s=lifetime_s)


@in_virtual_time
async def test_a_drop_does_not_wait_for_the_holds_of_other_hosts() -> None:
    here = FaultyNode(actuator_class=OneHangs)
    async with here.node as node:
        web = await node.add(config())
        await until_held(web)
        for vhid in range(2, 60):
            other = await node.add(config(vhid=vhid, address=f"192.0.2.{vhid + 100}/24"))
            other.force(State.MASTER)
        await let_others_run()
        web.force(State.BACKUP)
        await asyncio.sleep(0.02)

        assert here.actuator.held == set()


@pytest.mark.parametrize("fault", [ValueError("a bug"), asyncio.CancelledError()], ids=repr)
@in_virtual_time
async def test_a_device_that_cannot_show_it_does_not_keep_a_host_from_going_down(fault: BaseException) -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        await until_held(web)
        here.faults.wrong["set_up"] = fault
        web.down()

        assert web.state is State.INIT
