"""The IP packet is found behind every link layer."""

import pytest

from pycarp.inspection.captured import LinkType
from pycarp.inspection.link_layer import ip_packet_of
from pycarp.wire import ethernet
from tests.support.carp_packets import VHID, captured, frame, ip_packet, payload

PACKET = ip_packet(payload())
MAC = ethernet.virtual_mac(VHID)
COOKED = bytes.fromhex("000200010006") + MAC.octets + b"\x00\x00"
COOKED_2 = bytes.fromhex("0000000000020001") + b"\x02\x06" + MAC.octets + b"\x00\x00"


@pytest.mark.parametrize(
    ("link_type", "octets"),
    [
        (LinkType.ETHERNET, frame(PACKET)),
        (LinkType.LINUX_SLL, COOKED + b"\x08\x00" + PACKET),
        (LinkType.LINUX_SLL2, b"\x08\x00" + COOKED_2 + PACKET),
        (LinkType.RAW, PACKET),
        (LinkType.IPV4, PACKET),
        (LinkType.NULL, b"\x02\x00\x00\x00" + PACKET),
        (LinkType.LOOP, b"\x00\x00\x00\x02" + PACKET),
    ],
    ids=lambda value: value.name if isinstance(value, LinkType) else "",
)
def test_the_packet_is_found_behind(link_type: LinkType, octets: bytes) -> None:
    found = ip_packet_of(captured(octets, link_type=link_type))

    assert found is not None
    assert found.octets == PACKET


@pytest.mark.parametrize(
    ("link_type", "octets"),
    [(LinkType.LINUX_SLL, COOKED + b"\x08\x00"), (LinkType.LINUX_SLL2, b"\x08\x00" + COOKED_2)],
)
def test_a_cooked_header_tells_the_source_mac(link_type: LinkType, octets: bytes) -> None:
    found = ip_packet_of(captured(octets + PACKET, link_type=link_type))

    assert found is not None
    assert found.source_mac == MAC


def test_tags_are_taken_off_and_told() -> None:
    plain = frame(PACKET)
    octets = plain[:12] + bytes.fromhex("88a8 0064 8100 e00a".replace(" ", "")) + plain[12:]

    found = ip_packet_of(captured(octets))

    assert found is not None
    assert (found.octets, found.vlans) == (PACKET, (100, 10))


@pytest.mark.parametrize("link_type", [*LinkType, 147])
def test_nothing_too_short_does_harm(link_type: int) -> None:
    for length in range(40):
        ip_packet_of(captured(frame(PACKET)[:length], link_type=link_type))
