"""The thread for calls that may block."""

import asyncio
import threading
from functools import partial

from pycarp.system.rtnetlink.worker import Worker


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
