"""A node that fails drops, closes, logs and ends every wait by itself, whichever task entered it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from pycarp import (
    LossReason,
    MastershipLost,
    NodeFailedError,
    Reason,
    State,
    StateChange,
    UsageError,
    VirtualHost,
    outlook,
)
from tests.support.backends import Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import config
from tests.support.virtual import Complaints, in_virtual_time, let_others_run, now_s, until_held

OTHER = "192.0.2.11/24"
FAILS_AT_S = 10.0
BUG = LookupError("netlink is gone")


async def entered(here: FaultyNode) -> VirtualHost:
    """Enter a node in a task that ends, as the start hook of an agent does; return the node's host."""

    async def start() -> VirtualHost:
        await here.node.__aenter__()
        return await here.node.add(config())

    return await asyncio.create_task(start())


async def failing(here: FaultyNode, fault: BaseException | Hang = BUG) -> VirtualHost:
    """Return a MASTER, entered by a task that is over, whose node fails at second 10."""
    here.faults.wrong["run"] = fault
    web = await entered(here)
    await until_held(web)
    assert here.actuator.held
    return web


async def leave(here: FaultyNode) -> BaseException | None:
    """Leave, and return the exception."""
    try:
        await here.node.__aexit__(None, None, None)
    except BaseException as exc:  # noqa: BLE001  all of them are to be looked at
        return exc
    return None


# What it does by itself


@in_virtual_time
async def test_it_drops_its_addresses_though_nobody_leaves() -> None:
    here = FaultyNode()
    web = await failing(here)
    before = here.node.failure
    await asyncio.sleep(FAILS_AT_S)

    assert (before, here.node.failure) == (None, BUG)
    assert here.actuator.held == set()
    assert here.guardian.armed == set()
    assert web.state is State.INIT
    assert [each.state for each in here.node.snapshot().hosts] == [State.INIT]


@in_virtual_time
async def test_it_closes_everything_and_leaving_raises_why() -> None:
    here = FaultyNode()
    await failing(here)
    await asyncio.sleep(FAILS_AT_S)

    assert here.transport.opened == []
    assert here.actuator.adopted == set()
    assert {"close transport", "close actuator", "close monitor", "close guardian"} <= set(here.faults.calls)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert await leave(here) is BUG


@in_virtual_time
async def test_it_logs_the_failure_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    here = FaultyNode()
    await failing(here)
    await asyncio.sleep(FAILS_AT_S)
    await leave(here)

    (record,) = [each for each in caplog.records if each.name == "pycarp" and each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is BUG
    assert "LookupError('netlink is gone')" in record.getMessage()


@in_virtual_time
async def test_the_task_that_entered_it_is_cancelled_if_it_is_still_there() -> None:
    here = FaultyNode()
    here.faults.wrong["run"] = BUG

    async def body() -> None:
        async with here.node as node:
            await node.add(config())
            await asyncio.Event().wait()

    with pytest.raises(LookupError):
        await body()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@in_virtual_time
async def test_leaving_in_another_task_than_the_one_that_entered_raises_the_failure_there() -> None:
    here = FaultyNode()
    await failing(here)
    await asyncio.sleep(FAILS_AT_S)

    assert await asyncio.create_task(leave(here)) is BUG


# What counts as a failure


@pytest.mark.parametrize("fault", [OSError(5, "no"), ValueError("a bug"), Foreign(), TimeoutError()], ids=repr)
@pytest.mark.parametrize("watcher", ["run", "watch addresses"])
@in_virtual_time
async def test_what_comes_out_of_a_watcher_is_the_failure(fault: BaseException, watcher: str) -> None:
    here = FaultyNode(after_s=0.1)
    here.faults.wrong[watcher] = fault
    await here.node.__aenter__()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)

    assert here.node.failure is fault
    assert await leave(here) is fault


@pytest.mark.parametrize("watcher", ["run", "watch addresses"])
@in_virtual_time
async def test_a_watcher_that_is_cancelled_from_within_has_failed(watcher: str) -> None:
    here = FaultyNode(after_s=0.1)
    here.faults.wrong[watcher] = asyncio.CancelledError()
    await here.node.__aenter__()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)

    assert isinstance(await leave(here), NodeFailedError)


@in_virtual_time
async def test_a_monitor_that_returns_has_failed() -> None:
    here = FaultyNode()
    here.faults.released.set()
    web = await failing(here, Hang.UNTIL_CANCELLED)
    await asyncio.sleep(FAILS_AT_S)

    assert isinstance(here.node.failure, NodeFailedError)
    assert "monitor.run() ended" in str(here.node.failure)
    assert (here.actuator.held, web.state) == (set(), State.INIT)


