"""The frames of an announcement."""

import contextlib
from ipaddress import IPv4Address, IPv6Interface, ip_interface
from pathlib import Path

import pytest

from pycarp.actuators.announcer import Announcer, frames
from pycarp.dialects.dialect import ArpForm
from pycarp.vocabulary import MacAddress
from pycarp.wire import arp, ethernet, ip, ndp
from tests.support.capture import Capture
from tests.support.namespaces import LINK, entered, joined_namespaces
from tests.support.system import require

OWNER = MacAddress.parse("02:00:00:00:00:07")
ADDRESSES = (ip_interface("192.0.2.10/24"), ip_interface("192.0.2.11/32"))


def announced(form: ArpForm) -> list[arp.Arp]:
    return [arp.decode(ethernet.decode(frame).payload) for frame in frames(ADDRESSES, OWNER, form)]


def test_every_address_is_announced_at_its_owner() -> None:
    told = announced(ArpForm(own_target_mac=False, link_source=False, with_reply=False))

    assert [(each.sender, each.target, each.sender_mac) for each in told] == [
        (IPv4Address("192.0.2.10"), IPv4Address("192.0.2.10"), OWNER),
        (IPv4Address("192.0.2.11"), IPv4Address("192.0.2.11"), OWNER),
    ]


def test_requests_come_before_replies() -> None:
    told = announced(ArpForm(own_target_mac=False, link_source=False, with_reply=True))

    assert [each.operation for each in told] == [arp.Operation.REQUEST] * 2 + [arp.Operation.REPLY] * 2


def test_replies_are_sent_only_where_the_form_wants_them() -> None:
    told = announced(ArpForm(own_target_mac=False, link_source=False, with_reply=False))

    assert {each.operation for each in told} == {arp.Operation.REQUEST}


@pytest.mark.parametrize(("own_target_mac", "expected"), [(True, OWNER), (False, arp.ZERO_MAC)])
def test_the_target_mac_is_what_the_form_says(own_target_mac: bool, expected: MacAddress) -> None:
    told = announced(ArpForm(own_target_mac=own_target_mac, link_source=False, with_reply=True))

    assert {each.target_mac for each in told} == {expected}


def test_frames_are_broadcast_by_the_owner() -> None:
    form = ArpForm(own_target_mac=True, link_source=False, with_reply=True)
    outer = [ethernet.decode(frame) for frame in frames(ADDRESSES, OWNER, form)]

    assert {(each.source, each.destination, each.ethertype) for each in outer} == {
        (OWNER, ethernet.BROADCAST, ethernet.ETHERTYPE_ARP)
    }


V6 = (IPv6Interface("2001:db8::10/64"),)
ANY_FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=True)


def neighbour(frame: bytes) -> ndp.NeighbourAdvertisement:
    """Return the neighbour advertisement in a frame."""
    packet = ip.decode_ipv6(ethernet.decode(frame).payload)
    assert packet.destination == ndp.ALL_NODES
    assert packet.hop_limit == 255
    return ndp.decode(packet.payload, source=packet.source, destination=packet.destination)


def test_an_ipv6_address_is_announced_by_one_unsolicited_advertisement() -> None:
    """Source: carp.md section 7: Override set, Solicited clear, the target is the shared address."""
    (frame,) = frames(V6, OWNER, ANY_FORM)

    assert neighbour(frame) == ndp.NeighbourAdvertisement(target=V6[0].ip, target_mac=OWNER)
    assert str(ethernet.decode(frame).destination) == "33:33:00:00:00:01"


def test_a_router_says_that_it_is_one() -> None:
    (frame,) = frames(V6, OWNER, ANY_FORM, is_router=True)

    assert neighbour(frame).is_router


@pytest.mark.parametrize("link_source", [True, False])
def test_the_ethernet_source_is_what_the_form_says(link_source: bool) -> None:
    """Source: carp.md section 7: FreeBSD and NetBSD send from the real MAC, OpenBSD from the virtual one."""
    real = MacAddress.parse("02:00:00:00:00:99")
    form = ArpForm(own_target_mac=False, link_source=link_source, with_reply=False)
    (frame,) = frames(ADDRESSES[:1], OWNER, form, link_mac=real)

    assert ethernet.decode(frame).source == (real if link_source else OWNER)


@pytest.mark.system
def test_announcing_on_a_link_that_does_not_exist_is_an_os_error() -> None:
    require()
    with contextlib.closing(Announcer()) as announcer, pytest.raises(OSError, match="No such device"):
        announcer.announce("nosuchlink0", ADDRESSES, ArpForm(own_target_mac=False, link_source=False, with_reply=False))


@pytest.mark.system
def test_the_neighbour_sees_the_announcement_from_the_links_own_mac() -> None:
    require("ip")
    with joined_namespaces() as (ours, theirs), Capture(theirs) as capture:
        with entered(ours), contextlib.closing(Announcer()) as announcer:
            announcer.announce(LINK, ADDRESSES[:1], ArpForm(own_target_mac=False, link_source=False, with_reply=True))
        seen = capture.frames(lambda frame: frame.ethertype == ethernet.ETHERTYPE_ARP, 2)

    told = [arp.decode(frame.payload) for frame in seen]
    assert [each.operation for each in told] == [arp.Operation.REQUEST, arp.Operation.REPLY]
    assert {each.sender_mac for each in told} == {seen[0].source}
    assert {each.sender for each in told} == {IPv4Address("192.0.2.10")}


@pytest.mark.system
@pytest.mark.parametrize("is_router", [True, False])
def test_the_neighbour_is_told_whether_the_link_forwards(is_router: bool) -> None:
    require("ip")
    with joined_namespaces() as (ours, theirs), Capture(theirs) as capture:
        with entered(ours), contextlib.closing(Announcer()) as announcer:
            Path(f"/proc/sys/net/ipv6/conf/{LINK}/forwarding").write_text(str(int(is_router)))
            announcer.announce(LINK, V6, ANY_FORM)
        (seen,) = capture.frames(
            lambda frame: frame.ethertype == ethernet.ETHERTYPE_IPV6 and V6[0].packed in frame.payload[40:], 1
        )

    assert neighbour(ethernet.encode(seen)).is_router is is_router


@pytest.mark.system
def test_a_link_that_is_too_narrow_for_ipv6_is_announced_on_all_the_same() -> None:
    """Below 1280 octets the kernel has no IPv6 on a link, and no IPv6 sysctls for it."""
    require("ip")
    with joined_namespaces() as (ours, theirs), Capture(theirs) as capture:
        ours.ip("link", "set", LINK, "mtu", "1000")
        with entered(ours), contextlib.closing(Announcer()) as announcer:
            announcer.announce(LINK, ADDRESSES[:1], ANY_FORM)
        (seen,) = capture.frames(lambda frame: frame.ethertype == ethernet.ETHERTYPE_ARP, 1)

    assert arp.decode(seen.payload).sender == IPv4Address("192.0.2.10")
