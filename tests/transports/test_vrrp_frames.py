"""A packet transport on a real link receives VRRP of every kind, and no other packets that IPsec protects."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp import transports
from pycarp.vocabulary import Datagram
from pycarp.wire import envelope
from tests.support.carp_packets import frame, ip_packet, payload
from tests.support.namespaces import LINK, Namespace, TransportInside, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "vrrp" / "vectors.json").read_text())["captured"]
TO_GROUP = [each for each in map(bytes.fromhex, (one["frame_hex"] for one in VECTORS)) if each[0] & 1]


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


async def heard(segment: tuple[Namespace, Namespace], frames: list[bytes]) -> list[Datagram]:
    """Send frames from one end of a cable, and return what a packet transport receives at the other."""
    ours, theirs = segment
    transport = transports.by_name("packet")
    await TransportInside(transport, theirs).open_link(LINK, lambda: None)
    try:
        with entered(ours), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind((LINK, 0))
            for each in frames:
                sock.send(each)
        await asyncio.sleep(0.2)
        return list(transport.drain(1000))
    finally:
        await transport.close()


async def test_every_kind_of_vrrp_is_heard(segment: tuple[Namespace, Namespace]) -> None:
    told = await heard(segment, TO_GROUP)

    expected = [packet for each in TO_GROUP if (packet := envelope.datagram_of(each, link=LINK))]
    assert sorted(told) == sorted(expected)
    assert len(told) == len(TO_GROUP)


async def test_nothing_else_behind_an_authentication_header_is_heard(segment: tuple[Namespace, Namespace]) -> None:
    behind = [frame(ip_packet(bytes((next_header, 4)) + bytes(22) + payload(), protocol=51)) for next_header in (6, 50)]

    assert await heard(segment, [*behind, frame(ip_packet(b"", protocol=51)), frame(ip_packet(payload()))]) == [
        envelope.datagram_of(frame(ip_packet(payload())), link=LINK)
    ]
