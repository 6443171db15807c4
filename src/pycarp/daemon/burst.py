"""Collects what happens to many hosts within a moment, so that one log line can name all of it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

NAMES_MOST = 8
"""The most hosts that one line names."""


class Burst(Generic[T]):
    """Collects what comes within ``span_s`` seconds of the first, and calls ``tell`` with all of it.

    Used in a running event loop.
    """

    def __init__(self, tell: Callable[[list[T]], None], *, span_s: float = 0.1) -> None:
        self._tell = tell
        self._span_s = span_s
        self._items: list[T] = []

    def add(self, item: T) -> None:
        """Collect one more."""
        if not self._items:
            asyncio.get_running_loop().call_later(self._span_s, self._end)
        self._items.append(item)

    def _end(self) -> None:
        items, self._items = self._items, []
        self._tell(items)


def names(hosts: Sequence[object]) -> str:
    """Return the names of a few hosts, or how many there are and the first of them."""
    some = ", ".join(str(each) for each in hosts[:NAMES_MOST])
    return some if len(hosts) <= NAMES_MOST else f"{len(hosts)} hosts ({some}, ...)"
