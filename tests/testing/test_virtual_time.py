"""The loop whose clock jumps."""

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from pycarp.testing import Deadlock, Overtime, VirtualTimeLoop, run
from tests.support.virtual import now_s


def test_time_begins_at_zero() -> None:
    async def plan() -> float:
        return now_s()

    assert run(plan()) == 0.0


def test_a_day_passes_at_once() -> None:
    async def plan() -> float:
        await asyncio.sleep(86_400)
        return now_s()

    began_s = time.monotonic()
    end_s = run(plan())

    assert end_s == pytest.approx(86_400)
    assert time.monotonic() - began_s < 10


def test_time_stands_still_while_something_is_ready() -> None:
    async def plan() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return now_s()

    assert run(plan()) == 0.0


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    woken: list[tuple[float, str]] = []

    async def sleeper(name: str, span_s: float) -> None:
        await asyncio.sleep(span_s)
        woken.append((round(now_s(), 3), name))

    async def plan() -> None:
        await asyncio.gather(sleeper("late", 3), sleeper("early", 1), sleeper("between", 2))

    run(plan())

    assert woken == [(1, "early"), (2, "between"), (3, "late")]


def test_a_deadlock_is_found_instead_of_hung() -> None:
    async def plan() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="every task waits"):
        run(plan())


def test_tasks_are_cancelled_after_a_deadlock() -> None:
    cleaned_up: list[str] = []

    async def waiter() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append("waiter")

    async def plan() -> None:
        await asyncio.create_task(waiter())

    with pytest.raises(Deadlock):
        run(plan())

    assert cleaned_up == ["waiter"]


def test_a_timeout_happens_at_its_time() -> None:
    async def plan() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return now_s()

    assert run(plan()) == pytest.approx(2.5)


def test_the_clock_goes_on_where_a_float_is_too_coarse_for_the_next_step() -> None:
    async def plan() -> None:
        await asyncio.sleep(30 * 86_400)
        for _ in range(100):
            await asyncio.sleep(1e-10)

    run(plan())


def test_timers_fire_after_a_year_too() -> None:
    fired: list[float] = []

    async def plan() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.stall(366 * 86_400)
        for _ in range(100):
            loop.call_later(0, fired.append, loop.time())
            await asyncio.sleep(1e-9)

    run(plan())

    assert len(fired) == 100


def test_a_deadlock_names_every_task_and_where_it_waits() -> None:
    async def nobody_comes() -> None:
        await asyncio.Event().wait()

    async def plan() -> None:
        helper = asyncio.create_task(nobody_comes(), name="helper")
        await helper

    with pytest.raises(Deadlock) as deadlock:
        run(plan())

    text = re.sub(r"\d+$|:\d+", ":N", str(deadlock.value), flags=re.MULTILINE)
    assert f"helper {nobody_comes.__qualname__}: {__file__}:N, for Event.wait" in text
    assert f"{plan.__qualname__}: {__file__}:N" in text


def test_waiting_longer_than_the_limit_is_told() -> None:
    async def plan() -> None:
        for _ in range(100):
            await asyncio.sleep(1)

    with pytest.raises(Overtime, match="50 virtual seconds have passed, and the test still waits, at 51 s"):
        run(plan(), limit_s=50)


def test_cleaning_up_may_take_time_after_the_limit() -> None:
    ended_at_s: list[float] = []

    async def plan() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)
            ended_at_s.append(now_s())

    with pytest.raises(Overtime):
        run(plan(), limit_s=50)

    assert ended_at_s == [1005]


async def in_a_thread(work: Callable[[], object]) -> None:
    await asyncio.to_thread(work)


async def in_an_executor(work: Callable[[], object]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, work)


@pytest.mark.parametrize("elsewhere", [in_a_thread, in_an_executor])
def test_the_clock_stands_still_while_a_thread_works(
    elsewhere: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    async def plan() -> float:
        async with asyncio.timeout(0.001):
            await elsewhere(lambda: time.sleep(0.05))
        return now_s()

    assert run(plan()) == 0.0


def test_a_thread_alone_is_no_deadlock() -> None:
    async def plan() -> None:
        await asyncio.to_thread(time.sleep, 0.05)

    run(plan())


def test_the_clock_goes_on_after_a_thread_that_nobody_waits_for_any_more() -> None:
    async def plan() -> float:
        work = asyncio.create_task(asyncio.to_thread(time.sleep, 0.01))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.sleep(3600)
        return now_s()

    assert run(plan()) == pytest.approx(3600)


def test_what_comes_through_a_socket_is_in_time() -> None:
    async def plan() -> bytes:
        near, far = socket.socketpair()
        with near, far:
            reader, writer = await asyncio.open_connection(sock=near)
            far.sendall(b"hello")
            async with asyncio.timeout(0.001):
                data = await reader.read(5)
            writer.close()
            await writer.wait_closed()
            return data

    assert run(plan()) == b"hello"


def test_an_open_socket_does_not_stop_the_clock() -> None:
    async def plan() -> float:
        near, far = socket.socketpair()
        with near, far:
            asyncio.get_running_loop().add_reader(near, lambda: None)
            await asyncio.sleep(86_400)
            asyncio.get_running_loop().remove_reader(near)
            return now_s()

    assert run(plan()) == pytest.approx(86_400)


def test_run_returns_the_result_and_passes_exceptions_on() -> None:
    async def plan(divisor: int) -> float:
        return 1 / divisor

    assert run(plan(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        run(plan(0))
