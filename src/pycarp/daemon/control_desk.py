"""Answers on the control socket before the node exists, and after it has ended."""

import os
from collections.abc import Awaitable, Callable

from pycarp.daemon.control_messages import Reply, Request
from pycarp.daemon.streams import Stream
from pycarp.errors import ControlError


class ControlDesk:
    """Passes requests to a daemon that is ready, and refuses them while it is starting or leaving."""

    def __init__(self) -> None:
        self._answer: Callable[[Request], Awaitable[Reply | Stream]] | None = None
        self._what = "starting; ask again in a moment"

    async def answer(self, request: Request) -> Reply | Stream:
        """Answer a request; raises ControlError, which says what the daemon is doing, while it is not ready."""
        if self._answer is None:
            raise ControlError(f"this pycarp (pid {os.getpid()}) is {self._what}")
        return await self._answer(request)

    def open(self, answer: Callable[[Request], Awaitable[Reply | Stream]]) -> None:
        """Pass requests to ``answer`` from now on: the daemon is ready."""
        self._answer = answer

    def shut(self) -> None:
        """Refuse further requests, because the daemon is leaving."""
        self._answer = None
        self._what = "leaving"
