"""When a link is under siege, and what is looked at then.

Judging a packet takes tens of microseconds, so that a hundred thousand a second leave time for nothing else, and the
socket's queue overflows. The kernel cannot tell a forged advertisement from a genuine one, as it has no
key; but we have, and know what the next genuine ones look like. So in a siege it lets those through, and of all others
one in so many, chosen at random: newcomers and peers with unforeseeable counters are heard after a while.

Pure: told counts and times, answers with the numbers for a filter.
"""

from dataclasses import dataclass
from typing import NamedTuple

from pycarp.vocabulary import NS_PER_S

LOOKED_AT_A_SECOND = 2000
"""How many packets a second of no use are looked at; more are a siege. They cost up to a tenth of a processor."""

CALM_NS = 10 * NS_PER_S
"""How long it must have been quiet for a siege to be over."""

_WINDOW_NS = NS_PER_S
_BURST = 500
"""So many packets are enough to judge by, however short the time."""

_SHORTEST_NS = NS_PER_S // 1000
_EVERY_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Screen:
    """What a link lets through in a siege: packets with one of the digests, told by their first 32 bits; and samples.

    One in ``every`` of all packets passes whatever it is, one in ``every_repeated`` of those that come again and again.
    Both are powers of two.
    """

    upcoming: tuple[int, ...]
    repeated: tuple[int, ...]
    every: int
    every_repeated: int


class Tally(NamedTuple):
    """How many packets were looked at since the beginning, of no use and repeated; both only grow."""

    useless: int
    repeated: int


class Siege:
    """Judges one link, from the counts of now on."""

    def __init__(self, tally: Tally, now_ns: int) -> None:
        self.every = 1
        self.every_repeated = 1
        self.is_on = False
        self.rate = 0
        self._since_ns = now_ns
        self._since = tally
        self._quiet_since_ns = now_ns

    def judge(self, tally: Tally, now_ns: int) -> bool:
        """Take the counts of now; return True when the siege has begun or ended with it."""
        span_ns = now_ns - self._since_ns
        useless, repeated = tally.useless - self._since.useless, tally.repeated - self._since.repeated
        if span_ns < _WINDOW_NS and useless + repeated < _BURST:
            return False
        span_ns = max(span_ns, _SHORTEST_NS)
        self._since_ns, self._since = now_ns, tally
        useless_rate = useless * self.every * NS_PER_S // span_ns
        repeated_rate = repeated * self.every_repeated * NS_PER_S // span_ns
        self.rate = useless_rate + repeated_rate
        if self.rate > LOOKED_AT_A_SECOND // 2:
            self._quiet_since_ns = now_ns
        was_on = self.is_on
        self.is_on = self.rate > LOOKED_AT_A_SECOND or (was_on and now_ns - self._quiet_since_ns < CALM_NS)
        self.every = _one_in(useless_rate) if self.is_on else 1
        self.every_repeated = _one_in(repeated_rate) if self.is_on else 1
        return self.is_on is not was_on


def _one_in(rate: int) -> int:
    """Return the power of two that brings a rate down to what is looked at."""
    every = 1
    while rate > every * LOOKED_AT_A_SECOND and every < _EVERY_MAX:
        every *= 2
    return every
