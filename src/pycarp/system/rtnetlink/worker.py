"""A thread for requests to the kernel: they may wait for the kernel's locks, and the event loop must not wait."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from pycarp.tasks import start_task

T = TypeVar("T")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_Answers = list[tuple["asyncio.Future[Answer]", Answer | Exception]]

_MOST_TOGETHER = 64
"""More at once would keep the thread, and then the event loop, for too long."""


class Worker:
    """Runs calls one after the other, in the order of submission.

    The first call starts the thread, which stays in the network namespace of its caller.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and return its result; if cancelled before its turn, it does not run."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def soon(self, work: Callable[[], None]) -> None:
        """Run ``work`` later and ignore its result; ``work`` must not raise."""
        self._executor.submit(work)

    def close(self) -> None:
        """Cancel the waiting calls; a running one finishes."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Together(Generic[Asked, Answer]):
    """Joins what is asked for until the worker has time into one call.

    ``work`` gets what was asked for, in that order, and returns as many answers; an exception among them is raised to
    the one who asked. What is cancelled before its turn is left out.
    """

    def __init__(self, worker: Worker, work: Callable[[list[Asked]], Sequence[Answer | Exception]]) -> None:
        self._worker = worker
        self._work = work
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._calls_to_begin = 0
        self._calls: set[asyncio.Task[_Answers[Answer]]] = set()

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer; raises the exception that ``work`` returned for it, or that it raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        with self._lock:
            self._waiting.append((asked, answer))
            is_full = self._calls_to_begin * _MOST_TOGETHER < len(self._waiting)
            self._calls_to_begin += is_full
        if is_full:
            # A task begins in the next turn of the loop: what is asked for in this one is in time.
            call = start_task(self._worker.run(self._call))
            self._calls.add(call)
            call.add_done_callback(self._ended)
        return await answer

    def _ended(self, call: "asyncio.Task[_Answers[Answer]]") -> None:
        self._calls.discard(call)
        if call.cancelled() or call.exception() is not None:
            # The worker was closed, so that no call begins any more.
            self._calls_to_begin = 0
            while self._waiting:
                self._waiting.popleft()[1].cancel()
            return
        for answer, found in call.result():
            if answer.done():
                continue
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

    def _call(self) -> "_Answers[Answer]":
        """Answer some of what is waited for; in the thread."""
        with self._lock:
            self._calls_to_begin -= 1
            some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
        wanted = [each for each in some if not each[1].cancelled()]
        try:
            answers = self._work([asked for asked, _answer in wanted])
        except Exception as exc:  # noqa: BLE001  it is raised to those who asked
            answers = [exc] * len(wanted)
        return [(answer, found) for (_asked, answer), found in zip(wanted, answers, strict=True)]
