"""The history of a cluster: lines to read, and which member held which address from when to when."""

from collections.abc import Callable, Iterator
from itertools import combinations

import msgspec
from msgspec.structs import replace

from pycarp.vocabulary import InterfaceAddress

CLUSTER = "--"
"""Stands in place of a member's name in lines about the whole cluster."""

_WHO_WIDTH = 2


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """The time in which a member held an address, in virtual seconds; ``until_s`` is None while it still does."""

    address: InterfaceAddress
    member: str
    since_s: float
    until_s: float | None = None

    def overlap_s(self, other: "Ownership", *, now_s: float, since_s: float) -> tuple[float, float] | None:
        """Return from when to when both held it, after ``since_s``; None if they never did."""
        begin_s = max(self.since_s, other.since_s, since_s)
        end_s = min(now_s if each.until_s is None else each.until_s for each in (self, other))
        return (begin_s, end_s) if begin_s < end_s else None

    def __str__(self) -> str:
        until = "" if self.until_s is None else f"{self.until_s:.6f}"
        return f"{self.address}: {self.member} {self.since_s:.6f}-{until}"


class History:
    """Collects the lines and ownerships of a cluster; ``clock`` returns virtual seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lines: list[str] = []
        self.changed_at_s = clock()
        """When a state or the owner of an address last changed."""
        self._clock = clock
        self._ownerships: list[Ownership] = []

    @property
    def ownerships(self) -> tuple[Ownership, ...]:
        """All ownerships, in the order in which they began."""
        return tuple(self._ownerships)

    def write(self, who: str, what: str) -> None:
        """Add a line; ``who`` is a member or ``CLUSTER``."""
        self.lines.append(f"{self._clock():12.6f} {who:<{_WHO_WIDTH}} {what}")

    def change(self, who: str, what: str) -> None:
        """Add a line about a change, and note its time."""
        self.changed_at_s = self._clock()
        self.write(who, what)

    def take(self, member: str, address: InterfaceAddress) -> None:
        """Record that a member holds an address from now on."""
        self._ownerships.append(Ownership(address=address, member=member, since_s=self._clock()))
        self.change(member, f"holds {address}")

    def lose(self, member: str, address: InterfaceAddress, why: str) -> None:
        """Record that a member no longer holds an address, and why."""
        for index, each in enumerate(self._ownerships):
            if (each.address, each.member, each.until_s) == (address, member, None):
                self._ownerships[index] = replace(each, until_s=self._clock())
        self.change(member, f"{why} {address}")

    def conflicts(self, *, since_s: float, longer_than_s: float) -> Iterator[str]:
        """Yield a sentence for every address that two members held at the same time for longer than that."""
        for one, other in combinations(self._ownerships, 2):
            if one.address != other.address or one.member == other.member:
                continue
            span = one.overlap_s(other, now_s=self._clock(), since_s=since_s)
            if span is None:
                continue
            begin_s, end_s = span
            if end_s - begin_s > longer_than_s:
                yield (
                    f"{one.member} and {other.member} both held {one.address} "
                    f"from {begin_s:.6f} to {end_s:.6f} s, for {end_s - begin_s:.6f} s"
                )
