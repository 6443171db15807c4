"""The tool itself: plans survive being written, runs are repeatable, and the checker sees what it is there to see."""

import asyncio
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from pycarp import Reason, State
from pycarp.testing import Ownership, VirtualTimeLoop
from tests.storms import bounds
from tests.storms.checker import judge
from tests.storms.plan import CLASSES, Action, Plan, draw, from_json
from tests.storms.record import Change, Done, Promise, Record
from tests.storms.run import Run, record
from tests.storms.script import script_of
from tests.storms.shrinking import smallest
from tests.storms.spans import complement, intersection, union, without

VIP = "192.0.2.10/24"


def ownership(member: str, since_s: float, until_s: float | None) -> Ownership:
    return Ownership(address=ip_interface(VIP), member=member, since_s=since_s, until_s=until_s)


def record_of(*history: Ownership, plan: Plan | None = None, done: tuple[Done, ...] = ()) -> Record:
    """Two members, of which a was MASTER until second 10 and b from then on."""
    found = Record(plan=plan or Plan(), done=list(done), history=history, vhids={VIP: 1}, end_s=30.0, calm_at_s=20.0)
    found.intervals_s = 2.0
    found.changes = {
        (0, 1): [Change(3.0, State.MASTER, Reason.MASTER_SILENT), Change(10.0, State.BACKUP, Reason.BETTER_MASTER)],
        (1, 1): [Change(0.0, State.BACKUP, Reason.READY), Change(9.9, State.MASTER, Reason.PREEMPTING)],
    }
    return found


def promises(found: Record) -> list[Promise]:
    return [each.promise for each in judge(found)]


# Plans


@pytest.mark.parametrize("seed", range(50))
def test_a_plan_survives_being_written(seed: int) -> None:
    plan = draw(seed)

    assert from_json(plan.to_json()) == plan


def test_a_seed_is_always_the_same_plan() -> None:
    assert draw(7) == draw(7) != draw(8)


def test_every_class_of_actions_is_drawn_and_can_be_run_and_written_as_a_script() -> None:
    drawn = {each.do for seed in range(400) for each in draw(seed).actions}

    assert len(CLASSES) == 25
    assert all(hasattr(Run, f"_do_{do}") for do in drawn)
    for seed in range(60):
        compile(script_of(draw(seed)), f"seed {seed}", "exec")


def test_the_same_plan_goes_the_same_way() -> None:
    plan = draw(5)

    assert record(plan).history == record(plan).history


# What is judged


def test_two_owners_are_seen_however_short() -> None:
    found = record_of(ownership("a", 3.0, 10.0), ownership("b", 9.99999, None))

    assert promises(found) == [Promise.TWO_OWNERS]


def test_owners_one_after_the_other_are_none_too_many() -> None:
    assert promises(record_of(ownership("a", 3.0, 10.0), ownership("b", 10.0, None))) == []


def test_a_slow_drop_excuses_two_owners_beyond_the_grace_only() -> None:
    slow = Done(1.0, Action(at_us=0, do="slow", who=0, name="drop", amount=500))
    plan = Plan(delay_us=50)
    late = record_of(ownership("a", 3.0, 10.4), ownership("b", 9.93, None), plan=plan, done=(slow,))
    late.changes[0, 1][1] = Change(9.91, State.BACKUP, Reason.BETTER_MASTER)
    early = record_of(ownership("a", 3.0, 10.4), ownership("b", 9.905, None), plan=plan, done=(slow,))
    early.changes[0, 1][1] = Change(9.903, State.BACKUP, Reason.BETTER_MASTER)

    assert (promises(late), promises(early)) == ([], [Promise.TWO_OWNERS])


@pytest.mark.parametrize(("reason", "overlap_s"), [(Reason.BETTER_MASTER, 0.024), (Reason.TIE_LOST, 0.036)])
def test_late_datagrams_excuse_two_delays_and_between_equal_claims_three(reason: Reason, overlap_s: float) -> None:
    delay = Done(1.0, Action(at_us=0, do="delay", amount=12_000))
    for more_s, expected in ((-0.001, []), (0.001, [Promise.TWO_OWNERS])):
        ends_s = 9.95 + overlap_s + more_s
        found = record_of(ownership("a", 3.0, ends_s), ownership("b", 9.95, None), done=(delay,))
        found.changes[0, 1][1] = Change(ends_s, State.BACKUP, reason)

        assert promises(found) == expected


@pytest.mark.parametrize(("ended_s", "expected"), [(9.0, [Promise.TWO_OWNERS]), (19.0, [])])
def test_a_rolling_change_that_does_not_reach_a_host_in_time_splits_the_segment(
    ended_s: float, expected: list[Promise]
) -> None:
    found = record_of(ownership("a", 3.0, 19.5), ownership("b", 18.5, None))
    found.rolls.append((8.0, ended_s))
    found.changes[0, 1][1] = Change(19.5, State.BACKUP, Reason.BETTER_MASTER)

    assert promises(found) == expected


