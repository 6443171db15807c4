"""Calls one function with the changes of a host, and awaits what it returns: one call at a time, in their order.

Each call that can be awaited runs in a task of its own. The next change follows however that task ends: by itself, by
an exception, or by a cancellation.
"""

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from pycarp.core.events import StateChange
from pycarp.errors import ConfigError
from pycarp.tasks import start_task

QUEUE_LIMIT = 1024

Callback: TypeAlias = Callable[[StateChange], object]

_ENDS_THE_PROGRAM = (KeyboardInterrupt, SystemExit)


class CallbackQueue:
    """Calls a function with each change for which ``is_meant`` returns True.

    A function that returns nothing to await is called in the same turn of the loop. Once it has returned something
    that can be awaited, it is called again only when that has ended.
    """

    def __init__(self, callback: Callback, is_meant: Callable[[StateChange], bool]) -> None:
        self.callback = callback
        self._is_meant = is_meant
        self._is_awaited = _is_coroutine_function(callback)
        self._queue: deque[StateChange] = deque()
        self._lost = 0
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False
        self._rest = asyncio.Event()
        self._rest.set()
        # A callback runs in the context of the code that registered it, not of the code that caused the change.
        self._context = contextvars.copy_context()

    @property
    def task(self) -> "asyncio.Task[None] | None":
        """The task of the running call, None if no call is running."""
        return self._task

    @property
    def is_busy(self) -> bool:
        """True while a call is running or due."""
        return not self._rest.is_set()

    def take(self, change: StateChange) -> None:
        """Call the function if the change is meant for it."""
        if self._is_meant(change):
            self.call(change)

    def call(self, change: StateChange) -> None:
        """Call the function, now or after the earlier calls; a full queue is reported once."""
        if self._is_cancelled:
            return
        if not self._is_awaited:
            self._call_now(change)
        elif len(self._queue) < QUEUE_LIMIT:
            self._queue.append(change)
            self._next()
        else:
            self._lost += 1
            if self._lost == 1:
                self._report(asyncio.QueueFull(f"{QUEUE_LIMIT} changes wait for a callback; later ones are lost"))

    def cancel(self) -> None:
        """Drop the calls that are due, and cancel the running one."""
        self._is_cancelled = True
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
        else:
            self._rest.set()

    async def finished(self) -> None:
        """Wait until no call is running or due."""
        await self._rest.wait()

    def _call_now(self, change: StateChange) -> None:
        try:
            outcome = self.callback(change)
        except _ENDS_THE_PROGRAM as exc:
            # Raised after the step: an engine that is interrupted within a step cannot continue.
            asyncio.get_running_loop().call_soon(_raise, exc)
        except BaseException as exc:  # noqa: BLE001  an observer's failure must not reach the engine
            self._report(exc)
        else:
            if inspect.isawaitable(outcome):
                self._is_awaited = True
                self._start(_outcome_of(outcome))

    def _next(self) -> None:
        if self._task is None and self._queue:
            self._start(self._call(self._queue.popleft()))

    def _start(self, call: Any) -> None:
        self._rest.clear()
        self._task = start_task(call, context=self._context.copy())
        self._task.add_done_callback(self._ended, context=self._context.copy())

    async def _call(self, change: StateChange) -> None:
        outcome = self.callback(change)
        if inspect.isawaitable(outcome):
            await outcome

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Report the failure of a call, and begin the next one."""
        self._task = None
        error = asyncio.CancelledError("a callback was cancelled") if task.cancelled() else task.exception()
        if error is not None and not self._is_cancelled and not isinstance(error, _ENDS_THE_PROGRAM):
            self._report(error)
        if not self._queue and self._lost:
            self._report(asyncio.QueueFull(f"{self._lost} changes were lost, because a callback was too slow"))
            self._lost = 0
        self._next()
        if self._task is None:
            self._rest.set()

    def _report(self, exc: BaseException) -> None:
        context: dict[str, Any] = {"message": f"pycarp: callback {self.callback!r} failed", "exception": exc}
        asyncio.get_running_loop().call_exception_handler(context)


def check_callback(callback: object) -> None:
    """Raise ConfigError unless a callback can be called with one change."""
    if not callable(callback):
        raise ConfigError(f"callback {callback!r} cannot be called; pass a function that takes a StateChange")
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None)
    except TypeError as exc:
        text = f"callback {callback!r} cannot be called with one argument, the StateChange: {exc}"
        raise ConfigError(text) from None


async def _outcome_of(awaitable: Awaitable[object]) -> None:
    await awaitable


def _is_coroutine_function(callback: Callback) -> bool:
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def _raise(exc: BaseException) -> None:
    raise exc
