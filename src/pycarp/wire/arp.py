"""Gratuitous ARP, which announces the MAC address that answers for an IPv4 address, and ARP probes."""

import struct
from enum import IntEnum
from ipaddress import IPv4Address

import msgspec

from pycarp.errors import DecodeError
from pycarp.vocabulary import MacAddress
from pycarp.wire import ethernet

LENGTH = 28
_FORMAT = struct.Struct("!HHBBH6s4s6s4s")
_HARDWARE_ETHERNET = 1
ZERO_MAC = MacAddress(bytes(6))


class Operation(IntEnum):
    """ARP operations; a gratuitous ARP may be either."""

    REQUEST = 1
    REPLY = 2


class Arp(msgspec.Struct, frozen=True, kw_only=True):
    """An ARP packet for IPv4 over Ethernet."""

    operation: Operation
    sender_mac: MacAddress
    sender: IPv4Address
    target_mac: MacAddress
    target: IPv4Address


def encode(arp: Arp) -> bytes:
    """Return the 28 octets."""
    return _FORMAT.pack(
        _HARDWARE_ETHERNET,
        ethernet.ETHERTYPE_IPV4,
        6,
        4,
        arp.operation,
        arp.sender_mac.octets,
        arp.sender.packed,
        arp.target_mac.octets,
        arp.target.packed,
    )


def probe(target: IPv4Address, mac: MacAddress, *, to: MacAddress = ethernet.BROADCAST) -> bytes:
    """Return the frame of an ARP probe, which asks who has an address and changes no neighbour cache.

    Source: RFC 5227, 2.1.1, an ARP probe; one ``to`` a single machine finds out whether frames reach that.
    """
    request = Arp(
        operation=Operation.REQUEST, sender_mac=mac, sender=IPv4Address(0), target_mac=ZERO_MAC, target=target
    )
    return ethernet.encode(
        ethernet.Frame(destination=to, source=mac, ethertype=ethernet.ETHERTYPE_ARP, payload=encode(request))
    )


def decode(octets: bytes) -> Arp:
    """Return the packet; raises DecodeError when it is not ARP for IPv4 over Ethernet."""
    if len(octets) < LENGTH:
        raise DecodeError(f"{len(octets)} octets are too short for an ARP packet")
    kind, protocol, mac_length, ip_length, operation, smac, sender, tmac, target = _FORMAT.unpack_from(octets)
    if (kind, protocol, mac_length, ip_length) != (_HARDWARE_ETHERNET, ethernet.ETHERTYPE_IPV4, 6, 4):
        raise DecodeError("not ARP for IPv4 over Ethernet")
    try:
        known = Operation(operation)
    except ValueError as exc:
        raise DecodeError(f"ARP operation {operation} is neither request nor reply") from exc
    return Arp(
        operation=known,
        sender_mac=MacAddress(smac),
        sender=IPv4Address(sender),
        target_mac=MacAddress(tmac),
        target=IPv4Address(target),
    )


def gratuitous(
    address: IPv4Address,
    owner: MacAddress,
    *,
    operation: Operation = Operation.REQUEST,
    target_mac: MacAddress = ZERO_MAC,
    ethernet_source: MacAddress | None = None,
) -> bytes:
    """Return the broadcast frame that says: ``address`` is at ``owner``.

    The BSDs send the request form with a zero target MAC, ucarp with its own; Linux and Windows take both
    forms, some switches and firewalls only one. Source: carp.md section 7.
    """
    packet = Arp(operation=operation, sender_mac=owner, sender=address, target_mac=target_mac, target=address)
    return ethernet.encode(
        ethernet.Frame(
            destination=ethernet.BROADCAST,
            source=ethernet_source or owner,
            ethertype=ethernet.ETHERTYPE_ARP,
            payload=encode(packet),
        )
    )
