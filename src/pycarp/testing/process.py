"""A process inside a process: whatever it started can stand still, and go on, while the rest of the program runs.

What belongs to it is known by the context that every callback and every task inherits from whoever started it. The
``VirtualTimeLoop`` asks before it calls anything back.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Call:
    """A callback on its way; ``handle`` is what the one who scheduled it can cancel."""

    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: contextvars.Context
    handle: asyncio.Handle | None = None


class Process:
    """Runs, or stands still: then its callbacks, timers and tasks wait. Its time passes meanwhile, as after SIGSTOP.

    ``clock_rate`` is how many seconds its clock advances in a virtual second.
    """

    def __init__(self, *, clock_rate: float = 1.0) -> None:
        self._clock_rate = clock_rate
        self._is_stopped = False
        self._waiting: list[Call] = []
        self._context = contextvars.copy_context()
        self._context.run(_CURRENT.set, self)

    @property
    def is_stopped(self) -> bool:
        """True while nothing of it runs."""
        return self._is_stopped

    def context(self) -> contextvars.Context:
        """Return a new context; whatever is started in it belongs to this process."""
        return self._context.copy()

    def clock_s(self, now_s: float) -> float:
        """Return what its clock says at a virtual time."""
        return now_s * self._clock_rate

    def virtual_s(self, clock_s: float) -> float:
        """Return the virtual time at which its clock says so."""
        return clock_s / self._clock_rate

    def stop(self) -> None:
        """Stand still from the next callback on."""
        self._is_stopped = True

    def go_on(self) -> None:
        """Run what is due, in the order in which it became due."""
        self._is_stopped = False
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for call in waiting:
            loop.call_soon(self.admit, call, context=call.context)

    def admit(self, call: Call) -> None:
        """Call back now, or when the process goes on, unless that is cancelled by then; for the loop."""
        if call.handle is not None and call.handle.cancelled():
            return
        if self._is_stopped:
            self._waiting.append(call)
        else:
            call.callback(*call.args)


def process_of(context: contextvars.Context | None) -> Process | None:
    """Return whose a context is, the current one if None is given."""
    return _CURRENT.get() if context is None else context.get(_CURRENT)


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Let what is scheduled here belong to no process: packets on the wire, timers of a kernel."""
    token = _CURRENT.set(None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


_CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("pycarp_process", default=None)
