"""A plan is simulated as it would happen, and the same plan always alike."""

from msgspec.structs import replace

from pycarp.sim.faults.fault_plan import FaultPlan
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.outcome import Promise
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S
from tests.support.topologies import topology_of


def test_the_same_seed_tells_the_same_plan() -> None:
    assert simulate(random_plan(5), narrates=True) == simulate(random_plan(5), narrates=True)


def test_another_seed_tells_another() -> None:
    assert simulate(random_plan(5)).changes != simulate(random_plan(6)).changes


def test_advertisements_in_their_slots_have_no_lines() -> None:
    """An interval of 1.391 s is no whole number of slots, so each advertisement leaves a little before it is due."""
    plan = FaultPlan(seed=1, members=topology_of(2)[1:], incidents=(), until_ns=60 * NS_PER_S)

    assert not [line for line in simulate(plan, narrates=True).lines if "out of turn" in line]


def test_without_incidents_each_host_has_one_owner_for_good() -> None:
    plan = replace(random_plan(5), incidents=(), until_ns=60 * NS_PER_S)
    outcome = simulate(plan)
    keys = {host.key for member in plan.members for host in member.hosts}

    assert {(each.key, each.until_ns) for each in outcome.ownerships} == {(key, None) for key in keys}
    assert outcome.violations == ()


def test_promises_have_words() -> None:
    assert all(" " in promise.value for promise in Promise)
