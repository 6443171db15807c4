"""Decoding of rtnetlink messages that no test of a real link causes."""

import struct

import pytest

from pycarp.system.rtnetlink.route_messages import (
    Message,
    link_essence,
    link_has_mac,
    link_head,
    link_index,
    link_state,
    messages,
)
from pycarp.vocabulary import MacAddress

_AF_UNSPEC, _AF_BRIDGE = 0, 7
_NEW_LINK = 16


def attribute(kind: int, octets: bytes) -> bytes:
    length = 4 + len(octets)
    return struct.pack("=HH", length, kind) + octets + bytes(-length % 4)


def link_message(family: int, *attributes: bytes) -> bytes:
    body = struct.pack("=BxHiII", family, 1, 7, 0x1043, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), _NEW_LINK, 0, 3, 0) + body


@pytest.mark.parametrize(("family", "index"), [(_AF_UNSPEC, 7), (_AF_BRIDGE, 0)])
def test_a_message_about_the_port_of_a_bridge_is_about_no_link(family: int, index: int) -> None:
    (message,) = messages(link_message(family))

    assert link_index(message) == index


def test_messages_come_one_after_the_other_until_one_is_cut_off() -> None:
    whole = link_message(_AF_UNSPEC, attribute(3, b"eth0\0"))
    found = list(messages(whole + whole + whole[:-1]))

    assert found == [Message(_NEW_LINK, 0, 3, whole)] * 2
    assert list(messages(b"")) == list(messages(whole[:15])) == []


@pytest.mark.parametrize("length", [0, 3, 15])
def test_a_length_that_cannot_be_ends_the_reading(length: int) -> None:
    whole = link_message(_AF_UNSPEC)

    assert list(messages(struct.pack("=I", length) + whole[4:])) == []


def test_an_attribute_that_is_too_short_ends_the_reading_and_what_was_before_counts() -> None:
    (message,) = messages(link_message(_AF_UNSPEC, attribute(3, b"eth0\0"), struct.pack("=HH", 3, 4)))
    state = link_state(message)

    assert (state.name, state.index, state.is_up, state.mac, state.mtu, state.below) == ("eth0", 7, True, None, 0, 0)


def test_a_link_in_another_namespace_is_none_to_be_on() -> None:
    on_five = attribute(5, struct.pack("=I", 5))
    (ours,) = messages(link_message(_AF_UNSPEC, on_five))
    (others,) = messages(link_message(_AF_UNSPEC, on_five, attribute(37, struct.pack("=I", 0))))

    assert (link_state(ours).below, link_state(others).below) == (5, 0)


def test_what_matters_of_a_link_is_read_whatever_the_order_of_its_attributes() -> None:
    some = [
        attribute(3, b"eth0\0"),
        attribute(16, b"\x06"),
        attribute(4, struct.pack("=I", 1500)),
        attribute(1, b"\0" * 6),
    ]
    others = [attribute(kind, b"\1") for kind in (13, 23, 26)]
    (one,), (other,) = (messages(link_message(_AF_UNSPEC, *each)) for each in (some + others, others + some[::-1]))

    assert link_essence(one) == link_essence(other) == (7, "eth0", 0x41, b"\x06", 1500, b"\0" * 6)
    assert link_essence(one).is_up
    assert link_head(one) == link_head(other) == (7, "eth0", 0x1043)
    assert link_head(one).is_up


def test_whether_a_link_has_a_mac_address_is_found_among_its_attributes() -> None:
    mac, other = MacAddress(bytes(range(6))), MacAddress(bytes(6))
    name, broadcast = attribute(3, b"eth0\0"), attribute(2, other.octets)
    (message,) = messages(link_message(_AF_UNSPEC, name, attribute(1, mac.octets), broadcast))

    assert link_has_mac(message, mac)
    assert not link_has_mac(message, other)


def test_the_mode_of_a_macvlan_is_read_from_its_data() -> None:
    data = attribute(2, attribute(1, struct.pack("=I", 16)))
    (message,) = messages(link_message(_AF_UNSPEC, attribute(18, attribute(1, b"macvlan\0") + data)))

    assert (link_state(message).kind, link_state(message).macvlan_mode) == ("macvlan", 16)
