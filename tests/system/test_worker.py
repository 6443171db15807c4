"""The thread for calls that may block."""

import asyncio
import threading
from functools import partial

from pycarp.system.rtnetlink.worker import Together, Worker


def _wait_for(gate: threading.Event) -> None:
    gate.wait(5)


async def test_work_is_done_in_another_thread_in_the_order_in_which_it_was_asked_for() -> None:
    worker = Worker("test")
    done: list[tuple[str, str]] = []
    worker.soon(lambda: done.append(("first", threading.current_thread().name)))
    await worker.run(lambda: done.append(("second", threading.current_thread().name)))
    worker.close()

    assert [what for what, _thread in done] == ["first", "second"]
    assert {thread for _what, thread in done} == {"test_0"}


async def test_what_is_cancelled_before_its_turn_is_never_done() -> None:
    worker, gate = Worker("test"), threading.Event()
    done: list[str] = []
    worker.soon(partial(_wait_for, gate))
    waiting = asyncio.create_task(worker.run(lambda: done.append("cancelled")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    gate.set()
    await worker.run(lambda: done.append("after"))
    worker.close()

    assert done == ["after"]


def _squares(calls: list[list[int]], asked: list[int]) -> list[int | Exception]:
    calls.append(asked)
    return [ValueError(f"{each} is negative") if each < 0 else each * each for each in asked]


async def test_what_is_asked_for_in_one_turn_is_one_call_and_each_gets_its_own_answer() -> None:
    worker = Worker("test")
    calls: list[list[int]] = []
    together = Together(worker, partial(_squares, calls))
    answers = await asyncio.gather(*map(together.ask, [3, -1, 4]), return_exceptions=True)
    worker.close()

    assert calls == [[3, -1, 4]]
    assert [answers[0], str(answers[1]), answers[2]] == [9, "-1 is negative", 16]


async def test_what_is_asked_for_while_the_worker_is_busy_waits_for_one_call() -> None:
    worker, gate = Worker("test"), threading.Event()
    calls: list[list[int]] = []
    together = Together(worker, partial(_squares, calls))
    worker.soon(partial(_wait_for, gate))
    first = asyncio.create_task(together.ask(1))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(together.ask(2))
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(first, second)
    worker.close()

    assert calls == [[1, 2]]


async def test_of_what_is_asked_for_together_the_cancelled_is_left_out() -> None:
    worker, gate = Worker("test"), threading.Event()
    calls: list[list[int]] = []
    together = Together(worker, partial(_squares, calls))
    worker.soon(partial(_wait_for, gate))
    cancelled, other = asyncio.create_task(together.ask(1)), asyncio.create_task(together.ask(2))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    gate.set()
    await other
    worker.close()

    assert calls == [[2]]


async def test_a_failure_of_the_call_is_raised_to_everyone_who_asked() -> None:
    worker = Worker("test")
    together: Together[int, int] = Together(worker, lambda asked: [1 // (each - each) for each in asked])
    answers = await asyncio.gather(*map(together.ask, [1, 2]), return_exceptions=True)
    worker.close()

    assert [type(each) for each in answers] == [ZeroDivisionError] * 2


async def test_whoever_waits_when_the_worker_is_closed_is_cancelled() -> None:
    worker, gate = Worker("test"), threading.Event()
    together = Together(worker, partial(_squares, []))
    worker.soon(partial(_wait_for, gate))
    waiting = asyncio.create_task(together.ask(1))
    await asyncio.sleep(0.01)
    worker.close()
    gate.set()
    await asyncio.wait({waiting}, timeout=5)

    assert waiting.cancelled()


async def test_what_is_asked_of_a_closed_worker_is_cancelled_and_does_not_wait_for_ever() -> None:
    worker, gate = Worker("test"), threading.Event()
    together = Together(worker, partial(_squares, []))
    worker.soon(partial(_wait_for, gate))
    waiting = asyncio.create_task(together.ask(1))
    await asyncio.sleep(0.01)
    worker.close()
    gate.set()
    await asyncio.wait({waiting}, timeout=5)
    late = asyncio.create_task(together.ask(2))
    await asyncio.wait({late}, timeout=5)

    assert late.cancelled()
