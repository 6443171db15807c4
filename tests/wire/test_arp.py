"""Gratuitous ARP, in the forms of the BSDs and of ucarp."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.errors import DecodeError
from pycarp.vocabulary import MacAddress
from pycarp.wire import arp, ethernet

MACS = st.builds(MacAddress, st.binary(min_size=6, max_size=6))
SHARED = IPv4Address("192.168.1.50")
OWNER = MacAddress.parse("02:00:00:00:00:99")
VIRTUAL = ethernet.virtual_mac(1)
REQUEST = bytes.fromhex("0001080006040001") + OWNER.octets + SHARED.packed + bytes(6) + SHARED.packed


@given(
    st.builds(
        arp.Arp,
        operation=st.sampled_from(arp.Operation),
        sender_mac=MACS,
        sender=st.ip_addresses(v=4),
        target_mac=MACS,
        target=st.ip_addresses(v=4),
    )
)
def test_what_is_written_is_read_back(packet: arp.Arp) -> None:
    assert arp.decode(arp.encode(packet)) == packet


def test_padding_behind_the_packet_is_ignored() -> None:
    assert arp.decode(REQUEST + bytes(18)) == arp.decode(REQUEST)


@pytest.mark.parametrize("length", range(28))
def test_fewer_than_28_octets_are_refused(length: int) -> None:
    with pytest.raises(DecodeError, match=f"^{length} octets are too short"):
        arp.decode(REQUEST[:length])


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 5])
def test_other_hardware_or_another_protocol_is_refused(offset: int) -> None:
    octets = bytearray(REQUEST)
    octets[offset] ^= 0x40

    with pytest.raises(DecodeError, match="not ARP for IPv4 over Ethernet"):
        arp.decode(bytes(octets))


@pytest.mark.parametrize("operation", [0, 3, 0x0100])
def test_an_operation_that_is_neither_request_nor_reply_is_refused(operation: int) -> None:
    with pytest.raises(DecodeError, match=f"ARP operation {operation} is neither"):
        arp.decode(REQUEST[:6] + operation.to_bytes(2, "big") + REQUEST[8:])


def test_an_announcement_is_a_broadcast_request_from_and_for_the_address() -> None:
    """Source: carp.md section 7, the form of the BSDs."""
    frame = arp.gratuitous(SHARED, OWNER)

    assert frame == b"\xff" * 6 + OWNER.octets + b"\x08\x06" + REQUEST


def test_ucarp_writes_its_own_mac_as_the_target() -> None:
    """Source: captured, carp.md section 7."""
    packet = arp.decode(arp.gratuitous(SHARED, OWNER, target_mac=OWNER)[14:])

    assert (packet.operation, packet.sender_mac, packet.target_mac) == (arp.Operation.REQUEST, OWNER, OWNER)


def test_a_reply_can_be_announced_as_well() -> None:
    packet = arp.decode(arp.gratuitous(SHARED, OWNER, operation=arp.Operation.REPLY)[14:])

    assert packet.operation is arp.Operation.REPLY


def test_the_frame_may_come_from_another_mac_than_the_owners() -> None:
    """Source: NetBSD sends it from the parent's MAC, carp.md section 13."""
    frame = arp.gratuitous(SHARED, VIRTUAL, ethernet_source=OWNER)

    assert ethernet.decode(frame).source == OWNER
    assert arp.decode(frame[14:]).sender_mac == VIRTUAL


def test_a_probe_may_ask_a_single_machine() -> None:
    frame = ethernet.decode(arp.probe(SHARED, OWNER, to=VIRTUAL))

    assert (frame.destination, arp.decode(frame.payload).sender) == (VIRTUAL, IPv4Address(0))
