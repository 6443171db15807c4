"""Shares a limit of packets among links and families, so that a flood on one does not delay the others."""

from collections.abc import Callable, Iterable

from pycarp.vocabulary import Datagram

Reader = Callable[[int, list[Datagram]], int]
"""Reads at most so many packets, appends the datagrams, returns how many were read; fewer when none is left."""


class FairReader:
    """Gives all readers equal shares of a limit, shares the rest again, and begins with another reader each time."""

    def __init__(self) -> None:
        self._turn = 0

    def read(self, readers: Iterable[Reader], limit: int) -> list[Datagram]:
        """Read until all readers are empty or ``limit`` packets have been read; return the datagrams."""
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
