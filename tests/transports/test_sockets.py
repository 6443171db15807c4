"""The ports of a socket transport share the limit of a drain."""

import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp.core.flood import PacketFilter
from pycarp.transports.sockets import SocketTransport
from pycarp.vocabulary import Address, Datagram, Family, Outgoing

SOURCE: dict[Family, Address] = {Family.IPV4: IPv4Address("192.0.2.1"), Family.IPV6: IPv6Address("fe80::1")}


class PipePort:
    """A port whose segment is a pair of sockets; ``feed`` is the other end."""

    def __init__(self, link: str, family: Family) -> None:
        self.feed, self._end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.setblocking(False)
        self._link = link
        self._family = family
        self.reads = 0

    def fileno(self) -> int:
        return self._end.fileno()

    def receive(self) -> Datagram | None:
        self.reads += 1
        payload = self._end.recv(100)
        source = SOURCE[self._family]
        return Datagram(self._link, self._family, source, source, 255, payload) if payload != b"noise" else None

    def send(self, outgoing: Outgoing) -> None:
        self._end.send(outgoing.payload)

    def join(self, group: Address) -> None:
        """Do nothing: every group is received."""

    def set_packet_filter(self, packet_filter: PacketFilter | None) -> None:
        """Do nothing: every packet passes."""

    def close(self) -> None:
        self._end.close()
        self.feed.close()


@contextlib.asynccontextmanager
async def three_links() -> AsyncIterator[tuple[SocketTransport, dict[tuple[str, Family], PipePort]]]:
    ports: dict[tuple[str, Family], PipePort] = {}

    def opened(link: str, family: Family) -> PipePort:
        ports[link, family] = PipePort(link, family)
        return ports[link, family]

    transport = SocketTransport(opened)
    for link in ("em0", "em1", "em2"):
        await transport.open_link(link, lambda: None)
    try:
        yield transport, ports
    finally:
        await transport.close()


def feed(port: PipePort, count: int, payload: bytes = b"advert") -> None:
    for _ in range(count):
        port.feed.send(payload)


async def test_a_port_without_packets_is_not_read() -> None:
    async with three_links() as (transport, ports):
        feed(ports["em1", Family.IPV6], 1)

        assert [each.link for each in transport.drain(6)] == ["em1"]
        assert {place for place, port in ports.items() if port.reads} == {("em1", Family.IPV6)}


async def test_a_flood_on_one_link_keeps_no_other_from_being_heard() -> None:
    async with three_links() as (transport, ports):
        feed(ports["em0", Family.IPV4], 9)
        feed(ports["em2", Family.IPV6], 2)

        heard = transport.drain(6)

    assert [each.link for each in heard].count("em2") == 2
    assert {each.link for each in heard} == {"em0", "em2"}


async def test_even_a_limit_of_one_gives_every_link_its_turn() -> None:
    async with three_links() as (transport, ports):
        for port in ports.values():
            feed(port, 3)

        heard = [each for _ in range(6) for each in transport.drain(1)]

    assert {(each.link, each.family) for each in heard} == set(ports)


async def test_what_others_leave_of_the_limit_goes_to_the_one_that_needs_it() -> None:
    async with three_links() as (transport, ports):
        feed(ports["em1", Family.IPV4], 8)

        heard = transport.drain(8)

    assert len(heard) == 8


async def test_noise_counts_against_the_limit_too() -> None:
    async with three_links() as (transport, ports):
        feed(ports["em1", Family.IPV4], 6, b"noise")
        feed(ports["em1", Family.IPV4], 1)

        assert transport.drain(6) == []
        assert len(transport.drain(6)) == 1


# Packet filters


class ReluctantPort(PipePort):
    """Keeps the packet filters it was given; refuses ``refused`` from the time that it is set."""

    refused: PacketFilter | None = None

    def __init__(self, link: str, family: Family) -> None:
        super().__init__(link, family)
        self.filters: list[PacketFilter | None] = []

    def set_packet_filter(self, packet_filter: PacketFilter | None) -> None:
        if packet_filter is not None and packet_filter == self.refused:
            raise OSError(22, "Invalid argument")
        self.filters.append(packet_filter)


async def test_a_filter_that_one_port_refuses_is_taken_off_the_others() -> None:
    ports: dict[Family, ReluctantPort] = {}

    def opened(link: str, family: Family) -> ReluctantPort:
        ports[family] = ReluctantPort(link, family)
        return ports[family]

    previous, new = (PacketFilter((), (), every=every, every_repeated=1) for every in (1, 2))
    transport = SocketTransport(opened)
    await transport.open_link("em0", lambda: None)
    try:
        transport.set_packet_filter("em0", previous)
        ports[Family.IPV6].refused = new
        with pytest.raises(OSError, match="Invalid argument"):
            transport.set_packet_filter("em0", new)
    finally:
        await transport.close()

    assert [port.filters[-1] for port in ports.values()] == [previous, previous]


async def test_a_filter_for_a_link_that_is_not_open_is_nothing() -> None:
    async with three_links() as (transport, _ports):
        transport.set_packet_filter("em9", PacketFilter((), (), every=1, every_repeated=1))


# Counting


async def test_what_was_read_is_counted_by_link_noise_included() -> None:
    async with three_links() as (transport, ports):
        feed(ports["em0", Family.IPV4], 3)
        feed(ports["em0", Family.IPV6], 2, b"noise")
        feed(ports["em1", Family.IPV4], 1)
        transport.drain(64)

        assert transport.packets_read() == {"em0": 5, "em1": 1, "em2": 0}


# Again


async def test_a_link_that_was_closed_is_opened_anew_and_counts_from_zero() -> None:
    async with three_links() as (transport, ports):
        feed(ports["em0", Family.IPV4], 3)
        transport.drain(64)
        for _ in range(2):
            await transport.close_link("em0")
        await transport.open_link("em0", lambda: None)
        feed(ports["em0", Family.IPV4], 1)

        assert len(transport.drain(64)) == 1
        assert transport.packets_read()["em0"] == 1


async def test_closing_twice_is_well_and_opens_again() -> None:
    async with three_links() as (transport, _ports):
        for _ in range(2):
            await transport.close()
        await transport.open_link("em0", lambda: None)

        assert transport.packets_read() == {"em0": 0}
