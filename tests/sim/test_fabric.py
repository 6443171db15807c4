"""The simulated segment: who hears what, and when."""

from ipaddress import IPv4Address

import pytest

from pycarp.sim import Fabric
from pycarp.vocabulary import CARP_GROUPS, Datagram, Family, Outgoing

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
