"""Who answers on the control socket before there is a node, and after it."""

import os
from collections.abc import Awaitable, Callable

from pycarp.daemon.control_messages import Reply, Request
from pycarp.daemon.streams import Stream
from pycarp.errors import ControlError


class ControlDesk:
    """Answers on the control socket for a daemon that is starting, ready, or leaving."""

    def __init__(self) -> None:
        self._answer: Callable[[Request], Awaitable[Reply | Stream]] | None = None
        self._what = "starting; ask again in a moment"

    async def answer(self, request: Request) -> Reply | Stream:
        """Answer a request; ControlError says what the daemon is doing while it is not ready."""
        if self._answer is None:
            raise ControlError(f"this pycarp (pid {os.getpid()}) is {self._what}")
        return await self._answer(request)

    def open(self, answer: Callable[[Request], Awaitable[Reply | Stream]]) -> None:
        """Answer requests by a daemon that is ready."""
        self._answer = answer

    def shut(self) -> None:
        """Refuse further requests, because the daemon is leaving."""
        self._answer = None
        self._what = "leaving"
