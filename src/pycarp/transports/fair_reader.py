"""Who is read first, and how far: a flood on one link or family must not keep the others from being heard."""

from collections.abc import Callable, Iterable

from pycarp.vocabulary import Datagram

Reader = Callable[[int, list[Datagram]], int]
"""Reads at most so many packets, appends those of CARP, and returns how many they were: fewer when nothing is left."""


class FairReader:
    """Gives every reader an equal share of a limit, what one leaves to the rest, and the first turn to another."""

    def __init__(self) -> None:
        self._turn = 0

    def read(self, readers: Iterable[Reader], limit: int) -> list[Datagram]:
        """Return what was read, until all are empty or ``limit`` packets have been read in all."""
        waiting = list(readers)
        self._turn += 1
        first = self._turn % max(len(waiting), 1)
        waiting = waiting[first:] + waiting[:first]
        datagrams: list[Datagram] = []
        left = limit
        while waiting and left:
            share = max(left // len(waiting), 1)
            full = []
            for read in waiting:
                count = read(min(share, left), datagrams)
                left -= count
                if count == share:
                    full.append(read)
            waiting = full
        return datagrams
