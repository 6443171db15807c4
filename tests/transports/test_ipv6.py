"""Both families on real links: the packets sent, the fields received, and links without IPv6."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp import transports
from pycarp.transports.transport import Transport
from pycarp.vocabulary import ANY_ADDRESS, CARP_GROUPS, Address, Datagram, Family, MacAddress, Outgoing, family_of
from pycarp.wire import ethernet, ip, ndp
from tests.support.capture import Capture
from tests.support.namespaces import LINK, Namespace, TransportInside, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

NAMES = ("packet", "raw")
GROUP = IPv6Address("ff02::12")
NONE = ANY_ADDRESS[Family.IPV6]
VIRTUAL_MAC = ethernet.virtual_mac(42)
PAYLOAD = b"\x21\x2a\x00\x07\x00\x01\xbe\xef".ljust(36, b"\x5a")
"""Its checksum is wrong, and must stay wrong."""


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


@contextlib.asynccontextmanager
async def open_transport(name: str, namespace: Namespace) -> AsyncIterator[Transport]:
    transport = TransportInside(transports.by_name(name), namespace)
    await transport.open_link(LINK, lambda: None)
    try:
        yield transport
    finally:
        await transport.close()


def advert(source: Address, destination: Address) -> Outgoing:
    return Outgoing(
        link=LINK,
        family=family_of(source),
        source=source,
        destination=destination,
        tos=0xE0,
        identification=None,
        source_mac=VIRTUAL_MAC if destination.is_multicast else None,
        payload=PAYLOAD,
    )


def is_carp_v6(frame: ethernet.Frame) -> bool:
    return frame.ethertype == ethernet.ETHERTYPE_IPV6 and frame.payload[6] == 112


async def drained(transport: Transport, count: int) -> list[Datagram]:
    heard: list[Datagram] = []
    async with asyncio.timeout(3):
        while len(heard) < count:
            heard += transport.drain(64)
            await asyncio.sleep(0.01)
    return heard


def forge(namespace: Namespace, frame: bytes) -> None:
    with entered(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((LINK, 0))
        sock.send(frame)


@pytest.mark.parametrize("name", NAMES)
async def test_an_ipv6_advertisement_on_the_wire(name: str, segment: tuple[Namespace, Namespace]) -> None:
    """Hop limit, traffic class, flow label and checksum are set by pycarp, not by the kernel."""
    ours, theirs = segment
    async with open_transport(name, ours) as transport:
        with Capture(theirs) as capture:
            transport.send(advert(ours.address6_of_link, GROUP))
            (seen,) = capture.frames(is_carp_v6, 1)

    assert seen.destination == MacAddress.parse("33:33:00:00:00:12")
    assert (seen.source == VIRTUAL_MAC) == (name == "packet")
    assert seen.payload == ip.encode_ipv6(
        source=ours.address6_of_link, destination=GROUP, traffic_class=0xE0, payload=PAYLOAD
    )


@pytest.mark.parametrize(("name", "expected"), [("packet", NONE), ("raw", IPv6Address("fe80::1"))])
async def test_without_a_known_source_it_is_none_or_the_kernels_choice(
    name: str, expected: IPv6Address, segment: tuple[Namespace, Namespace]
) -> None:
    ours, theirs = segment
    async with open_transport(name, ours) as transport:
        with Capture(theirs) as capture:
            transport.send(advert(NONE, GROUP))
            (seen,) = capture.frames(is_carp_v6, 1)

    assert ip.decode_ipv6(seen.payload).source == expected


@pytest.mark.parametrize("name", NAMES)
async def test_the_hop_limit_that_an_advertisement_arrived_with_is_told(
    name: str, segment: tuple[Namespace, Namespace]
) -> None:
    ours, theirs = segment
    packet = ip.encode_ipv6(source=ours.address6_of_link, destination=GROUP, traffic_class=0, payload=PAYLOAD)
    routed = packet[:7] + b"\x40" + packet[8:]
    async with open_transport(name, theirs) as transport:
        forge(ours, ethernet.encode(_frame_to(ethernet.group_mac(GROUP), routed)))
        (heard,) = await drained(transport, 1)

    assert heard == Datagram(LINK, Family.IPV6, ours.address6_of_link, GROUP, 64, PAYLOAD)


@pytest.mark.parametrize("name", NAMES)
async def test_a_peer_gets_it_at_its_own_mac_from_ours(name: str, segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    own = (
        (ours.address, theirs.address),
        (ours.address6_of_link, theirs.address6_of_link),
        (ours.address6, theirs.address6),
    )
    async with open_transport(name, ours) as transport, open_transport(name, theirs) as receiver:
        with Capture(theirs) as capture:
            for source, destination in own:
                transport.send(advert(source, destination))
            heard = await drained(receiver, 3)
            seen = capture.frames(_is_carp, 3)

    assert {(each.source, each.destination, each.ttl) for each in heard} == {(a, b, 255) for a, b in own}
    assert {each.payload[1] for each in seen if each.ethertype == ethernet.ETHERTYPE_IPV4} == {0xE0}
    assert len({each.source for each in seen}) == 1
    assert VIRTUAL_MAC not in {each.source for each in seen}
    assert not seen[0].destination.octets[0] & 1


@pytest.mark.parametrize("name", NAMES)
async def test_an_advertisement_to_a_peer_is_answered_with_no_icmp_error(
    name: str, segment: tuple[Namespace, Namespace]
) -> None:
    """ICMP "protocol unreachable" would come back for each advertisement, if no socket of protocol 112 were open."""
    ours, theirs = segment
    async with open_transport(name, ours) as transport, open_transport(name, theirs) as receiver:
        with Capture(ours) as capture:
            transport.send(advert(ours.address, theirs.address))
            transport.send(advert(ours.address6, theirs.address6))
            await drained(receiver, 2)
            receiver.send(advert(theirs.address, CARP_GROUPS[Family.IPV4]))
            seen = capture.frames(_is_icmp_error_or_advert, 3)

    assert all(_is_carp(each) for each in seen)


@pytest.mark.parametrize("name", NAMES)
async def test_a_peer_behind_a_router_is_reached(name: str, segment: tuple[Namespace, Namespace]) -> None:
    """The peer's address lies on another network of the second machine, which is its own router here."""
    ours, theirs = segment
    behind = IPv4Address("10.99.0.1"), IPv6Address("fd99::1")
    theirs.ip_batch("addr add 10.99.0.1/32 dev lo\naddr add fd99::1/128 dev lo nodad\n")
    ours.ip_batch(f"route add default via {theirs.address}\nroute add default via {theirs.address6} dev {LINK}\n")
    async with open_transport(name, ours) as transport, open_transport(name, theirs) as receiver:
        transport.send(advert(ours.address, behind[0]))
        transport.send(advert(ours.address6, behind[1]))
        heard = await drained(receiver, 2)

    assert {each.destination for each in heard} == set(behind)


