"""What a scan found: the groups of CARP and VRRP on a segment, who is MASTER of each, and what is wrong."""

from typing import NamedTuple

import msgspec

from pycarp.inspection.explanation import HeardClaim
from pycarp.inspection.timeline import Group, TimelineEntry
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire.advertisement import Advertisement
from pycarp.wire.vrrp import Vrrp, VrrpDetails


class ScanProblem(NamedTuple):
    """One kind of problem: its name in JSON, what is the matter, and how many packets show it, 0 if that is no count.

    ``group`` and ``source`` are None where it concerns none in particular.
    """

    kind: str
    words: str
    packets: int = 0
    group: Group | None = None
    source: Address | None = None


class Arrivals(NamedTuple):
    """How regularly advertisements arrive, in nanoseconds; None where there are too few to say.

    ``interval_ns`` is the mean between two, ``jitter_ns`` the mean difference from what was advertised, ``latest_ns``
    the most that one was late. ``missed`` counts those that never came; the gaps they left count in nothing else.
    """

    interval_ns: int | None = None
    jitter_ns: int | None = None
    latest_ns: int | None = None
    missed: int = 0


class ScannedSender(msgspec.Struct, frozen=True, kw_only=True):
    """One host that advertises for a group; only a MASTER does.

    ``is_believed`` is whether hosts of the group accept what it sends; ``advertisement`` or ``vrrp`` and ``details``
    are its last. ``is_authentic`` is None where that was not verified. ``dialects`` are the names of those that a CARP
    host may speak, none if it looks like no known one.
    """

    source: Address
    source_mac: MacAddress | None
    packets: int
    first_ns: int
    last_ns: int
    claim: HeardClaim
    is_believed: bool
    is_master: bool
    arrivals: Arrivals
    advertisement: Advertisement | None = None
    vrrp: Vrrp | None = None
    details: VrrpDetails | None = None
    is_authentic: bool | None = None
    dialects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ScannedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A vhid or VRID on a VLAN, each family by itself; ``left_out`` counts packets of senders that are not listed."""

    group: Group
    senders: tuple[ScannedSender, ...]
    events: tuple[TimelineEntry, ...] = ()
    left_out: int = 0

    @property
    def masters(self) -> tuple[ScannedSender, ...]:
        """The senders that are MASTER at the end."""
        return tuple(each for each in self.senders if each.is_master)


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found; ``free`` has the ids that nobody uses, by VLAN: those of the untagged segment always."""

    packets: int
    groups: tuple[ScannedGroup, ...]
    problems: tuple[ScanProblem, ...]
    free: dict[tuple[int, ...], tuple[int, ...]]

    @property
    def is_well(self) -> bool:
        """True if there is no problem."""
        return not self.problems
