"""What a screen lets through the kernel, on a real link: the digests that it names, and samples of all else."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp import transports
from pycarp.core.siege import Screen
from pycarp.transports.base import Screening
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


def screen(*, every: int = NEVER, every_repeated: int = NEVER) -> Screen:
    words = [int.from_bytes(digest[:4], "big") for digest in (EXPECTED, CONSTANT)]
    return Screen((words[0],), (words[1],), every=every, every_repeated=every_repeated)


class Screened:
    """A transport behind a screen, and the attacker at the other end of the cable."""

    def __init__(self, name: str, segment: tuple[Namespace, Namespace]) -> None:
        self._ours, self._theirs = segment
        self.transport = transports.by_name(name)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Screened"]:
        inside = TransportInside(self.transport, self._theirs)
        await inside.open_link(LINK, lambda: None)
        try:
            yield self
        finally:
            await self.transport.close()

    def use(self, screen: Screen | None) -> None:
        assert isinstance(self.transport, Screening)
        self.transport.screen(LINK, screen)

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
    async with Screened(name, segment).opened() as link:
        link.use(screen())
        heard = await link.heard(source, *map(payload, (FORGED, EXPECTED, FORGED)))

    assert heard == [EXPECTED]


@pytest.mark.parametrize("source", BOTH, ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_what_is_repeated_is_sampled_by_itself(
    name: str, source: Address, segment: tuple[Namespace, Namespace]
) -> None:
    async with Screened(name, segment).opened() as link:
        link.use(screen(every_repeated=1))
        heard = await link.heard(source, *map(payload, (FORGED, CONSTANT)))
        link.use(screen(every_repeated=NEVER))
        heard += await link.heard(source, payload(CONSTANT))

    assert heard == [CONSTANT]


@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_one_in_so_many_of_all_passes_whatever_it_is(name: str, segment: tuple[Namespace, Namespace]) -> None:
    async with Screened(name, segment).opened() as link:
        link.use(screen(every=4))
        heard = await link.heard(BOTH[0], *([payload(FORGED)] * 200))
        short = await link.heard(BOTH[0], *([b"short"] * 200))

    assert 20 < len(heard) < 90
    assert 20 < len(short) < 90


@pytest.mark.parametrize("name", ["packet", "raw"])
async def test_without_a_screen_everything_passes_again(name: str, segment: tuple[Namespace, Namespace]) -> None:
    async with Screened(name, segment).opened() as link:
        link.use(screen())
        link.use(None)
        heard = await link.heard(BOTH[0], payload(FORGED))

    assert heard == [FORGED]


async def test_the_longest_screen_is_not_too_long_for_the_kernel(segment: tuple[Namespace, Namespace]) -> None:
    many = Screen(tuple(range(512)), tuple(range(1000, 1255)), every=2, every_repeated=2)
    async with Screened("packet", segment).opened() as link:
        for _ in range(2):
            link.use(many)
