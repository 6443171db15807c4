"""A captured packet, and the kinds of links that it may come from."""

from enum import IntEnum
from typing import NamedTuple


class LinkType(IntEnum):
    """What the octets of a captured packet begin with. Source: tcpdump.org, "Link-layer header types"."""

    NULL = 0
    ETHERNET = 1
    RAW_BSD = 12
    RAW_OPENBSD = 14
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


class CapturedPacket(NamedTuple):
    """One packet: when it was seen, in nanoseconds since 1970, and its octets.

    ``length`` is the packet's own; ``octets`` are fewer where the capture cut it.
    """

    at_ns: int
    link_type: int
    octets: bytes
    length: int
