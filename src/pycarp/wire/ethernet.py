"""Ethernet frames, the MAC addresses of groups and of virtual hosts."""

from typing import NamedTuple

from pycarp.errors import DecodeError
from pycarp.vocabulary import Address, Family, MacAddress

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
HEADER_LENGTH = 14
BROADCAST = MacAddress(b"\xff" * 6)


class Frame(NamedTuple):
    """An untagged Ethernet II frame."""

    destination: MacAddress
    source: MacAddress
    ethertype: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """Return the frame without padding and checksum, which the device adds."""
    return frame.destination.octets + frame.source.octets + frame.ethertype.to_bytes(2, "big") + frame.payload


def decode(octets: bytes) -> Frame:
    """Return the frame; raises DecodeError when it is shorter than its header."""
    if len(octets) < HEADER_LENGTH:
        raise DecodeError(f"{len(octets)} octets are too short for an Ethernet header")
    return Frame(
        destination=MacAddress(octets[0:6]),
        source=MacAddress(octets[6:12]),
        ethertype=int.from_bytes(octets[12:14], "big"),
        payload=octets[HEADER_LENGTH:],
    )


def virtual_mac(vhid: int) -> MacAddress:
    """Return ``00:00:5e:00:01:VHID``, which CARP shares with VRRP. Source: carp.md 1.4."""
    return MacAddress(bytes((0x00, 0x00, 0x5E, 0x00, 0x01, vhid)))


def is_virtual_mac(mac: MacAddress | None) -> bool:
    """Return whether an address is the virtual one of any vhid, which is that of an IPv4 VRID as well."""
    return mac is not None and mac == virtual_mac(mac.octets[5])


def vrrp_mac(vrid: int, family: Family) -> MacAddress:
    """Return the virtual MAC address of a VRRP router: CARP's, or over IPv6 one of its own. Source: RFC 9568, 7.3."""
    return virtual_mac(vrid) if family is Family.IPV4 else MacAddress(bytes((0x00, 0x00, 0x5E, 0x00, 0x02, vrid)))


def ucarp_mac(vhid: int) -> MacAddress:
    """Return ``00:00:5e:00:00:VHID``: ucarp's advertisements have 00 in the fifth octet. Source: captured."""
    return MacAddress(bytes((0x00, 0x00, 0x5E, 0x00, 0x00, vhid)))


def group_mac(group: Address) -> MacAddress:
    """Return the Ethernet address of a multicast group (RFC 1112, RFC 2464)."""
    if group.version == 4:
        low = int(group) & 0x7F_FFFF
        return MacAddress(b"\x01\x00\x5e" + low.to_bytes(3, "big"))
    return MacAddress(b"\x33\x33" + group.packed[-4:])
