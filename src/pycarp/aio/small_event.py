"""An event like ``asyncio.Event``, of which each virtual host has several."""

import asyncio
import contextlib
from typing import Literal


class SmallEvent:
    """Is set or not, and can be waited for; an ``asyncio.Event`` takes 0.7 KiB more for its queue of waiters."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        """Return True if it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it; every task that waits continues, also if it is cleared again before."""
        self._is_set = True
        waiters, self._waiters = self._waiters, []
        for each in waiters:
            if not each.done():
                each.set_result(None)

    def clear(self) -> None:
        """Clear it: from now on tasks wait until it is set again."""
        self._is_set = False

    async def wait(self) -> Literal[True]:
        """Wait until it is set."""
        if not self._is_set:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                with contextlib.suppress(ValueError):
                    self._waiters.remove(waiter)
        return True
