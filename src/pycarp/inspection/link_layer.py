"""Removes the link layer of a captured packet: Ethernet with tags, Linux cooked, raw IP, loopback."""

from typing import NamedTuple

from pycarp.inspection.captured import CapturedPacket, LinkType
from pycarp.vocabulary import MacAddress
from pycarp.wire import ethernet

_TAGS = (0x8100, 0x88A8, 0x9100)
"""Ethernet types of 802.1Q, of QinQ, and of QinQ before there was a standard."""

_TAG_LENGTH = 4
_VLAN_MASK = 0x0FFF
_IP_TYPES = (ethernet.ETHERTYPE_IPV4, ethernet.ETHERTYPE_IPV6)
_NULL_LENGTH = 4
_SLL_LENGTH, _SLL2_LENGTH = 16, 20
_MAC_LENGTH = 6


class OnLink(NamedTuple):
    """An IP packet with its link layer; a MAC address is None if the capture does not have it."""

    octets: bytes
    source_mac: MacAddress | None = None
    destination_mac: MacAddress | None = None
    vlans: tuple[int, ...] = ()


def ip_packet_of(packet: CapturedPacket) -> OnLink | None:
    """Return the IP packet within, perhaps with padding behind it; None when there is none, or an unknown link type."""
    octets = packet.octets
    match packet.link_type:
        case LinkType.ETHERNET:
            return _of_ethernet(octets)
        case LinkType.LINUX_SLL:
            return _of_cooked(octets, _SLL_LENGTH, type_at=14, length_at=4, mac_at=6)
        case LinkType.LINUX_SLL2:
            return _of_cooked(octets, _SLL2_LENGTH, type_at=0, length_at=11, mac_at=12)
        case LinkType.NULL | LinkType.LOOP:
            return OnLink(octets[_NULL_LENGTH:])
        case LinkType.RAW | LinkType.RAW_BSD | LinkType.RAW_OPENBSD | LinkType.IPV4 | LinkType.IPV6:
            return OnLink(octets)
    return None


def _of_ethernet(octets: bytes) -> OnLink | None:
    if len(octets) < ethernet.HEADER_LENGTH:
        return None
    vlans, ethertype, at = _untagged(octets, int.from_bytes(octets[12:14], "big"), ethernet.HEADER_LENGTH)
    if ethertype not in _IP_TYPES:
        return None
    return OnLink(octets[at:], MacAddress(octets[6:12]), MacAddress(octets[0:6]), vlans)


def _of_cooked(octets: bytes, header_length: int, *, type_at: int, length_at: int, mac_at: int) -> OnLink | None:
    """Remove one of Linux' cooked headers; SLL2 has the length of the address in one octet, SLL in two."""
    if len(octets) < header_length:
        return None
    ethertype = int.from_bytes(octets[type_at : type_at + 2], "big")
    vlans, ethertype, at = _untagged(octets, ethertype, header_length)
    if ethertype not in _IP_TYPES:
        return None
    length = int.from_bytes(octets[length_at:mac_at], "big")
    source = MacAddress(octets[mac_at : mac_at + _MAC_LENGTH]) if length == _MAC_LENGTH else None
    return OnLink(octets[at:], source, None, vlans)


def _untagged(octets: bytes, ethertype: int, at: int) -> tuple[tuple[int, ...], int, int]:
    vlans: tuple[int, ...] = ()
    while ethertype in _TAGS and len(octets) >= at + _TAG_LENGTH:
        vlan = int.from_bytes(octets[at : at + 2], "big") & _VLAN_MASK
        # VLAN 0 is none: such a tag has a priority only (802.1Q).
        vlans += (vlan,) if vlan else ()
        ethertype = int.from_bytes(octets[at + 2 : at + 4], "big")
        at += _TAG_LENGTH
    return vlans, ethertype, at
