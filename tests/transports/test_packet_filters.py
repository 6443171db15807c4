"""A packet filter on a real link passes the digests that it names, and samples of the rest."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp import transports
from pycarp.core.flood import PacketFilter
from pycarp.transports.transport import PacketFiltering
from pycarp.vocabulary import CARP_GROUPS, Address, Datagram, family_of
from pycarp.wire import advertisement as wire
from tests.support.carp_packets import frame, ip_packet
from tests.support.namespaces import LINK, Namespace, TransportInside, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

EXPECTED, CONSTANT, FORGED = b"\x11" * 20, b"\x22" * 20, b"\x33" * 20
NEVER = 1 << 16
BOTH: list[Address] = [IPv4Address("10.77.0.1"), IPv6Address("fe80::1")]


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


def payload(digest: bytes) -> bytes:
    return wire.encode(wire.Advertisement(vhid=1, advbase=1, advskew=0, counter=1, digest=digest))


def a_filter(*, every: int = NEVER, every_repeated: int = NEVER) -> PacketFilter:
    words = [int.from_bytes(digest[:4], "big") for digest in (EXPECTED, CONSTANT)]
    return PacketFilter((words[0],), (words[1],), every=every, every_repeated=every_repeated)


class FilteredLink:
    """A transport behind a packet filter, and the attacker at the other end of the cable."""

    def __init__(self, name: str, segment: tuple[Namespace, Namespace]) -> None:
        self._ours, self._theirs = segment
        self.transport = transports.by_name(name)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["FilteredLink"]:
        inside = TransportInside(self.transport, self._theirs)
        await inside.open_link(LINK, lambda: None)
        try:
            yield self
        finally:
            await self.transport.close()

    def use(self, packet_filter: PacketFilter | None) -> None:
        assert isinstance(self.transport, PacketFiltering)
        self.transport.set_packet_filter(LINK, packet_filter)

    async def heard(self, source: Address, *payloads: bytes) -> list[bytes]:
        """Send packets and return the digests of those that arrive."""
        with entered(self._ours), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind((LINK, 0))
            for each in payloads:
                sock.send(frame(ip_packet(each, source=source, destination=CARP_GROUPS[family_of(source)])))
        await asyncio.sleep(0.1)
        return [_digest(datagram) for datagram in self.transport.drain(1000)]


def _digest(datagram: Datagram) -> bytes:
    return datagram.payload[16:36]


@pytest.mark.parametrize("source", BOTH, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_only_what_is_expected_passes(name: str, source: Address, segment: tuple[Namespace, Namespace]) -> None:
    async with FilteredLink(name, segment).opened() as link:
        link.use(a_filter())
        heard = await link.heard(source, *map(payload, (FORGED, EXPECTED, FORGED)))

    assert heard == [EXPECTED]


@pytest.mark.parametrize("source", BOTH, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_what_is_repeated_is_sampled_by_itself(
    name: str, source: Address, segment: tuple[Namespace, Namespace]
) -> None:
    async with FilteredLink(name, segment).opened() as link:
        link.use(a_filter(every_repeated=1))
        heard = await link.heard(source, *map(payload, (FORGED, CONSTANT)))
        link.use(a_filter(every_repeated=NEVER))
        heard += await link.heard(source, payload(CONSTANT))

    assert heard == [CONSTANT]


@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_one_in_so_many_of_all_passes_whatever_it_is(name: str, segment: tuple[Namespace, Namespace]) -> None:
    async with FilteredLink(name, segment).opened() as link:
        link.use(a_filter(every=4))
        heard = await link.heard(BOTH[0], *([payload(FORGED)] * 200))
        short = await link.heard(BOTH[0], *([b"short"] * 200))

    assert 20 < len(heard) < 90
    assert 20 < len(short) < 90


@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_without_a_filter_everything_passes_again(name: str, segment: tuple[Namespace, Namespace]) -> None:
    async with FilteredLink(name, segment).opened() as link:
        link.use(a_filter())
        link.use(None)
        heard = await link.heard(BOTH[0], payload(FORGED))

    assert heard == [FORGED]


async def test_the_longest_filter_is_not_too_long_for_the_kernel(segment: tuple[Namespace, Namespace]) -> None:
    many = PacketFilter(tuple(range(512)), tuple(range(1000, 1255)), every=2, every_repeated=2)
    async with FilteredLink("packet", segment).opened() as link:
        for _ in range(2):
            link.use(many)
