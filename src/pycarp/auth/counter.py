"""The 64-bit counter of advertisements.

Systems that *adopt* send a fresh random number in every advertisement until they have heard a peer. From then on they
send one more than the last number received. No real system has a replay check, and none could work with such counters,
which jump whenever another host becomes MASTER. OpenBSD's counter is a random *constant* instead, by which it
recognises its own advertisements when they come back. Source: carp.md 1.5 and 4.3.
"""

from collections.abc import Callable
from enum import Enum
from typing import Protocol

_MASK = (1 << 64) - 1


class CounterMode(Enum):
    """How the counter of a host changes from advertisement to advertisement."""

    ADOPT = "adopt"
    CONSTANT = "constant"
    COUNT = "count"
    """Adopts as well, but only its first number is random, so peers can predict the following ones."""


class Counter(Protocol):
    """The counter of one host's advertisements."""

    def next(self) -> int:
        """Return the number for the next advertisement."""

    def peek(self) -> int:
        """Return a number for an advertisement that is signed now and perhaps sent later; changes nothing."""

    def adopt(self, heard: int) -> None:
        """Continue from the number of a peer's authentic advertisement, if this kind of counter adopts."""

    def is_own(self, heard: int) -> bool:
        """Return True if only our own advertisements have this number, so that the received one is looped."""

    @property
    def remembered(self) -> int | None:
        """The value from which ``counter_of`` continues; None as long as the next number is random."""

    def upcoming(self, count: int) -> tuple[int, ...]:
        """Return the ``count`` numbers that a peer would send next after taking over from us; () if unknown."""


class AdoptingCounter:
    """Random until heard, then the peer's number plus one; never echoes a received number.

    ``entropy`` returns 64 random bits; it is the engine's, so that a recording can replay it. With ``is_random_once``
    the second number is one more than the first.
    """

    __slots__ = ("_entropy", "_is_random_once", "_last")

    def __init__(
        self, entropy: Callable[[], int], remembered: int | None = None, *, is_random_once: bool = False
    ) -> None:
        self._entropy = entropy
        self._is_random_once = is_random_once
        self._last = remembered

    @property
    def remembered(self) -> int | None:
        """The last number heard or sent; None as long as the next one is random."""
        return self._last

    def next(self) -> int:
        """Return the number for the next advertisement."""
        if self._last is None:
            number = self._entropy() & _MASK
            self._last = number if self._is_random_once else None
            return number
        self._last = (self._last + 1) & _MASK
        return self._last

    def peek(self) -> int:
        """Return the number of the next advertisement, or 0 if that is random; peers accept any number."""
        return 0 if self._last is None else (self._last + 1) & _MASK

    def adopt(self, heard: int) -> None:
        """Continue from the number of an authentic advertisement."""
        self._last = heard

    def is_own(self, _heard: int) -> bool:
        """Return False: two hosts that have received the same number send the same one next."""
        return False

    def upcoming(self, count: int) -> tuple[int, ...]:
        """Return the numbers after the last one."""
        return () if self._last is None else tuple((self._last + ahead) & _MASK for ahead in range(1, count + 1))


class ConstantCounter:
    """A random cookie for the life of the host, the same in both families."""

    __slots__ = ("_cookie",)

    def __init__(self, entropy: Callable[[], int], remembered: int | None = None) -> None:
        self._cookie = entropy() & _MASK if remembered is None else remembered

    @property
    def remembered(self) -> int:
        """The cookie."""
        return self._cookie

    def next(self) -> int:
        """Return the cookie."""
        return self._cookie

    def peek(self) -> int:
        """Return the cookie."""
        return self._cookie

    def adopt(self, heard: int) -> None:
        """Do nothing: the cookie never changes."""

    def is_own(self, heard: int) -> bool:
        """Return True if the number is the cookie."""
        return heard == self._cookie

    def upcoming(self, _count: int) -> tuple[int, ...]:
        """Return (): peers do not continue from a cookie."""
        return ()


def counter_of(mode: CounterMode, entropy: Callable[[], int], remembered: int | None = None) -> Counter:
    """Return a new counter of a mode, or one that continues from what another ``remembered``."""
    if mode is CounterMode.CONSTANT:
        return ConstantCounter(entropy, remembered)
    return AdoptingCounter(entropy, remembered, is_random_once=mode is CounterMode.COUNT)
