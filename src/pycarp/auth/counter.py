"""The 64-bit counter of advertisements.

Systems that *adopt* send a fresh random number in every advertisement until they have heard a peer, and from
then on one more than the last number seen on the wire. There is no replay check in any real system, and none can
work with them: counters jump whenever another host becomes MASTER. Source: carp.md 1.5 and 4.3.
"""

from collections.abc import Callable

_MASK = (1 << 64) - 1


class AdoptingCounter:
    """Random until heard, then the peer's number plus one; never echoes a received number.

    ``entropy`` returns 64 random bits; it is the engine's, so that a recording can replay it.
    """

    __slots__ = ("_entropy", "_last")

    def __init__(self, entropy: Callable[[], int]) -> None:
        self._entropy = entropy
        self._last: int | None = None

    def next(self) -> int:
        """Return the number for the next advertisement."""
        if self._last is None:
            return self._entropy() & _MASK
        self._last = (self._last + 1) & _MASK
        return self._last

    def adopt(self, heard: int) -> None:
        """Take over the counter of an authentic advertisement."""
        self._last = heard
