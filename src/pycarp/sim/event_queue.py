"""A queue of future actions with a virtual clock, which jumps from one action to the next."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

DELIVERY = 0
CHANGE = 1
EXPIRY = 2
"""Ranks of actions at the same time: packets arrive first, timers expire last."""


class EventQueue:
    """Actions in the order of time, then of rank, then of planning."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._planned: list[tuple[int, int, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, at_ns: int, action: Callable[[], None], *, rank: int = CHANGE) -> None:
        """Plan an action for ``at_ns``; a time in the past counts as now."""
        heappush(self._planned, (max(at_ns, self.now_ns), rank, next(self._numbers), action))

    def run(self, *, until_ns: int) -> None:
        """Run every action planned up to ``until_ns``, and set the clock to that time."""
        planned = self._planned
        while planned and planned[0][0] <= until_ns:
            self.now_ns, _rank, _number, action = heappop(planned)
            action()
        self.now_ns = until_ns
