"""A thread for requests to the kernel: they may wait for the kernel's locks, and the event loop must not wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Runs calls one after the other, in the order of submission.

    The first call starts the thread, which stays in the network namespace of its caller.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` and return its result; if cancelled before its turn, it does not run."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def soon(self, work: Callable[[], None]) -> None:
        """Run ``work`` later and ignore its result; ``work`` must not raise."""
        self._executor.submit(work)

    def close(self) -> None:
        """Cancel the waiting calls; a running one finishes."""
        self._executor.shutdown(wait=False, cancel_futures=True)
