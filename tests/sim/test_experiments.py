"""What is measured agrees with the formulae, and is the same each time."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest
from msgspec import structs

from pycarp.auth.key import Passphrase
from pycarp.dialects import UNIVERSAL
from pycarp.sim.faults.experiments import (
    CALM,
    Condition,
    Expectation,
    FaultTrial,
    InjectedFault,
    RecurringFault,
    Takeover,
    WatchTrial,
    alike,
    expected,
    masters_at_rest,
    with_first,
)
from pycarp.sim.faults.fault_plan import Fault, Member
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.topologies import LINK, topology_of

KEY = HostKey(LINK, 1)
MS = 1_000_000
SETTLED_NS = 12 * MS
"""What sending, a bow-out and holding addresses take at most in a simulated system."""

AT_ONCE = Expectation(from_ns=0, to_ns=0)
TIMEOUT = Expectation(from_ns=750 * MS, to_ns=1750 * MS)
SILENCE = Expectation(from_ns=2_390_625_000, to_ns=3_390_625_000)


def trials(
    members: tuple[Member, ...], injected: InjectedFault, *, condition: Condition = CALM, number: int = 12
) -> list[Takeover]:
    results = [
        FaultTrial(members=members, key=KEY, injected=injected, condition=condition, seed=seed).run()
        for seed in range(number)
    ]
    assert [each.broken for each in results if each.broken] == []
    return [each.takeover for each in results if each.takeover]


@pytest.mark.parametrize(
    ("fault", "expectation"),
    [
        (Fault.POWER, SILENCE),
        (Fault.CRASH, AT_ONCE),
        (Fault.CRASH_ALL, SILENCE),
        (Fault.LINK_DOWN, SILENCE),
        (Fault.STOP, TIMEOUT),
        (Fault.PAUSE, SILENCE),
        (Fault.PARTITION, SILENCE),
        (Fault.ONE_WAY, SILENCE),
        (Fault.SEND_ERRORS, SILENCE),
        (Fault.HAND_OVER, AT_ONCE),
        (Fault.ADMIN_DOWN, AT_ONCE),
        (Fault.CHECK, AT_ONCE),
        (Fault.DRAIN, AT_ONCE),
        (Fault.GATE, AT_ONCE),
    ],
)
def test_takeovers_happen_when_the_formula_says(fault: Fault, expectation: Expectation) -> None:
    members, injected = topology_of(2), InjectedFault(fault=fault)
    spans = [each.takeover_ns for each in trials(members, injected)]

    assert expected(members, KEY, "a", injected) == expectation
    assert all(each is not None for each in spans)
    assert expectation.from_ns <= min(filter(None, spans))
    assert max(filter(None, spans)) <= expectation.to_ns + SETTLED_NS


def test_nobody_takes_over_when_addresses_are_meddled_with() -> None:
    members, injected = topology_of(2), InjectedFault(fault=Fault.MEDDLING, span_ns=0)
    found = trials(members, injected, number=3)

    assert expected(members, KEY, "a", injected) is None
    assert [each.takeover_ns for each in found] == [None] * 3
    assert all(0 < each.afterwards_ns + each.ownerless_ns < SETTLED_NS for each in found)


@pytest.mark.parametrize(("preempt", "expectation"), [(True, AT_ONCE), (False, None)])
def test_a_demoted_master_is_relieved_by_those_that_preempt(preempt: bool, expectation: Expectation | None) -> None:
    members, injected = topology_of(2, preempt=preempt), InjectedFault(fault=Fault.DEMOTION, amount=240)

    assert expected(members, KEY, "a", injected) == expectation
    assert {each.by for each in trials(members, injected, number=3)} == {"b" if preempt else ""}


def test_a_master_that_must_not_preempt_stays() -> None:
    members, injected = topology_of(2), InjectedFault(fault=Fault.HOLD)

    assert expected(members, KEY, "a", injected) is None
    assert {each.by for each in trials(members, injected, number=3)} == {""}


def test_a_master_that_is_soon_back_is_not_taken_over_from() -> None:
    members, injected = topology_of(2), InjectedFault(fault=Fault.PARTITION, span_ns=NS_PER_S)

    assert expected(members, KEY, "a", injected) is None
    assert {each.by for each in trials(members, injected, number=5)} == {""}


def test_a_machine_that_does_not_bow_out_is_waited_for() -> None:
    one, other = topology_of(2)
    silent = replace(UNIVERSAL, bow_out=None)
    members = (structs.replace(one, hosts=(replace(one.hosts[0], dialect=silent),)), other)

    assert expected(members, KEY, "a", InjectedFault(fault=Fault.ADMIN_DOWN)) == SILENCE


def test_who_is_cut_off_owns_the_addresses_in_vain() -> None:
    (found,) = trials(topology_of(2), InjectedFault(fault=Fault.PARTITION), number=1)

    assert found.takeover_ns is not None
    assert abs(found.ownerless_ns - found.takeover_ns) < MS
    assert found.double_ns > NS_PER_S


def test_the_next_host_is_the_one_that_takes_over() -> None:
    assert {each.by for each in trials(topology_of(4, step=50), InjectedFault(fault=Fault.POWER), number=5)} == {"b"}


def test_a_bow_out_that_is_lost_costs_a_silence() -> None:
    half = Condition(name="half", recurring_faults=(RecurringFault(fault=Fault.LOSS, amount=0.5),))
    found = trials(topology_of(2), InjectedFault(fault=Fault.HAND_OVER), condition=half, number=20)
    spans = [each.takeover_ns for each in found if each.takeover_ns]

    assert any(each < SETTLED_NS for each in spans)
    assert any(each > NS_PER_S for each in spans)


def test_the_same_seed_measures_the_same() -> None:
    trial = FaultTrial(members=topology_of(3), key=KEY, injected=InjectedFault(fault=Fault.POWER), seed=5)

    assert trial.run() == trial.run()


def test_another_seed_faults_at_another_moment() -> None:
    injected = InjectedFault(fault=Fault.POWER)
    plans = [FaultTrial(members=topology_of(2), key=KEY, injected=injected, seed=seed).plan() for seed in range(9)]

    assert len({each.incidents[0].at_ns for each in plans}) > 5


@pytest.mark.parametrize(
    ("recurring_faults", "is_false"),
    [
        ((), False),
        ((RecurringFault(fault=Fault.LOSS, amount=0.5),), True),
        ((RecurringFault(fault=Fault.STOP, span_ns=500 * MS),), False),
        ((RecurringFault(fault=Fault.STOP, span_ns=2 * NS_PER_S),), True),
    ],
)
def test_a_master_that_lives_is_taken_over_from_only_in_need(
    recurring_faults: tuple[RecurringFault, ...], is_false: bool
) -> None:
    condition = Condition(name="of the test", recurring_faults=recurring_faults)
    watch = WatchTrial(members=topology_of(2), condition=condition, span_ns=600 * NS_PER_S, seed=1).run().watch

    assert watch is not None
    assert (watch.false_takeovers > 0) is is_false


def test_a_crash_of_the_master_is_no_false_takeover() -> None:
    condition = Condition(name="paused", recurring_faults=(RecurringFault(fault=Fault.PAUSE, span_ns=NS_PER_S),))
    watch = WatchTrial(members=topology_of(2), condition=condition, span_ns=300 * NS_PER_S, seed=1).run().watch

    assert watch is not None
    assert watch.false_takeovers == 0
    assert watch.ownerless_ns == NS_PER_S


def test_virtual_hosts_of_the_same_settings_are_alike() -> None:
    one, two = topology_of(2)
    both = tuple(
        structs.replace(
            member,
            hosts=(
                *member.hosts,
                replace(member.hosts[0], vhid=2, addresses=(ip_interface("192.168.1.51/24"),), name=""),
            ),
        )
        for member in (one, two)
    )
    other = structs.replace(both[0], hosts=(both[0].hosts[0], replace(both[0].hosts[1], advskew=7)))

    assert alike(both) == [(KEY, HostKey(LINK, 2))]
    assert alike((other, both[1])) == [(KEY,), (HostKey(LINK, 2),)]


def test_virtual_hosts_that_do_not_hear_each_other_are_not_alike_to_those_that_do() -> None:
    one, two = topology_of(2)
    second, deaf = (
        replace(host, vhid=2, addresses=(ip_interface("192.168.1.51/24"),), name="", passphrase=Passphrase(passphrase))
        for host, passphrase in ((one.hosts[0], "the same"), (two.hosts[0], "another"))
    )
    both = (structs.replace(one, hosts=(*one.hosts, second)), structs.replace(two, hosts=(*two.hosts, deaf)))

    assert alike(both) == [(KEY,), (HostKey(LINK, 2),)]


def test_a_virtual_host_of_one_machine_is_not_experimented_with() -> None:
    assert alike(topology_of(1)) == []


def test_the_most_eager_is_master_at_rest() -> None:
    assert masters_at_rest(topology_of(3)) == {KEY: ("a",)}


def test_hosts_that_do_not_hear_each_other_are_all_masters_at_rest() -> None:
    assert masters_at_rest(topology_of(2, passwords={"b": "another"})) == {KEY: ("a", "b")}


def test_a_virtual_host_can_be_put_first() -> None:
    one, two = topology_of(2)
    more = structs.replace(
        two, hosts=(*two.hosts, replace(two.hosts[0], vhid=9, addresses=(ip_interface("192.168.1.59/24"),), name=""))
    )
    found = with_first((one, more), HostKey(LINK, 9))

    assert [(member.name, member.hosts[0].vhid) for member in found] == [("b", 9), ("a", 1)]
