"""The reconciler of one host: what it returns after every intent, result and pause. Values in, values out."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface

import pytest

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action
from pycarp.core.lease_timings import LeaseTimings
from pycarp.dialects.dialect import ArpForm
from pycarp.runtime.reconciler import (
    ABANDONED_MAX,
    Attempt,
    CancelAttempt,
    Gate,
    Idle,
    Pace,
    Reconciler,
    RetryAt,
    Todo,
)
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress

KEY = HostKey("em0", 1)
A, B = ip_interface("192.0.2.10/24"), ip_interface("192.0.2.11/24")
FORM = ArpForm(own_target_mac=False, link_source=False, with_reply=False)
PACE = Pace()


@dataclass(slots=True)
class Bench:
    """A reconciler at a time, and what it has reported."""

    gate: Gate = field(default_factory=Gate)
    now_ns: int = 0
    reports: list[tuple[int, Action, str | None]] = field(default_factory=list)
    last: Todo = field(default_factory=lambda: Todo(Idle()))
    one: Reconciler = field(init=False)

    def __post_init__(self) -> None:
        self.one = Reconciler(KEY, self.gate)

    def note(self, todo: Todo) -> Todo:
        self.reports += [(each.epoch, each.action, each.error) for each in todo.reports]
        self.last = todo
        return todo

    def hold(
        self, epoch: int, *addresses: InterfaceAddress, previous: tuple[InterfaceAddress, ...] = (), force: bool = False
    ) -> Todo:
        return self.note(self.one.take(HoldAddresses(KEY, epoch, addresses or (A,), previous, force), self.now_ns))

    def drop(self, epoch: int, *addresses: InterfaceAddress, force: bool = False) -> Todo:
        return self.note(self.one.take(DropAddresses(KEY, epoch, addresses or (A,), force), self.now_ns))

    def announce(self, epoch: int) -> Todo:
        return self.note(self.one.take(Announce(KEY, epoch, (A,), FORM), self.now_ns))

    @property
    def started(self) -> Attempt:
        assert isinstance(self.last.next, Attempt)
        return self.last.next

    def begin(self) -> Attempt:
        """Begin the attempt that was asked for last."""
        attempt = self.started
        assert self.one.begin(attempt, self.now_ns) is not None
        return attempt

    def end(self, attempt: Attempt, error: str | None = None) -> Todo:
        return self.note(self.one.attempt_ended(attempt, error, self.now_ns))

    def make(self, error: str | None = None) -> Todo:
        """Begin and end the attempt that was asked for last."""
        return self.end(self.begin(), error)

    def wait(self, span_ns: int) -> Todo:
        self.now_ns += span_ns
        return self.note(self.one.time_passed(self.now_ns))


def test_an_intent_is_attempted_and_reported_under_its_epoch() -> None:
    bench = Bench()
    bench.hold(3)
    bench.make()

    assert bench.reports == [(3, Action.HOLD, None)]
    assert bench.last.next == Idle()


def test_intents_in_between_are_never_attempted() -> None:
    bench = Bench()
    bench.drop(1)
    attempt = bench.begin()
    bench.hold(2)
    bench.drop(3, A, B)
    bench.hold(4)
    bench.end(attempt)

    assert bench.started.effect == HoldAddresses(KEY, 4, (A,))


def test_a_hold_of_the_same_addresses_is_reported_without_work() -> None:
    bench = Bench()
    bench.hold(1, A, B)
    bench.make()
    bench.hold(2, B, A)

    assert bench.last.next == Idle()
    assert bench.reports == [(1, Action.HOLD, None), (2, Action.HOLD, None)]


def test_a_hold_that_is_to_last_otherwise_is_carried_out() -> None:
    bench = Bench()
    for epoch, lifetime_s in ((1, 2), (2, None)):
        lease_timings = LeaseTimings(lifetime_s=lifetime_s, timeout_ns=1, renewal_interval_ns=1, margin_ns=None)
        bench.note(bench.one.take(HoldAddresses(KEY, epoch, (A,), lease_timings=lease_timings), 0))
        bench.make()

    assert bench.reports == [(1, Action.HOLD, None), (2, Action.HOLD, None)]


@pytest.mark.parametrize(
    ("addresses", "previous", "force"), [((A, B), (), False), ((A,), (B,), False), ((A,), (), True)]
)
def test_a_hold_that_asks_for_more_is_carried_out(
    addresses: tuple[InterfaceAddress, ...], previous: tuple[InterfaceAddress, ...], force: bool
) -> None:
    bench = Bench()
    bench.hold(1)
    bench.make()
    bench.hold(2, *addresses, previous=previous, force=force)

    assert bench.started.action is Action.HOLD


def test_a_drop_of_what_was_dropped_already_is_reported_without_work() -> None:
    bench = Bench()
    bench.drop(1, A, B)
    bench.make()
    bench.drop(2, B)

    assert bench.reports[-1] == (2, Action.DROP, None)
    assert bench.last.next == Idle()


def test_a_hold_after_a_drop_that_was_never_made_is_carried_out() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make()
    bench.drop(2)
    drop = bench.started
    bench.hold(3)
    bench.end(drop, "cancelled")

    assert bench.started.effect == HoldAddresses(KEY, 3, (A,))


# Drops


def test_a_drop_cancels_a_hold_that_is_under_way() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.begin()

    assert bench.drop(2).next == CancelAttempt(attempt, PACE.cancel_ns)


def test_a_cancelled_hold_is_not_reported_and_is_followed_by_the_drop_at_once() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.begin()
    bench.drop(2)
    bench.end(attempt, "CancelledError")

    assert bench.reports == []
    assert bench.started.action is Action.DROP


def test_a_cancelled_hold_is_followed_by_a_drop_even_if_they_were_dropped_before() -> None:
    bench = Bench()
    bench.drop(1)
    bench.make()
    bench.hold(2)
    attempt = bench.begin()
    bench.drop(3)
    bench.end(attempt, "CancelledError")

    assert bench.started.effect == DropAddresses(KEY, 3, (A,))


def test_a_hold_that_ends_well_although_it_was_cancelled_has_held() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.begin()
    bench.drop(2)
    bench.end(attempt)

    assert bench.reports == [(1, Action.HOLD, None)]
    assert bench.started.action is Action.DROP


def test_a_drop_under_way_is_never_cancelled_for_a_hold() -> None:
    bench = Bench()
    bench.drop(1)
    bench.begin()

    assert bench.hold(2).next == RetryAt(PACE.timeout_ns)


def test_an_attempt_that_has_not_begun_gives_way_and_changes_nothing() -> None:
    bench = Bench()
    bench.drop(1)
    waits = bench.started
    bench.hold(2)

    assert bench.one.begin(waits, 0) is None
    bench.end(waits)
    assert bench.reports == []
    assert bench.started.action is Action.HOLD


def test_a_hold_that_does_not_end_is_left_alone_and_put_right_when_it_ends() -> None:
    bench = Bench()
    bench.hold(1)
    deaf = bench.begin()
    bench.drop(2)
    bench.wait(PACE.cancel_ns)
    bench.make()
    told = list(bench.reports)
    bench.end(deaf)
    bench.make()

    assert told == bench.reports == [(2, Action.DROP, None)]
    assert bench.one.may_hold == frozenset()


def test_what_was_put_right_in_vain_is_tried_again() -> None:
    bench = Bench()
    bench.hold(1)
    deaf = bench.begin()
    bench.drop(2)
    bench.wait(PACE.cancel_ns)
    bench.make()
    bench.end(deaf)
    bench.make("busy")
    bench.wait(PACE.retry_first_ns)

    assert bench.started.action is Action.DROP


def test_attempts_that_never_end_do_not_pile_up() -> None:
    bench = Bench()
    bench.hold(1)
    deaf = []
    while isinstance(bench.last.next, Attempt):
        deaf.append(bench.begin())
        for _ in range(3):
            bench.wait(PACE.timeout_ns)
    rests = bench.last.next
    bench.end(deaf[0])

    assert (len(deaf), rests) == (ABANDONED_MAX, Idle())
    assert isinstance(bench.last.next, Attempt)


def test_an_attempt_that_never_began_is_not_waited_for() -> None:
    bench = Bench()
    bench.drop(1)
    waits = bench.started
    bench.hold(2)
    bench.wait(PACE.cancel_ns)

    assert bench.started.action is Action.HOLD
    assert bench.one.begin(waits, bench.now_ns) is None


# Failures


def test_a_failure_is_reported_and_tried_again_after_pauses_that_double() -> None:
    bench = Bench()
    bench.hold(1)
    pauses = []
    for _ in range(8):
        todo = bench.make("busy")
        assert isinstance(todo.next, RetryAt)
        pauses.append((todo.next.at_ns - bench.now_ns) / NS_PER_S)
        bench.wait(todo.next.at_ns - bench.now_ns)

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert bench.reports == [(1, Action.HOLD, "busy")] * 8


def test_a_success_makes_the_next_pause_short_again() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make("busy")
    bench.wait(PACE.retry_first_ns)
    bench.make()
    bench.hold(2, A, B)

    assert bench.make("busy").next == RetryAt(bench.now_ns + PACE.retry_first_ns)


def test_a_new_intent_does_not_wait_for_the_pause_of_the_last() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make("busy")

    assert isinstance(bench.drop(2).next, Attempt)


def test_an_attempt_that_takes_too_long_is_cancelled_and_reported() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.begin()

    assert bench.wait(PACE.timeout_ns).next == CancelAttempt(attempt, bench.now_ns + PACE.cancel_ns)
    bench.end(attempt, "CancelledError")
    assert bench.reports == [(1, Action.HOLD, "took longer than 15 s")]


def test_after_a_hold_that_took_too_long_the_next_one_gets_less_time() -> None:
    bench = Bench()
    bench.hold(1)
    first = bench.begin()
    bench.hold(2)
    bench.wait(PACE.timeout_ns)
    bench.end(first, "CancelledError")
    second = bench.begin()

    assert bench.wait(PACE.timeout_again_ns).next == CancelAttempt(second, bench.now_ns + PACE.cancel_ns)
    bench.end(second, "CancelledError")
    assert bench.reports == [(1, Action.HOLD, "took longer than 15 s"), (2, Action.HOLD, "took longer than 3 s")]


@pytest.mark.parametrize("intent", [Bench.hold, Bench.drop])
def test_after_a_success_a_hold_has_all_its_time_again(intent: Callable[[Bench, int], Todo]) -> None:
    bench = Bench()
    bench.hold(1)
    first = bench.begin()
    bench.wait(PACE.timeout_ns)
    intent(bench, 2)
    bench.end(first, "CancelledError")
    bench.make()
    bench.hold(3, A, B)

    assert bench.one.begin(bench.started, bench.now_ns) == RetryAt(bench.now_ns + PACE.timeout_ns)


def test_a_drop_has_all_its_time_after_a_hold_that_took_too_long() -> None:
    bench = Bench()
    bench.hold(1)
    first = bench.begin()
    bench.wait(PACE.timeout_ns)
    bench.drop(2)
    bench.end(first, "CancelledError")

    assert bench.one.begin(bench.started, bench.now_ns) == RetryAt(bench.now_ns + PACE.timeout_ns)


def test_time_counts_from_where_an_attempt_begins() -> None:
    bench = Bench()
    bench.drop(1)

    assert bench.wait(10 * PACE.timeout_ns).next == Idle()


def test_a_retry_that_is_wished_for_does_not_wait() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make("busy")

    assert isinstance(bench.one.retry(0).next, Attempt)


# Announcements


def test_an_announcement_waits_until_the_hold_of_its_epoch_is_achieved() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.begin()
    waits = bench.announce(1).next
    bench.end(attempt)

    assert waits == RetryAt(PACE.timeout_ns)
    assert bench.started.action is Action.ANNOUNCE


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_announcement_of_another_epoch_is_discarded(epoch: int) -> None:
    bench = Bench()
    bench.hold(2)
    bench.make()
    bench.announce(epoch)

    assert bench.last.next == Idle()
    bench.hold(3)
    assert bench.last.next == Idle()


def test_an_announcement_that_failed_is_reported_and_not_repeated() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make()
    bench.announce(1)

    assert bench.make("no such device").next == Idle()
    assert bench.reports[-1] == (1, Action.ANNOUNCE, "no such device")


def test_an_announcement_under_way_gives_way_to_whatever_comes() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make()
    bench.announce(1)
    attempt = bench.begin()

    assert isinstance(bench.drop(2).next, CancelAttempt)
    assert isinstance(bench.end(attempt, "CancelledError").next, Attempt)
    assert (1, Action.ANNOUNCE, "CancelledError") not in bench.reports


# Others change the addresses


def test_the_first_change_by_others_is_put_right_at_once() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make()

    assert isinstance(bench.hold(2, force=True).next, Attempt)


def test_a_thousand_changes_by_others_lead_to_few_holds() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make()
    holds = 0
    for epoch in range(2, 1002):
        bench.hold(epoch, force=True)
        for span_ns in (0, NS_PER_S // 100):
            bench.wait(span_ns)
            if isinstance(bench.last.next, Attempt):
                holds += 1
                bench.make()

    # In ten seconds: at 0, 0.1, 0.3, 0.7, 1.5 and then every second.
    assert holds == 12
    bench.wait(PACE.repair_max_ns)
    bench.make()
    assert bench.reports[-1] == (1001, Action.HOLD, None)


def test_drops_are_put_right_at_least_every_second() -> None:
    bench = Bench()
    bench.drop(1)
    bench.make()
    at_ns = []
    for epoch in range(2, 1002):
        bench.drop(epoch, force=True)
        for span_ns in (0, NS_PER_S // 100):
            bench.wait(span_ns)
            if isinstance(bench.last.next, Attempt):
                at_ns.append(bench.now_ns)
                bench.make()

    assert max(after - before for before, after in itertools.pairwise(at_ns)) <= NS_PER_S


def test_a_change_after_a_quiet_time_is_put_right_at_once_again() -> None:
    bench = Bench()
    bench.hold(1, force=True)
    bench.make()
    bench.hold(2, force=True)
    bench.wait(PACE.repair_first_ns)
    bench.make()
    bench.wait(3 * NS_PER_S)
    bench.hold(3, force=True)
    bench.make()

    assert bench.hold(4, force=True).next == RetryAt(bench.now_ns + PACE.repair_first_ns)


def test_a_drop_does_not_wait_for_the_pause_between_repairs() -> None:
    bench = Bench()
    bench.hold(1, force=True)
    bench.make()
    bench.hold(2, force=True)

    assert isinstance(bench.drop(3).next, Attempt)


@pytest.mark.parametrize("error", [None, "no such device"])
def test_the_first_drop_after_a_hold_is_no_repair(error: str | None) -> None:
    bench = Bench()
    bench.hold(1, force=True)
    bench.make()
    bench.wait(PACE.repair_first_ns)
    bench.hold(2, force=True)
    bench.make(error)

    assert isinstance(bench.drop(3, force=True).next, Attempt)


def test_a_first_hold_that_failed_does_not_make_the_drop_a_repair() -> None:
    bench = Bench()
    bench.drop(1, force=True)
    bench.make()
    bench.hold(2)
    bench.make("no such device")

    assert isinstance(bench.drop(3, force=True).next, Attempt)


def test_a_change_during_an_attempt_is_not_taken_for_achieved() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.begin()
    bench.hold(2, force=True)
    bench.end(attempt)

    assert bench.started.effect == HoldAddresses(KEY, 2, (A,), force=True)


def test_a_repair_that_was_put_off_is_not_forgotten_by_the_next_intent() -> None:
    bench = Bench()
    bench.hold(1, force=True)
    bench.make()
    bench.hold(2, force=True)
    bench.hold(3)

    assert isinstance(bench.last.next, Attempt)


# What may be held


def test_what_was_never_asked_for_is_not_held() -> None:
    assert Bench().one.may_hold == frozenset()


def test_what_is_to_be_dropped_may_be_held_until_it_is_dropped() -> None:
    bench = Bench()
    bench.drop(1, A, B)
    attempt = bench.begin()
    under_way = bench.one.may_hold
    bench.end(attempt, "busy")
    failed = bench.one.may_hold
    bench.wait(NS_PER_S)
    bench.make()

    assert under_way == failed == {A, B}
    assert bench.one.may_hold == frozenset()


def test_a_hold_that_failed_may_have_held() -> None:
    bench = Bench()
    bench.hold(1)
    bench.make("busy")

    assert bench.one.may_hold == {A}


def test_previous_addresses_may_be_held_until_they_are_dropped() -> None:
    bench = Bench()
    bench.hold(1, A, B)
    bench.make()
    bench.hold(2, A, previous=(B,))
    attempt = bench.begin()
    before = bench.one.may_hold
    bench.end(attempt)

    assert [set(before), set(bench.one.may_hold)] == [{A, B}, {A}]


# The end


def test_surrender_drops_everything_that_may_be_held() -> None:
    bench = Bench()
    bench.hold(1, A, B)
    bench.make()
    bench.hold(2, A, previous=(B,))
    attempt = bench.begin()
    bench.note(bench.one.surrender(0))
    bench.end(attempt, "CancelledError")

    assert bench.started.effect == DropAddresses(KEY, 3, (A, B))


def test_surrender_of_a_host_that_holds_nothing_lets_no_hold_begin() -> None:
    bench = Bench()
    bench.hold(1)
    attempt = bench.started
    todo = bench.one.surrender(0)

    assert isinstance(todo.next, CancelAttempt)
    assert bench.one.begin(attempt, 0) is None


# The gate


def test_holds_wait_for_a_place_and_drops_do_not() -> None:
    bench = Bench(gate=Gate(0))

    assert bench.hold(1).next == Idle()
    assert isinstance(bench.drop(2).next, Attempt)


def test_who_has_waited_longest_is_next_when_there_is_a_place() -> None:
    gate = Gate(1)
    attempts = [Attempt(HoldAddresses(HostKey("em0", vhid), 1, (A,))) for vhid in (1, 2, 3)]
    entered = [gate.enter(each) for each in attempts]
    full = gate.next_host()
    gate.leave(attempts[0])

    assert (entered, full, gate.next_host()) == ([True, False, False], None, HostKey("em0", 2))


def test_a_host_that_is_closed_leaves_its_place() -> None:
    gate = Gate(1)
    bench = Bench(gate=gate)
    bench.hold(1)
    bench.begin()
    bench.one.close()

    assert gate.enter(Attempt(HoldAddresses(KEY, 2, (A,))))


def test_a_hold_that_stands_aside_waits_on_for_a_newer_one_which_is_made_next() -> None:
    bench = Bench()
    bench.hold(1, A)
    aside = bench.started
    bench.one.stand_aside(aside)
    bench.hold(2, B, previous=(A,))
    is_waiting = isinstance(bench.last.next, Idle)
    is_begun = bench.one.begin(aside, bench.now_ns) is not None
    bench.end(aside)
    bench.make()

    assert (is_waiting, is_begun) == (True, False)
    assert bench.reports == [(2, Action.HOLD, None)]
    assert bench.one.may_hold == {B}


def test_a_hold_that_stands_aside_is_cancelled_for_a_drop() -> None:
    bench = Bench()
    bench.hold(1)
    aside = bench.started
    bench.one.stand_aside(aside)
    bench.hold(2)
    bench.drop(3)

    assert isinstance(bench.last.next, CancelAttempt)
    assert bench.last.next.attempt is aside
