"""The packets that the kernel sets aside on a real link; all others arrive at once, exactly once, with their time."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp import transports
from pycarp.core.flood import PacketFilter
from pycarp.transports.aside import READ_S
from pycarp.transports.calm_ring import FRAMES
from pycarp.transports.sockets import READ_ALL
from pycarp.transports.transport import PacketFiltering, SettingAside
from pycarp.vocabulary import CARP_GROUPS, Address, Datagram, Family, family_of
from pycarp.wire import advertisement as wire
from tests.support.carp_packets import frame, ip_packet
from tests.support.namespaces import LINK, Namespace, TransportInside, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

BOTH: list[Address] = [IPv4Address("10.77.0.1"), IPv6Address("fe80::1")]
SEVEN = (1, 2, 31, 32, 33, 200, 255)
"""Vhids that share a word of the bitmap, that are alone in one, and that are at an end of one."""


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


def payload(vhid: int, *, advskew: int = 0, counter: int = 1) -> bytes:
    return wire.encode(wire.Advertisement(vhid=vhid, advbase=1, advskew=advskew, counter=counter, digest=b"\x11" * 20))


class Link:
    """A transport, the sender, and how often wake was called; ``wake`` drains, as a node does."""

    def __init__(self, segment: tuple[Namespace, Namespace], source: Address) -> None:
        self._ours, self._theirs = segment
        self._source = source
        self.transport = transports.by_name("packet")
        self.heard: list[tuple[float, Datagram]] = []

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["Link"]:
        inside = TransportInside(self.transport, self._theirs)
        await inside.open_link(LINK, self.wake)
        with entered(self._ours), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind((LINK, 0))
            self._socket = sock
            try:
                yield self
            finally:
                await self.transport.close()

    def wake(self) -> None:
        self.heard += [(time.monotonic(), each) for each in self.transport.drain(64)]

    def send(self, *payloads: bytes) -> None:
        for each in payloads:
            self._socket.send(frame(ip_packet(each, source=self._source, destination=CARP_GROUPS[self.family])))

    @property
    def family(self) -> Family:
        return family_of(self._source)

    async def set_aside(self, heads: dict[int, bytes]) -> None:
        """Wait until it is in force."""
        assert isinstance(self.transport, SettingAside)
        with entered(self._theirs):
            self.transport.set_aside(LINK, self.family, heads)
            # The next reading sets new ones aside; it runs in this namespace.
            await asyncio.sleep(READ_S + 0.02)

    async def vhids(self, within_s: float) -> list[int]:
        """Return, and forget, the sources of the datagrams received within so many seconds."""
        await asyncio.sleep(within_s)
        heard, self.heard = self.heard, []
        return [each.payload[1] for _at_s, each in heard]


async def beginning_of_a_pause() -> None:
    """Wait until the next reading is far off."""
    await asyncio.sleep(READ_S - time.monotonic() % READ_S + 0.01)


@pytest.fixture(params=BOTH, ids=["IPv4", "IPv6"])
async def link(segment: tuple[Namespace, Namespace], request: pytest.FixtureRequest) -> AsyncIterator[Link]:
    async with Link(segment, request.param).opened() as opened:
        yield opened


async def test_calm_ones_wait_and_all_others_are_heard_at_once(link: Link) -> None:
    await link.set_aside({vhid: payload(vhid)[:6] for vhid in SEVEN})
    await beginning_of_a_pause()
    link.send(*(payload(vhid) for vhid in SEVEN))
    assert await link.vhids(0.05) == []

    for vhid in set(range(1, 256)) - set(SEVEN):
        link.send(payload(vhid))
        await asyncio.sleep(0)
    heard = await link.vhids(0.05)
    # A reader that is woken reads the waiting packets as well, and first.
    assert heard[: len(SEVEN)] == list(SEVEN)
    assert sorted(heard) == list(range(1, 256))


async def test_another_claim_and_a_bow_out_are_heard_at_once(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6], 2: payload(2, advskew=100)[:6]})
    await beginning_of_a_pause()
    bow_out = wire.encode(wire.Advertisement(vhid=1, advbase=255, advskew=255, counter=9, digest=b"\x11" * 20))
    link.send(payload(1), payload(2, advskew=100))
    assert await link.vhids(0.05) == []

    link.send(payload(1, advskew=1))
    assert await link.vhids(0.02) == [1, 2, 1]
    link.send(payload(2))
    assert await link.vhids(0.02) == [2]
    link.send(bow_out)
    assert await link.vhids(0.02) == [1]


async def test_who_is_not_calm_any_more_is_heard_at_once_with_all_that_waited(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6], 2: payload(2)[:6]})
    await beginning_of_a_pause()
    link.send(payload(1))
    assert isinstance(link.transport, SettingAside)
    link.transport.set_aside(LINK, link.family, {2: payload(2)[:6]})
    link.send(payload(1))

    assert await link.vhids(0.05) == [1, 1]


async def test_every_packet_is_heard_exactly_once_whatever_changes(link: Link) -> None:
    heads = {vhid: payload(vhid)[:6] for vhid in SEVEN}
    assert isinstance(link.transport, SettingAside)
    sent = 0
    for round_ in range(8):
        await link.set_aside(heads if round_ % 2 else {})
        for _ in range(10):
            link.send(*(payload(vhid, counter=(sent := sent + 1)) for vhid in (1, 9, 255)))
            await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    link.wake()

    counters = [int.from_bytes(each.payload[8:16], "big") for _at_s, each in link.heard]
    assert sorted(counters) == list(range(1, sent + 1))


async def test_it_is_known_how_long_each_has_waited(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6]})
    await beginning_of_a_pause()
    sent_s = []
    for _ in range(3):
        sent_s.append(time.monotonic())
        link.send(payload(1))
        await asyncio.sleep(0.05)
    link.wake()

    arrived_s = [at_s - each.waited_ns / 1e9 for at_s, each in link.heard]
    assert arrived_s == pytest.approx(sent_s, abs=0.005)


async def test_a_flood_of_what_looks_calm_ends_the_waiting(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6]})
    await beginning_of_a_pause()
    link.send(*[payload(1)] * (2 * FRAMES))
    await asyncio.sleep(READ_S + 0.1)
    link.heard.clear()
    await beginning_of_a_pause()
    link.send(payload(1))

    assert await link.vhids(0.05) == [1]


async def test_nothing_is_lost_when_more_come_than_can_wait(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6]})
    await beginning_of_a_pause()
    link.send(*(payload(1, counter=1 + number) for number in range(FRAMES + 100)))
    await asyncio.sleep(0.1)

    counters = [int.from_bytes(each.payload[8:16], "big") for _at_s, each in link.heard]
    assert counters == list(range(1, 1 + FRAMES + 100))


async def test_before_a_deadline_all_that_waits_is_read(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6]})
    await beginning_of_a_pause()
    link.send(*(payload(1, counter=1 + number) for number in range(600)))

    assert len(link.transport.drain(READ_ALL)) == 600


async def test_behind_a_packet_filter_nothing_waits(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6]})
    assert isinstance(link.transport, PacketFiltering)
    link.transport.set_packet_filter(LINK, PacketFilter((0x11111111,), (), every=1, every_repeated=1))
    await beginning_of_a_pause()
    link.send(payload(1))
    assert await link.vhids(0.05) == [1]

    link.transport.set_packet_filter(LINK, None)
    await link.set_aside({1: payload(1)[:6]})
    await beginning_of_a_pause()
    link.send(payload(1))
    assert await link.vhids(0.05) == []


async def test_a_link_that_was_down_sorts_packets_as_before(link: Link) -> None:
    await link.set_aside({1: payload(1)[:6]})
    link._theirs.ip("link", "set", "dev", LINK, "down")
    link._theirs.ip("link", "set", "dev", LINK, "up")
    await asyncio.sleep(0.3)
    link.heard.clear()
    await beginning_of_a_pause()
    link.send(payload(1))
    assert await link.vhids(0.05) == []

    link.send(payload(2))
    assert await link.vhids(0.05) == [1, 2]
