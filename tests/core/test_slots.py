"""Slots: advertisements leave before they are due, never after, and no error adds up."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pycarp.core import Engine
from pycarp.core.effects import HoldAddresses, Transmit
from pycarp.core.inputs import Action, ActuationReported, DemotionSet, HostAdded, LinkChanged, TimePassed
from pycarp.core.slots import SLOT_NS, Phase, slot_before, slot_for
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW
from tests.support.hosts import KEY, OWN, config, link


def sent_at(*, advbase: int = 1, advskew: int = 0, began_ns: int = 0, count: int = 50) -> list[int]:
    """Return when a host sends as MASTER, woken exactly when it wants to be."""
    engine = Engine(entropy=lambda: 1, slot_ns=SLOT_NS)
    engine.handle(LinkChanged(link(OWN)), began_ns)
    step = engine.handle(HostAdded(config(advbase=advbase, advskew=advskew)), began_ns)
    times: list[int] = []
    while len(times) < count:
        assert step.deadline_ns is not None
        now_ns = step.deadline_ns
        step = engine.handle(TimePassed(), now_ns)
        times += [now_ns for each in step.effects if isinstance(each, Transmit)]
        held = [each for each in step.effects if isinstance(each, HoldAddresses)]
        if held:
            step = engine.handle(ActuationReported(KEY, held[0].epoch, Action.HOLD, None), now_ns)
    return times


def test_an_interval_of_whole_seconds_does_not_vary() -> None:
    first, *later = sent_at(began_ns=123_456_789)

    assert all(at_ns % SLOT_NS == 0 for at_ns in later)
    assert {after - before for before, after in pairwise(later)} == {NS_PER_S}
    assert NS_PER_S // 2 < later[0] - first <= NS_PER_S


@given(began_ns=st.integers(0, 10**10))
def test_whole_seconds_begin_at_one_of_two_times_that_all_hosts_of_a_link_share(began_ns: int) -> None:
    _first, *later = sent_at(began_ns=began_ns)
    _other, *same = sent_at(began_ns=0)

    assert {at_ns % (NS_PER_S // 2) for at_ns in later} == {at_ns % (NS_PER_S // 2) for at_ns in same}


def test_hosts_of_other_links_share_other_times() -> None:
    times = {Phase(SLOT_NS, f"eth{number}").before(NS_PER_S, NS_PER_S) for number in range(5)}

    assert len(times) == 5


@given(advskew=st.integers(0, 254), began_ns=st.integers(0, 10**10))
def test_no_advertisement_is_late_and_no_error_adds_up(advskew: int, began_ns: int) -> None:
    first, *later = sent_at(advskew=advskew, began_ns=began_ns)

    interval_ns = NS_PER_S + advskew * NS_PER_SKEW
    assert later[0] - first <= interval_ns
    if interval_ns % (NS_PER_S // 2) == 0:
        # The first interval may be shorter, and none is afterwards.
        first = later[0] - interval_ns
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