@in_virtual_time
async def test_an_actuator_whose_watch_returns_has_failed() -> None:
    here = FaultyNode()

    async def watch(_notice: object) -> None:
        return

    here.actuator.watch = watch  # type: ignore[method-assign,assignment]  # a third party's may be like this
    await asyncio.create_task(here.node.__aenter__())
    await let_others_run()

    assert "actuator.watch() ended" in str(here.node.failure)


@pytest.mark.parametrize("call", ["renew", "clean_up_plan", "beat", "drain"])
@pytest.mark.parametrize("fault", [ValueError("a bug"), asyncio.CancelledError(), Foreign()], ids=repr)
@in_virtual_time
async def test_what_may_not_fail_and_does_is_a_failure_of_the_node(call: str, fault: BaseException) -> None:
    here = FaultyNode()
    web = await entered(here)
    await until_held(web)
    here.faults.wrong[call] = fault
    web.reconfigure(addresses=["192.0.2.10/24", OTHER])
    await asyncio.sleep(5)

    assert here.node.failure is not None
    assert here.actuator.held == set()
    assert web.state is State.INIT


# Which addresses it drops


@in_virtual_time
async def test_it_drops_addresses_that_were_just_given_up_as_well() -> None:
    here = FaultyNode()
    web = await entered(here)
    web.reconfigure(addresses=["192.0.2.10/24", OTHER])
    await until_held(web)
    assert len(here.actuator.held) == 2
    here.faults.wrong["drop"] = Hang.UNTIL_CANCELLED
    web.reconfigure(addresses=["192.0.2.10/24"])
    await let_others_run()
    here.faults.wrong.pop("drop")
    here.faults.wrong["renew"] = BUG
    await asyncio.sleep(5)

    assert here.node.failure is BUG
    assert here.actuator.held == set()


@in_virtual_time
async def test_it_drops_what_a_hold_that_hangs_may_have_put_there() -> None:
    here = FaultyNode()
    here.faults.wrong.update(hold=Hang.UNTIL_CANCELLED, run=BUG)
    web = await entered(here)
    await until_held(web)
    here.actuator.held.update(web.config.addresses)
    await asyncio.sleep(FAILS_AT_S)

    assert here.actuator.held == set()


@in_virtual_time
async def test_a_hold_that_cannot_be_stopped_is_dropped_again_when_it_has_ended() -> None:
    here = FaultyNode()
    here.faults.wrong.update(hold=Hang.FOR_EVER, run=BUG)
    web = await entered(here)
    await until_held(web)
    await asyncio.sleep(FAILS_AT_S - now_s() + 2)
    here.faults.released.set()
    await asyncio.sleep(10)

    assert here.actuator.held == set()


@in_virtual_time
async def test_it_tries_again_when_a_drop_fails() -> None:
    here = FaultyNode()
    await failing(here)
    here.faults.wrong["drop"] = OSError(5, "busy")
    await asyncio.sleep(FAILS_AT_S - now_s() + 2)
    assert here.actuator.held
    here.faults.wrong.pop("drop")
    await asyncio.sleep(2)

    assert here.actuator.held == set()
    assert here.guardian.armed == set()


@in_virtual_time
async def test_the_guardian_stays_armed_for_addresses_that_could_not_be_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = FaultyNode()
    web = await failing(here)
    here.faults.wrong["drop"] = OSError(5, "busy")
    await asyncio.sleep(FAILS_AT_S + 10)

    assert here.guardian.armed == {web.key}
    assert caplog.text.count("could not drop 192.0.2.10/24") == 1


# Who waits


async def _wait_for(web: VirtualHost) -> None:
    await web.wait_for(State.BACKUP)


async def _next_change(web: VirtualHost) -> None:
    after = web.seq
    while True:
        after = (await web.next_change(after=after)).seq


async def _events(web: VirtualHost) -> None:
    async with web.events() as events:
        async for _event in events:
            pass


async def _mastership(web: VirtualHost) -> None:
    web.force(State.BACKUP)
    async with web.mastership():
        raise AssertionError


async def _hand_over(web: VirtualHost) -> None:
    await web.hand_over(timeout_s=3600)


@pytest.mark.parametrize("wait", [_wait_for, _next_change, _events, _mastership, _hand_over])
@in_virtual_time
async def test_who_waits_gets_an_error_that_says_why(wait: Callable[[VirtualHost], Awaitable[None]]) -> None:
    here = FaultyNode(after_s=4)
    web = await failing(here)
    with pytest.raises(NodeFailedError, match="netlink is gone") as caught:
        await wait(web)

    assert caught.value.__cause__ is BUG
    assert now_s() == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("wait", [_wait_for, _next_change, _events, _mastership, _hand_over])
