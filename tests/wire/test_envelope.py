"""Whole frames: what is sent, and which received ones reach CARP."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pycarp.vocabulary import CARP_GROUPS, Datagram, Family, MacAddress, Outgoing
from pycarp.wire import envelope, ethernet
from pycarp.wire.checksum import internet_checksum

LINK_MAC = MacAddress.parse("02:00:00:00:00:99")
PAYLOAD = bytes(range(36))
OUTGOING = Outgoing(
    link="fxp0",
    family=Family.IPV4,
    source=IPv4Address("192.168.1.3"),
    destination=CARP_GROUPS[Family.IPV4],
    tos=0x10,
    identification=None,
    source_mac=ethernet.virtual_mac(1),
    payload=PAYLOAD,
)


def frame(outgoing: Outgoing = OUTGOING) -> bytes:
    return envelope.frame_of(outgoing, link_mac=LINK_MAC, identification=4711)


def patched(offset: int, octets: bytes) -> bytes:
    return frame()[:offset] + octets + frame()[offset + len(octets) :]


def test_a_frame_goes_to_the_mac_of_its_group() -> None:
    assert str(ethernet.decode(frame()).destination) == "01:00:5e:00:00:12"


def test_a_frame_comes_from_the_mac_that_the_dialect_wants() -> None:
    assert ethernet.decode(frame()).source == ethernet.virtual_mac(1)


def test_a_frame_comes_from_the_mac_of_the_link_when_none_is_wanted() -> None:
    assert ethernet.decode(frame(replace(OUTGOING, source_mac=None))).source == LINK_MAC


@pytest.mark.parametrize(("wanted", "sent"), [(None, 4711), (0, 0), (5, 5)])
def test_the_identification_is_the_transports_unless_the_dialect_wants_one(wanted: int | None, sent: int) -> None:
    written = frame(replace(OUTGOING, identification=wanted))

    assert int.from_bytes(written[18:20], "big") == sent


@given(source=st.ip_addresses(v=4), tos=st.integers(0, 255), payload=st.binary(max_size=100))
def test_what_is_sent_is_received(source: IPv4Address, tos: int, payload: bytes) -> None:
    written = frame(replace(OUTGOING, source=source, tos=tos, payload=payload))

    assert envelope.datagram_of(written, link="em1") == Datagram(
        link="em1",
        family=Family.IPV4,
        source=source,
        destination=CARP_GROUPS[Family.IPV4],
        ttl=255,
        payload=payload,
    )


def test_a_frame_to_everybody_is_received() -> None:
    """Source: acceptance.json, "ethernet destination broadcast"; ucarp -M sends so."""
    received = envelope.datagram_of(patched(0, b"\xff" * 6), link="fxp0")

    assert received is not None
    assert received.payload == PAYLOAD


@pytest.mark.parametrize("mac", [LINK_MAC, ethernet.virtual_mac(1)], ids=str)
def test_a_frame_to_a_single_host_is_not_received(mac: MacAddress) -> None:
    """Source: acceptance.json, "ethernet destination NetBSD's MAC" and "unicast to the virtual MAC"."""
    assert envelope.datagram_of(patched(0, mac.octets), link="fxp0") is None


@pytest.mark.parametrize("ethertype", [0x0806, 0x8100])
def test_a_frame_of_another_ethertype_is_not_received(ethertype: int) -> None:
    assert envelope.datagram_of(patched(12, ethertype.to_bytes(2, "big")), link="fxp0") is None


def test_a_packet_of_another_protocol_is_not_received() -> None:
    # One more in the protocol is one less in the checksum, which lies in the following word.
    checksum = int.from_bytes(frame()[24:26], "big") - 1

    assert envelope.datagram_of(patched(23, b"\x71" + checksum.to_bytes(2, "big")), link="fxp0") is None


def test_a_broken_ip_header_is_not_received() -> None:
    assert envelope.datagram_of(patched(24, b"\x00\x00"), link="fxp0") is None


@pytest.mark.parametrize("length", range(14 + 20 + 36))
def test_a_truncated_frame_is_not_received(length: int) -> None:
    assert envelope.datagram_of(frame()[:length], link="fxp0") is None


@given(offset=st.integers(0, 69), octets=st.binary(min_size=1, max_size=70))
def test_no_octets_raise(offset: int, octets: bytes) -> None:
    received = envelope.datagram_of(patched(offset, octets), link="fxp0")

    assert received is None or received.link == "fxp0"


def behind(next_header: int) -> bytes:
    """Return a frame with an IPsec authentication header before its payload."""
    header = bytes((next_header, 4)) + bytes(22)
    written = bytearray(frame(replace(OUTGOING, payload=header + PAYLOAD)))
    written[23] = 51
    written[24:26] = bytes(2)
    written[24:26] = internet_checksum(bytes(written[14:34])).to_bytes(2, "big")
    return bytes(written)


def test_protocol_112_behind_an_authentication_header_is_received_with_it() -> None:
    received = envelope.datagram_of(behind(112), link="em1")

    assert received is not None
    assert received.payload == bytes((112, 4)) + bytes(22) + PAYLOAD


def test_another_protocol_behind_an_authentication_header_is_not_received() -> None:
    assert envelope.datagram_of(behind(6), link="em1") is None
