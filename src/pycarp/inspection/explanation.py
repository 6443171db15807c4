"""The explanation of a captured packet: values, with words for people."""

from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import NamedTuple, Self

import msgspec
from msgspec.structs import replace

from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, Family, MacAddress, family_of
from pycarp.wire.advertisement import Advertisement
from pycarp.wire.vrrp import Vrrp, VrrpDetails

_DEAD_FACTOR = 3
"""Advertisements that may be missed before the MASTER counts as gone."""


class Remark(Enum):
    """The kinds of remarks; the value is the name of its count in summaries."""

    CUT = "cut by the capture"
    BROKEN_IP = "broken IP header"
    TOO_SHORT = "too short"
    AUTHENTICATION_HEADER = "authentication header around no VRRP"
    VERSION = "wrong version"
    CHECKSUM = "wrong checksum"
    CHECKSUM_MIXED = "two kinds of checksum"
    TTL = "wrong TTL or hop limit"
    DESTINATION = "odd destination"
    SOURCE_MAC = "odd source MAC"
    VHID = "vhid 0"
    INTERVAL = "no interval"
    DIGEST = "not authentic"
    REPLAY = "counter used before"
    COLLISION = "one id for CARP and VRRP"
    LENGTH = "length does not fit the count"
    NO_ADDRESS = "no address announced"
    VERSION_MIXED = "two versions of VRRP"
    PASSWORD_MIXED = "two passwords of VRRP"  # noqa: S105  the name of a count
    INTERVAL_MIXED = "two intervals of VRRP version 2"
    LIST_MIXED = "two lists of addresses"

    VRRP = "VRRP, not CARP"
    BOW_OUT = "bow-out"
    FAREWELL = "farewell"
    CHECKSUM_PSEUDO = "IPv6 checksum with pseudo-header"
    UCARP_MAC = "ucarp's source MAC"
    REAL_MAC = "the sender's own source MAC"
    UNICAST = "unicast"
    BROADCAST_MAC = "Ethernet broadcast"
    CONSTANT_COUNTER = "constant counter"
    CONTINUED_COUNTER = "counter adopted"
    NOT_CONFIGURED = "vhid of no configuration"
    ADVBASE_ZERO = "advbase 0"
    ADVSKEW_255 = "advskew 255"
    ODD_FIELD = "odd type or authlen"
    TRAILING = "octets behind the advertisement"
    CHECKSUM_MESSAGE = "VRRP checksum without pseudo-header"
    CARP_MAC = "FreeBSD's source MAC of VRRP"
    UNICAST_TTL = "unicast with another TTL"
    OWNER = "priority of an owner"
    CLEAR_PASSWORD = "password in clear"  # noqa: S105  the name of a count
    INTERVAL_LEARNED = "two intervals of VRRP version 3"


NOTES = frozenset(
    {
        Remark.VRRP,
        Remark.BOW_OUT,
        Remark.FAREWELL,
        Remark.CHECKSUM_PSEUDO,
        Remark.UCARP_MAC,
        Remark.REAL_MAC,
        Remark.UNICAST,
        Remark.BROADCAST_MAC,
        Remark.CONSTANT_COUNTER,
        Remark.CONTINUED_COUNTER,
        Remark.NOT_CONFIGURED,
        Remark.ADVBASE_ZERO,
        Remark.ADVSKEW_255,
        Remark.ODD_FIELD,
        Remark.TRAILING,
        Remark.CHECKSUM_MESSAGE,
        Remark.CARP_MAC,
        Remark.UNICAST_TTL,
        Remark.OWNER,
        Remark.CLEAR_PASSWORD,
        Remark.INTERVAL_LEARNED,
    }
)
"""What is lawful and worth knowing; all other remarks are problems."""


class Finding(NamedTuple):
    """One remark about one packet, with a sentence about its consequence."""

    remark: Remark
    words: str


class Protocol(StrEnum):
    """Which protocol a packet speaks; the value is its name in JSON."""

    CARP = "carp"
    VRRP = "vrrp"


class HeardClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What an advertisement of either protocol claims.

    ``id`` is a vhid or a VRID. ``master_down_ns`` is how long a backup with the same settings waits.
    """

    protocol: Protocol
    id: int
    interval_ns: int
    master_down_ns: int
    leaves: bool
    demote: int = 0
    priority: int | None = None

    @classmethod
    def of_carp(cls, advertisement: Advertisement) -> Self:
        """Return the claim of a CARP advertisement. Source: carp.md 5.2."""
        skew_ns = advertisement.advskew * NS_PER_SKEW
        return cls(
            protocol=Protocol.CARP,
            id=advertisement.vhid,
            interval_ns=interval_ns(advertisement),
            master_down_ns=_DEAD_FACTOR * advertisement.advbase * NS_PER_S + skew_ns,
            leaves=advertisement.is_bow_out,
            demote=advertisement.demote,
        )

    @classmethod
    def of_vrrp(cls, vrrp: Vrrp) -> Self:
        """Return the claim of a VRRP advertisement. Source: RFC 3768 section 6.1, RFC 9568 section 6.1."""
        scale_ns = NS_PER_S if vrrp.version == 2 else vrrp.interval_ns
        return cls(
            protocol=Protocol.VRRP,
            id=vrrp.vrid,
            interval_ns=vrrp.interval_ns,
            master_down_ns=_DEAD_FACTOR * vrrp.interval_ns + (256 - vrrp.priority) * scale_ns // 256,
            leaves=vrrp.priority == 0,
            priority=vrrp.priority,
        )


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
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
    tos: int | None = None
    identification: int | None = None
    advertisement: Advertisement | None = None
    vrrp: Vrrp | None = None
    vrrp_details: VrrpDetails | None = None
    authentic: bool | None = None
    problems: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    def with_findings(self, findings: Iterable[Finding]) -> Self:
        """Return the same with more problems and notes."""
        found = tuple(findings)
        return replace(
            self,
            problems=(*self.problems, *(each for each in found if each.remark not in NOTES)),
            notes=(*self.notes, *(each for each in found if each.remark in NOTES)),
        )

    @property
    def family(self) -> Family | None:
        """The family of the packet that carries it."""
        return family_of(self.source) if self.source else None

    @property
    def claim(self) -> "HeardClaim | None":
        """What the packet claims, whichever protocol it speaks; None if it is no advertisement."""
        if self.vrrp is not None:
            return HeardClaim.of_vrrp(self.vrrp)
        if self.advertisement is None:
            return None
        claim = HeardClaim.of_carp(self.advertisement)
        return replace(claim, leaves=True) if self.is_farewell else claim

    @property
    def is_farewell(self) -> bool:
        """True if the sender says that it has yielded to another host, as pycarp does."""
        return any(each.remark is Remark.FAREWELL for each in self.notes)

    @property
    def is_believed(self) -> bool:
        """True if hosts of its vhid or VRID will accept the packet as an advertisement, by all that it shows itself."""
        fatal = {Remark.VERSION, Remark.CHECKSUM, Remark.TTL, Remark.DIGEST}
        is_advertisement = self.advertisement is not None or self.vrrp is not None
        return is_advertisement and not any(each.remark in fatal for each in self.problems)


def interval_ns(advertisement: Advertisement) -> int:
    """Return the advertised interval, in nanoseconds."""
    return advertisement.advbase * NS_PER_S + advertisement.advskew * NS_PER_SKEW
