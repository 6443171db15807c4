"""Starts the tasks of the library alike in every event loop."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def start_task(
    coroutine: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
) -> "asyncio.Task[T]":
    """Return a task that begins in the next turn of the running loop.

    With ``asyncio.eager_task_factory`` the loop's own ``create_task`` begins at once, in the midst of what the caller
    does: a drop would then begin before the body of a mastership knows of the end.
    """
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name, context=context)
