"""Leaving ends in time even if calls hang, and completes every step that does not hang."""

import asyncio
import contextlib

import pytest

from pycarp import VirtualHost
from pycarp.errors import ActuatorError
from tests.support.backends import Foreign, Hang
from tests.support.faulty_nodes import FaultyNode
from tests.support.nodes import config
from tests.support.virtual import in_virtual_time, let_others_run, now_s, until_held

OTHER = "192.0.2.11/24"
CALLS = ("drop", "release", "close_link", "close transport", "close actuator", "close monitor", "close guardian")
CLOSE_TIMEOUT_S = 4.0
BOUND_S = CLOSE_TIMEOUT_S * 1.1 + 0.01


async def left(here: FaultyNode) -> tuple[float, BaseException | None]:
    """Enter, become MASTER, inject the faults, and leave; return how long that took and what it raised."""
    wrong = dict(here.faults.wrong)
    here.faults.wrong.clear()
    began_s, error = 0.0, None
    try:
        async with here.node as node:
            web = await node.add(config())
            await until_held(web)
            here.faults.wrong.update(wrong)
            began_s = now_s()
    except BaseException as exc:  # noqa: BLE001  all of them are to be looked at
        error = exc
    return now_s() - began_s, error


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_one_call_that_hangs_does_not_keep_the_node_from_leaving(call: str, hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    here.faults.wrong[call] = hang
    took_s, error = await left(here)

    assert took_s <= BOUND_S
    assert error is None or isinstance(error, TimeoutError)
    assert [each for each in CALLS if each not in here.faults.calls] == []
    assert (here.actuator.held == set()) == (call != "drop")
    here.faults.released.set()


@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_everything_that_hangs_at_once_does_not_keep_the_node_from_leaving(hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    here.faults.wrong.update(dict.fromkeys(CALLS, hang))
    took_s, error = await left(here)

    assert took_s <= BOUND_S
    assert isinstance(error, TimeoutError)
    assert [each for each in CALLS if each not in here.faults.calls] == []
    here.faults.released.set()


@pytest.mark.parametrize("call", [each for each in CALLS if each.startswith("close ")])
@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError(), Foreign()], ids=repr)
@in_virtual_time
async def test_a_backend_that_fails_to_close_keeps_none_of_the_others_open(call: str, error: BaseException) -> None:
    here = FaultyNode()
    here.faults.wrong[call] = error
    _took_s, raised = await left(here)

    assert isinstance(raised, ActuatorError if isinstance(error, asyncio.CancelledError) else type(error))
    assert [each for each in CALLS if each not in here.faults.calls] == []
    assert here.actuator.held == set()


@pytest.mark.parametrize("call", ["release", "close_link"])
@pytest.mark.parametrize("error", [ValueError("a bug"), asyncio.CancelledError(), Foreign()], ids=repr)
@in_virtual_time
async def test_remains_that_cannot_be_released_do_not_keep_the_node_from_leaving(
    call: str, error: BaseException
) -> None:
    here = FaultyNode()
    here.faults.wrong[call] = error
    _took_s, raised = await left(here)

    assert raised is None
    assert [each for each in CALLS if each not in here.faults.calls] == []


@pytest.mark.parametrize("step", ["watch", "open_link", "join", "prepare"])
@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_an_add_that_hangs_does_not_keep_the_node_from_leaving(step: str, hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    async with here.node as node:
        here.faults.wrong[step] = hang
        adding = asyncio.create_task(node.add(config()))
        await asyncio.sleep(1)
        began_s = now_s()

    assert now_s() - began_s <= BOUND_S
    here.faults.released.set()
    await asyncio.wait({adding})


@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_a_hold_that_hangs_does_not_keep_the_node_from_leaving(hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    async with here.node as node:
        here.faults.wrong["hold"] = hang
        web = await node.add(config())
        await until_held(web)
        began_s = now_s()

    assert now_s() - began_s <= BOUND_S
    assert here.actuator.held == set()
    here.faults.released.set()


@in_virtual_time
async def test_a_callback_that_hangs_and_ignores_its_cancellation_does_not_keep_the_node_from_leaving() -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    here.faults.wrong["callback"] = Hang.FOR_EVER
    async with here.node as node:
        web = await node.add(config())
        web.on_change(lambda _change: here.faults.at("callback"))
        await until_held(web)
        began_s = now_s()

    assert now_s() - began_s <= BOUND_S
    assert here.actuator.held == set()
    here.faults.released.set()
    await let_others_run()


@in_virtual_time
async def test_callbacks_get_the_time_that_is_left_to_finish() -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    finished: list[float] = []
    async with here.node as node:
        web = await node.add(config())

        @web.on_lost
        async def stop(_change: object) -> None:
            await asyncio.sleep(3)
            finished.append(now_s())

        await until_held(web)
        began_s = now_s()

    assert finished == [pytest.approx(began_s + 3, abs=0.01)]


@in_virtual_time
async def test_what_was_made_for_a_backup_stays_until_every_master_has_dropped() -> None:
    here = FaultyNode()
    async with here.node as node:
        web = await node.add(config())
        await until_held(web)
        await node.add(config(vhid=2, address=OTHER, advskew=100))
        await let_others_run()
        here.faults.calls.clear()

    called = [each for each in here.faults.calls if each in ("drop", "release")]
    assert called[:2] == ["drop", "release"]
    assert here.actuator.adopted == set()


@pytest.mark.parametrize("hang", Hang, ids=str)
@in_virtual_time
async def test_a_master_whose_drop_hangs_does_not_keep_the_others_from_leaving(hang: Hang) -> None:
    here = FaultyNode(close_timeout_s=CLOSE_TIMEOUT_S)
    departed_at_s: list[float] = []

    async def follow(host: VirtualHost) -> None:
        async with host.events() as events:
            async for _event in events:
                pass
        departed_at_s.append(now_s())

    with contextlib.suppress(TimeoutError):
        async with here.node as node:
            web = await node.add(config())
            await until_held(web)
            follower = asyncio.create_task(follow(await node.add(config(vhid=2, address=OTHER, advskew=100))))
            await let_others_run()
            here.faults.wrong["drop"] = hang
            began_s = now_s()
    await follower

    assert departed_at_s[0] - began_s < CLOSE_TIMEOUT_S / 2
    here.faults.released.set()


@in_virtual_time
async def test_leaving_that_is_cancelled_again_and_again_still_drops() -> None:
    here = FaultyNode()

    async def body() -> None:
        async with here.node as node:
            web = await node.add(config())
            await until_held(web)
            here.faults.wrong["drop"] = Hang.UNTIL_CANCELLED
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await asyncio.sleep(10)
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0.1)
    here.faults.wrong.clear()
    here.faults.released.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert here.actuator.held == set()
    assert here.guardian.armed == set()
