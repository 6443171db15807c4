"""Starts the tasks of the library alike in every event loop, and shares the loop with all others in long work."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

TURN_S = 0.004
"""How long a piece of work may have the event loop: an advertisement that is due then is not late."""


def start_task(
    coroutine: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> "asyncio.Task[T]":
    """Return a task that begins in the next turn of the running loop.

    With ``asyncio.eager_task_factory`` the loop's own ``create_task`` begins at once, in the midst of what the caller
    does: a drop would then begin before the body of a mastership knows of the end.
    """
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name, context=context)


class Turns:
    """Gives the event loop back now and then in the midst of long work, which calls ``end`` after each small piece."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()

    async def end(self) -> None:
        """Let all others have their turn if this one has lasted for ``TURN_S``."""
        if self._loop.time() - self._began_s >= TURN_S:
            await asyncio.sleep(0)
            self._began_s = self._loop.time()
