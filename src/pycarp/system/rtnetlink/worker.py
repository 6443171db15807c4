"""A thread for requests to the kernel: they may wait for the kernel's locks, and the event loop must not wait."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from pycarp.tasks import start_task

T = TypeVar("T")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_Answers = list[tuple["asyncio.Future[Answer]", Answer | Exception]]

_MOST_TOGETHER = 64
"""More at once would keep the thread, and then the event loop, for too long."""


class Worker:
    """Runs calls one after the other, in the order of submission.

    The first call starts the thread, which stays in the network namespace of its caller. A thread and a queue of its
    own, because every advertisement has a call, and an executor makes a future with three locks for each.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and return its result; if cancelled before its turn, it does not run."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put((work, answer))
        return await answer

    def soon(self, work: Callable[[], None]) -> None:
        """Run ``work`` later and ignore its result; ``work`` must not raise."""
        self._put((work, None))

    def close(self) -> None:
        """Cancel the waiting calls; a running one finishes."""
        self._is_closed = True
        with contextlib.suppress(Empty):
            while (call := self._calls.get_nowait()) is not None:
                if call[1] is not None:
                    call[1].cancel()
        self._calls.put(None)

    def _put(self, call: "_Call") -> None:
        if self._is_closed:
            raise RuntimeError(f"the thread {self._name} is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._calls,), name=f"{self._name}_0", daemon=True)
            self._thread.start()
        self._calls.put(call)


_Call = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]
"""What to call, and the future that gets its result."""


def _work(calls: "SimpleQueue[_Call | None]") -> None:
    """Run the calls of a worker until None; in the thread."""
    while (call := calls.get()) is not None:
        work, answer = call
        if answer is not None and answer.cancelled():
            continue
        result, error = None, None
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001  it is raised to the one who asked
            error = exc
        if answer is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                answer.get_loop().call_soon_threadsafe(partial(_settle, answer, result, error))
        # Nothing that was asked for may live on while the thread waits.
        del call, work, answer, result, error


def _settle(answer: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


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
