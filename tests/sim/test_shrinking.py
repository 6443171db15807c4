"""Plans made short."""

import pytest

from pycarp.sim.faults.fault_plan import Fault, FaultPlan
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.faults.shrinking import shortest, simplest
from pycarp.sim.outcome import Promise
from pycarp.sim.simulation import simulate
from tests.support.topologies import topology_of

LONG = next(plan for plan in map(random_plan, range(99)) if len(plan.incidents) > 8)


def test_a_plan_keeps_only_what_makes_it_wrong() -> None:
    culprit = LONG.incidents[4].fault
    found = simplest(LONG, lambda plan: any(each.fault is culprit for each in plan.incidents))

    assert [each.fault for each in found.incidents] == [culprit]
    assert found.incidents[0].at_ns % 1_000_000_000 == 0
    assert len(found.members) == 1


def test_two_incidents_stay_when_both_are_needed() -> None:
    first, last = LONG.incidents[1], LONG.incidents[7]
    found = simplest(LONG, lambda plan: {first.fault, last.fault} <= {each.fault for each in plan.incidents})

    assert len(found.incidents) == len({first.fault, last.fault})


def test_a_plan_that_cannot_be_simpler_is_returned_as_it_is() -> None:
    assert simplest(LONG, LONG.__eq__, most=40) == LONG


@pytest.mark.parametrize("most", [0, 1, 30])
def test_shrinking_ends_when_its_budget_does(most: int) -> None:
    asked: list[FaultPlan] = []

    def is_wrong(plan: FaultPlan) -> bool:
        asked.append(plan)
        return len(plan.incidents) > 3

    simplest(LONG, is_wrong, most=most)

    assert len(asked) <= most


def test_hosts_that_never_hear_each_other_need_no_incident_to_be_two_owners() -> None:
    members = topology_of(3, passwords={"b": "another"})
    plan = next(each for each in (random_plan(seed, members=members) for seed in range(99)) if len(each.incidents) > 8)
    broken = next(each for each in simulate(plan).violations if each.promise is Promise.ONE_OWNER)
    found = shortest(plan, broken)

    assert found.incidents == ()
    assert len(found.members) == 2
    assert any(each.promise is Promise.ONE_OWNER for each in simulate(found).violations)


def test_the_shortest_plan_is_always_the_same() -> None:
    def is_wrong(plan: FaultPlan) -> bool:
        return sum(each.span_ns for each in plan.incidents if each.fault is not Fault.LOSS) > 15_000_000_000

    assert simplest(LONG, is_wrong, most=60) == simplest(LONG, is_wrong, most=60)
