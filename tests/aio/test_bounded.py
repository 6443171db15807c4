"""A call of a third party ends in time, whether it hangs or the caller is cancelled."""

import asyncio

import pytest

from pycarp.aio.bounded import outcome_of
from tests.support.virtual import in_virtual_time, now_s


@in_virtual_time
async def test_what_hangs_is_cancelled_in_time() -> None:
    ended: list[float] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(now_s())

    assert isinstance(await outcome_of(hang(), within_s=3), TimeoutError)
    assert ended == [pytest.approx(3)]


@in_virtual_time
async def test_cancelling_the_caller_takes_effect_at_the_end_of_the_call() -> None:
    ended: list[float] = []

    async def work() -> None:
        await asyncio.sleep(2)
        ended.append(now_s())

    caller = asyncio.create_task(outcome_of(work(), within_s=3))
    await asyncio.sleep(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert ended == [pytest.approx(2)]


@in_virtual_time
async def test_what_need_not_wait_is_done_even_without_any_time() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    assert await outcome_of(work(), within_s=0) is None
