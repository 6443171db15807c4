"""The Internet checksum of RFC 1071, and the pseudo-headers of IPv4 and IPv6."""

from ipaddress import IPv4Address, IPv6Address


def internet_checksum(octets: bytes) -> int:
    """Return the ones'-complement of the ones'-complement sum of the big-endian 16-bit words.

    Computed over octets with a zero checksum field it gives the field's value; computed over octets with
    the right value in place it gives 0. An odd last octet counts as the high half of a word.
    """
    if len(octets) % 2:
        octets += b"\x00"
    # 65536 is 1 modulo 65535, so the whole string, read as one number, is congruent to the sum of its words.
    total = int.from_bytes(octets, "big")
    folded = total % 0xFFFF
    if folded == 0 and total:
        folded = 0xFFFF
    return folded ^ 0xFFFF


def ipv4_pseudo_header(source: IPv4Address, destination: IPv4Address, *, length: int, protocol: int) -> bytes:
    """Return what RFC 5798 puts before a VRRP message for its checksum: addresses, zero, protocol, 16-bit length."""
    return source.packed + destination.packed + protocol.to_bytes(2, "big") + length.to_bytes(2, "big")


def ipv6_pseudo_header(source: IPv6Address, destination: IPv6Address, *, length: int, next_header: int) -> bytes:
    """Return what RFC 8200 puts before a payload for its checksum: addresses, 32-bit length, next header."""
    return source.packed + destination.packed + length.to_bytes(4, "big") + next_header.to_bytes(4, "big")
