"""The counters that ``netstat -s -p carp`` shows, under the field's names. Source: carp.md 4.1."""

from collections import Counter
from enum import StrEnum
from typing import TypeAlias


class Statistic(StrEnum):
    """What is counted; the value is the name in the BSDs' ``struct carpstats``."""

    RECEIVED_IPV4 = "ipackets"
    RECEIVED_IPV6 = "ipackets6"
    BAD_INTERFACE = "badif"
    """No virtual host on the link, or our own advertisement come back over a looping segment."""
    BAD_TTL = "badttl"
    BAD_CHECKSUM = "badsum"
    BAD_VERSION = "badver"
    BAD_LENGTH = "badlen"
    BAD_AUTHENTICATION = "badauth"
    UNKNOWN_VHID = "badvhid"
    """Not configured here, or its host is in INIT; grows wherever several groups share a segment."""
    SENT_IPV4 = "opackets"
    SENT_IPV6 = "opackets6"
    SEND_FAILED = "onomem"
    PREEMPTED = "preempt"
    """Transitions from BACKUP to MASTER, as OpenBSD counts them."""


Statistics: TypeAlias = Counter[Statistic]