@pytest.mark.parametrize("name", NAMES)
async def test_the_way_to_a_peer_may_lead_through_another_link(name: str, segment: tuple[Namespace, Namespace]) -> None:
    """The routing table chooses the link; the answer is received on the link on which it arrives."""
    ours, theirs = segment
    ours.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1", "netns", theirs.name)
    for each, link, host in ((ours, "spare0", 1), (theirs, "spare1", 2)):
        each.ip_batch(
            f"addr add 10.88.0.{host}/24 dev {link}\naddr add fd88::{host}/64 dev {link} nodad\nlink set {link} up\n"
        )
    for each, link in ((ours, "spare0"), (theirs, "spare1")):
        each.wait_for_carrier(link)
    transport = TransportInside(transports.by_name(name), theirs)
    await transport.open_link("spare1", lambda: None)
    async with open_transport(name, ours) as sender:
        sender.send(advert(ours.address, IPv4Address("10.88.0.2")))
        sender.send(advert(ours.address6, IPv6Address("fd88::2")))
        try:
            heard = await drained(transport, 2)
        finally:
            await transport.close()

    assert {each.source for each in heard} == {ours.address, ours.address6}


@pytest.mark.parametrize("name", NAMES)
async def test_a_link_that_was_made_anew_is_used_again_from_the_next_advertisement_on(
    name: str, segment: tuple[Namespace, Namespace]
) -> None:
    ours, theirs = segment
    async with open_transport(name, ours) as transport:
        ours.ip("link", "del", LINK)
        with entered(ours), pytest.raises(OSError, match=r"."):
            transport.send(advert(ours.address, CARP_GROUPS[Family.IPV4]))
        ours.ip("link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", theirs.name)
        for each in (ours, theirs):
            each.ip_batch(f"addr add {each.own} dev {LINK}\nlink set {LINK} up\n")
        ours.wait_for_carrier()
        async with open_transport(name, theirs) as receiver:
            with entered(ours):
                transport.send(advert(ours.address, CARP_GROUPS[Family.IPV4]))
            await drained(receiver, 1)
            receiver.send(advert(theirs.address, CARP_GROUPS[Family.IPV4]))
            (heard,) = await drained(transport, 1)

    assert heard.source == theirs.address


