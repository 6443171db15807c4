"""VRRP packets of every kind, with any number of addresses and their checksums right."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, Address, Family
from pycarp.wire import advertisement as wire
from pycarp.wire.checksum import internet_checksum, ipv4_pseudo_header, ipv6_pseudo_header

FOUR, SIX = IPv4Address("192.168.1.10"), IPv6Address("fe80::ff:fe00:a")
BOTH: tuple[Address, ...] = (FOUR, SIX)
NO_AUTHENTICATION, PASSWORD, IPSEC = (0, bytes(8)), (1, b"secret\x00\x00"), (2, bytes(8))
KINDS = (NO_AUTHENTICATION, PASSWORD, (1, b"longpass"), (1, bytes(8)), IPSEC)
TRAILER = bytes((1, 7, 0, 0)) + bytes(range(24))
AUTHENTICATION_HEADER = (
    bytes((CARP_PROTOCOL, 4, 0, 0)) + FOUR.packed + bytes.fromhex("00000001b43feb06ebf853c3730cb659")
)


def summed(blank: bytes, pseudo_header: bytes = b"") -> bytes:
    checksum = internet_checksum(pseudo_header + blank)
    return wire.with_checksum(blank, checksum.to_bytes(2, "big"))


def addresses(count: int, size: int) -> bytes:
    return b"".join((0xC0A80100 << 8 * (size - 4) | number).to_bytes(size, "big") for number in range(count))


def version_2(
    count: int, authentication: tuple[int, bytes] = NO_AUTHENTICATION, *, vrid: int = 51, priority: int = 150
) -> bytes:
    kind, octets = authentication
    return summed(bytes((0x21, vrid, priority, count, kind, 1, 0, 0)) + addresses(count, 4) + octets)


@dataclass(frozen=True, kw_only=True)
class Version3:
    count: int
    source: Address = FOUR
    interval_cs: int = 100
    has_pseudo_header: bool = True
    claimed: int | None = None

    def octets(self) -> bytes:
        size = len(self.source.packed)
        claimed = self.count if self.claimed is None else self.claimed
        header = bytes((0x31, 51, 150, claimed, *self.interval_cs.to_bytes(2, "big"), 0, 0))
        blank = header + addresses(self.count, size)
        return summed(blank, pseudo_header_of(self.source, len(blank)) if self.has_pseudo_header else b"")


def pseudo_header_of(source: Address, length: int) -> bytes:
    if isinstance(source, IPv4Address):
        group = IPv4Address(str(CARP_GROUPS[Family.IPV4]))
        return ipv4_pseudo_header(source, group, length=length, protocol=CARP_PROTOCOL)
    six = IPv6Address(str(CARP_GROUPS[Family.IPV6]))
    return ipv6_pseudo_header(source, six, length=length, next_header=CARP_PROTOCOL)
