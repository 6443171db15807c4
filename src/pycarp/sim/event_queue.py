"""What will happen when: a virtual clock that jumps from one entry to the next."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

DELIVERY = 0
CHANGE = 1
EXPIRY = 2
"""What comes first at one moment: packets are read before anything is decided, and timers expire last."""


class EventQueue:
    """Actions at times; those of one moment go by rank, then in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._planned: list[tuple[int, int, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, at_ns: int, action: Callable[[], None], *, rank: int = CHANGE) -> None:
        """Plan an action; one for the past happens now."""
        heappush(self._planned, (max(at_ns, self.now_ns), rank, next(self._numbers), action))

    def run(self, *, until_ns: int) -> None:
        """Let everything happen that is planned up to ``until_ns``."""
        planned = self._planned
        while planned and planned[0][0] <= until_ns:
            self.now_ns, _rank, _number, action = heappop(planned)
            action()
        self.now_ns = until_ns
