"""An event loop whose clock jumps to the next deadline when nothing is ready, and that finds deadlocks, not hangs."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_SMALLEST_STEP_S = 1e-6


class Deadlock(RuntimeError):  # noqa: N818  it names a situation
    """Every task waits and nothing is scheduled: no one will ever wake up."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that starts at time 0 and never waits."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def stall(self, span_s: float) -> None:
        """Let time pass while nothing runs, as if the process had been stopped for so long."""
        self._now_s += span_s

    def _jump(self, span_s: float) -> None:
        # A step below the resolution of a float would leave the clock where it is, for ever.
        self._now_s += max(span_s, _SMALLEST_STEP_S)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time and return its result; raises Deadlock where it would hang."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the real selector without waiting, and advances the clock by what it would have waited."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; else let the time pass and return nothing."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise Deadlock("nothing is scheduled, and every task waits")
        self._jump(timeout)
        return []
