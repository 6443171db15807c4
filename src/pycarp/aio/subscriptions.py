"""The ordered log of one host's events, and three ways to follow it: wait, iterate, register a callback.

Every event gets its number in the step in which it happens. A waiter is resolved *with* the event that made its
condition true, so it never mistakes a later state for the one it waited for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self, TypeAlias

from msgspec.structs import replace

from pycarp.aio.callback_queue import QUEUE_LIMIT, Callback, CallbackQueue
from pycarp.aio.small_event import SmallEvent
from pycarp.core.events import Departed, Event, EventsMissed, StateChange
from pycarp.core.state import Reason, State
from pycarp.errors import CarpError, NodeFailedError, UsageError
from pycarp.vocabulary import HostKey

KEPT_EVENTS = 256
CALLBACK_TIMEOUT_S = 5.0
"""Seconds that callbacks may still run after their host has departed."""

Predicate: TypeAlias = Callable[[Event], bool]
IsMeant: TypeAlias = Callable[[StateChange], bool]

_CANCELLING_TURNS = 10


class EventLog:
    """The events of one host, the last 256 of them kept.

    When the host ends, awaitable callbacks get ``callback_timeout_s`` seconds to finish the calls that are due.
    """

    def __init__(self, key: HostKey, *, callback_timeout_s: float = CALLBACK_TIMEOUT_S) -> None:
        self._key = key
        self._callback_timeout_s = callback_timeout_s
        # Lists, since an empty deque takes as much as some ten events, and most hosts have few.
        self._kept: list[Event] = []
        self._seq = 0
        self._last_change: StateChange | None = None
        self._waiters: dict[asyncio.Future[Event], Predicate] = {}
        self._subscriptions: list[Subscription] = []
        self._callbacks: list[CallbackQueue] = []
        self._has_ended = False
        self._failure: BaseException | None = None

    @property
    def seq(self) -> int:
        """The number of the last event; 0 before the first."""
        return self._seq

    @property
    def last_change(self) -> StateChange | None:
        """The change that led to the current state."""
        return self._last_change

    @property
    def waiting(self) -> int:
        """How many tasks wait for an event."""
        return len(self._waiters)

    def publish(self, event: Event) -> None:
        """Give an event its number, keep it, and pass it to every waiter, subscription and callback."""
        self._seq += 1
        event = replace(event, seq=self._seq)
        self._kept.append(event)
        del self._kept[:-KEPT_EVENTS]
        if isinstance(event, StateChange):
            self._last_change = event
        self._resolve_waiters(event)
        for subscription in list(self._subscriptions):
            subscription.put(event)
        if isinstance(event, StateChange):
            for queue in list(self._callbacks):
                queue.take(event)
        if isinstance(event, Departed):
            self.end()

    async def wait_for(self, state: State) -> StateChange:
        """Return the change that made ``state`` the current one: now if it is, else when it next becomes so."""
        self._check_failure()
        if self._last_change is not None and self._last_change.new is state:
            return self._last_change
        event = await self._wait(lambda event: isinstance(event, StateChange) and event.new is state)
        assert isinstance(event, StateChange)
        return event

    async def next_change(self, after: int) -> StateChange:
        """Return the first change numbered higher than ``after``.

        Raises UsageError when events after ``after`` are no longer kept, so that a caller cannot miss one without
        notice, and when no event has that number yet.
        """
        if after > self._seq:
            raise UsageError(f"there is no event {after} yet; the last one of {self._key} is {self._seq}")
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
        """Wait until the host has departed; raises NodeFailedError when its node fails first."""
        if not self._has_ended:
            await self._wait(lambda event: isinstance(event, Departed))
        self._check_failure()

    def subscribe(self) -> "Subscription":
        """Return a subscription; it starts when it is entered."""
        return Subscription(self._key, self._start, self._stop)

    def add_callback(
        self,
        callback: Callback,
        is_meant: IsMeant,
        *,
        replays: Callable[[StateChange], bool] | None = None,
    ) -> None:
        """Call a function with every change that ``is_meant``, and await what it returns if that can be awaited.

        With ``replays`` it is called at once with the change that led to the current state, if ``replays`` returns True
        for that change. Raises UsageError when the host has departed, NodeFailedError when its node has failed.
        """
        self.check_is_open()
        queue = CallbackQueue(callback, is_meant)
        self._callbacks.append(queue)
        if replays is not None and self._last_change is not None and replays(self._last_change):
            queue.call(self._last_change)

    def remove_callback(self, callback: Callback) -> None:
        """Remove a callback; a call of it that is being awaited is cancelled."""
        for queue in [each for each in self._callbacks if each.callback == callback]:
            self._callbacks.remove(queue)
            queue.cancel()

    def end(self, *, callback_timeout_s: float | None = None) -> None:
        """End every wait and subscription; cancel the callbacks that still run after their timeout."""
        if self._has_ended:
            return
        self._has_ended = True
        for future in self._waiters:
            if not future.done():
                future.set_exception(self._end())
        self._waiters.clear()
        for subscription in list(self._subscriptions):
            subscription.end(None if self._failure is None else self._end())
        if any(queue.is_busy for queue in self._callbacks):
            limit_s = self._callback_timeout_s if callback_timeout_s is None else callback_timeout_s
            asyncio.get_running_loop().call_later(limit_s, self._cancel_callbacks)

    def fail(self, failure: BaseException, at_ns: int) -> None:
        """Publish a last change to INIT, then end every wait and subscription with NodeFailedError."""
        if self._has_ended:
            return
        last = self._last_change
        if last is not None and last.new is not State.INIT:
            # The engine cannot publish it: the engine itself may have failed.
            self.publish(
                replace(
                    last,
                    at_ns=at_ns,
                    old=last.new,
                    new=State.INIT,
                    reason=Reason.NODE_FAILED,
                    peer=None,
                    silent_ns=None,
                )
            )
        self._failure = failure
        self.end()

    async def close(self, timeout_s: float) -> None:
        """Wait for awaitable callbacks to finish, at most ``timeout_s`` seconds, then cancel them.

        A callback may call this itself.
        """
        self.end(callback_timeout_s=timeout_s)
        current = asyncio.current_task()
        others = [each for each in self._callbacks if each.task is None or each.task is not current]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for each in others:
                    await each.finished()
        for each in others:
            each.cancel()
        # Callbacks that accept cancellation end within a few turns of the loop; do not wait for the rest.
        for _ in range(_CANCELLING_TURNS):
            if not any(each.task for each in others):
                return
            await asyncio.sleep(0)

    def _cancel_callbacks(self) -> None:
        for queue in self._callbacks:
            queue.cancel()

    def _resolve_waiters(self, event: Event) -> None:
        for future, predicate in list(self._waiters.items()):
            if not future.done() and predicate(event):
                future.set_result(event)
                del self._waiters[future]

    async def _wait(self, predicate: Predicate) -> Event:
        self.check_is_open()
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiters[future] = predicate
        try:
            return await future
        finally:
            self._waiters.pop(future, None)

    def check_is_open(self) -> None:
        """Raise UsageError when the host has departed, NodeFailedError when its node has failed."""
        if self._has_ended:
            raise self._end()

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise self._end()

    def _end(self) -> CarpError:
        """Return why the log has ended; a new exception each time, because each gets its own traceback."""
        if self._failure is None:
            return UsageError(f"virtual host {self._key} has departed")
        error = NodeFailedError(f"virtual host {self._key} is on a node that failed: {self._failure!r}")
        error.__cause__ = self._failure
        return error

    def _start(self, subscription: "Subscription") -> None:
        if self._last_change is not None:
            subscription.put(self._last_change)
        if self._has_ended:
            subscription.end(None if self._failure is None else self._end())
        self._subscriptions.append(subscription)

    def _stop(self, subscription: "Subscription") -> None:
        with contextlib.suppress(ValueError):
            self._subscriptions.remove(subscription)


class Subscription:
    """An async context manager and iterator over events.

    The first item is the change that led to the current state, if there was one; every later event follows in order.
    When the queue of 1024 overflows, ``EventsMissed`` takes the place of the lost events. Iteration ends with the host,
    and with NodeFailedError when its node fails.
    """

    def __init__(
        self, key: HostKey, start: Callable[["Subscription"], None], stop: Callable[["Subscription"], None]
    ) -> None:
        self._key = key
        self._start = start
        self._stop = stop
        self._queue: list[Event] = []
        self._missed = 0
        self._missed_at_ns = 0
        self._has_ended = False
        self._error: CarpError | None = None
        self._arrival = SmallEvent()

    async def __aenter__(self) -> Self:
        self._start(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Cancel the subscription; queued events can still be read."""
        self._stop(self)
        self.end()

    def put(self, event: Event) -> None:
        """Queue an event, or count it as missed; called by the log."""
        if len(self._queue) >= QUEUE_LIMIT:
            self._missed += 1
            self._missed_at_ns = event.at_ns
            return
        self._queue_missed()
        self._queue.append(event)
        self._arrival.set()

    def end(self, error: CarpError | None = None) -> None:
        """End iteration once the queue is empty, with ``error`` if it is given; called by the log."""
        self._has_ended = True
        self._error = self._error or error
        self._arrival.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if not self._queue:
            self._queue_missed()
        while not self._queue:
            if self._has_ended:
                raise self._error or StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        return self._queue.pop(0)

    def _queue_missed(self) -> None:
        if self._missed:
            self._queue.append(EventsMissed(key=self._key, at_ns=self._missed_at_ns, count=self._missed))
            self._missed = 0
