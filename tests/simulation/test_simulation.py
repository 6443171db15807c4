"""A plan is simulated as it would happen, and the same plan always alike."""

from dataclasses import replace

from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.outcome import Promise
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S


def test_the_same_seed_tells_the_same_plan() -> None:
    assert simulate(random_plan(5), narrates=True) == simulate(random_plan(5), narrates=True)


def test_another_seed_tells_another() -> None:
    assert simulate(random_plan(5)).changes != simulate(random_plan(6)).changes


def test_without_incidents_each_host_has_one_owner_for_good() -> None:
    plan = replace(random_plan(5), incidents=(), until_ns=60 * NS_PER_S)
    outcome = simulate(plan)
    keys = {host.key for member in plan.members for host in member.hosts}

    assert {(each.key, each.until_ns) for each in outcome.ownerships} == {(key, None) for key in keys}
    assert outcome.violations == ()


def test_promises_have_words() -> None:
    assert all(" " in promise.value for promise in Promise)
