"""The explanation of a captured packet: values, with words for people."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, Family, MacAddress, family_of
from pycarp.wire.advertisement import Advertisement
from pycarp.wire.vrrp import Vrrp


class Remark(Enum):
    """The kinds of remarks; the value is the name of its count in summaries."""

    CUT = "cut by the capture"
    BROKEN_IP = "broken IP header"
    TOO_SHORT = "too short"
    VRRP = "VRRP, not CARP"
    VERSION = "wrong version"
    CHECKSUM = "wrong checksum"
    CHECKSUM_MIXED = "two kinds of IPv6 checksum"
    TTL = "wrong TTL or hop limit"
    DESTINATION = "odd destination"
    SOURCE_MAC = "odd source MAC"
    VHID = "vhid 0"
    INTERVAL = "no interval"
    DIGEST = "not authentic"
    REPLAY = "counter used before"

    BOW_OUT = "bow-out"
    CHECKSUM_PSEUDO = "IPv6 checksum with pseudo-header"
    UCARP_MAC = "ucarp's source MAC"
    REAL_MAC = "unicast from a real MAC"
    UNICAST = "unicast"
    BROADCAST_MAC = "Ethernet broadcast"
    CONSTANT_COUNTER = "constant counter"
    ADVBASE_ZERO = "advbase 0"
    ADVSKEW_255 = "advskew 255"
    ODD_FIELD = "odd type or authlen"
    TRAILING = "octets behind the advertisement"


class Finding(NamedTuple):
    """One remark about one packet, with a sentence about its consequence."""

    remark: Remark
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One packet of protocol 112.

    ``problems`` make some CARP host ignore it or misbehave; ``notes`` are lawful and worth knowing. ``authentic`` is
    None where no password was given, or the packet cannot be judged. ``source`` and ``destination`` are None where the
    IP header was not whole.
    """

    at_ns: int
    vlans: tuple[int, ...] = ()
    source: Address | None = None
    destination: Address | None = None
    source_mac: MacAddress | None = None
    destination_mac: MacAddress | None = None
    ttl: int | None = None
    advertisement: Advertisement | None = None
    vrrp: Vrrp | None = None
    authentic: bool | None = None
    problems: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def family(self) -> Family | None:
        """The family of the packet that carries it."""
        return family_of(self.source) if self.source else None

    @property
    def is_believed(self) -> bool:
        """True if hosts of its vhid will accept the packet as an advertisement, by all that the capture shows."""
        fatal = {Remark.VERSION, Remark.CHECKSUM, Remark.TTL, Remark.DIGEST}
        return self.advertisement is not None and not any(each.remark in fatal for each in self.problems)


def interval_ns(advertisement: Advertisement) -> int:
    """Return the advertised interval, in nanoseconds."""
    return advertisement.advbase * NS_PER_S + advertisement.advskew * NS_PER_SKEW