@pytest.mark.parametrize("name", NAMES)
async def test_where_ipv6_is_off_ipv4_works_and_sending_ipv6_is_an_os_error(
    name: str, segment: tuple[Namespace, Namespace]
) -> None:
    ours, theirs = segment
    ours.switch_off_ipv6()
    async with open_transport(name, ours) as transport, open_transport(name, theirs) as receiver:
        with pytest.raises(OSError, match=r"."):
            transport.send(advert(ours.address6, theirs.address6))
        transport.send(advert(ours.address, CARP_GROUPS[Family.IPV4]))
        (heard,) = await drained(receiver, 1)

    assert heard.source == ours.address


@pytest.mark.parametrize("name", NAMES)
async def test_on_a_link_that_is_too_narrow_for_ipv6_sending_says_so_until_it_works(
    name: str, segment: tuple[Namespace, Namespace]
) -> None:
    """The kernel takes IPv6 off a link whose MTU is below 1280."""
    ours, theirs = segment
    ours.ip("link", "set", LINK, "mtu", "1000")
    async with open_transport(name, ours) as transport, open_transport(name, theirs) as receiver:
        with entered(ours), pytest.raises(OSError, match=f"IPv6 does not work on {LINK}: "):
            transport.send(advert(NONE, GROUP))
        ours.ip("link", "set", LINK, "mtu", "1500")
        ours.ip("addr", "add", str(ours.link_local), "dev", LINK, "nodad")
        with entered(ours):
            transport.send(advert(ours.address6_of_link, GROUP))
        (heard,) = await drained(receiver, 1)
        receiver.send(advert(theirs.address6_of_link, GROUP))
        (answer,) = await drained(transport, 1)

    assert (heard.source, answer.source) == (ours.address6_of_link, theirs.address6_of_link)


@pytest.mark.parametrize("name", NAMES)
async def test_switches_are_told_of_the_group(name: str, segment: tuple[Namespace, Namespace]) -> None:
    """A switch that snoops on MLD sends ff02::12 only to the hosts that reported their membership."""
    ours, _theirs = segment
    async with open_transport(name, ours):
        told = ours.ip("maddr", "show", "dev", LINK)

    assert "inet6 ff02::12" in told
    assert "inet  224.0.0.18" in told


def _frame_to(destination: MacAddress, packet: bytes) -> ethernet.Frame:
    source = MacAddress.parse("02:00:00:00:00:01")
    return ethernet.Frame(destination, source, ethernet.ETHERTYPE_IPV6, packet)


def _is_carp(frame: ethernet.Frame) -> bool:
    return is_carp_v6(frame) or (frame.ethertype == ethernet.ETHERTYPE_IPV4 and frame.payload[9] == 112)


def _is_icmp_error_or_advert(frame: ethernet.Frame) -> bool:
    if frame.ethertype == ethernet.ETHERTYPE_IPV4:
        return frame.payload[9] in (1, 112)
    if frame.ethertype != ethernet.ETHERTYPE_IPV6:
        return False
    return frame.payload[6] == 112 or (frame.payload[6] == ndp.NEXT_HEADER and frame.payload[40] < 128)
