"""Advertisements that say nothing new: the short way ends where the long one does, and the rest is heard at once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from pycarp.core import Engine
from pycarp.core.host import reactions
from pycarp.core.host.context import Context, Outbox
from pycarp.core.inputs import (
    AdminChanged,
    DatagramReceived,
    DatagramsReceived,
    DemotionSet,
    HostReconfigured,
    HostRemoved,
    Input,
    RestrictionSet,
    StateForced,
    TimePassed,
)
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.dialects import UNIVERSAL, Dialect
from pycarp.vocabulary import Family
from tests.support.histories import (
    LISTS,
    PASSPHRASES,
    Change,
    Life,
    Report,
    WorldRecord,
    dialects,
    entropy,
    lives,
    slots_ns,
)
from tests.support.hosts import KEY, LINK, Bench, advert, bench, config, seconds

PLACE = (LINK, Family.IPV4)


class Forgetful(dict[Any, Any]):
    """A dictionary that has nothing, whatever is stored in it."""

    def __setitem__(self, _key: object, _value: object) -> None:
        """Store nothing."""

    def __delitem__(self, _key: object) -> None:
        """Delete nothing."""


class Slow(Engine):
    """An engine that always takes the long way."""

    def __init__(self, *, entropy: Callable[[], int], slot_ns: int) -> None:
        super().__init__(entropy=entropy, slot_ns=slot_ns)
        self._calm = Forgetful()

    @staticmethod
    def _repeat(*_arguments: object) -> None:
        return None


class Counting(Engine):
    """An engine that counts how often a MASTER took the short way."""

    repeated = 0

    @staticmethod
    def _repeat(ctx: Context, now_ns: int, out: Outbox) -> int | None:
        due_ns = reactions.repeat(ctx, now_ns, out)
        Counting.repeated += due_ns is not None
        return due_ns


def settled(made: Bench) -> dict[int, bytes]:
    """Return the heads that may be set aside, if they have changed since this was asked last."""
    return dict(made.engine.settled.changes().get(PLACE, {}))


def calm() -> Bench:
    """Return a BACKUP that has heard its MASTER three times."""
    made = bench(config(advskew=100))
    for number in range(3):
        made.hear(advert(counter=number), at_ns=seconds(1 + number))
    return made


@settings(max_examples=150, deadline=None)
@given(dialect=dialects, history=lives(), slot_ns=slots_ns)
def test_the_short_way_ends_where_the_long_one_does(
    dialect: Dialect, history: list[tuple[int | None, WorldRecord]], slot_ns: int
) -> None:
    both = [Life(kind(entropy=entropy(1), slot_ns=slot_ns), dialect) for kind in (Engine, Slow)]
    for life in both:
        life.begin()
    for wait_ns, record in history:
        told = both[0].live(wait_ns, record)
        if told is not None:
            assert both[1].engine.handle(*told) == both[0].step
            assert both[1].engine.checkpoint() == both[0].engine.checkpoint()


OFTEN: list[WorldRecord] = [StateForced(KEY, State.MASTER), TimePassed(), Report(0, None), TimePassed(), TimePassed()]
PREFERRED = Change(KEY, PASSPHRASES[0], LISTS[0], 0, 0)


@settings(max_examples=40, deadline=None)
@given(dialect=dialects, history=lives(), slot_ns=slots_ns)
def test_a_master_that_repeats_itself_ends_where_it_would_on_the_long_way(
    dialect: Dialect, history: list[tuple[int | None, WorldRecord]], slot_ns: int
) -> None:
    both = [Life(kind(entropy=entropy(1), slot_ns=slot_ns), dialect) for kind in (Counting, Slow)]
    for life in both:
        life.begin()
        life.live(0, PREFERRED)
    for wait_ns, record in [each for entry in history for each in (entry, *((None, often) for often in OFTEN))]:
        told = both[0].live(wait_ns, record)
        if told is not None:
            assert both[1].engine.handle(*told) == both[0].step
            assert both[1].engine.checkpoint() == both[0].engine.checkpoint()


def test_a_master_repeats_itself_on_the_short_way() -> None:
    life = Life(Counting(entropy=entropy(1)), UNIVERSAL)
    life.begin()
    before = Counting.repeated
    records: list[WorldRecord] = [PREFERRED, *OFTEN, Report(0, None), Report(0, None)]
    for record in [*records, *[TimePassed()] * 20]:
        life.live(None, record)

    assert Counting.repeated > before


def test_a_host_is_settled_once_its_master_has_repeated_itself() -> None:
    made = calm()

    assert settled(made) == {1: advert().payload[:6]}


def test_nothing_new_changes_nothing() -> None:
    made = calm()
    settled(made)
    made.hear(advert(counter=3), at_ns=seconds(4))

    assert not made.engine.settled.has_changed


UNSETTLING: list[Input] = [
    StateForced(KEY, State.MASTER),
    AdminChanged(KEY, is_up=False),
    DemotionSet(None, "load", 1),
    RestrictionSet(KEY, "load", Restriction.NO_PREEMPT),
    HostReconfigured(config(advskew=50)),
    HostRemoved(KEY),
    DatagramReceived(advert(advskew=200, counter=3)),
    DatagramReceived(advert(advbase=255, advskew=255, counter=3)),
]


@pytest.mark.parametrize("event", UNSETTLING, ids=lambda each: type(each).__name__)
def test_whatever_else_happens_to_a_host_unsettles_it_at_once(event: Input) -> None:
    made = calm()
    settled(made)
    made.feed(event, at_ns=seconds(3.5))

    assert made.engine.settled.has_changed
    assert settled(made) == {}


def test_a_master_down_time_below_a_second_lets_nothing_wait() -> None:
    made = bench(config(advbase=0, advskew=20))
    for number in range(3):
        made.hear(advert(advbase=0, advskew=10, counter=number), at_ns=seconds(0.05 * (1 + number)))

    assert settled(made) == {}


def test_the_deadline_counts_from_the_arrival() -> None:
    made = calm()
    waited = advert(counter=3)._replace(waited_ns=seconds(0.25))
    made.feed(DatagramsReceived((waited,)), at_ns=seconds(4))

    assert made.engine.host_snapshot(KEY).deadline_ns == seconds(3.75) + config(advskew=100).master_down_ns


def test_the_deadline_counts_from_the_arrival_on_the_long_way_too() -> None:
    made = bench(config(advskew=100))
    made.hear(advert(counter=1), at_ns=seconds(1))
    made.hear(advert(counter=2)._replace(waited_ns=seconds(0.25)), at_ns=seconds(2))

    assert made.engine.host_snapshot(KEY).deadline_ns == seconds(1.75) + config(advskew=100).master_down_ns


def test_what_waited_longer_than_another_puts_nothing_forward() -> None:
    made = calm()
    before_ns = made.engine.host_snapshot(KEY).deadline_ns
    waited = advert(counter=3)._replace(waited_ns=seconds(2))
    made.feed(DatagramsReceived((waited,)), at_ns=seconds(4))

    assert made.engine.host_snapshot(KEY).deadline_ns == before_ns


def test_what_arrived_in_time_and_is_read_when_the_deadline_comes_leaves_it_calm() -> None:
    made = calm()
    settled(made)
    due_ns = made.engine.host_snapshot(KEY).deadline_ns
    assert due_ns is not None
    waited = advert(counter=3)._replace(waited_ns=seconds(1))
    made.feed(DatagramsReceived((waited,)), at_ns=due_ns + seconds(0.001))

    assert not made.engine.settled.has_changed
    assert (
        made.engine.host_snapshot(KEY).deadline_ns == due_ns + seconds(0.001 - 1) + config(advskew=100).master_down_ns
    )


def test_after_a_stall_what_waited_is_looked_at_in_full() -> None:
    made = calm()
    settled(made)
    due_ns = made.engine.host_snapshot(KEY).deadline_ns
    assert due_ns is not None
    waited = advert(counter=3)._replace(waited_ns=seconds(1))
    made.feed(DatagramsReceived((waited,)), at_ns=due_ns + seconds(0.5))

    assert settled(made) == {}


def test_what_was_put_off_is_no_reason_to_wake_up() -> None:
    made = calm()
    made.hear(advert(counter=3), at_ns=seconds(6))

    assert made.step.deadline_ns == made.engine.host_snapshot(KEY).deadline_ns


def test_what_the_node_does_not_allow_goes_nowhere() -> None:
    made = calm()
    before_ns = made.engine.host_snapshot(KEY).deadline_ns
    made.engine._settings = replace(Settings(), allow=False)
    made.hear(advert(counter=3), at_ns=seconds(4))

    assert made.engine.host_snapshot(KEY).deadline_ns == before_ns
