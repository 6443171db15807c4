"""The loop whose clock jumps."""

import asyncio
import time

import pytest

from pycarp.testing import Deadlock, run
from tests.support.virtual import now_s


def test_time_begins_at_zero() -> None:
    async def story() -> float:
        return now_s()

    assert run(story()) == 0.0


def test_a_day_passes_at_once() -> None:
    async def story() -> float:
        await asyncio.sleep(86_400)
        return now_s()

    began_s = time.monotonic()
    end_s = run(story())

    assert end_s == pytest.approx(86_400)
    assert time.monotonic() - began_s < 10


def test_time_stands_still_while_something_is_ready() -> None:
    async def story() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return now_s()

    assert run(story()) == 0.0


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    woken: list[tuple[float, str]] = []

    async def sleeper(name: str, span_s: float) -> None:
        await asyncio.sleep(span_s)
        woken.append((round(now_s(), 3), name))

    async def story() -> None:
        await asyncio.gather(sleeper("late", 3), sleeper("early", 1), sleeper("between", 2))

    run(story())

    assert woken == [(1, "early"), (2, "between"), (3, "late")]


def test_a_deadlock_is_found_instead_of_hung() -> None:
    async def story() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="every task waits"):
        run(story())


def test_tasks_are_cancelled_after_a_deadlock() -> None:
    cleaned_up: list[str] = []

    async def waiter() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append("waiter")

    async def story() -> None:
        await asyncio.create_task(waiter())

    with pytest.raises(Deadlock):
        run(story())

    assert cleaned_up == ["waiter"]


def test_a_timeout_happens_at_its_time() -> None:
    async def story() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.Event().wait()
        return now_s()

    assert run(story()) == pytest.approx(2.5)


def test_the_clock_goes_on_where_a_float_is_too_coarse_for_the_next_step() -> None:
    async def story() -> None:
        await asyncio.sleep(30 * 86_400)
        for _ in range(100):
            await asyncio.sleep(1e-10)

    run(story())


def test_run_returns_the_result_and_passes_exceptions_on() -> None:
    async def story(divisor: int) -> float:
        return 1 / divisor

    assert run(story(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        run(story(0))
