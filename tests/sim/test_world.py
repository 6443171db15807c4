"""The world of nodes: what a runtime does, without a clock."""

import pytest

from pycarp.core.inputs import ActuationReported, DatagramReceived, DemotionSet, HostAdded, TransmitReported
from pycarp.core.statistics import DropReason, Statistic
from pycarp.runtime.runtime import DRAIN_BUDGET
from pycarp.sim.scenario.world import Trouble, World, WorldRecord
from pycarp.vocabulary import NS_PER_S, LinkFacts
from tests.support.hosts import KEY, LINK, OWN, advert, config, link


def world(*names: str) -> tuple[World, list[WorldRecord]]:
    """Return nodes with one host each, of growing advskew, and the list that their entries go to."""
    seen: list[WorldRecord] = []
    made = World(observe=seen.append)
    for number, name in enumerate(names):
        made.add(name)
        made.connect(name, link(f"192.168.1.{number + 3}/24"))
        made.submit(name, HostAdded(config(advskew=100 * number)))
    return made, seen


def test_time_stops_where_it_was_told_to() -> None:
    made, _seen = world("a")
    made.run(until_ns=7 * NS_PER_S + 3)

    assert made.now_ns == 7 * NS_PER_S + 3


def test_one_of_two_becomes_master() -> None:
    made, _seen = world("a", "b")
    made.run(until_ns=10 * NS_PER_S)

    assert made.masters == ["a"]


def test_the_same_calls_give_the_same_history() -> None:
    histories = []
    for _time in range(2):
        made, seen = world("a", "b")
        made.run(until_ns=10 * NS_PER_S)
        histories.append(seen)

    assert histories[0] == histories[1]


def test_what_arrives_at_the_deadline_is_heard_before_it_passes() -> None:
    made, _seen = world("a")
    made.inject("a", advert(), at_ns=3 * NS_PER_S)
    made.run(until_ns=3 * NS_PER_S)

    assert made.masters == []


def test_actuations_are_reported() -> None:
    made, seen = world("a")
    made.run(until_ns=4 * NS_PER_S)

    assert [each.event.error for each in seen if isinstance(each.event, ActuationReported)] == [None, None]


def test_sends_are_reported_once_one_has_failed() -> None:
    made, seen = world("a")
    made.run(until_ns=3 * NS_PER_S)
    made.break_("a", Trouble.SENDS)
    made.run(until_ns=4 * NS_PER_S)
    made.repair("a", Trouble.SENDS)
    made.run(until_ns=5 * NS_PER_S)

    reports = [each.event.error for each in seen if isinstance(each.event, TransmitReported)]
    assert reports == ["No buffer space available", None]


def test_what_fails_to_be_sent_is_not_heard() -> None:
    made, seen = world("a", "b")
    made.break_("a", Trouble.SENDS)
    made.run(until_ns=NS_PER_S * 33 // 10)

    assert not [each for each in seen if isinstance(each.event, DatagramReceived)]


def test_a_entry_says_what_was_counted_and_dropped() -> None:
    made, seen = world("a")
    made.inject("a", advert(ttl=1), at_ns=1)
    made.run(until_ns=1)

    assert (seen[-1].dropped, seen[-1].counted) == (
        DropReason.TTL,
        frozenset({Statistic.RECEIVED_IPV4, Statistic.BAD_TTL}),
    )


def test_a_dead_link_hears_nothing() -> None:
    made, seen = world("a", "b")
    made.connect("b", LinkFacts(name=LINK, is_up=False))
    before = len(seen)
    made.run(until_ns=4 * NS_PER_S)

    assert not [each for each in seen[before:] if each.node == "b"]


def test_a_crashed_node_is_gone_without_a_word() -> None:
    made, seen = world("a")
    made.run(until_ns=4 * NS_PER_S)
    before = len(seen)
    made.crash("a")

    assert (made.nodes, seen[before:]) == ((), [])


def test_a_packet_on_its_way_to_a_crashed_node_is_lost() -> None:
    made, _seen = world("a")
    made.inject("a", advert(), at_ns=5)
    made.crash("a")
    made.run(until_ns=10)

    assert made.now_ns == 10


def test_a_name_is_taken_once() -> None:
    made, _seen = world("a")

    with pytest.raises(AssertionError, match="there already"):
        made.add("a")


def test_links_of_other_names_are_other_segments() -> None:
    made, _seen = world("a")
    made.add("b")
    made.connect("b", LinkFacts(name="em9", is_up=True))
    made.submit("b", HostAdded(config(interface="em9", advskew=5)))
    made.run(until_ns=10 * NS_PER_S)

    assert made.masters == ["a", "b"]
    assert made.snapshot("a").hosts[0].key == KEY


def test_more_than_one_turn_of_inputs_is_handled_at_one_moment() -> None:
    seen: list[WorldRecord] = []

    def observe(record: WorldRecord) -> None:
        seen.append(record)
        if len(seen) == 1:
            for amount in range(1, 2 * DRAIN_BUDGET):
                made.submit("a", DemotionSet(None, "test", amount))

    made = World(observe=observe)
    made.add("a")
    made.connect("a", link(OWN))

    assert len(seen) == 2 * DRAIN_BUDGET
