"""Callbacks of every kind receive every change, in order, one call at a time, whatever they return or raise."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest

from pycarp import ConfigError, Reason, State, StateChange, VirtualHost
from pycarp.aio.callback_queue import QUEUE_LIMIT
from pycarp.monitors import StaticMonitor
from pycarp.testing import Cluster
from pycarp.transports import MemoryBus
from tests.support.backends import Foreign
from tests.support.nodes import config, link, node
from tests.support.virtual import Complaints, in_virtual_time, let_others_run

SIX = [State.MASTER, State.BACKUP] * 3


def through(web: VirtualHost) -> None:
    """Force six changes in one turn of the loop."""
    for state in SIX:
        web.force(state)


# Exceptions


def _returned(callback: Callable[[StateChange], Awaitable[None]], change: StateChange) -> Awaitable[None]:
    """Return an awaitable for the caller."""
    return callback(change)


ERRORS = (LookupError("plain"), asyncio.CancelledError(), Foreign(), GeneratorExit(), StopAsyncIteration())


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("kind", ["plain", "coroutine", "awaitable"])
@in_virtual_time
async def test_a_callback_that_raises_hears_every_later_change(error: BaseException, kind: str) -> None:
    complaints = Complaints()
    heard: list[State] = []
    others: list[State] = []

    def fail(change: StateChange) -> None:
        heard.append(change.new)
        raise error

    async def fail_later(change: StateChange) -> None:
        fail(change)

    callbacks: dict[str, Callable[[StateChange], object]] = {
        "plain": fail,
        "coroutine": fail_later,
        "awaitable": functools.partial(_returned, fail_later),
    }
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.on_change(callbacks[kind])
        web.on_change(lambda change: others.append(change.new))
        through(web)
        await let_others_run()

        assert (heard, others) == (SIX, SIX)
        assert len(complaints.exceptions) == len(SIX)


@in_virtual_time
async def test_a_callback_that_is_cancelled_from_outside_hears_every_later_change() -> None:
    complaints = Complaints()
    heard: list[State] = []
    tasks: list[asyncio.Task[Any]] = []

    async def hang(change: StateChange) -> None:
        heard.append(change.new)
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await asyncio.sleep(3600)

    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.on_change(hang)
        through(web)
        for _ in SIX:
            await let_others_run()
            tasks[-1].cancel()
        await let_others_run()

        assert heard == SIX
        assert [type(each) for each in complaints.exceptions] == [asyncio.CancelledError] * 6


@in_virtual_time
async def test_a_callback_that_cancels_itself_hears_every_later_change() -> None:
    heard: list[State] = []
    Complaints()

    async def give_up(change: StateChange) -> None:
        heard.append(change.new)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.on_change(give_up)
        through(web)
        await let_others_run()

        assert heard == SIX


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@in_virtual_time
async def test_a_callback_that_raises_does_not_delay_a_takeover(error: BaseException) -> None:
    def fail(_change: StateChange) -> None:
        raise error

    async with Cluster(2, advskews=(0, 100)) as cluster:
        Complaints()
        await cluster.settle()
        cluster.b.host.on_master(fail)
        left_s = cluster.now_s
        await cluster.leave(cluster.a)
        await cluster.advance(1)

        assert cluster.b.addresses
        assert cluster.history[-1].since_s - left_s < 0.1


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_callback_that_ends_the_program_ends_it_after_the_step(kind: str) -> None:
    heard: list[State] = []

    async def plan() -> None:
        async with node(MemoryBus()) as here:
            web = await here.add(config())

            def end(_change: StateChange) -> None:
                raise SystemExit(3)

            async def end_later(_change: StateChange) -> None:
                raise SystemExit(3)

            web.on_master(end if kind == "plain" else end_later)
            web.on_change(lambda change: heard.append(change.new))
            await asyncio.sleep(60)

    with pytest.raises(SystemExit, match="3"):
        in_virtual_time(plan)()

    assert heard[0] is State.MASTER


# Kinds of callables


class Agent:
    """Is callable, and has a callable method."""

    def __init__(self, ran: list[str]) -> None:
        self._ran = ran

    async def __call__(self, _change: StateChange) -> None:
        """Keep the change."""
        await asyncio.sleep(0)
        self._ran.append("ran")

    async def method(self, _change: StateChange) -> None:
        """Keep the change."""
        await self(_change)


async def _spin(ran: list[str], _change: StateChange) -> None:
    await asyncio.sleep(0)
    ran.append("ran")


KINDS: dict[str, Callable[[list[str]], Callable[[StateChange], object]]] = {
    "an object": Agent,
    "a method": lambda ran: Agent(ran).method,
    "a partial": lambda ran: functools.partial(_spin, ran),
    "a lambda": lambda ran: lambda change: _spin(ran, change),
    "a lambda that makes a task": lambda ran: lambda change: asyncio.ensure_future(_spin(ran, change)),
    "a mock": lambda ran: AsyncMock(side_effect=lambda _change: ran.append("ran")),
}


@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_anything_awaitable_that_a_callback_returns_is_awaited(kind: str) -> None:
    ran: list[str] = []
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.on_change(KINDS[kind](ran))
        through(web)
        await let_others_run()
        await let_others_run()

        assert len(ran) == len(SIX)


@in_virtual_time
async def test_calls_that_turn_out_to_be_awaitable_never_overlap_and_keep_their_order() -> None:
    seen: list[str] = []

    async def slowly(number: int) -> None:
        seen.append(f"{number} begins")
        await asyncio.sleep(1)
        seen.append(f"{number} ends")

    def maybe(change: StateChange) -> Awaitable[None] | None:
        if change.new is State.BACKUP:
            seen.append(f"{change.epoch} plain")
            return None
        return slowly(change.epoch)

    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.on_change(maybe)
        through(web)
        await asyncio.sleep(60)

        numbers = [int(each.split()[0]) for each in seen[:9]]
        assert numbers == sorted(numbers)


@in_virtual_time
async def test_a_callback_that_falls_behind_is_reported_once_and_again_when_it_has_caught_up() -> None:
    complaints = Complaints()
    may_go = asyncio.Event()

    async def wait(_change: StateChange) -> None:
        await may_go.wait()

    async with node(MemoryBus()) as here:
        web = await here.add(config())
        web.on_change(wait)
        for _ in range(QUEUE_LIMIT):
            web.force(State.MASTER)
            web.force(State.BACKUP)
        assert len(complaints.exceptions) == 1
        may_go.set()
        await asyncio.sleep(1)

        assert [str(each) for each in complaints.exceptions] == [
            f"{QUEUE_LIMIT} changes wait for a callback; later ones are lost",
            f"{QUEUE_LIMIT - 1} changes were lost, because a callback was too slow",
        ]


# Mistakes


def _no_argument() -> None:
    """Accept no argument."""


def _two_arguments(_one: object, _two: object) -> None:
    """Require two arguments."""


@pytest.mark.parametrize(
    "junk", [None, "print", 1, _no_argument, _two_arguments], ids=lambda each: getattr(each, "__name__", str(each))
)
@pytest.mark.parametrize("method", ["on_change", "on_master", "on_backup", "on_lost"])
@in_virtual_time
async def test_what_cannot_be_called_with_a_change_is_an_error_at_once(junk: object, method: str) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        with pytest.raises(ConfigError, match="callback"):
            getattr(web, method)(junk)


# Which changes they receive


@in_virtual_time
async def test_on_lost_hears_of_every_way_to_be_master_no_more() -> None:
    monitor = StaticMonitor([link(1)])
    lost: list[tuple[State, Reason]] = []
    async with node(MemoryBus(), monitor=monitor) as here:
        web = await here.add(config())
        web.on_lost(lambda change: lost.append((change.new, change.reason)))
        await web.wait_for(State.MASTER)
        web.force(State.BACKUP)
        web.force(State.MASTER)
        monitor.change(link(1, is_up=False))
        await let_others_run()
        monitor.change(link(1))
        await asyncio.sleep(10)
        web.down()
        web.up()
        await asyncio.sleep(10)

    assert lost == [
        (State.BACKUP, Reason.FORCED),
        (State.INIT, Reason.LINK_DOWN),
        (State.INIT, Reason.ADMIN_DOWN),
        (State.INIT, Reason.REMOVED),
    ]


@pytest.mark.parametrize(
    ("method", "state", "expected"),
    [
        ("on_change", State.BACKUP, 1),
        ("on_change", State.MASTER, 1),
        ("on_master", State.BACKUP, 0),
        ("on_master", State.MASTER, 1),
        ("on_backup", State.BACKUP, 1),
        ("on_backup", State.MASTER, 0),
        ("on_lost", State.BACKUP, 1),
        ("on_lost", State.MASTER, 0),
    ],
)
@in_virtual_time
async def test_a_callback_may_ask_for_the_present_state_first(method: str, state: State, expected: int) -> None:
    async with node(MemoryBus()) as here:
        web = await here.add(config())
        await web.wait_for(state)
        asked: list[StateChange] = []
        silent: list[StateChange] = []
        getattr(web, method)(asked.append, replay_current=True)
        getattr(web, method)(silent.append)

        assert (len(asked), silent) == (expected, [])
        assert [change.new for change in asked] == [state] * expected


@in_virtual_time
async def test_the_present_state_comes_before_the_changes_that_follow_it() -> None:
    heard: list[State] = []
    async with node(MemoryBus()) as here:
        web = await here.add(config())

        async def spin(change: StateChange) -> None:
            await asyncio.sleep(1)
            heard.append(change.new)

        web.on_change(spin, replay_current=True)
        through(web)
        await asyncio.sleep(60)

    assert heard[:7] == [State.BACKUP, *SIX]
