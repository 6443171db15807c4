"""Counts the events of hosts for metrics; costs a few additions per event."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from pycarp.core.events import AddressesHeld, Event, LoopStalled, StateChange
from pycarp.core.state import State
from pycarp.vocabulary import NS_PER_S, HostKey

TAKEOVER_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets, in seconds; the last one has no bound."""


class Histogram(msgspec.Struct):
    """A histogram: the count of durations in each bucket, not cumulative, and their sum in seconds."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(TAKEOVER_BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(TAKEOVER_BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Tallies(msgspec.Struct):
    """Transitions by host, new state and reason; stalls; how long it took from MASTER to holding the addresses."""

    transitions: Counter[tuple[HostKey, State, str]] = msgspec.field(default_factory=Counter)
    stalls: int = 0
    stalled_s: float = 0.0
    takeovers: Histogram = msgspec.field(default_factory=Histogram)
    _masters_at_ns: dict[HostKey, int] = msgspec.field(default_factory=dict)
    _stalled_at_ns: int = -1

    def copy(self, *, present_name: Callable[[str], str] = str) -> "Tallies":
        """Return what was counted until now, as it stays; hosts are on interfaces as these are called now."""
        transitions: Counter[tuple[HostKey, State, str]] = Counter()
        for (key, new, reason), count in self.transitions.items():
            transitions[HostKey(present_name(key.link), key.vhid), new, reason] += count
        takeovers = Histogram(list(self.takeovers.counts), self.takeovers.sum_s)
        return replace(self, transitions=transitions, takeovers=takeovers)

    def take(self, event: Event) -> None:
        """Count an event."""
        match event:
            case StateChange(key=key, new=new, reason=reason, at_ns=at_ns):
                self.transitions[key, new, reason.name.lower().replace("_", "-")] += 1
                if new is State.MASTER:
                    self._masters_at_ns[key] = at_ns
                else:
                    self._masters_at_ns.pop(key, None)
            case AddressesHeld(key=key, at_ns=at_ns) if (began_ns := self._masters_at_ns.pop(key, None)) is not None:
                self.takeovers.add((at_ns - began_ns) / NS_PER_S)
            case LoopStalled(at_ns=at_ns, late_ns=late_ns) if at_ns > self._stalled_at_ns:
                # Every host has an event of each stall of the process, and tells several before the next host does.
                self._stalled_at_ns = at_ns
                self.stalls += 1
                self.stalled_s += late_ns / NS_PER_S
            case _:
                pass
