"""The wake-up index: which hosts to look at, and when at the latest.

Hearing an advertisement only writes a later deadline into the state of the host; the index keeps the earlier entry and
corrects it when that is the first one (``first_true_ns``). So a host costs one correction an interval at most, however
often it is read, and no postponed deadline wakes the process up. Invariant: every host has an entry not later than its
true deadline, or none if it has no deadline.
"""

import heapq
import sys
from collections.abc import Callable, Iterable

from pycarp.vocabulary import HostKey


class DeadlineIndex:
    """Hosts by time, with at most one live entry a host, and a heap of the times.

    The hosts of a slot have one time, so they cost the heap no more than one host.
    """

    def __init__(self, entries: Iterable[tuple[HostKey, int]] = ()) -> None:
        self._heap: list[int] = []
        self._at: dict[int, list[HostKey]] = {}
        self._live: dict[HostKey, int] = {}
        for key, at_ns in entries:
            self.note(key, at_ns)

    @property
    def entries(self) -> tuple[tuple[HostKey, int], ...]:
        """The live entries in the order in which they are looked at: all that matters of the index."""
        live = self._live
        found = dict.fromkeys((key, at_ns) for at_ns in sorted(self._at) for key in self._at[at_ns])
        return tuple([each for each in found if live.get(each[0]) == each[1]])

    def note(self, key: HostKey, at_ns: int | None) -> None:
        """Record a host's true deadline, None for none; only a deadline earlier than the known one costs anything."""
        if at_ns is None:
            self._live.pop(key, None)
            return
        known = self._live.get(key)
        if known is None or at_ns < known:
            self._live[key] = at_ns
            keys = self._at.get(at_ns)
            if keys is None:
                self._at[at_ns] = [key]
                heapq.heappush(self._heap, at_ns)
            else:
                keys.append(key)

    def set(self, key: HostKey, at_ns: int | None) -> None:
        """Record a host's deadline, None for none, also one later than the known one."""
        live, at = self._live, self._at
        if at_ns is None:
            live.pop(key, None)
            return
        live[key] = at_ns
        keys = at.get(at_ns)
        if keys is None:
            at[at_ns] = [key]
            heapq.heappush(self._heap, at_ns)
        else:
            keys.append(key)

    def clear(self) -> None:
        """Forget every deadline."""
        self._heap.clear()
        self._at.clear()
        self._live.clear()

    def pop_due(self, now_ns: int, most: int = sys.maxsize) -> list[HostKey]:
        """Remove and return hosts whose entries are due; the caller must note their true deadlines again.

        They are in the order of their times, and those of one time in the order of their keys. There are at most
        ``most`` of them; the rest stays.
        """
        due: list[HostKey] = []
        heap, at, live = self._heap, self._at, self._live
        while heap and heap[0] <= now_ns:
            at_ns = heap[0]
            keys = at[at_ns]
            if len(keys) > 1:
                keys.sort()
            for taken, key in enumerate(keys):
                if live.get(key) == at_ns:
                    if len(due) >= most:
                        del keys[:taken]
                        return due
                    del live[key]
                    due.append(key)
            heapq.heappop(heap)
            del at[at_ns]
        return due

    def earliest_ns(self) -> int | None:
        """Return the time of the first live entry, None when there is none."""
        heap, live = self._heap, self._live
        while heap:
            at_ns = heap[0]
            for key in self._at[at_ns]:
                if live.get(key) == at_ns:
                    return at_ns
            del self._at[heapq.heappop(heap)]
        return None

    def first_true_ns(self, deadline_of: Callable[[HostKey], int | None]) -> int | None:
        """Return the first deadline, None when there is none; correct the entries that are before it.

        ``deadline_of`` returns the true deadline of a host.
        """
        heap, at, live = self._heap, self._at, self._live
        while heap:
            before_ns = heap[0]
            for key in at[before_ns]:
                if live.get(key) != before_ns:
                    continue
                at_ns = deadline_of(key)
                if at_ns == before_ns:
                    return at_ns
                self.set(key, at_ns)
            del at[heapq.heappop(heap)]
        return None


class Deadlines:
    """The deadlines of all hosts of an engine: those of MASTERs that hold addresses, and those of all ``others``.

    Who holds addresses owes signs of life, which must not wait while thousands of others take over.
    """

    def __init__(self) -> None:
        self.holding = DeadlineIndex()
        self.others = DeadlineIndex()

    @property
    def entries(self) -> tuple[tuple[HostKey, int], ...]:
        """The live entries of both."""
        return self.holding.entries + self.others.entries

    def note(self, key: HostKey, at_ns: int | None, *, holds_addresses: bool) -> None:
        """Record a host's true deadline, None for none, where those of its kind are."""
        index, other = (self.holding, self.others) if holds_addresses else (self.others, self.holding)
        other.note(key, None)
        index.note(key, at_ns)

    def forget(self, key: HostKey) -> None:
        """Forget the deadline of a host."""
        self.holding.note(key, None)
        self.others.note(key, None)

    def earliest_ns(self) -> int | None:
        """Return the time of the first live entry of both, None when there is none."""
        return _first(self.holding.earliest_ns(), self.others.earliest_ns())

    def first_true_ns(self, deadline_of: Callable[[HostKey], int | None]) -> int | None:
        """Return the first deadline of both, None when there is none; correct the entries that are before it."""
        return _first(self.holding.first_true_ns(deadline_of), self.others.first_true_ns(deadline_of))


def _first(one_ns: int | None, other_ns: int | None) -> int | None:
    if one_ns is None or other_ns is None:
        return other_ns if one_ns is None else one_ns
    return min(one_ns, other_ns)
