"""Advertisements as a capture has them: signed, in frames, and with any field changed."""

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any

from pycarp.auth.digest import DigestLayout, Signer
from pycarp.auth.key import Passphrase
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.captured import CapturedPacket, LinkType
from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Address, MacAddress, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet, ip
from pycarp.wire.checksum import internet_checksum

SHARED = ip_address("192.168.1.50")
PASSWORD = "mekmitasdigoat"
VHID = 7
SECRET = SharedSecret(passphrase=Passphrase(PASSWORD), addresses=(SHARED,))
MAC = ethernet.virtual_mac(VHID)
ONE, TWO = ip_address("192.168.1.10"), ip_address("192.168.1.11")


def payload(counter: int = 1, *, pseudo_header: bytes = b"", **fields: Any) -> bytes:
    """The 36 octets of an authentic advertisement, the checksum right whatever the fields."""
    vhid = fields.setdefault("vhid", VHID)
    signer = Signer(passphrase=SECRET.passphrase, vhid=vhid, addresses=(SHARED,), layouts=(DigestLayout.ORIGINAL,))
    settings: dict[str, Any] = {"advbase": 1, "advskew": 0, "digest": signer.sign(counter)} | fields
    return wire.encode(wire.Advertisement(counter=counter, **settings), pseudo_header=pseudo_header)


def ip_packet(
    octets: bytes, *, source: Address = ONE, destination: Address | None = None, ttl: int = 255, protocol: int = 112
) -> bytes:
    """An IP packet of whatever protocol and TTL."""
    to = destination or CARP_GROUPS[family_of(source)]
    if isinstance(source, IPv4Address):
        assert isinstance(to, IPv4Address)
        made = bytearray(ip.encode_ipv4(source=source, destination=to, tos=0, identification=0, payload=octets))
        made[8], made[9], made[10:12] = ttl, protocol, b"\x00\x00"
        made[10:12] = internet_checksum(bytes(made[:20])).to_bytes(2, "big")
        return bytes(made)
    assert not isinstance(to, IPv4Address)
    six = bytearray(ip.encode_ipv6(source=source, destination=to, traffic_class=0, payload=octets))
    six[6], six[7] = protocol, ttl
    return bytes(six)


@dataclass(frozen=True, kw_only=True)
class Macs:
    source: MacAddress = MAC
    destination: MacAddress | None = None


def frame(packet: bytes, macs: Macs | None = None) -> bytes:
    """An Ethernet frame of an IP packet, by default to the MAC of its destination group."""
    chosen = macs or Macs()
    is_ipv6 = packet[0] >> 4 == 6
    to = ip_address(packet[24:40] if is_ipv6 else packet[16:20])
    return ethernet.encode(
        ethernet.Frame(
            destination=chosen.destination or ethernet.group_mac(to),
            source=chosen.source,
            ethertype=ethernet.ETHERTYPE_IPV6 if is_ipv6 else ethernet.ETHERTYPE_IPV4,
            payload=packet,
        )
    )


def captured(octets: bytes, *, at_s: float = 0, link_type: int = LinkType.ETHERNET) -> CapturedPacket:
    """A packet that was captured whole."""
    return CapturedPacket(round(at_s * NS_PER_S), link_type, octets, len(octets))
