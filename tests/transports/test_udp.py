"""UDP between unicast peers: the datagrams on the wire, and dead, absent or flooding peers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv4Interface

import pytest

from pycarp.errors import ConfigError, TransportError
from pycarp.transports.udp import DEFAULT_PORT as PORT
from pycarp.transports.udp import QUEUE_LIMIT, UdpTransport
from pycarp.vocabulary import ANY_ADDRESS, CARP_GROUPS, Address, Datagram, Family, Outgoing, family_of
from tests.support.namespaces import LINK, Namespace, UdpInside, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

PAYLOAD = bytes(range(36))
NOBODY = IPv4Address("203.0.113.9")


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


@contextlib.asynccontextmanager
async def open_udp(namespace: Namespace) -> AsyncIterator[UdpTransport]:
    transport = UdpTransport()
    try:
        await UdpInside(transport, namespace).open_link(LINK, lambda: None)
        yield transport
    finally:
        await transport.close()


@contextlib.contextmanager
def plain_socket(namespace: Namespace, address: Address) -> Iterator[socket.socket]:
    with entered(namespace):
        sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    with sock:
        sock.bind((str(address), PORT))
        sock.setblocking(False)
        yield sock


def advert(source: Address, destination: Address) -> Outgoing:
    return Outgoing(
        link=LINK,
        family=family_of(destination),
        source=source,
        destination=destination,
        tos=0x10,
        identification=None,
        source_mac=None,
        payload=PAYLOAD,
    )


async def drained(transport: UdpTransport, count: int = 1) -> list[Datagram]:
    heard: list[Datagram] = []
    async with asyncio.timeout(3):
        while len(heard) < count:
            heard += transport.drain(64)
            await asyncio.sleep(0.01)
    return heard


async def test_the_payload_is_the_advertisement_from_and_to_the_port(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    async with open_udp(ours) as transport:
        for own, peer in ((ours.address, theirs.address), (ours.address6, theirs.address6)):
            with plain_socket(theirs, peer) as sock:
                transport.send(advert(own, peer))
                async with asyncio.timeout(3):
                    payload, sender = await asyncio.get_running_loop().sock_recvfrom(sock, 100)

            assert (payload, sender[0], sender[1]) == (PAYLOAD, str(own), PORT)


async def test_peers_whose_port_is_closed_do_it_no_harm(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    async with open_udp(ours) as transport:
        for _ in range(5):
            transport.send(advert(ours.address, theirs.address))
            transport.send(advert(ours.address6, theirs.address6))
            await asyncio.sleep(0.02)
        async with open_udp(theirs) as peer:
            transport.send(advert(ours.address, theirs.address))
            await drained(peer)
            peer.send(advert(theirs.address6, ours.address6))
            (heard,) = await drained(transport)

    assert (heard.source, heard.destination, heard.ttl) == (theirs.address6, ours.address6, 255)


async def test_what_the_kernel_refuses_is_an_os_error_and_the_next_one_is_sent(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, theirs = segment
    async with open_udp(ours) as transport, open_udp(theirs) as peer:
        with pytest.raises(OSError, match="unreachable"):
            transport.send(advert(ours.address, NOBODY))
        transport.send(advert(ours.address, theirs.address))

        assert len(await drained(peer)) == 1


async def test_a_group_is_refused_with_the_way_out(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    async with open_udp(ours) as transport:
        with pytest.raises(OSError, match="unicast peers only"):
            transport.send(advert(ours.address, CARP_GROUPS[Family.IPV4]))
        with pytest.raises(TransportError, match=r"not to 239\.192\.0\.5 on eth0: name the peers"):
            await transport.join(LINK, IPv4Address("239.192.0.5"))


async def test_a_flood_is_kept_up_to_a_bound_and_what_is_lost_is_counted(
    segment: tuple[Namespace, Namespace],
) -> None:
    ours, theirs = segment
    flood = QUEUE_LIMIT + 20
    async with open_udp(ours) as transport:
        with plain_socket(theirs, theirs.address) as sock:
            for _ in range(flood):
                sock.sendto(PAYLOAD, (str(ours.address), PORT))
                await asyncio.sleep(0)
        await asyncio.sleep(0.2)

        assert transport.lost == 20
        assert len(transport.drain(flood)) == QUEUE_LIMIT


async def test_a_host_that_is_its_own_peer_does_not_hear_itself(segment: tuple[Namespace, Namespace]) -> None:
    """Operators write the same list of peers on every host."""
    ours, _theirs = segment
    async with open_udp(ours) as transport:
        transport.send(advert(ours.address, ours.address))
        at_once = transport.drain(64)
        transport.send(advert(ours.address, ours.address))
        await asyncio.sleep(0.1)

        assert at_once + transport.drain(64) == []


async def test_an_address_that_comes_later_is_sent_from(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    late = IPv4Interface("10.77.0.9/24")
    async with open_udp(ours) as transport, open_udp(theirs) as peer:
        ours.ip("addr", "add", str(late), "dev", LINK)
        with entered(ours):
            transport.send(advert(late.ip, theirs.address))
            (heard,) = await drained(peer)

    assert heard.source == late.ip


async def test_without_an_own_address_sending_says_so(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    async with open_udp(ours) as transport:
        with pytest.raises(OSError, match=f"no own IPv6 address on eth0 to reach {theirs.address6} from"):
            transport.send(advert(ANY_ADDRESS[Family.IPV6], theirs.address6))


async def test_link_local_peers_are_reached(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    async with open_udp(ours) as transport, open_udp(theirs) as peer:
        with entered(ours):
            transport.send(advert(ours.address6_of_link, theirs.address6_of_link))
            (heard,) = await drained(peer)

    assert (heard.source, heard.destination) == (ours.address6_of_link, theirs.address6_of_link)


async def test_a_port_that_is_taken_is_an_error_that_names_it(segment: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = segment
    with plain_socket(ours, ours.address6), pytest.raises(OSError, match=f"port {PORT} on eth0: .*in use"):
        async with open_udp(ours):
            pass


async def test_what_waits_in_the_sockets_is_drained_up_to_the_limit_in_its_order(
    segment: tuple[Namespace, Namespace],
) -> None:
    """Without a turn of the loop, in which a stream would have taken some of it."""
    ours, theirs = segment
    async with open_udp(ours) as transport:
        await asyncio.sleep(0.05)
        with plain_socket(theirs, theirs.address) as sock:
            for number in range(7):
                sock.sendto(bytes([number]) + PAYLOAD[1:], (str(ours.address), PORT))
        batches = [[each.payload[0] for each in transport.drain(limit)] for limit in (4, 2, 4)]

    assert batches == [[0, 1, 2, 3], [4, 5], [6]]


async def test_each_link_has_its_share_of_what_is_drained(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    transport = UdpTransport()
    with entered(ours):
        for link, own in ((LINK, ours.address), ("lo", IPv4Address("127.0.0.1"))):
            await transport.open_link(link, lambda: None)
            transport.follow_addresses(link, [own])
    try:
        with plain_socket(theirs, theirs.address) as far, plain_socket(ours, IPv4Address("127.0.0.2")) as near:
            for _ in range(9):
                far.sendto(PAYLOAD, (str(ours.address), PORT))
            near.sendto(PAYLOAD, ("127.0.0.1", PORT))
            await asyncio.sleep(0.1)
            heard = transport.drain(2)
    finally:
        await transport.close()

    assert {each.link for each in heard} == {LINK, "lo"}


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_does_not_exist_is_a_config_error(port: int) -> None:
    with pytest.raises(ConfigError, match=f"UDP port {port} is outside 1-65535"):
        UdpTransport(port=port)
