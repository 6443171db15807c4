"""Detects floods: decides when a link is flooded, and how many packets are read then.

Processing one packet takes tens of microseconds. A hundred thousand packets a second leave time for nothing else, and
the queue of the socket overflows. The kernel cannot distinguish a forged advertisement from a genuine one, because it
has no key. The engine has the keys and computes the digests of the advertisements that may come next. During a flood
the kernel therefore passes the packets with those digests, and a random sample of all others. Through the sample, new
hosts and peers with unpredictable counters are received after a while.

Pure: takes counts and times, returns the numbers for a packet filter.
"""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from pycarp.vocabulary import NS_PER_S

USELESS_PER_S_MAX = 2000
"""Useless packets read per second, at most; more are a flood. They cost up to a tenth of a processor."""

CALM_NS = 10 * NS_PER_S
"""How long the rate must be low before a flood counts as over."""

_WINDOW_NS = NS_PER_S
_BURST = 500
"""Packets that suffice for a judgement before the window is over."""

_SHORTEST_NS = NS_PER_S // 1000
_EVERY_MAX = 1 << 16


class PacketFilter(msgspec.Struct, frozen=True):
    """What the kernel passes on a flooded link: packets with one of the digests (first 32 bits), and samples.

    One in ``every`` of all packets passes, and one in ``every_repeated`` of those with a ``repeated`` digest. Both are
    powers of two.
    """

    upcoming: tuple[int, ...]
    repeated: tuple[int, ...]
    every: int
    every_repeated: int


class FloodCounts(NamedTuple):
    """How many useless and how many repeated packets were read since the link was opened; both only grow."""

    useless: int
    repeated: int


@dataclass(slots=True)
class FloodDetector:
    """Judges one link by the packets after ``since``; ``rate`` is packets per second at the last judgement."""

    since: FloodCounts
    since_ns: int
    low_since_ns: int
    is_on: bool = False
    rate: int = 0
    every: int = 1
    every_repeated: int = 1

    def judge(self, counts: FloodCounts, now_ns: int) -> bool:
        """Judge the present counts; return True if a flood has begun or ended."""
        span_ns = now_ns - self.since_ns
        useless, repeated = counts.useless - self.since.useless, counts.repeated - self.since.repeated
        if span_ns < _WINDOW_NS and useless + repeated < _BURST:
            return False
        span_ns = max(span_ns, _SHORTEST_NS)
        self.since_ns, self.since = now_ns, counts
        # While a filter is in place, each packet that was read stands for ``every`` packets on the wire.
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
    """Return the smallest power of two that reduces a rate to at most ``USELESS_PER_S_MAX``."""
    every = 1
    while rate > every * USELESS_PER_S_MAX and every < _EVERY_MAX:
        every *= 2
    return every
