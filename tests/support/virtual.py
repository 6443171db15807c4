"""Coroutine tests that run in virtual time, and a look at what happened in one turn of the loop."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from pycarp import State, VirtualHost
from pycarp.dialects import UNIVERSAL
from pycarp.testing import run
from pycarp.vocabulary import NS_PER_S

P = ParamSpec("P")


def in_virtual_time(plan: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an ordinary test of a coroutine: it starts at second 0 and never waits."""

    @functools.wraps(plan)
    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        run(plan(*args, **kwargs))

    return test


def now_s() -> float:
    """Return the time of the running loop, in seconds."""
    return asyncio.get_running_loop().time()


async def let_others_run() -> None:
    """Give every task that is ready some turns, without letting time pass."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until_held(host: VirtualHost) -> None:
    """Wait until a host is MASTER and has asked for its addresses: it listens for others first."""
    await host.wait_for(State.MASTER)
    await asyncio.sleep(UNIVERSAL.takeover_listen_ns / NS_PER_S)
    await let_others_run()


class Complaints:
    """What reached the loop's exception handler, from the moment this is made inside a loop."""

    def __init__(self) -> None:
        self.exceptions: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(self._take)

    def _take(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.exceptions.append(context["exception"])
