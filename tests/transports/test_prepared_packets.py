"""Prepared packets, which another process sends: every field, and a link that is gone."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from msgspec.structs import replace

from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.prepared_packets import prepared_packet_of
from pycarp.transports.udp import DEFAULT_PORT
from pycarp.vocabulary import CARP_GROUPS, Address, Family, MacAddress, Outgoing
from pycarp.wire import envelope
from tests.support.namespaces import LINK as NAMESPACE_LINK
from tests.support.namespaces import entered, joined_namespaces
from tests.support.system import require
from tests.support.transports import by_name

LINK = "lo"
MAC = MacAddress.parse("00:00:00:00:00:00")
SOURCE: dict[Family, Address] = {Family.IPV4: IPv4Address("192.0.2.1"), Family.IPV6: IPv6Address("2001:db8::1")}
PAYLOAD = bytes(range(36))


def outgoing(destination: str | None = None, family: Family = Family.IPV4) -> Outgoing:

    return Outgoing(
        link=LINK,
        family=family,
        source=SOURCE[family],
        destination=CARP_GROUPS[family] if destination is None else ip_address(destination),
        tos=0x10,
        identification=None,
        source_mac=None,
        payload=PAYLOAD,
    )


def native(value: int) -> bytes:
    return struct.pack("i", value)


@pytest.mark.parametrize("family", Family, ids=lambda family: f"v{family}")
def test_to_a_group_goes_a_frame_of_the_link(family: Family) -> None:
    advert = outgoing(family=family)

    assert prepared_packet_of(advert, socket.if_nametoindex(LINK)) == PreparedPacket(
        family=socket.AF_PACKET,
        kind=socket.SOCK_RAW,
        protocol=0,
        options=(),
        address=(socket.if_nametoindex(LINK), 0),
        octets=envelope.frame_of(advert, link_mac=MAC, identification=0),
    )


def test_to_a_peer_goes_a_packet_with_its_header() -> None:
    advert = outgoing("192.0.2.9")

    assert prepared_packet_of(advert, socket.if_nametoindex(LINK)) == PreparedPacket(
        family=socket.AF_INET,
        kind=socket.SOCK_RAW,
        protocol=112,
        options=((socket.IPPROTO_IP, socket.IP_HDRINCL, native(1)),),
        address=("192.0.2.9", 0),
        octets=envelope.packet_of(advert, identification=0),
    )


@pytest.mark.parametrize(("peer", "is_scoped"), [("2001:db8::9", False), ("fe80::9", True)])
def test_to_a_peer_of_ipv6_goes_a_payload_with_what_its_header_is_to_say(peer: str, is_scoped: bool) -> None:
    scope = socket.if_nametoindex(LINK) if is_scoped else 0
    advert = outgoing(peer, Family.IPV6)

    assert prepared_packet_of(advert, socket.if_nametoindex(LINK)) == PreparedPacket(
        family=socket.AF_INET6,
        kind=socket.SOCK_RAW,
        protocol=112,
        options=(
            (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, native(255)),
            (socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, native(-1)),
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, native(0x10)),
            (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("16sI", SOURCE[Family.IPV6].packed, scope)),
        ),
        address=(peer, 0, 0, scope),
        octets=PAYLOAD,
    )


@pytest.mark.parametrize(
    ("peer", "family", "address"),
    [
        ("192.0.2.9", socket.AF_INET, ("192.0.2.9", DEFAULT_PORT)),
        ("2001:db8::9", socket.AF_INET6, ("2001:db8::9", DEFAULT_PORT, 0, 0)),
        ("fe80::9", socket.AF_INET6, ("fe80::9", DEFAULT_PORT, 0, socket.if_nametoindex(LINK))),
    ],
)
def test_of_udp_it_is_a_datagram_to_the_port(peer: str, family: int, address: tuple[str | int, ...]) -> None:
    advert = outgoing(peer, Family.IPV6 if ":" in peer else Family.IPV4)

    assert by_name("udp").prepared_packet(advert) == PreparedPacket(
        family=family, kind=socket.SOCK_DGRAM, protocol=0, options=(), address=address, octets=PAYLOAD
    )


def test_udp_has_none_for_a_group() -> None:
    assert by_name("udp").prepared_packet(outgoing()) is None


@pytest.mark.parametrize("name", ["packet", "raw", "udp"])
def test_for_a_link_that_is_gone_there_is_none(name: str) -> None:
    advert = replace(outgoing("fe80::9", Family.IPV6), link="nosuchlink0")

    with pytest.raises(OSError, match=r"nosuchlink0|no interface|No such"):
        by_name(name).prepared_packet(advert)


def test_a_frame_of_a_link_that_is_gone_is_an_os_error() -> None:
    with pytest.raises(OSError, match="No such device"):
        prepared_packet_of(outgoing(), 2**30)


@pytest.mark.system
@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_after_a_rename_it_leaves_by_the_same_link(name: str) -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        transport, index = by_name(name), socket.if_nametoindex(NAMESPACE_LINK)
        await transport.open_link(NAMESPACE_LINK, lambda: None)
        ours.ip("link", "set", NAMESPACE_LINK, "name", "lan0")
        ours.ip("link", "add", NAMESPACE_LINK, "type", "veth", "peer", "name", "other")
        prepared = transport.prepared_packet(replace(outgoing(), link=NAMESPACE_LINK))
        await transport.close()

    assert prepared is not None
    assert prepared.address == (index, 0)
