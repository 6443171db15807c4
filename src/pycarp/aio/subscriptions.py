"""One ordered log of events a host, and three ways to follow it: wait, iterate, be called.

Every event gets its number in the step in which it happens. A waiter is resolved *with* the event that made its
condition true, so a slow one cannot wake in a state that is already gone.
"""

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeAlias

from pycarp.core.events import Departed, Event, EventsMissed, StateChange
from pycarp.core.state import State
from pycarp.errors import UsageError
from pycarp.vocabulary import HostKey

KEPT_EVENTS = 256
QUEUE_LIMIT = 1024

Predicate: TypeAlias = Callable[[Event], bool]
Callback: TypeAlias = Callable[[StateChange], Awaitable[None] | None]


class EventLog:
    """The events of one host, the last 256 of them kept."""

    def __init__(self, key: HostKey) -> None:
        self._key = key
        self._kept: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._seq = 0
        self._last_change: StateChange | None = None
        self._waiters: list[tuple[Predicate, asyncio.Future[Event]]] = []
        self._subscriptions: list[Subscription] = []
        self._listeners: list[_PlainListener | _CoroutineListener] = []
        self._has_ended = False

    @property
    def seq(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._seq

    @property
    def last_change(self) -> StateChange | None:
        """The change that led to the current state."""
        return self._last_change

    def publish(self, event: Event) -> None:
        """Give an event its number, keep it, and pass it to everybody who follows."""
        self._seq += 1
        event = replace(event, seq=self._seq)
        self._kept.append(event)
        if isinstance(event, StateChange):
            self._last_change = event
        self._resolve_waiters(event)
        for subscription in list(self._subscriptions):
            subscription.put(event)
        if isinstance(event, StateChange):
            for listener in list(self._listeners):
                listener.hear(event)
        if isinstance(event, Departed):
            self.end()

    async def wait_for(self, state: State) -> StateChange:
        """Return the change that made ``state`` the current one: now if it is, else when it next becomes so."""
        if self._last_change is not None and self._last_change.new is state:
            return self._last_change
        event = await self._wait(lambda event: isinstance(event, StateChange) and event.new is state)
        assert isinstance(event, StateChange)
        return event

    async def next_change(self, after: int) -> StateChange:
        """Return the first change numbered higher than ``after``.

        Raises UsageError when events after ``after`` are no longer kept, so that none can be missed unawares.
        """
        oldest = self._kept[0].seq if self._kept else 1
        if after < oldest - 1:
            raise UsageError(f"events after {after} are no longer kept; the oldest is {oldest}")
        for event in self._kept:
            if event.seq > after and isinstance(event, StateChange):
                return event
        event = await self._wait(lambda event: isinstance(event, StateChange))
        assert isinstance(event, StateChange)
        return event

    async def departure(self) -> None:
        """Return when the host has departed."""
        if not self._has_ended:
            await self._wait(lambda event: isinstance(event, Departed))

    def subscribe(self) -> "Subscription":
        """Return a subscription; it starts when it is entered."""
        return Subscription(self._key, self._start, self._stop)

    def add_callback(self, callback: Callback, only: State | None) -> None:
        """Call a plain or coroutine function with every change, or with those to one state.

        Raises UsageError when the host has departed.
        """
        if self._has_ended:
            raise UsageError(f"virtual host {self._key} has departed")
        make = _CoroutineListener if inspect.iscoroutinefunction(callback) else _PlainListener
        self._listeners.append(make(callback, only))

    def remove_callback(self, callback: Callback) -> None:
        """Stop calling a function; its coroutine, if one is running, is cancelled."""
        for listener in [each for each in self._listeners if each.callback == callback]:
            self._listeners.remove(listener)
            listener.cancel()

    def end(self) -> None:
        """Tell every follower that no more events will come."""
        self._has_ended = True
        for _predicate, future in self._waiters:
            if not future.done():
                future.set_exception(UsageError(f"virtual host {self._key} has departed"))
        self._waiters.clear()
        for subscription in list(self._subscriptions):
            subscription.end()

    async def close(self, timeout_s: float) -> None:
        """Let coroutine callbacks finish what they have been given, then cancel them.

        A callback may call this itself.
        """
        self.end()
        ending = [each.end() for each in self._listeners]
        tasks = [task for task in ending if task is not None and task is not asyncio.current_task()]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=timeout_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _resolve_waiters(self, event: Event) -> None:
        still_waiting = []
        for predicate, future in self._waiters:
            if future.done():
                continue
            if predicate(event):
                future.set_result(event)
            else:
                still_waiting.append((predicate, future))
        self._waiters = still_waiting

    async def _wait(self, predicate: Predicate) -> Event:
        if self._has_ended:
            raise UsageError(f"virtual host {self._key} has departed")
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiters.append((predicate, future))
        return await future

    def _start(self, subscription: "Subscription") -> None:
        if self._last_change is not None:
            subscription.put(self._last_change)
        if self._has_ended:
            subscription.end()
        self._subscriptions.append(subscription)

    def _stop(self, subscription: "Subscription") -> None:
        with contextlib.suppress(ValueError):
            self._subscriptions.remove(subscription)


class Subscription:
    """An async context manager and iterator over events.

    The first item is the change that led to the current state, if there was one; then every event in order. When the
    queue of 1024 overflows, ``EventsMissed`` stands where events are missing. Iteration ends with the host.
    """

    def __init__(
        self, key: HostKey, start: Callable[["Subscription"], None], stop: Callable[["Subscription"], None]
    ) -> None:
        self._key = key
        self._start = start
        self._stop = stop
        self._queue: deque[Event] = deque()
        self._missed = 0
        self._missed_at_ns = 0
        self._has_ended = False
        self._arrival = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._start(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Stop following; what is queued can still be read."""
        self._stop(self)
        self.end()

    def put(self, event: Event) -> None:
        """Queue an event, or count it as missed; for the log."""
        if len(self._queue) >= QUEUE_LIMIT:
            self._missed += 1
            self._missed_at_ns = event.at_ns
            return
        self._tell_missed()
        self._queue.append(event)
        self._arrival.set()

    def end(self) -> None:
        """Let iteration stop once the queue is empty; for the log."""
        self._has_ended = True
        self._arrival.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if not self._queue:
            self._tell_missed()
        while not self._queue:
            if self._has_ended:
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        return self._queue.popleft()

    def _tell_missed(self) -> None:
        if self._missed:
            self._queue.append(EventsMissed(key=self._key, at_ns=self._missed_at_ns, count=self._missed))
            self._missed = 0


class _PlainListener:
    """Calls a plain function in the same loop turn."""

    def __init__(self, callback: Callback, only: State | None) -> None:
        self.callback = callback
        self._only = only

    def hear(self, change: StateChange) -> None:
        """Call the function; what it raises goes to the loop's exception handler."""
        if self._only not in (None, change.new):
            return
        try:
            self.callback(change)
        except Exception as exc:  # noqa: BLE001  an observer's failure must not reach the engine
            _report(self.callback, exc)

    def cancel(self) -> None:
        """Nothing is running between two calls."""

    def end(self) -> "asyncio.Task[None] | None":
        """Return None: nothing is due."""
        return None


class _CoroutineListener:
    """Runs a coroutine function in one task: calls never overlap and never change their order."""

    def __init__(self, callback: Callback, only: State | None) -> None:
        self.callback = callback
        self._only = only
        self._queue: asyncio.Queue[StateChange | None] = asyncio.Queue(QUEUE_LIMIT)
        self._has_ended = False
        self._task = asyncio.create_task(self._work())

    def hear(self, change: StateChange) -> None:
        """Queue the change; a full queue is reported to the loop's exception handler."""
        if self._only not in (None, change.new):
            return
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull as exc:
            _report(self.callback, exc)

    def cancel(self) -> None:
        """Cancel the task, and the call in it."""
        self._task.cancel()

    def end(self) -> "asyncio.Task[None] | None":
        """Take no more changes; return the task that works off those that are due."""
        self._has_ended = True
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)
        return self._task

    async def _work(self) -> None:
        while not (self._has_ended and self._queue.empty()):
            change = await self._queue.get()
            if change is None:
                return
            try:
                outcome = self.callback(change)
                assert outcome is not None
                await outcome
            except Exception as exc:  # noqa: BLE001  an observer's failure must not reach the engine
                _report(self.callback, exc)


def _report(callback: Callback, exc: Exception) -> None:
    context: dict[str, Any] = {"message": f"pycarp: callback {callback!r} failed", "exception": exc}
    asyncio.get_running_loop().call_exception_handler(context)
