"""Adding a host is all or nothing: after any failure or cancellation, everything can be used again."""

import asyncio

import pytest

from pycarp import ActuatorError, ConfigError, State, TransportError, UsageError
from tests.support.backends import Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import LINK, config
from tests.support.virtual import in_virtual_time, let_others_run, now_s

STEPS = ("watch", "open_link", "join", "prepare")
OTHER = "192.0.2.11/24"


async def assert_untouched(here: FaultyNode) -> None:
    """Assert that nothing is left of an addition; then add the same host again."""
    assert here.node.hosts == ()
    assert here.transport.opened == []
    assert here.actuator.adopted == set()
    here.faults.wrong.clear()
    web = await here.node.add(config())
    assert (await web.wait_for(State.MASTER)).new is State.MASTER


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "error", [TransportError("no"), ActuatorError("no"), OSError(5, "no"), ValueError("a bug"), Foreign()], ids=repr
)
@in_virtual_time
async def test_a_step_that_fails_undoes_those_before_it(step: str, error: BaseException) -> None:
    here = FaultyNode()
    async with here.node as node:
        here.faults.wrong[step] = error
        with pytest.raises(type(error)):
            await node.add(config())

        await assert_untouched(here)


@pytest.mark.parametrize("step", STEPS)
@in_virtual_time
async def test_a_step_that_hangs_and_is_cancelled_undoes_itself_and_those_before_it(step: str) -> None:
    here = FaultyNode()
    async with here.node as node:
        here.faults.wrong[step] = Hang.UNTIL_CANCELLED
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await node.add(config())

        await assert_untouched(here)


@pytest.mark.parametrize("step", STEPS)
@in_virtual_time
async def test_a_cancellation_out_of_a_step_is_an_error_and_no_cancellation_of_the_caller(step: str) -> None:
    here = FaultyNode()
    async with here.node as node:
        here.faults.wrong[step] = asyncio.CancelledError()
        with pytest.raises(ActuatorError, match="adding 1@em0 was cancelled by what it called"):
            await node.add(config())

        await assert_untouched(here)


@pytest.mark.parametrize("turns", range(40))
@in_virtual_time
async def test_an_add_that_is_cancelled_after_any_number_of_turns_leaves_nothing(turns: int) -> None:
    here = FaultyNode()
    async with here.node as node:
        adding = asyncio.create_task(node.add(config()))
        for _ in range(turns):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait({adding})
        if not adding.cancelled():
            await node.remove(adding.result())

        await assert_untouched(here)


@pytest.mark.parametrize("step", ["watch", "prepare"])
@in_virtual_time
async def test_the_other_host_of_the_link_goes_on_when_an_add_fails(step: str) -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        opened = here.transport.openings
        here.faults.wrong[step] = ValueError("a bug")
        with pytest.raises(ValueError, match="a bug"):
            await node.add(config(vhid=2, address=OTHER))
        await asyncio.sleep(10)

        assert web.state is State.MASTER
        assert here.transport.opened == [LINK]
        assert here.transport.openings == opened


@in_virtual_time
async def test_undoing_that_hangs_does_not_keep_an_add_from_failing() -> None:
    here = FaultyNode(close_timeout_s=3)
    async with here.node as node:
        here.faults.wrong.update(prepare=ValueError("a bug"), release=Hang.FOR_EVER, close_link=Hang.FOR_EVER)
        began_s = now_s()
        with pytest.raises(ValueError, match="a bug"):
            await node.add(config())

        assert now_s() - began_s <= 3
        here.faults.released.set()


@in_virtual_time
async def test_leaving_ends_an_add_that_hangs_and_undoes_it() -> None:
    here = FaultyNode()
    async with here.node as node:
        here.faults.wrong["prepare"] = Hang.UNTIL_CANCELLED
        adding = asyncio.create_task(node.add(config()))
        await asyncio.sleep(1)

    with pytest.raises(UsageError, match="the node is leaving"):
        await adding
    assert here.actuator.adopted == set()
    assert now_s() < 2


@in_virtual_time
async def test_nothing_is_added_while_the_node_leaves() -> None:
    here = FaultyNode()
    late: list[BaseException] = []
    async with here.node as node:
        web = await node.add(config())

        async def add_late(_change: object) -> None:
            try:
                await node.add(config(vhid=2, address=OTHER))
            except UsageError as exc:
                late.append(exc)

        web.on_change(add_late)

    assert [str(each) for each in late] == ["the node is leaving"]
    assert here.actuator.adopted == set()


@in_virtual_time
async def test_a_vhid_whose_host_is_still_being_removed_is_in_use() -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        here.faults.wrong["release"] = Hang.UNTIL_CANCELLED
        removing = asyncio.create_task(node.remove(web))
        await let_others_run()
        with pytest.raises(ConfigError, match="in use"):
            await node.add(config())
        here.faults.released.set()
        await removing

        await assert_untouched(here)


@in_virtual_time
async def test_a_link_that_changes_while_it_is_looked_at_is_looked_at_again() -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        here.faults.wrong["watch"] = Hang.UNTIL_CANCELLED
        adding = asyncio.create_task(node.add(config(vhid=2, address=OTHER)))
        await let_others_run()
        here.monitor.go_down()
        await let_others_run()
        here.faults.released.set()
        await adding

        assert (web.state, adding.result().state) == (State.INIT, State.INIT)


@pytest.mark.parametrize("junk", [None, "em0", {"vhid": 1}], ids=repr)
@in_virtual_time
async def test_what_is_no_config_is_a_config_error(junk: object) -> None:
    async with FaultyNode().node as node:
        with pytest.raises(ConfigError, match="takes a HostConfig"):
            await node.add(junk)  # type: ignore[arg-type]  # that is the mistake
