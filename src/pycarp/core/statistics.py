"""The counters: the sixteen of ``netstat -s -p carp``, and the finer reasons for dropped packets."""

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import TypeAlias


class Statistic(StrEnum):
    """The counters of the BSDs' ``struct carpstats``, under their names and in their order. Source: carp.md 4.1."""

    RECEIVED_IPV4 = "ipackets"
    RECEIVED_IPV6 = "ipackets6"
    BAD_INTERFACE = "badif"
    """No virtual host on the link, or our own advertisement come back over a looping segment."""
    BAD_TTL = "badttl"
    HEADER_DROPS = "hdrops"
    """Packets shorter than their header; a process receives none, so this stays 0 (see BAD_LENGTH)."""
    BAD_CHECKSUM = "badsum"
    BAD_VERSION = "badver"
    BAD_LENGTH = "badlen"
    BAD_AUTHENTICATION = "badauth"
    UNKNOWN_VHID = "badvhid"
    """The vhid is not configured here, or its host is in INIT; grows where several groups of hosts share a segment."""
    BAD_ADDRESS_LIST = "badaddrs"
    """Of BAD_AUTHENTICATION, those signed with our passphrase but other addresses, if a diagnosis finds that. No kernel
    counts here."""
    SENT_IPV4 = "opackets"
    SENT_IPV6 = "opackets6"
    SEND_FAILED = "onomem"
    STATES_SENT = "ostates"
    """State updates sent; no system sends any, so this stays 0."""
    PREEMPTED = "preempt"
    """Transitions from BACKUP to MASTER, as OpenBSD counts them."""


class DropReason(Enum):
    """Why a received packet was dropped: the text, and the counter that counts it, if any."""

    NOT_ALLOWED = ("net.inet.carp.allow is 0", None)
    NO_HOST_ON_LINK = ("no virtual host on the interface", Statistic.BAD_INTERFACE)
    LOOPED = ("our own advertisement, come back", Statistic.BAD_INTERFACE)
    OWN_COUNTER = ("the counter is our own: looped or replayed", Statistic.BAD_AUTHENTICATION)
    TTL = ("TTL or hop limit is not 255", Statistic.BAD_TTL)
    TOO_SHORT = ("shorter than an advertisement", Statistic.BAD_LENGTH)
    VRRP = ("VRRP, not CARP", Statistic.BAD_LENGTH)
    CHECKSUM = ("wrong checksum", Statistic.BAD_CHECKSUM)
    UNKNOWN_VHID = ("vhid is not configured here", Statistic.UNKNOWN_VHID)
    HOST_IN_INIT = ("its virtual host is in INIT", Statistic.UNKNOWN_VHID)
    OTHER_FAMILY = ("its virtual host shares no address of the family", Statistic.UNKNOWN_VHID)
    OTHER_DESTINATION = ("its virtual host does not listen to the destination", Statistic.UNKNOWN_VHID)
    VERSION = ("not version 2", Statistic.BAD_VERSION)
    VRRP3 = ("version 3: VRRPv3", Statistic.BAD_VERSION)
    NOT_AUTHENTIC = ("another password, or other shared addresses", Statistic.BAD_AUTHENTICATION)
    OTHER_ADDRESSES = ("our password, but other shared addresses", Statistic.BAD_AUTHENTICATION)

    def __init__(self, words: str, statistic: Statistic | None) -> None:
        self.words = words
        self.statistic = statistic


Statistics: TypeAlias = Counter[Statistic]


@dataclass(slots=True)
class LinkStatistics:
    """The counters of one link."""

    counts: Statistics = field(default_factory=Statistics)
    drops: Counter[DropReason] = field(default_factory=Counter)
    floods: int = 0
    """How often the link was flooded; during a flood the other counters only have the packets that were read."""
    fresh: int = 0
    """Authentic advertisements with an expected counter."""
    repeated: int = 0
    """Authentic advertisements with the counter of the one before: from OpenBSD, or replayed."""

    def drop(self, reason: DropReason) -> None:
        """Count a dropped packet."""
        self.drops[reason] += 1
        if reason.statistic is not None:
            self.counts[reason.statistic] += 1
        if reason is DropReason.OTHER_ADDRESSES:
            self.counts[Statistic.BAD_ADDRESS_LIST] += 1

    def copy(self) -> "LinkStatistics":
        """Return an independent copy."""
        return replace(self, counts=Counter(self.counts), drops=Counter(self.drops))