def test_a_host_that_started_while_another_dropped_listens_only() -> None:
    slow = Done(1.0, Action(at_us=0, do="slow", who=0, name="drop", amount=500))
    found = record_of(ownership("a", 3.0, 10.4), ownership("b", 10.305, None), done=(slow,))
    found.changes[1, 1] = [
        Change(0.0, State.INIT, None),
        Change(10.2, State.BACKUP, Reason.READY),
        Change(10.3015, State.MASTER, Reason.FORCED),
    ]
    early = record_of(ownership("a", 3.0, 10.4), ownership("b", 10.305, None), done=(slow,))
    early.changes[1, 1] = [Change(0.0, State.BACKUP, Reason.READY), found.changes[1, 1][-1]]

    assert (promises(found), promises(early)) == ([], [Promise.TWO_OWNERS])


def test_a_partition_excuses_two_owners_until_it_is_settled() -> None:
    fault = Done(5.0, Action(at_us=0, do="partition")), Done(8.0, Action(at_us=0, do="heal"))
    within = record_of(ownership("a", 3.0, 10.0), ownership("b", 6.0, None), done=fault)
    beyond = record_of(
        ownership("a", 3.0, 10.0), ownership("b", 6.0, None), done=(fault[0], replace(fault[1], at_s=7.0))
    )

    assert Promise.TWO_OWNERS not in promises(within)
    assert Promise.TWO_OWNERS in promises(beyond)


def test_a_member_whose_link_is_down_is_no_owner() -> None:
    down = Done(9.0, Action(at_us=0, do="link_down", who=0))

    assert Promise.TWO_OWNERS not in promises(
        record_of(ownership("a", 3.0, 10.0), ownership("b", 9.9, None), done=(down,))
    )


def test_addresses_held_by_a_backup_are_seen() -> None:
    assert Promise.HELD_BY_OTHERS in promises(record_of(ownership("a", 3.0, 10.5), ownership("b", 10.5, None)))


def test_a_master_without_addresses_is_seen_beside_a_healthy_backup() -> None:
    found = record_of(ownership("a", 3.0, 5.0))
    found.changes[0, 1].pop()
    found.changes[1, 1].pop()

    assert promises(found) == [Promise.MASTER_WITHOUT]


def test_what_is_left_behind_is_seen() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        timer = loop.call_later(10_000, print)
        found = runner.run(Run(Plan()).record())
        timer.cancel()

    assert [each.promise for each in found.violations] == [Promise.LEFT_OVER]


# Bounds


def test_the_bound_without_faults_is_zero() -> None:
    found = record_of()

    assert bounds.late_s(found, is_tie=True) == 0
    assert (bounds.segment_faults(found), bounds.standstills(found, 0), bounds.stuck_drops(found, 0)) == ((), (), ())


def test_a_grace_is_measured_by_the_clock_of_the_one_who_waits() -> None:
    right, fast = record_of(), record_of(plan=Plan(clocks=(0, 50)))

    assert bounds.grace_s(right) == bounds.GRACE_S
    assert bounds.grace_s(fast) == pytest.approx(bounds.GRACE_S / 1.05)


@pytest.mark.parametrize(("advbase", "lifetime_s"), [(0, None), (1, 2.0), (2, 5.0)])
def test_a_kernel_keeps_addresses_for_less_than_the_master_down_time(advbase: int, lifetime_s: float | None) -> None:
    assert bounds.kernel_lifetime_s(Plan(advbase=advbase)) == lifetime_s


# Shrinking


def test_shrinking_keeps_only_what_is_needed() -> None:
    plan = Plan(
        advskews=(17, 100, 200),
        preempt=True,
        families=(4, 6),
        jitter_us=500,
        actions=(
            Action(at_us=1_234_567, do="demote", who=2, amount=10, name="disk"),
            Action(at_us=4_000_123, do="fail", who=1, name="drop"),
            Action(at_us=4_500_321, do="force", who=0, name="BACKUP"),
            Action(at_us=5_000_001, do="advskew", who=1, amount=30),
        ),
    )
    fail = Action(at_us=4_000_000, do="fail", who=0, name="drop")

    assert smallest(plan, lambda each: any(action.do == "fail" for action in each.actions)) == Plan(
        advskews=(100,), actions=(fail,)
    )


# Spans


def test_spans_are_sets() -> None:
    one, other = ((0.0, 2.0), (4.0, 6.0)), ((1.0, 5.0),)

    assert union(one, other) == ((0.0, 6.0),)
    assert intersection(one, other) == ((1.0, 2.0), (4.0, 5.0))
    assert without(one, other) == ((0.0, 1.0), (5.0, 6.0))
    assert complement(complement(one)) == one
