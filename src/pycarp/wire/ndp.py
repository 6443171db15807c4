"""Neighbour discovery: unsolicited advertisements of the MAC address that answers for an IPv6 address, and probes."""

import struct
from ipaddress import IPv6Address

import msgspec

from pycarp.errors import DecodeError
from pycarp.vocabulary import MacAddress
from pycarp.wire import ethernet, ip
from pycarp.wire.checksum import internet_checksum, ipv6_pseudo_header

ALL_NODES = IPv6Address("ff02::1")
NEXT_HEADER = 58
LENGTH = 32
ADVERTISEMENT = 136
_OPTION_TARGET_MAC = 2
_ROUTER, _SOLICITED, _OVERRIDE = 1 << 31, 1 << 30, 1 << 29
_SOLICITATION = 135
_SOLICITATION_FORMAT = struct.Struct("!BBHI16s")
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]
_FORMAT = struct.Struct("!BBHI16sBB6s")


class NeighbourAdvertisement(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMPv6 neighbour advertisement with its target link-layer address option (RFC 4861, 4.4)."""

    target: IPv6Address
    target_mac: MacAddress
    is_override: bool = True
    is_solicited: bool = False
    is_router: bool = False


def encode(advertisement: NeighbourAdvertisement, *, source: IPv6Address, destination: IPv6Address) -> bytes:
    """Return the 32 octets of ICMPv6; the checksum covers the addresses they travel between."""
    bits = (
        (advertisement.is_router, _ROUTER),
        (advertisement.is_solicited, _SOLICITED),
        (advertisement.is_override, _OVERRIDE),
    )
    flags = sum(bit for is_set, bit in bits if is_set)
    target, mac = advertisement.target.packed, advertisement.target_mac.octets
    blank = _FORMAT.pack(ADVERTISEMENT, 0, 0, flags, target, _OPTION_TARGET_MAC, 1, mac)
    checksum = internet_checksum(_pseudo_header(source, destination) + blank)
    return blank[:2] + checksum.to_bytes(2, "big") + blank[4:]


def decode(octets: bytes, *, source: IPv6Address, destination: IPv6Address) -> NeighbourAdvertisement:
    """Return the advertisement; raises DecodeError if the target MAC is missing or the checksum is wrong."""
    if len(octets) != LENGTH:
        raise DecodeError(f"{len(octets)} octets are not a neighbour advertisement of {LENGTH}")
    if internet_checksum(_pseudo_header(source, destination) + octets) != 0:
        raise DecodeError("wrong ICMPv6 checksum")
    kind, code, _sum, flags, target, option, option_length, mac = _FORMAT.unpack(octets)
    if (kind, code, option, option_length) != (ADVERTISEMENT, 0, _OPTION_TARGET_MAC, 1):
        raise DecodeError("not a neighbour advertisement with a target link-layer address")
    return NeighbourAdvertisement(
        target=IPv6Address(target),
        target_mac=MacAddress(mac),
        is_override=bool(flags & _OVERRIDE),
        is_solicited=bool(flags & _SOLICITED),
        is_router=bool(flags & _ROUTER),
    )


def unsolicited(
    address: IPv6Address,
    owner: MacAddress,
    *,
    is_router: bool = False,
    ethernet_source: MacAddress | None = None,
) -> bytes:
    """Return the frame that announces to all nodes that ``address`` is at ``owner``, and overrides their caches.

    Override set, Solicited clear; the source is the address itself. Source: carp.md section 7.
    """
    advertisement = NeighbourAdvertisement(target=address, target_mac=owner, is_router=is_router)
    packet = ip.encode_ipv6(
        source=address,
        destination=ALL_NODES,
        traffic_class=0,
        payload=encode(advertisement, source=address, destination=ALL_NODES),
        next_header=NEXT_HEADER,
    )
    return ethernet.encode(
        ethernet.Frame(
            destination=ethernet.group_mac(ALL_NODES),
            source=ethernet_source or owner,
            ethertype=ethernet.ETHERTYPE_IPV6,
            payload=packet,
        )
    )


def probe(target: IPv6Address, mac: MacAddress) -> bytes:
    """Return the frame of duplicate address detection, which asks who has an address and changes no neighbour cache.

    The source is unspecified, so the owner answers to all nodes. Source: RFC 4862, 5.4.2.
    """
    source, destination = IPv6Address(0), IPv6Address(_SOLICITED_NODE + target.packed[13:])
    blank = _SOLICITATION_FORMAT.pack(_SOLICITATION, 0, 0, 0, target.packed)
    header = ipv6_pseudo_header(source, destination, length=len(blank), next_header=NEXT_HEADER)
    checksum = internet_checksum(header + blank)
    return ethernet.encode(
        ethernet.Frame(
            destination=ethernet.group_mac(destination),
            source=mac,
            ethertype=ethernet.ETHERTYPE_IPV6,
            payload=ip.encode_ipv6(
                source=source,
                destination=destination,
                traffic_class=0,
                payload=blank[:2] + checksum.to_bytes(2, "big") + blank[4:],
                next_header=NEXT_HEADER,
            ),
        )
    )


def _pseudo_header(source: IPv6Address, destination: IPv6Address) -> bytes:
    return ipv6_pseudo_header(source, destination, length=LENGTH, next_header=NEXT_HEADER)
