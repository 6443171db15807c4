"""The simulated segment: who hears what, and when."""

from ipaddress import IPv4Address, ip_interface

import pytest
from msgspec.structs import replace

from pycarp.dialects import FREEBSD, UNIVERSAL
from pycarp.sim import Fabric
from pycarp.vocabulary import CARP_GROUPS, Datagram, Family, Outgoing
from pycarp.wire import ethernet

SENT = Outgoing(
    link="em0",
    family=Family.IPV4,
    source=IPv4Address("192.0.2.1"),
    destination=CARP_GROUPS[Family.IPV4],
    tos=0x10,
    identification=None,
    source_mac=None,
    payload=b"advertisement",
)

VIRTUAL = ethernet.virtual_mac(1)
SENT_FROM_VIRTUAL = replace(SENT, source_mac=VIRTUAL)
SHARED4, SHARED6 = ip_interface("192.0.2.50/24"), ip_interface("2001:db8::50/64")


def fabric(*ports: str, delay_ns: int = 0) -> Fabric:
    made = Fabric(delay_ns=delay_ns)
    for port in ports:
        made.attach(port)
    return made


def receivers(segment: Fabric, sender: str) -> list[str]:
    return [delivery.port for delivery in segment.deliveries(sender, SENT, 0)]


def test_everybody_but_the_sender_hears() -> None:
    segment = fabric("a", "b", "c")

    assert receivers(segment, "b") == ["a", "c"]


def test_a_delivery_comes_after_the_delay() -> None:
    segment = fabric("a", "b", delay_ns=7)

    (delivery,) = segment.deliveries("a", SENT, 100)

    assert delivery.at_ns == 107


def test_what_arrives_is_what_was_sent_with_ttl_255() -> None:
    segment = fabric("a", "b")

    (delivery,) = segment.deliveries("a", SENT, 0)

    assert delivery.datagram == Datagram(
        link="em0",
        family=Family.IPV4,
        source=IPv4Address("192.0.2.1"),
        destination=IPv4Address("224.0.0.18"),
        ttl=255,
        payload=b"advertisement",
    )


def test_a_cut_has_one_direction() -> None:
    segment = fabric("a", "b")
    segment.cut("a", "b")

    assert receivers(segment, "a") == []
    assert receivers(segment, "b") == ["a"]


def test_a_cut_leaves_the_others_alone() -> None:
    segment = fabric("a", "b", "c")
    segment.cut("a", "b")

    assert receivers(segment, "a") == ["c"]


def test_an_isolated_port_neither_hears_nor_is_heard() -> None:
    segment = fabric("a", "b", "c")
    segment.isolate("b")

    assert receivers(segment, "a") == ["c"]
    assert receivers(segment, "b") == []
    assert receivers(segment, "c") == ["a"]


def test_healing_undoes_every_cut() -> None:
    segment = fabric("a", "b", "c")
    segment.isolate("a")
    segment.cut("b", "c")
    segment.heal()

    assert receivers(segment, "a") == ["b", "c"]
    assert receivers(segment, "b") == ["a", "c"]


def test_a_detached_port_hears_nothing() -> None:
    segment = fabric("a", "b")
    segment.detach("b")

    assert receivers(segment, "a") == []
    assert segment.ports == ("a",)


def test_detaching_a_port_that_is_not_there_does_nothing() -> None:
    segment = fabric("a")
    segment.detach("b")

    assert segment.ports == ("a",)


def test_a_name_can_be_attached_once() -> None:
    segment = fabric("a")

    with pytest.raises(AssertionError, match="'a' is taken"):
        segment.attach("a")


def test_a_looped_port_hears_itself() -> None:
    segment = fabric("a", "b")
    segment.loop("a")

    assert (receivers(segment, "a"), receivers(segment, "b")) == (["a", "b"], ["a"])


def test_healing_undoes_loops() -> None:
    segment = fabric("a", "b")
    segment.loop("a")
    segment.heal()

    assert receivers(segment, "a") == ["b"]


def test_what_is_sent_later_takes_the_delay_of_then() -> None:
    segment = fabric("a", "b", delay_ns=7)
    segment.delay_ns = 9

    assert [delivery.at_ns for delivery in segment.deliveries("a", SENT, 100)] == [109]


def test_a_frame_to_an_address_goes_where_the_last_one_from_it_entered() -> None:
    segment = fabric("a", "b")
    segment.deliveries("a", SENT_FROM_VIRTUAL, 0)
    segment.deliveries("b", SENT_FROM_VIRTUAL, 0)

    assert segment.port_of(VIRTUAL) == "b"


def test_a_frame_to_an_address_that_nobody_has_sent_from_goes_to_all() -> None:
    segment = fabric("a", "b")
    segment.deliveries("a", SENT, 0)

    assert segment.port_of(VIRTUAL) is None


def test_a_frame_from_the_links_own_address_moves_no_other() -> None:
    segment = fabric("a", "b")
    segment.deliveries("a", SENT_FROM_VIRTUAL, 0)
    segment.deliveries("b", SENT, 0)

    assert segment.port_of(VIRTUAL) == "a"


def test_a_cut_does_not_keep_the_switch_from_learning() -> None:
    segment = fabric("a", "b")
    segment.isolate("a")
    segment.deliveries("a", SENT_FROM_VIRTUAL, 0)

    assert segment.port_of(VIRTUAL) == "a"


def test_what_was_learned_at_a_port_goes_with_it() -> None:
    segment = fabric("a", "b")
    segment.deliveries("a", SENT_FROM_VIRTUAL, 0)
    segment.detach("a")

    assert segment.port_of(VIRTUAL) is None


def test_a_gratuitous_arp_from_the_virtual_mac_moves_it() -> None:
    segment = fabric("a", "b")
    segment.announce("a", [SHARED4], UNIVERSAL.arp, VIRTUAL)

    assert segment.port_of(VIRTUAL) == "a"


def test_a_gratuitous_arp_from_the_links_own_mac_does_not_move_the_virtual_one() -> None:
    segment = fabric("a", "b")
    segment.announce("a", [SHARED4], FREEBSD.arp, VIRTUAL)

    assert segment.port_of(VIRTUAL) is None


def test_a_neighbour_advertisement_moves_the_virtual_mac_whatever_arp_does() -> None:
    segment = fabric("a", "b")
    segment.announce("a", [SHARED4, SHARED6], FREEBSD.arp, VIRTUAL)

    assert segment.port_of(VIRTUAL) == "a"
