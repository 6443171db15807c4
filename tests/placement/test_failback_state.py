"""Whatever happens to a host, its failback policy restricts it for bounded times, and says when they end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pycarp import Reason, Restriction, State
from pycarp.core.events import DemotionChange, Event, MasterHeard, RestrictionChange, StateChange
from pycarp.core.state import EDGES
from pycarp.dialects.dialect import Claim
from pycarp.failback import Cause, Damping, FailbackPolicy
from pycarp.placement.failback_state import FailbackState, Moment, Saved
from tests.support.hosts import KEY, PEER

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
EVERYTHING = FailbackPolicy(
    startup_hold_s=30, failback_delay_s=60, min_dwell_s=600, damping=Damping(half_life_s=100, longest_s=400)
)
HEARD = MasterHeard(key=KEY, at_ns=0, source=PEER, claim=Claim(advbase=1, advskew=0))

policies = st.builds(
    FailbackPolicy,
    startup_hold_s=st.sampled_from([0, 30]),
    failback_delay_s=st.sampled_from([0, 60]),
    min_dwell_s=st.sampled_from([0, 600]),
    failback=st.sampled_from(["auto", "auto", "00:30-01:00"]),
    damping=st.sampled_from([None, Damping(half_life_s=100, longest_s=400)]),
)
changes = st.sampled_from(
    [
        StateChange(key=KEY, at_ns=0, old=old, new=new, reason=reason, epoch=1)
        for (old, new), reasons in EDGES.items()
        for reason in sorted(reasons)
    ]
)
others = st.one_of(
    st.just(HEARD),
    st.integers(0, 240).map(lambda by: DemotionChange(key=KEY, at_ns=0, total=by, causes=(("disk", by),))),
    st.sampled_from([(), (("gate", Restriction.BACKUP_ONLY),)]).map(
        lambda causes: RestrictionChange(key=KEY, at_ns=0, restriction=None, causes=causes)
    ),
)
histories = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 20.0, 100.0, 1000.0]), changes | others), max_size=30)


def at(seconds: float) -> Moment:
    return Moment(seconds, BEGIN + timedelta(seconds=seconds))


def after(history: list[tuple[float, Event]], policy: FailbackPolicy) -> tuple[FailbackState, float]:
    state, now_s, present = FailbackState(policy, at(0)), 0.0, State.INIT
    for wait_s, event in history:
        now_s += wait_s
        # From whatever state the host is in: the edges are those of the engine.
        state.handle(replace(event, old=present) if isinstance(event, StateChange) else event, at(now_s))
        present = event.new if isinstance(event, StateChange) else present
    return state, now_s


@given(history=histories, policy=policies)
def test_a_hold_lasts_exactly_until_it_says(history: list[tuple[float, Event]], policy: FailbackPolicy) -> None:
    state, now_s = after(history, policy)

    for hold in state.holds(at(now_s)):
        if hold.until_s is not None:
            assert hold.until_s > now_s
            assert hold.cause in {each.cause for each in state.holds(at((now_s + hold.until_s) / 2))}
            assert hold.cause not in {each.cause for each in state.holds(at(hold.until_s + 0.001))}


@given(history=histories, policy=policies)
def test_time_alone_lets_a_backup_that_hears_a_master_preempt(
    history: list[tuple[float, Event]], policy: FailbackPolicy
) -> None:
    state, now_s = after(history, policy)
    ready = StateChange(key=KEY, at_ns=0, old=State.INIT, new=State.BACKUP, reason=Reason.READY, epoch=1)
    state.handle(ready, at(now_s))
    state.handle(HEARD, at(now_s))
    ends_s = now_s + 2 * 24 * 3600
    while (now_s := state.changes_at_s(at(now_s)) or ends_s) < ends_s and state.holds(at(now_s)):
        pass

    assert state.holds(at(now_s)) == ()


@given(history=histories, policy=policies)
def test_only_the_startup_hold_keeps_a_host_from_addresses_that_nobody_serves(
    history: list[tuple[float, Event]], policy: FailbackPolicy
) -> None:
    state, now_s = after(history, policy)
    strict = [hold for hold in state.holds(at(now_s)) if hold.restriction is Restriction.BACKUP_ONLY]

    assert {hold.cause for hold in strict} <= {Cause.STARTUP_HOLD}
    state.handle(HEARD, at(now_s))
    assert all(hold.restriction is Restriction.NO_PREEMPT for hold in state.holds(at(now_s)))


@given(history=histories, policy=policies, away_s=st.sampled_from([-5000, 0, 10, 5000]))
def test_what_is_saved_is_what_the_next_process_goes_on_with(
    history: list[tuple[float, Event]], policy: FailbackPolicy, away_s: float
) -> None:
    state, now_s = after(history, policy)
    saved = state.saved(at(now_s), is_over=True)
    later = FailbackState(policy, Moment(7.0, at(now_s + away_s).local), saved)
    again = later.saved(Moment(7.0, at(now_s + away_s).local))

    assert again.penalty <= saved.penalty
    assert not (again.is_suppressed and not saved.is_suppressed)
    assert again.failed_at is None or saved.failed_at is not None
    until_s = [hold.until_s for hold in later.holds(Moment(7.0, at(now_s + away_s).local)) if hold.until_s]
    assert all(each <= 7 + 24 * 3600 for each in until_s)


@pytest.mark.parametrize("reason", [Reason.LINK_DOWN, Reason.ABSENT, Reason.CANNOT_SEND, Reason.NOT_HELD])
def test_while_master_the_dwell_after_a_failure_is_in_force_already(reason: Reason) -> None:
    """Between the failure and the restriction no packet may arrive that makes the host preempt."""
    state = FailbackState(EVERYTHING, at(0))
    state.handle(HEARD, at(0))
    master = StateChange(key=KEY, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=Reason.MASTER_SILENT, epoch=1)
    state.handle(master, at(100))
    before = {hold.cause for hold in state.holds(at(100))}
    lost = StateChange(key=KEY, at_ns=0, old=State.MASTER, new=State.BACKUP, reason=reason, epoch=2)
    state.handle(lost, at(101))

    assert {Cause.MIN_DWELL, Cause.FAILBACK_DELAY} <= before
    assert {hold.cause for hold in state.holds(at(101))} <= before | {Cause.STARTUP_HOLD}


@pytest.mark.parametrize("reason", [Reason.LINK_DOWN, Reason.LINK_DELETED])
def test_a_link_that_is_lost_as_master_is_a_failure_and_begins_the_startup_hold_when_it_is_back(reason: Reason) -> None:
    state = FailbackState(EVERYTHING, at(0))
    for at_s, old, new, why in (
        (100, State.BACKUP, State.MASTER, Reason.MASTER_SILENT),
        (200, State.MASTER, State.INIT, reason),
        (300, State.INIT, State.BACKUP, Reason.READY),
    ):
        state.handle(StateChange(key=KEY, at_ns=0, old=old, new=new, reason=why, epoch=1), at(at_s))

    until_s = {hold.cause: hold.until_s for hold in state.holds(at(300))}
    assert until_s == {Cause.STARTUP_HOLD: 330, Cause.FAILBACK_DELAY: None, Cause.MIN_DWELL: 800}


def test_a_clock_that_was_set_back_lengthens_nothing() -> None:
    saved = Saved(was_master=False, failed_at=BEGIN, penalty=900, at=BEGIN)
    state = FailbackState(EVERYTHING, Moment(0, BEGIN - timedelta(days=400)), saved)
    (dwell,) = [hold for hold in state.holds(at(0)) if hold.cause is Cause.MIN_DWELL]

    assert dwell.until_s == 600


@pytest.mark.parametrize(
    ("cause", "is_failure"),
    [
        ("kernel update", False),
        ("group router: lan: kernel update", False),
        ("drained: kernel update", False),
        ("group router: lan: drained: kernel update", False),
        ("group router: lan: handed over", False),
        ("disk", True),
        ("group router: lan: disk", True),
    ],
)
def test_a_mastership_that_is_lost_because_an_administrator_demoted_the_host_is_no_failure(
    cause: str, *, is_failure: bool
) -> None:
    policy = FailbackPolicy(min_dwell_s=600)
    state = FailbackState(policy, at(0), is_planned=lambda named: named == "kernel update")
    state.handle(changed(State.BACKUP, State.MASTER, Reason.MASTER_SILENT), at(1))
    state.handle(DemotionChange(key=KEY, at_ns=0, total=50, causes=((cause, 50),)), at(2))
    state.handle(changed(State.MASTER, State.BACKUP, Reason.BETTER_MASTER), at(3))

    assert ([hold.cause for hold in state.holds(at(4))] == [Cause.MIN_DWELL]) is is_failure


def changed(old: State, new: State, reason: Reason) -> StateChange:
    return StateChange(key=KEY, at_ns=0, old=old, new=new, reason=reason, epoch=1)