@in_virtual_time
async def test_who_begins_to_wait_afterwards_gets_an_error(wait: Callable[[VirtualHost], Awaitable[None]]) -> None:
    here = FaultyNode()
    web = await failing(here)
    await asyncio.sleep(FAILS_AT_S)

    with pytest.raises((NodeFailedError, UsageError)):
        await wait(web)


@in_virtual_time
async def test_a_hand_over_whose_drop_hangs_ends_with_the_error_at_once() -> None:
    here = FaultyNode()
    web = await failing(here)
    await asyncio.sleep(FAILS_AT_S - now_s() - 1)
    here.faults.wrong["drop"] = Hang.UNTIL_CANCELLED
    with pytest.raises(NodeFailedError):
        await web.hand_over()

    assert now_s() == pytest.approx(FAILS_AT_S, abs=0.1)


@in_virtual_time
async def test_a_body_that_may_run_only_while_master_is_ended() -> None:
    here = FaultyNode()
    web = await failing(here)
    with pytest.raises(MastershipLost) as caught:
        async with web.mastership():
            await asyncio.Event().wait()

    assert (caught.value.reason, caught.value.__cause__) == (LossReason.FAILED, BUG)


@in_virtual_time
async def test_a_removal_under_way_ends_with_the_error() -> None:
    here = FaultyNode()
    web = await failing(here)
    await asyncio.sleep(FAILS_AT_S - now_s() - 1)
    here.faults.wrong["drop"] = Hang.UNTIL_CANCELLED
    with pytest.raises(NodeFailedError):
        await here.node.remove(web)


@in_virtual_time
async def test_an_add_under_way_ends_with_the_error_and_is_undone() -> None:
    here = FaultyNode()
    await failing(here)
    here.faults.wrong["prepare"] = Hang.UNTIL_CANCELLED
    with pytest.raises(NodeFailedError):
        await here.node.add(config(vhid=2, address=OTHER))
    await asyncio.sleep(1)

    assert here.actuator.adopted == set()


@in_virtual_time
async def test_callbacks_hear_that_the_host_is_master_no_more_and_may_finish() -> None:
    here = FaultyNode()
    web = await failing(here)
    plain: list[StateChange] = []
    finished: list[State] = []
    web.on_lost(plain.append)

    @web.on_lost
    async def stop(change: StateChange) -> None:
        await asyncio.sleep(1)
        finished.append(change.new)

    await asyncio.sleep(FAILS_AT_S)

    assert [(change.old, change.new) for change in plain] == [(State.MASTER, State.INIT)]
    assert finished == [State.INIT]


@in_virtual_time
async def test_its_hosts_are_in_init_because_the_node_failed() -> None:
    here = FaultyNode()
    web = await failing(here)
    last: list[StateChange] = []
    web.on_lost(last.append)
    await asyncio.sleep(FAILS_AT_S)

    (host,) = here.node.snapshot().hosts
    assert [change.reason for change in last] == [Reason.NODE_FAILED]
    assert host.last_change is not None
    assert (host.state, host.last_change.reason) == (State.INIT, Reason.NODE_FAILED)
    assert outlook(host) == ()


@in_virtual_time
async def test_every_call_afterwards_is_an_error_that_says_why() -> None:
    here = FaultyNode()
    web = await failing(here)
    await asyncio.sleep(FAILS_AT_S)

    for call in (web.down, web.up, lambda: web.demote("x", by=1), lambda: here.node.restore("x")):
        with pytest.raises(NodeFailedError, match="netlink is gone"):
            call()
    with pytest.raises(NodeFailedError):
        web.on_master(print)
    with pytest.raises(NodeFailedError):
        await here.node.add(config(vhid=2, address=OTHER))


@in_virtual_time
async def test_a_callback_that_fails_when_told_does_not_keep_it_from_dropping() -> None:
    here = FaultyNode()
    complaints = Complaints()
    web = await failing(here)

    def fail(_change: object) -> None:
        raise Foreign

    web.on_lost(fail)
    await asyncio.sleep(FAILS_AT_S)

    assert here.actuator.held == set()
    assert [type(each) for each in complaints.exceptions] == [Foreign]


@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_what_hangs_does_not_keep_it_from_ending(hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=4)
    await failing(here)
    calls = ("drop", "release", "close_link", "close transport", "close actuator", "close monitor", "close guardian")
    here.faults.wrong.update(dict.fromkeys(calls, hang))
    await asyncio.sleep(FAILS_AT_S - now_s() + 4.5)
    began_s = now_s()

    assert await leave(here) is BUG
    assert now_s() == began_s
    here.faults.released.set()
    await let_others_run()
