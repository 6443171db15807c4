"""When a link is flooded, and which packets are read then.

To judge a packet takes tens of microseconds. A hundred thousand a second leave time for nothing else, and the queue of
the socket overflows. The kernel cannot tell a forged advertisement from a genuine one, because it has no key. The
engine has the keys and knows the digests of the advertisements that may come next. In a flood the kernel therefore
passes those, and one in so many of all other packets, chosen at random: newcomers, and peers whose counter cannot be
predicted, are heard after a while.

Pure: takes counts and times, returns the numbers for a packet filter.
"""

from dataclasses import dataclass
from typing import NamedTuple

from pycarp.vocabulary import NS_PER_S

USELESS_PER_S_MAX = 2000
"""How many useless packets a second are read; more are a flood. They cost up to a tenth of a processor."""

CALM_NS = 10 * NS_PER_S
"""How long the rate must have been low for a flood to be over."""

_WINDOW_NS = NS_PER_S
_BURST = 500
"""So many packets are enough to judge by, however short the time."""

_SHORTEST_NS = NS_PER_S // 1000
_EVERY_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """What the kernel passes on a flooded link: packets with one of the digests (first 32 bits), and samples.

    One in ``every`` of all packets passes whatever it is, one in ``every_repeated`` of those whose digest comes again
    and again. Both are powers of two.
    """

    upcoming: tuple[int, ...]
    repeated: tuple[int, ...]
    every: int
    every_repeated: int


class FloodCounts(NamedTuple):
    """How many useless and how many repeated packets were read since the beginning; both only grow."""

    useless: int
    repeated: int


@dataclass(slots=True)
class FloodDetector:
    """Judges one link, from the counts of ``since`` on; ``rate`` is packets a second at the last judgement."""

    since: FloodCounts
    since_ns: int
    low_since_ns: int
    is_on: bool = False
    rate: int = 0
    every: int = 1
    every_repeated: int = 1

    def judge(self, counts: FloodCounts, now_ns: int) -> bool:
        """Take the counts of now; return True when a flood has begun or ended with them."""
        span_ns = now_ns - self.since_ns
        useless, repeated = counts.useless - self.since.useless, counts.repeated - self.since.repeated
        if span_ns < _WINDOW_NS and useless + repeated < _BURST:
            return False
        span_ns = max(span_ns, _SHORTEST_NS)
        self.since_ns, self.since = now_ns, counts
        useless_rate = useless * self.every * NS_PER_S // span_ns
        repeated_rate = repeated * self.every_repeated * NS_PER_S // span_ns
        self.rate = useless_rate + repeated_rate
        if self.rate > USELESS_PER_S_MAX // 2:
            self.low_since_ns = now_ns
        was_on = self.is_on
        self.is_on = self.rate > USELESS_PER_S_MAX or (was_on and now_ns - self.low_since_ns < CALM_NS)
        self.every = _one_in(useless_rate) if self.is_on else 1
        self.every_repeated = _one_in(repeated_rate) if self.is_on else 1
        return self.is_on is not was_on


def _one_in(rate: int) -> int:
    """Return the power of two that brings a rate down to what is read."""
    every = 1
    while rate > every * USELESS_PER_S_MAX and every < _EVERY_MAX:
        every *= 2
    return every
