"""AF_PACKET on a real link: the packets that the kernel passes, and those sent."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from pycarp import transports
from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.dialects.dialect import Claim
from pycarp.errors import TransportError
from pycarp.transports.transport import Transport
from pycarp.vocabulary import CARP_PROTOCOL, Datagram, MacAddress, Outgoing
from pycarp.wire import advertisement, ethernet, ip
from tests.support.capture import Capture, is_carp
from tests.support.namespaces import LINK, Namespace, TransportInside, entered, joined_namespaces
from tests.support.nodes import config
from tests.support.system import require

pytestmark = pytest.mark.system

VHID = 42
GROUP = IPv4Address("224.0.0.18")
GROUP_MAC = ethernet.group_mac(GROUP)
PAYLOAD = bytes(36)


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


def advert(source: IPv4Address) -> Outgoing:
    """Return a real advertisement of vhid 42."""
    codec = AdvertisementCodec(config(vhid=VHID, interface=LINK), lambda: 7)
    (outgoing,) = codec.compose(Claim(advbase=1, advskew=0), (source,), 0)
    return outgoing


def packet(*, protocol: int = CARP_PROTOCOL, destination: IPv4Address = GROUP) -> bytes:
    """Return an IPv4 packet from 10.77.0.1 with TTL 255."""
    octets = ip.encode_ipv4(
        source=IPv4Address("10.77.0.1"), destination=destination, tos=0, identification=0, payload=PAYLOAD
    )
    return octets[:9] + bytes([protocol]) + octets[10:]


def frame(payload: bytes, destination: MacAddress = GROUP_MAC) -> bytes:
    """Return a frame of IPv4."""
    source = MacAddress.parse("02:00:00:00:00:01")
    return ethernet.encode(
        ethernet.Frame(destination=destination, source=source, ethertype=ethernet.ETHERTYPE_IPV4, payload=payload)
    )


async def what_arrives(segment: tuple[Namespace, Namespace], frames: list[bytes]) -> tuple[int, list[Datagram]]:
    """Send frames, then one advertisement; return how often the socket was read into and what came out of it."""
    ours, theirs = segment
    transport: Transport = TransportInside(transports.by_name("packet"), theirs)
    sender: Transport = TransportInside(transports.by_name("packet"), ours)
    arrival = asyncio.Event()
    await transport.open_link(LINK, arrival.set)
    await sender.open_link(LINK, lambda: None)
    try:
        with entered(ours), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind((LINK, 0))
            for each in frames:
                sock.send(each)
        await asyncio.sleep(0.2)
        waiting = int(arrival.is_set())
        sender.send(advert(ours.address))
        async with asyncio.timeout(3):
            heard: list[Datagram] = []
            while not heard:
                arrival.clear()
                heard = transport.drain(64)
                if not heard:
                    await arrival.wait()
        await asyncio.sleep(0.1)
        return waiting, heard + transport.drain(64)
    finally:
        await transport.close()
        await sender.close()


async def test_of_all_sorts_of_frames_only_the_advertisement_arrives(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    woken, heard = await what_arrives(
        segment,
        [
            frame(packet(protocol=socket.IPPROTO_UDP)),
            frame(packet(protocol=socket.IPPROTO_ICMP)),
            frame(packet(destination=theirs.address), destination=MacAddress.parse("02:00:00:00:00:07")),
            frame(packet(), destination=MacAddress.parse("02:00:00:00:00:07")),
            frame(packet())[:12] + b"\x86\xdd" + packet(),
            frame(b""),
            frame(packet()[:9]),
        ],
    )

    assert not woken, "the filter in the kernel keeps all of these away"
    assert [(each.source, each.ttl, each.link) for each in heard] == [(ours.address, 255, LINK)]
    assert advertisement.decode(heard[0].payload).vhid == VHID


async def test_of_frames_to_this_host_only_packets_to_it_arrive(segment: tuple[Namespace, Namespace]) -> None:
    """Source: measured, carp.md section 13: a packet to the group in a frame to one host is not shown to CARP."""
    _ours, theirs = segment
    their_mac = MacAddress.parse(theirs.ip("-o", "link", "show", "dev", LINK).split("link/ether ")[1].split()[0])
    _woken, heard = await what_arrives(
        segment,
        [frame(packet(), destination=their_mac), frame(packet(destination=theirs.address), destination=their_mac)],
    )

    assert [each.destination for each in heard] == [theirs.address, GROUP]


async def test_a_broken_ip_packet_of_protocol_112_is_passed_over(segment: tuple[Namespace, Namespace]) -> None:
    wrong_checksum = bytearray(packet())
    wrong_checksum[10] ^= 0xFF
    _woken, heard = await what_arrives(
        segment, [frame(bytes(wrong_checksum)), frame(packet()[:30]), frame(b"\x65" + packet()[1:])]
    )

    assert len(heard) == 1


@pytest.mark.parametrize(
    ("name", "is_virtual"), [("packet", True), ("packet-real-mac", False), ("raw", False)], ids=str
)
async def test_the_source_mac_on_the_wire(name: str, is_virtual: bool, segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    real = MacAddress.parse(ours.ip("-o", "link", "show", "dev", LINK).split("link/ether ")[1].split()[0])
    transport = TransportInside(transports.by_name(name), ours)
    await transport.open_link(LINK, lambda: None)
    try:
        with Capture(theirs) as capture:
            transport.send(advert(ours.address))
            (seen,) = capture.frames(is_carp, 1)
    finally:
        await transport.close()

    assert seen.source == (MacAddress.parse("00:00:5e:00:01:2a") if is_virtual else real)
    assert seen.destination == MacAddress.parse("01:00:5e:00:00:12")


async def test_sending_on_a_link_that_was_deleted_is_an_os_error() -> None:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        for name in ("packet", "packet-real-mac", "raw"):
            ours.ip_batch("link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n")
            transport = TransportInside(transports.by_name(name), ours)
            await transport.open_link("spare0", lambda: None)
            ours.ip("link", "del", "spare0")
            try:
                with pytest.raises(OSError, match=r"."):
                    transport.send(replace(advert(ours.address), link="spare0"))
                assert transport.drain(64) == []
            finally:
                await transport.close()


async def test_sending_without_an_address_of_our_own_works(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    transport = TransportInside(transports.by_name("packet"), ours)
    await transport.open_link(LINK, lambda: None)
    try:
        with Capture(theirs) as capture:
            transport.send(advert(IPv4Address("0.0.0.0")))
            (seen,) = capture.frames(is_carp, 1)
    finally:
        await transport.close()

    assert ip.decode_ipv4(seen.payload).source == IPv4Address("0.0.0.0")


async def test_a_link_that_is_no_ethernet_is_a_transport_error(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    ours.ip("tuntap", "add", "dev", "tun0", "mode", "tun")
    ours.ip("link", "set", "tun0", "up")
    transport = TransportInside(transports.by_name("packet"), ours)
    try:
        with pytest.raises(TransportError, match="tun0"):
            await transport.open_link("tun0", lambda: None)
    finally:
        await transport.close()
        ours.ip("link", "del", "tun0")
