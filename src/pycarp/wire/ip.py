"""IPv4 envelopes of advertisements, for the sockets that hand us or want from us a whole packet."""

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_PROTOCOL, CARP_TTL
from pycarp.wire.checksum import internet_checksum

IPV4_HEADER_LENGTH = 20
TOS_LOW_DELAY = 0x10

_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_DONT_FRAGMENT = 0x4000
_MORE_OR_OFFSET = 0x3FFF


class IPv4Packet(NamedTuple):
    """The header fields that CARP looks at, and the payload."""

    source: IPv4Address
    destination: IPv4Address
    ttl: int
    protocol: int
    payload: bytes


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
        source=IPv4Address(source),
        destination=IPv4Address(destination),
        ttl=ttl,
        protocol=protocol,
        payload=octets[header_length:length],
    )
