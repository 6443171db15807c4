"""Code that runs only while a host is MASTER: ``async with host.tenure() as term``.

What it promises, and what nobody can, is said in docs/explanation/tenure.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeAlias

from pycarp.aio.arguments import check_span
from pycarp.aio.reign import Reign
from pycarp.aio.term import TenureLost, Term
from pycarp.errors import UsageError

CLEAN_UP_S = 1.0
"""What a body gets to clean up, unless that would not be safe."""

TokenSource: TypeAlias = Callable[[], Awaitable[int]]


class ClockTokens:
    """Fencing tokens from the clock: microseconds since 1970, and each greater than the one before.

    Below 2**53 until the year 2255, so that no store rounds them.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last = 0

    async def __call__(self) -> int:
        """Return the next token."""
        self._last = max(self._clock() // 1000, self._last + 1)
        return self._last


class Tenure:
    """An async context manager whose body runs only while the host is MASTER; made by ``VirtualHost.tenure``."""

    def __init__(self, reign: Reign, *, clean_up_s: float, timeout_s: float | None, token: TokenSource) -> None:
        check_span("clean-up time", clean_up_s)
        if timeout_s is not None:
            check_span("timeout", timeout_s, may_be_zero=True)
        self._reign = reign
        self._clean_up_s = clean_up_s
        self._timeout_s = timeout_s
        self._token = token
        self._has_begun = False
        self._term: Term | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancelling = 0

    async def __aenter__(self) -> Term:
        if self._has_begun:
            raise UsageError("a tenure can be entered once only; ask the host for another")
        self._has_begun = True
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                term = await self._begin()
        except TimeoutError:
            if not limit.expired():
                raise
            text = f"{self._reign.key} was not MASTER, with its addresses held, within {self._timeout_s:g} s"
            raise TimeoutError(text) from None
        self._term, self._body = term, asyncio.current_task()
        assert self._body is not None
        self._cancelling = self._body.cancelling()
        term.start(self._body)
        return term

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # As asyncio.timeout: whatever else cancels the task at the same time has precedence.
        assert self._term is not None
        assert self._body is not None
        cancellations = self._term.finish()
        for _ in range(cancellations):
            self._body.uncancel()
        is_ours = cancellations > 0 and self._body.cancelling() <= self._cancelling
        if is_ours and kind is asyncio.CancelledError and self._term.reason is not None:
            raise TenureLost(self._reign.key, self._term.reason) from self._reign.failure or exc

    async def _begin(self) -> Term:
        """Return a term that has its token; one that is lost before the token is there never began."""
        while True:
            term = await self._reign.begin(clean_up_s=self._clean_up_s)
            try:
                term.token = await self._token()
            except BaseException:
                self._reign.leave(term)
                raise
            if term.remaining_s > 0:
                return term
            self._reign.leave(term)
