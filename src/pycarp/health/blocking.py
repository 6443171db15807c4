"""Calls that may block for as long as they like: a file of a dead server, a name that no DNS server answers for.

They cannot be cancelled. In the executor of the event loop a few of them would keep all others waiting, and the process
from ending.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class BlockingCall(Generic[T]):
    """A call in a thread of its own: one at a time, and who asks meanwhile gets the result of that."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._thread = _OwnThread()
        self._running: asyncio.Future[T] | None = None

    async def result(self) -> T:
        """Return the result; raises what the call raises. A caller that is cancelled leaves the thread behind."""
        loop = asyncio.get_running_loop()
        if self._running is None or self._running.get_loop() is not loop:
            self._running = loop.run_in_executor(self._thread, self._work)
            # Fetched, because asyncio would log the error of a call that nobody asks for any more.
            self._running.add_done_callback(lambda future: future.cancelled() or future.exception())
        running = self._running
        try:
            # Shielded, because the next caller waits for the same.
            return await asyncio.shield(running)
        finally:
            if running.done() and self._running is running:
                self._running = None


class _OwnThread(Executor):
    """Runs calls in one thread, which the end of the process does not wait for.

    The thread stays, because the start of one waits until it runs, which takes long on a busy machine.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._calls.put, None)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        if self._thread is None:
            self._thread = threading.Thread(target=_run, args=(self._calls,), name="pycarp-health", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        loop = asyncio.get_running_loop()
        self._calls.put(lambda: _fulfil(future, partial(fn, *args, **kwargs), loop))
        return future


def _run(calls: "SimpleQueue[Callable[[], None] | None]") -> None:
    """Be the thread."""
    while (call := calls.get()) is not None:
        call()


def _fulfil(future: "Future[T]", work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
    try:
        result, error = work(), None
    except Exception as exc:  # noqa: BLE001  it is raised where the result is asked for
        result, error = None, exc
    if loop.is_closed():
        return  # Nobody waits any more.
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]  # there is one without an error
