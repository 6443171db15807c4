"""An event loop whose clock jumps to the next deadline when nothing is ready; it raises Deadlock instead of hanging.

It waits for work that takes real time. The clock stops while a call runs in an executor (``asyncio.to_thread``). While
sockets are open, the loop waits a moment for their peers before each jump. It does not know of other threads, nor of
processes.
"""

import asyncio
import contextvars
import math
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar, TypeVarTuple

from pycarp.testing.simulated_process import Call, process_of
from pycarp.testing.waiting import waiting_tasks

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREAD_TIMEOUT_S = 30.0
"""Real seconds that a call in a thread may take before it counts as hanging."""

SOCKET_GRACE_S = 0.01
"""Real seconds that the loop waits on open sockets before each jump, unless the jump is shorter."""

SOCKET_TIMEOUT_S = 5.0
"""Real seconds that the loop waits on open sockets when nothing is scheduled."""

_SMALLEST_STEP_S = 1e-6

_COARSE_S = 2.0**22
"""Seconds, 48 days: from here on a float of seconds is too coarse for one nanosecond."""

_OWN_DESCRIPTORS = 1
"""The pipe by which threads wake the loop."""


class Deadlock(RuntimeError):  # noqa: N818  it names a situation
    """Every task waits and nothing is scheduled, so none can wake. The message lists the tasks and where they wait."""


class Overtime(Deadlock):
    """More virtual time has passed than allowed: timers keep firing, but the test does not end."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that starts at time 0 and never waits, except for threads and sockets.

    After ``limit_s`` virtual seconds it raises Overtime, and then allows as many seconds again for clean-up.
    """

    def __init__(self, *, limit_s: float | None = None) -> None:
        self._now_s = 0.0
        self._span_s = limit_s
        self._limit_s = math.inf if limit_s is None else limit_s
        self._threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return the virtual time in seconds; within a simulated process, the reading of that process's clock."""
        process = process_of(None)
        return self._now_s if process is None else process.clock_s(self._now_s)

    @property
    def now_s(self) -> float:
        """The virtual time in seconds, also within a simulated process."""
        return self._now_s

    def stall(self, span_s: float) -> None:
        """Advance the clock while nothing runs, as if the process had been stopped for so many seconds."""
        self._now_s += span_s

    def grant(self, span_s: float) -> None:
        """Raise the limit by so many virtual seconds, which the test waits on purpose."""
        self._limit_s += span_s

    @property
    def scheduled(self) -> tuple[asyncio.TimerHandle, ...]:
        """The timers that are set and not cancelled, the next one first; at the end of a test, those left over."""
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # asyncio has no public way
        return tuple(sorted(each for each in timers if not each.cancelled()))

    # For the selector

    @property
    def threads(self) -> int:
        """How many calls run in executors."""
        return self._threads

    def jump(self, span_s: float) -> None:
        """Advance the clock; raises Overtime beyond the limit."""
        # A step below the resolution of a float would never advance the clock.
        self._now_s += max(span_s, _SMALLEST_STEP_S)
        if self._now_s > self._limit_s:
            self._limit_s = self._now_s + (self._span_s or 0)
            self.despair(f"{self._span_s:g} virtual seconds have passed, and the test still waits", Overtime)

    def turn(self) -> None:
        """Advance a coarse clock by its resolution, because a callback is ready."""
        # A timer may be due by its float and not yet by its nanoseconds; it would be set again without end.
        if self._now_s >= _COARSE_S:
            self._now_s = math.nextafter(self._now_s, math.inf)

    def despair(self, why: str, kind: type[Deadlock] = Deadlock) -> None:
        """Raise ``kind``, with a list of the waiting tasks."""
        raise kind(f"{why}, at {self._now_s:.6g} s of virtual time; these wait:\n{waiting_tasks(self)}")

    # The methods of an event loop

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call back in the next turn; if the context belongs to a stopped process, when that continues."""
        process = process_of(context)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        call = Call(callback, args, context or contextvars.copy_context())
        call.handle = super().call_soon(process.admit, call, context=call.context)
        return call.handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a time; if the context belongs to a stopped process, when that continues."""
        asking = process_of(None)
        when = when if asking is None else asking.virtual_s(when)
        process = process_of(context)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        call = Call(callback, args, context or contextvars.copy_context())
        handle = super().call_at(when, process.admit, call, context=call.context)
        call.handle = handle
        return handle

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a thread; the clock is stopped until it returns."""
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._forget_thread)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """Wait for the executor's threads; asyncio uses one more thread for that, which is counted here."""
        self._threads += 1
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self._threads -= 1

    def _forget_thread(self, _future: object) -> None:
        self._threads -= 1


def run(main: Coroutine[Any, Any, T], *, limit_s: float | None = None) -> T:
    """Run a coroutine to its end in virtual time and return its result; raises Deadlock instead of hanging.

    After ``limit_s`` virtual seconds it raises Overtime; None means no limit.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit_s=limit_s)) as runner:
        return runner.run(main)


class _Clock(Protocol):
    @property
    def threads(self) -> int: ...
    def jump(self, span_s: float) -> None: ...
    def turn(self) -> None: ...
    def despair(self, why: str) -> None: ...


class _JumpingSelector(selectors.DefaultSelector):
    """Polls the real selector without waiting, and advances the clock by the time that it would have waited."""

    def __init__(self, clock: _Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready files; if none is, wait for threads and sockets, or advance the clock and return none."""
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            ready = self._wait_for_the_real(timeout)
            if not ready:
                self._pass(timeout)
                return []
        self._clock.turn()
        return ready

    def _wait_for_the_real(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._clock.threads:
            ready = super().select(THREAD_TIMEOUT_S)
            if not ready:
                self._clock.despair(f"a call in a thread has not returned for {THREAD_TIMEOUT_S:g} real seconds")
            return ready
        if len(self.get_map()) > _OWN_DESCRIPTORS:
            return super().select(SOCKET_TIMEOUT_S if timeout is None else min(timeout, SOCKET_GRACE_S))
        return []

    def _pass(self, timeout: float | None) -> None:
        if timeout is None:
            self._clock.despair("nothing is scheduled, and every task waits")
        else:
            self._clock.jump(timeout)
