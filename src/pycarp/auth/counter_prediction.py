"""Predicts the counters that the peers of a host will send next, from those that were received.

Most systems count up by one; OpenBSD's counter is constant. The next few advertisements of a peer, including their
digests, can therefore be computed before they arrive. A packet filter can compare these digests, which distinguishes
genuine from forged packets cheaply. A peer that has heard no other host sends random numbers, which cannot be
predicted. Source: carp.md 1.5.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_MASK = (1 << 64) - 1

WINDOW = 16
"""How many counters ahead are expected: two families per second, and a few lost packets."""

_CHAINS_MAX = 4
"""Series that are followed at a time. One host is MASTER, sometimes two; replayed packets look like more."""


class Freshness(Enum):
    """How the counter of an authentic advertisement relates to those received before."""

    NEXT = "follows"
    REPEATED = "the same again"
    UNEXPECTED = "unexpected"


@dataclass(slots=True)
class Chain:
    """A series of counters: the last one, how many followed, and whether the last one was repeated."""

    head: int
    length: int = 0
    is_repeated: bool = False

    def copy(self) -> "Chain":
        """Return an independent copy."""
        return Chain(self.head, self.length, self.is_repeated)


class CounterPrediction:
    """Follows a few series of counters; a new series replaces the shortest one."""

    __slots__ = ("_chains",)

    def __init__(self, chains: Iterable[Chain] = ()) -> None:
        self._chains = [chain.copy() for chain in chains]

    def checkpoint(self) -> tuple[Chain, ...]:
        """Return what another prediction needs to continue."""
        return tuple([chain.copy() for chain in self._chains])

    def begin(self, counter: int) -> None:
        """Begin a series with a counter that belongs to none."""
        if len(self._chains) == _CHAINS_MAX:
            # Replayed packets must not displace the series of the live MASTER.
            self._chains.remove(min(self._chains, key=lambda each: each.length))
        self._chains.append(Chain(counter))

    def follow(self, counter: int) -> Freshness:
        """Advance the series that a counter of an authentic advertisement belongs to; UNEXPECTED if it fits none."""
        for chain in self._chains:
            ahead = (counter - chain.head) & _MASK
            if 0 < ahead <= WINDOW:
                chain.head, chain.is_repeated = counter, False
                chain.length += 1
                return Freshness.NEXT
            if ahead == 0:
                chain.is_repeated = True
                return Freshness.REPEATED
        return Freshness.UNEXPECTED

    def is_late(self, counter: int) -> bool:
        """Return True if a counter belongs just before the head of a series: late, or a copy of an earlier one."""
        return any(0 < (chain.head - counter) & _MASK <= WINDOW for chain in self._chains)

    def upcoming(self, count: int) -> tuple[int, ...]:
        """Return the next ``count`` numbers of each series: sorted by distance, then by length of the series."""
        chains = sorted(self._chains, key=lambda each: -each.length)
        return tuple((chain.head + ahead) & _MASK for ahead in range(1, count + 1) for chain in chains)

    def repeated(self) -> tuple[int, ...]:
        """Return the numbers that were repeated last: of constant counters, or replayed."""
        return tuple(chain.head for chain in self._chains if chain.is_repeated)
