"""The IP packets of advertisements, for the sockets that read or write whole packets."""

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Family
from pycarp.wire.checksum import internet_checksum

IPV4_HEADER_LENGTH = 20
TOS_LOW_DELAY = 0x10

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_DONT_FRAGMENT = 0x4000
_MORE_OR_OFFSET = 0x3FFF

IPV6_HEADER_LENGTH = 40
_IPV6 = struct.Struct("!IHBB16s16s")


class IPv4Packet(NamedTuple):
    """The header fields that CARP looks at, and the payload."""

    source: IPv4Address
    destination: IPv4Address
    ttl: int
    protocol: int
    payload: bytes


class IPv6Packet(NamedTuple):
    """The header fields that CARP looks at, and the payload."""

    source: IPv6Address
    destination: IPv6Address
    hop_limit: int
    next_header: int
    payload: bytes


@lru_cache(maxsize=1024)
def ipv4_address(octets: bytes) -> IPv4Address:
    """Return the address of four octets; the same object again, and for CARP's group that of ``CARP_GROUPS``."""
    group = CARP_GROUPS[Family.IPV4]
    return group if isinstance(group, IPv4Address) and octets == group.packed else IPv4Address(octets)


@lru_cache(maxsize=1024)
def ipv6_address(octets: bytes) -> IPv6Address:
    """Return the address of sixteen octets; the same object again, and for CARP's group that of ``CARP_GROUPS``."""
    group = CARP_GROUPS[Family.IPV6]
    return group if isinstance(group, IPv6Address) and octets == group.packed else IPv6Address(octets)


def encode_ipv4(
    *, source: IPv4Address, destination: IPv4Address, tos: int, identification: int, payload: bytes
) -> bytes:
    """Return an IPv4 packet of protocol 112 with TTL 255 and Don't Fragment, as every CARP sends it."""
    length = IPV4_HEADER_LENGTH + len(payload)
    blank = _IPV4.pack(
        0x45, tos, length, identification, _DONT_FRAGMENT, CARP_TTL, CARP_PROTOCOL, 0, source.packed, destination.packed
    )
    return blank[:10] + internet_checksum(blank).to_bytes(2, "big") + blank[12:] + payload


def decode_ipv4(octets: bytes) -> IPv4Packet:
    """Return the packet that begins at the first octet; link-layer padding behind it is cut off.

    Raises DecodeError when it is not a whole, unfragmented IPv4 packet with a right header checksum.
    """
    if len(octets) < IPV4_HEADER_LENGTH:
        raise DecodeError(f"{len(octets)} octets are too short for an IPv4 header")
    first, _tos, length, _id, fragment, ttl, protocol, _sum, source, destination = _IPV4.unpack_from(octets)
    header_length = (first & 0x0F) * 4
    if first >> 4 != 4 or header_length < IPV4_HEADER_LENGTH:
        raise DecodeError(f"first octet 0x{first:02x} does not begin an IPv4 header")
    if not header_length <= length <= len(octets):
        raise DecodeError(f"IPv4 total length {length} does not fit {len(octets)} received octets")
    if fragment & _MORE_OR_OFFSET:
        raise DecodeError("an IPv4 fragment")
    if internet_checksum(octets[:header_length]) != 0:
        raise DecodeError("wrong IPv4 header checksum")
    return IPv4Packet(
        source=ipv4_address(source),
        destination=ipv4_address(destination),
        ttl=ttl,
        protocol=protocol,
        payload=octets[header_length:length],
    )


def encode_ipv6(
    *,
    source: IPv6Address,
    destination: IPv6Address,
    traffic_class: int,
    payload: bytes,
    next_header: int = CARP_PROTOCOL,
) -> bytes:
    """Return an IPv6 packet with hop limit 255 and flow label 0, as every CARP sends it."""
    first = 6 << 28 | traffic_class << 20
    header = _IPV6.pack(first, len(payload), next_header, CARP_TTL, source.packed, destination.packed)
    return header + payload


def decode_ipv6(octets: bytes) -> IPv6Packet:
    """Return the packet that begins at the first octet; link-layer padding behind it is cut off.

    Extension headers are not followed: no CARP sends any. Raises DecodeError when it is not a whole IPv6 packet.
    """
    if len(octets) < IPV6_HEADER_LENGTH:
        raise DecodeError(f"{len(octets)} octets are too short for an IPv6 header")
    first, length, next_header, hop_limit, source, destination = _IPV6.unpack_from(octets)
    if first >> 28 != 6:
        raise DecodeError(f"first octet 0x{octets[0]:02x} does not begin an IPv6 header")
    end = IPV6_HEADER_LENGTH + length
    if end > len(octets):
        raise DecodeError(f"IPv6 payload length {length} does not fit {len(octets)} received octets")
    return IPv6Packet(
        source=ipv6_address(source),
        destination=ipv6_address(destination),
        hop_limit=hop_limit,
        next_header=next_header,
        payload=octets[IPV6_HEADER_LENGTH:end],
    )
