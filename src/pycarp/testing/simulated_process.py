"""A simulated process: its callbacks and tasks can be stopped and continued while the rest of the program runs.

A callback or a task belongs to the process in whose context it was started, because it inherits that context. The
``VirtualTimeLoop`` asks the process before each callback.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Call:
    """A scheduled callback; ``handle`` is the one that was returned to the scheduling code, which can cancel it."""

    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: contextvars.Context
    handle: asyncio.Handle | None = None


class Process:
    """A process that runs or is stopped. While it is stopped its callbacks wait and time passes, as after SIGSTOP.

    ``clock_rate`` is the number of seconds that its clock advances in a virtual second.
    """

    def __init__(self, *, clock_rate: float = 1.0) -> None:
        self._clock_rate = clock_rate
        self._is_stopped = False
        self._waiting: list[Call] = []
        self._context = contextvars.copy_context()
        self._context.run(_CURRENT.set, self)

    @property
    def is_stopped(self) -> bool:
        """True while the process is stopped."""
        return self._is_stopped

    def context(self) -> contextvars.Context:
        """Return a new context; every callback and task that is started in it belongs to this process."""
        return self._context.copy()

    def clock_s(self, now_s: float) -> float:
        """Return the reading of this process's clock at a virtual time, in seconds."""
        return now_s * self._clock_rate

    def virtual_s(self, clock_s: float) -> float:
        """Return the virtual time at which this process's clock has a reading, in seconds."""
        return clock_s / self._clock_rate

    def stop(self) -> None:
        """Stop before the next callback."""
        self._is_stopped = True

    def go_on(self) -> None:
        """Continue; run the waiting callbacks in the order in which they became due."""
        self._is_stopped = False
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for call in waiting:
            loop.call_soon(self.admit, call, context=call.context)

    def admit(self, call: Call) -> None:
        """Call back now, or when the process continues, unless the call is cancelled by then; for the loop."""
        if call.handle is not None and call.handle.cancelled():
            return
        if self._is_stopped:
            self._waiting.append(call)
        else:
            call.callback(*call.args)


def process_of(context: contextvars.Context | None) -> Process | None:
    """Return the process of a context, of the current one if None; None if it belongs to no process."""
    return _CURRENT.get() if context is None else context.get(_CURRENT)


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Schedule, within the block, callbacks of no process: packets on the wire, timers of a kernel."""
    token = _CURRENT.set(None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


_CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("pycarp_process", default=None)
