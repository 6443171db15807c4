"""Which counters the peers of a host will send next, as far as those that were heard tell.

Most systems count up by one; OpenBSD's counter is constant. So the next few advertisements of a peer are known before
they come, digest and all, and can be told from forged ones without looking at them one by one. Peers that have never
heard anybody send random numbers, which nobody can foresee. Source: carp.md 1.5.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

_MASK = (1 << 64) - 1

WINDOW = 16
"""How many counters ahead are expected: two families a second, and a few that were lost."""

_CHAINS_MAX = 4
"""Peers that are followed at a time. There is one MASTER, sometimes two; replayed packets look like more."""


class Freshness(Enum):
    """How the counter of an authentic advertisement stands to those heard before."""

    NEXT = "follows"
    REPEATED = "the same again"
    UNEXPECTED = "unexpected"


@dataclass(slots=True)
class Chain:
    """A series of counters: the last one, how many there were, and whether that one came again."""

    head: int
    length: int = 0
    is_repeated: bool = False


class CounterPrediction:
    """Follows a few series of counters; those that go on are remembered longer than those that do not."""

    __slots__ = ("_chains",)

    def __init__(self, chains: Iterable[Chain] = ()) -> None:
        self._chains = [replace(chain) for chain in chains]

    def checkpoint(self) -> tuple[Chain, ...]:
        """Return what another one needs to go on from here."""
        return tuple(replace(chain) for chain in self._chains)

    def begin(self, counter: int) -> None:
        """Begin a series with a counter that belongs to none."""
        if len(self._chains) == _CHAINS_MAX:
            # A recording that is replayed must not crowd out the MASTER that lives.
            self._chains.remove(min(self._chains, key=lambda each: each.length))
        self._chains.append(Chain(counter))

    def follow(self, counter: int) -> Freshness:
        """Go on with the series that the counter of an authentic advertisement belongs to, if there is one."""
        for chain in self._chains:
            ahead = (counter - chain.head) & _MASK
            if ahead == 0:
                chain.is_repeated = True
                return Freshness.REPEATED
            if ahead <= WINDOW:
                chain.head, chain.is_repeated = counter, False
                chain.length += 1
                return Freshness.NEXT
        return Freshness.UNEXPECTED

    def upcoming(self, count: int) -> tuple[int, ...]:
        """Return the next ``count`` numbers of each series: the nearest first, of those the longest series' first."""
        chains = sorted(self._chains, key=lambda each: -each.length)
        return tuple((chain.head + ahead) & _MASK for ahead in range(1, count + 1) for chain in chains)

    def repeated(self) -> tuple[int, ...]:
        """Return the numbers that came more than once in a row: a constant counter's, or a replayed one."""
        return tuple(chain.head for chain in self._chains if chain.is_repeated)
