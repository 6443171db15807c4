"""One thread for requests to the kernel, which may wait for its locks: the event loop must not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Does one thing after the other, in the order in which it was asked.

    The thread is made with the first of them, and stays in the network namespace in which that one was asked for.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns; cancelled before its turn, it is not done at all."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def soon(self, work: Callable[[], None]) -> None:
        """Let something be done and never hear of it; it raises nothing."""
        self._executor.submit(work)

    def close(self) -> None:
        """Do no more; what is under way comes to its end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
