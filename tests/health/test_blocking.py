"""Calls that block in a thread: one at a time, and in nobody's way."""

import asyncio
import subprocess
import sys
import threading

import pytest

from pycarp.health.blocking import BlockingCall


async def test_the_result_is_that_of_the_call_each_time() -> None:
    numbers = iter(range(3))
    call = BlockingCall(lambda: next(numbers))

    assert [await call.result() for _ in range(3)] == [0, 1, 2]


async def test_what_the_call_raises_is_raised() -> None:
    call = BlockingCall(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        await call.result()


async def test_who_asks_while_it_blocks_gets_the_result_of_the_same_call() -> None:
    goes_on, calls = threading.Event(), []

    def block() -> int:
        calls.append(True)
        goes_on.wait()
        return len(calls)

    call = BlockingCall(block)
    for _attempt in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call.result(), 0.01)
    goes_on.set()

    assert await call.result() == 1


def test_a_process_ends_though_a_call_blocks() -> None:
    program = """if True:
        import asyncio, threading
        from pycarp.health.blocking import BlockingCall

        asyncio.run(asyncio.wait_for(BlockingCall(threading.Event().wait).result(), 0.1))
    """
    argv = [sys.executable, "-c", program]

    assert "TimeoutError" in subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30).stderr


def test_one_that_an_event_loop_left_behind_does_not_disturb_the_next() -> None:
    goes_on = threading.Event()
    call = BlockingCall(goes_on.wait)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(call.result(), 0.01))
    goes_on.set()

    assert asyncio.run(call.result())


async def test_the_thread_ends_with_what_it_is_for() -> None:
    call = BlockingCall(threading.current_thread)
    thread = await call.result()

    del call

    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
