"""Slots: advertisements leave before they are due, never after, and no error adds up."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pycarp.core import Engine
from pycarp.core.effects import Announce, HoldAddresses, Transmit
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AdminChanged,
    DemotionSet,
    HostAdded,
    HostRemoved,
    LinkChanged,
    TimePassed,
)
from pycarp.core.slots import MANY, SLOT_NS, Phases, slot_before, slot_for
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW
from tests.support.hosts import KEY, OWN, config, link


def sent_at(*, advbase: int = 1, advskew: int = 0, began_ns: int = 0, count: int = 50, beside: int = 0) -> list[int]:
    """Return when a host sends as MASTER, woken exactly when it wants to be; ``beside`` others are on its link."""
    engine = Engine(entropy=lambda: 1, slot_ns=SLOT_NS)
    engine.handle(LinkChanged(link(OWN)), began_ns)
    for number in range(beside):
        other = config(vhid=100 + number, addresses=[f"192.168.1.{100 + number}/24"])
        engine.handle(HostAdded(other), began_ns)
        engine.handle(AdminChanged(other.key, is_up=False), began_ns)
    step = engine.handle(HostAdded(config(advbase=advbase, advskew=advskew)), began_ns)
    times: list[int] = []
    while len(times) < count:
        assert step.deadline_ns is not None
        now_ns = step.deadline_ns
        step = engine.handle(TimePassed(), now_ns)
        times += [now_ns for each in step.effects if isinstance(each, Transmit) and each.key == KEY]
        held = [each for each in step.effects if isinstance(each, HoldAddresses)]
        if held:
            step = engine.handle(ActuationReported(KEY, held[0].epoch, Action.HOLD, None), now_ns)
    return times


def test_an_interval_of_whole_seconds_does_not_vary() -> None:
    first, *later = sent_at(began_ns=123_456_789)

    assert all(at_ns % SLOT_NS == 0 for at_ns in later)
    assert {after - before for before, after in pairwise(later)} == {NS_PER_S}
    assert NS_PER_S - SLOT_NS < later[0] - first <= NS_PER_S


@given(began_ns=st.integers(0, 10**10))
def test_many_hosts_of_a_link_are_due_at_one_of_two_times_of_a_second(began_ns: int) -> None:
    first, *later = sent_at(began_ns=began_ns, count=10, beside=MANY - 1)
    _other, *same = sent_at(count=10, beside=MANY - 1)

    assert {at_ns % (NS_PER_S // 2) for at_ns in later} == {at_ns % (NS_PER_S // 2) for at_ns in same}
    assert {after - before for before, after in pairwise(later)} == {NS_PER_S}
    assert NS_PER_S // 2 < later[0] - first <= NS_PER_S


@given(advskew=st.integers(0, 254), began_ns=st.integers(0, 10**10))
def test_no_advertisement_of_many_hosts_is_late(advskew: int, began_ns: int) -> None:
    first, *later = sent_at(advskew=advskew, began_ns=began_ns, count=20, beside=MANY - 1)

    interval_ns = NS_PER_S + advskew * NS_PER_SKEW
    assert later[0] - first <= interval_ns
    # Only the first interval may be shorter: no later one is by more than a slot, and no error adds up.
    due_ns = later[0] if interval_ns % (NS_PER_S // 2) == 0 else first + interval_ns
    for number, at_ns in enumerate(later):
        assert 0 <= due_ns + number * interval_ns - at_ns < SLOT_NS


@settings(max_examples=8, deadline=None)
@given(drawn=st.integers(0, 2**64 - 1), began_ns=st.integers(0, 10**10))
def test_many_hosts_repeat_announcements_at_the_times_at_which_they_advertise(drawn: int, began_ns: int) -> None:
    engine = Engine(entropy=lambda: drawn, slot_ns=SLOT_NS)
    engine.handle(LinkChanged(link(OWN)), began_ns)
    for number in range(MANY):
        made = config(vhid=number + 1, addresses=[f"192.168.1.{100 + number}/24"], announce_every_s=5)
        step = engine.handle(HostAdded(made), began_ns)
    announced: list[int] = []
    advertised: list[int] = []
    while len(advertised) < 40 * MANY:
        assert step.deadline_ns is not None
        now_ns = step.deadline_ns
        step = engine.handle(TimePassed(), now_ns)
        advertised += [now_ns for each in step.effects if isinstance(each, Transmit)]
        announced += [now_ns for each in step.effects if isinstance(each, Announce)]
        for held in [each for each in step.effects if isinstance(each, HoldAddresses)]:
            step = engine.handle(ActuationReported(held.key, held.epoch, Action.HOLD, None), now_ns)

    assert len(announced) > 5 * MANY
    assert {at_ns % (NS_PER_S // 2) for at_ns in announced[2 * MANY :]} == {advertised[-1] % (NS_PER_S // 2)}


def test_hosts_of_other_links_share_other_times() -> None:
    phases = Phases(SLOT_NS)
    on_link = [phases.add(f"eth{number}") for number in range(5) for _ in range(MANY)]

    assert len({each.before(NS_PER_S, NS_PER_S) for each in on_link}) == 5


def test_links_with_few_hosts_share_the_times_of_the_link_with_most() -> None:
    phases = Phases(SLOT_NS)
    for _ in range(MANY):
        most = phases.add("eth1")
    few = [phases.add(f"eth{number}") for number in range(2, 9)]

    assert {each.before(NS_PER_S, NS_PER_S) for each in few} == {most.before(NS_PER_S, NS_PER_S)}


def test_many_links_with_few_hosts_share_their_times() -> None:
    phases = Phases(SLOT_NS)
    few = [phases.add(f"eth{number % 10}") for number in range(MANY)]

    assert len({each.before(NS_PER_S, NS_PER_S) for each in few}) == 1


def test_the_times_follow_from_the_numbers_of_hosts_alone() -> None:
    phases, again = Phases(SLOT_NS), Phases(SLOT_NS)
    for name in ("eth1", "eth2", "eth2", "eth3", "eth3"):
        phases.add(name)
    phases.remove("eth3")
    for name in ("eth3", "eth2", "eth2", "eth1"):
        again.add(name)

    assert phases.busiest.link == again.busiest.link


def test_a_host_that_was_removed_does_not_count() -> None:
    engine = Engine(entropy=lambda: 1, slot_ns=SLOT_NS)
    engine.handle(LinkChanged(link(OWN)), 0)
    for number in range(MANY - 1):
        other = config(vhid=100 + number, addresses=[f"192.168.1.{100 + number}/24"])
        engine.handle(HostAdded(other), 0)
        epoch = engine.host_snapshot(other.key).epoch
        engine.handle(HostRemoved(other.key), 0)
        engine.handle(ActuationReported(other.key, epoch + 1, Action.DROP, None), 0)
    assert not engine.snapshot().hosts
    engine.handle(HostAdded(config()), 0)

    step = engine.handle(TimePassed(), 3 * NS_PER_S)
    assert any(isinstance(each, Transmit) for each in step.effects)
    while not any(isinstance(each, HoldAddresses) for each in step.effects):
        assert step.deadline_ns is not None
        step = engine.handle(TimePassed(), step.deadline_ns)
    assert step.deadline_ns == 4 * NS_PER_S


@given(advskew=st.integers(0, 254), began_ns=st.integers(0, 10**10))
def test_no_advertisement_is_late_and_no_error_adds_up(advskew: int, began_ns: int) -> None:
    first, *later = sent_at(advskew=advskew, began_ns=began_ns)

    interval_ns = NS_PER_S + advskew * NS_PER_SKEW
    for number, at_ns in enumerate(later, 1):
        assert 0 <= first + number * interval_ns - at_ns < SLOT_NS


@given(
    advbase=st.integers(0, 2),
    advskew=st.integers(1, 254),
    demotion=st.integers(0, 255),
    began_ns=st.integers(0, 10**9),
    late_ns=st.integers(0, 3 * 10**9),
)
def test_nothing_is_due_before_now(advbase: int, advskew: int, demotion: int, began_ns: int, late_ns: int) -> None:
    engine = Engine(entropy=lambda: 1, slot_ns=SLOT_NS)
    engine.handle(LinkChanged(link(OWN)), began_ns)
    engine.handle(HostAdded(config(advbase=advbase, advskew=advskew)), began_ns)
    step = engine.handle(DemotionSet(KEY, "disk", demotion), began_ns)
    for _ in range(30):
        assert step.deadline_ns is not None
        now_ns = step.deadline_ns + late_ns
        step = engine.handle(TimePassed(), now_ns)
        for each in step.effects:
            if isinstance(each, HoldAddresses):
                step = engine.handle(ActuationReported(KEY, each.epoch, Action.HOLD, None), now_ns)

        assert step.deadline_ns is not None
        assert step.deadline_ns > now_ns


@given(interval_ns=st.integers(NS_PER_SKEW, 2 * NS_PER_S), dead_ratio=st.integers(2, 255))
def test_no_slot_is_longer_than_an_eighth_of_the_interval(interval_ns: int, dead_ratio: int) -> None:
    assert 0 < slot_for(SLOT_NS, interval_ns, dead_ratio) <= min(SLOT_NS, interval_ns // 8)


def test_who_waits_for_a_single_interval_sees_no_slots() -> None:
    assert slot_for(SLOT_NS, NS_PER_S, dead_ratio=1) == 0


def test_without_slots_each_time_is_its_own() -> None:
    assert slot_before(123, 0) == 123
