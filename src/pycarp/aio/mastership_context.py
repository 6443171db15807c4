"""Code that runs only while a host is MASTER: ``async with host.mastership() as mastership``.

docs/explanation/mastership.md explains what it guarantees, and what no implementation can.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeAlias

from pycarp.aio.mastership import Mastership, MastershipLost
from pycarp.aio.mastership_monitor import MastershipMonitor
from pycarp.core.checks import check_span
from pycarp.errors import UsageError

CLEAN_UP_S = 1.0
"""Seconds that a body gets to clean up, unless so many would be unsafe."""

TokenSource: TypeAlias = Callable[[], Awaitable[int]]


class ClockTokens:
    """Fencing tokens from the clock: microseconds since 1970, each larger than the one before.

    They stay below 2**53 until the year 2255, so a store that uses floats does not round them.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last = 0

    async def __call__(self) -> int:
        """Return the next token."""
        self._last = max(self._clock() // 1000, self._last + 1)
        return self._last


class MastershipContext:
    """An async context manager whose body runs only while the host is MASTER; see ``VirtualHost.mastership``."""

    def __init__(
        self, monitor: MastershipMonitor, *, clean_up_s: float, timeout_s: float | None, token: TokenSource
    ) -> None:
        check_span("clean-up time", clean_up_s)
        if timeout_s is not None:
            check_span("timeout", timeout_s, may_be_zero=True)
        self._monitor = monitor
        self._clean_up_s = clean_up_s
        self._timeout_s = timeout_s
        self._token = token
        self._has_begun = False
        self._mastership: Mastership | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancelling = 0

    async def __aenter__(self) -> Mastership:
        if self._has_begun:
            raise UsageError("a mastership can be entered once only; ask the host for another")
        self._has_begun = True
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                mastership = await self._begin()
        except TimeoutError:
            if not limit.expired():
                raise
            text = f"{self._monitor.key} was not MASTER, with its addresses held, within {self._timeout_s:g} s"
            raise TimeoutError(text) from None
        self._mastership, self._body = mastership, asyncio.current_task()
        assert self._body is not None
        self._cancelling = self._body.cancelling()
        mastership.start(self._body)
        return mastership

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # As in asyncio.timeout, another cancellation of the task at the same time takes precedence.
        assert self._mastership is not None
        assert self._body is not None
        cancellations = self._mastership.finish()
        for _ in range(cancellations):
            self._body.uncancel()
        is_ours = cancellations > 0 and self._body.cancelling() <= self._cancelling
        if is_ours and kind is asyncio.CancelledError and self._mastership.reason is not None:
            raise MastershipLost(self._monitor.key, self._mastership.reason) from self._monitor.failure or exc

    async def _begin(self) -> Mastership:
        """Return a mastership with its token; one that is lost while the token is awaited is replaced by the next."""
        while True:
            mastership = await self._monitor.begin(clean_up_s=self._clean_up_s)
            try:
                mastership.token = await self._token()
            except BaseException:
                self._monitor.leave(mastership)
                raise
            if mastership.remaining_s > 0:
                return mastership
            self._monitor.leave(mastership)
