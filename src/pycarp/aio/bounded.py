"""Runs calls of third parties (undo, drop, close) to a bounded end, even if they hang or the caller is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from pycarp.tasks import start_task

_TURNS = 20
"""Turns of the loop that a call gets even if no time is left; a call that need not wait ends within them."""


async def outcome_of(call: Coroutine[Any, Any, object], *, within_s: float) -> BaseException | None:
    """Run a coroutine in a task of its own for ``within_s`` seconds at most; return what it raised.

    When it has not ended by then it is cancelled and TimeoutError is returned; if it ignores that, it is left behind.
    Cancelling the caller does not interrupt the coroutine; the cancellation is raised at the end.
    """
    loop = asyncio.get_running_loop()
    task = start_task(call)
    deadline_s = loop.time() + within_s
    cancelled = await _turns_until_done(task)
    while not task.done() and (left_s := deadline_s - loop.time()) > 0:
        try:
            await asyncio.wait({task}, timeout=left_s)
        except asyncio.CancelledError as exc:
            cancelled = exc
    outcome: BaseException | None = None
    if task.done():
        outcome = result_of(task)
    else:
        task.cancel()
        cancelled = await _turns_until_done(task) or cancelled
        task.add_done_callback(result_of)
        outcome = TimeoutError(f"did not end within {within_s:g} s")
    if cancelled is not None:
        raise cancelled
    return outcome


def result_of(task: "asyncio.Task[Any]") -> BaseException | None:
    """Return the exception of a task that has ended, None if it raised none."""
    return asyncio.CancelledError("was cancelled") if task.cancelled() else task.exception()


async def _turns_until_done(task: "asyncio.Task[Any]") -> asyncio.CancelledError | None:
    """Wait a few turns of the loop for a task; return the cancellation that arrived meanwhile, None if none did."""
    cancelled = None
    for _ in range(_TURNS):
        if task.done():
            break
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as exc:
            cancelled = exc
    return cancelled
