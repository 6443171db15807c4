"""Sync groups and failback in simulated time: they decide what the daemon decides, and restarts forget nothing."""

from collections.abc import Mapping
from ipaddress import ip_interface

import pytest
from msgspec.structs import replace

from pycarp.core.host_config import HostConfig
from pycarp.core.state import Reason, State
from pycarp.errors import ConfigError
from pycarp.placement.damping import Damping
from pycarp.placement.isolation import Isolation
from pycarp.placement.policy import FailbackPolicy
from pycarp.placement.share import SyncGroupConfig
from pycarp.sim.faults import fault_plan_file
from pycarp.sim.faults.fault_plan import Fault, FaultPlan, Incident, Member
from pycarp.sim.faults.placement_trials import FailbackTrial, GroupTrial, failback_wait, groups_of, held_back
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.outcome import Outcome, Promise
from pycarp.sim.simulated_services import SimulatedServices
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S, HostKey

WAN, LAN = HostKey("em0", 1), HostKey("em1", 2)
ROUTER = SyncGroupConfig(name="router", hosts=(WAN, LAN))


def member(name: str, advskew: int, *, failbacks: Mapping[HostKey, FailbackPolicy] | None = None) -> Member:
    number = advskew // 100 + 1
    return Member(
        name=name,
        hosts=tuple(
            HostConfig(
                interface=key.link,
                vhid=key.vhid,
                passphrase="secret",
                addresses=[f"192.0.{key.vhid}.50/24"],
                advskew=advskew,
                preempt=True,
            )
            for key in (WAN, LAN)
        ),
        own={key.link: (ip_interface(f"192.0.{key.vhid}.{number}/24"),) for key in (WAN, LAN)},
        failbacks=failbacks or {},
        groups=(ROUTER,),
    )


def pair(policy: FailbackPolicy | None = None) -> tuple[Member, ...]:
    return member("a", 0, failbacks={} if policy is None else {WAN: policy}), member("b", 100)


def played(*incidents: Incident, policy: FailbackPolicy | None = None, seconds: float = 60) -> Outcome:
    plan = FaultPlan(seed=1, members=pair(policy), incidents=incidents, until_ns=round(seconds * NS_PER_S))
    return simulate(plan)


def incident(fault: Fault, *, link: str = "", span: float = 10) -> Incident:
    return Incident(at_ns=10 * NS_PER_S, fault=fault, node="a", link=link, span_ns=round(span * NS_PER_S))


def taken(outcome: Outcome, node: str, key: HostKey) -> list[tuple[float, Reason]]:
    """Return when a machine became MASTER, in tenths of a second, and why."""
    return [
        (round(each.at_ns / NS_PER_S, 1), each.event.reason)
        for each in outcome.changes
        if (each.node, each.event.key, each.event.new) == (node, key, State.MASTER)
    ]


@pytest.mark.parametrize("cut", [WAN, LAN])
def test_a_link_that_goes_down_moves_the_whole_group_at_once(cut: HostKey) -> None:
    outcome = played(incident(Fault.ONE_LINK, link=cut.link))

    assert {round(taken(outcome, "b", key)[0][0], 1) for key in (WAN, LAN)} == {10.0}
    assert taken(outcome, "b", cut)[0][1] is Reason.GROUPED
    assert outcome.violations == ()


def test_the_preferred_machine_waits_for_its_failback_delay_after_a_reboot() -> None:
    outcome = played(incident(Fault.POWER), policy=FailbackPolicy(failback_delay_s=20))

    first, again = taken(outcome, "a", WAN)
    assert (first, again[1]) == ((3.0, Reason.MASTER_SILENT), Reason.PREEMPTING)
    assert 40 < again[0] < 43
    assert taken(outcome, "a", LAN)[1] == (again[0], Reason.GROUPED)
    assert outcome.violations == ()


def test_a_reboot_does_not_forget_that_the_host_failed() -> None:
    outcome = played(incident(Fault.POWER), policy=FailbackPolicy(min_dwell_s=15))

    assert 35 < taken(outcome, "a", WAN)[1][0] < 37


def test_manual_failback_leaves_the_addresses_where_they_are() -> None:
    outcome = played(incident(Fault.POWER), policy=FailbackPolicy(failback="manual"))

    assert len(taken(outcome, "a", WAN)) == 1
    assert outcome.violations == ()


def test_nobody_takes_over_during_a_startup_hold_of_all() -> None:
    policy = FailbackPolicy(startup_hold_s=8)
    members = tuple(replace(each, failbacks={WAN: policy, LAN: policy}) for each in pair())
    outcome = simulate(FaultPlan(seed=1, members=members, incidents=(), until_ns=30 * NS_PER_S))

    assert taken(outcome, "a", WAN)[0][0] == 8.0
    assert outcome.violations == ()


def test_a_paused_machine_does_not_wait_less() -> None:
    pause = replace(incident(Fault.PAUSE, span=15), at_ns=25 * NS_PER_S)
    outcome = played(incident(Fault.POWER), pause, policy=FailbackPolicy(failback_delay_s=20), seconds=90)

    assert taken(outcome, "a", WAN)[1][0] > 55
    assert outcome.violations == ()


# Trials


def test_a_trial_of_a_group_measures_every_host_of_it() -> None:
    moved = GroupTrial(members=pair(), group=ROUTER, cut=LAN, seed=1).run().moved

    assert [each.by for each in moved] == ["b", "b"]
    assert all(each.takeover_ns is not None and each.takeover_ns < NS_PER_S // 20 for each in moved)


@pytest.mark.parametrize(
    "policy",
    [
        FailbackPolicy(failback_delay_s=30),
        FailbackPolicy(min_dwell_s=12),
        FailbackPolicy(startup_hold_s=7),
        FailbackPolicy(startup_hold_s=7, failback_delay_s=5, min_dwell_s=2),
        FailbackPolicy(damping=Damping(half_life_s=10, suppress=900, reuse=500, longest_s=60)),
        FailbackPolicy(),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_failback_takes_as_long_as_is_computed_from_the_settings(policy: FailbackPolicy, seed: int) -> None:
    members = pair(policy)
    wait = failback_wait(members, WAN)
    returned_ns = FailbackTrial(members=members, key=WAN, seed=seed).run().returned_ns

    assert wait is not None
    assert returned_ns is not None
    assert wait.from_ns <= returned_ns <= wait.to_ns


@pytest.mark.parametrize("failback", ["manual", "02:00-04:00"])
def test_no_time_is_expected_where_none_makes_a_host_fail_back(failback: str) -> None:
    assert failback_wait(pair(FailbackPolicy(failback=failback)), WAN) is None


def test_a_group_fails_back_as_its_leading_host() -> None:
    members = (member("a", 0, failbacks={LAN: FailbackPolicy(failback_delay_s=5)}), member("b", 100))

    assert (groups_of(members), held_back(members)) == ((ROUTER,), (WAN,))


# Plans


def test_a_kept_plan_has_its_groups_and_policies() -> None:
    policy = FailbackPolicy(startup_hold_s=1.5, failback="02:00-04:00", damping=Damping(half_life_s=10))
    plan = FaultPlan(seed=1, members=pair(policy), incidents=(incident(Fault.ONE_LINK, link="em1"),), until_ns=NS_PER_S)
    kept = fault_plan_file.decode(fault_plan_file.encode(plan), file="plan.json")

    assert [(each.failbacks, each.groups) for each in kept.members] == [({WAN: policy}, (ROUTER,)), ({}, (ROUTER,))]
    assert kept.incidents == plan.incidents


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"em1"', '"em7"', "there is no host 2@em7"),
        ('"failback_delay_s": 20', '"failback_delay_s": -1', "failback_delay_s -1 s is not above 0"),
    ],
)
def test_a_kept_plan_that_is_wrong_says_where(old: str, new: str, complaint: str) -> None:
    plan = FaultPlan(seed=1, members=pair(FailbackPolicy(failback_delay_s=20)), incidents=(), until_ns=NS_PER_S)
    text = fault_plan_file.encode(plan).decode()
    begin = text.rindex('"groups"') if "em" in old else 0
    text = text[:begin] + text[begin:].replace(old, new, 1)

    with pytest.raises(ConfigError, match=complaint):
        fault_plan_file.decode(text.encode(), file="plan.json")


def test_random_plans_have_groups_policies_and_cut_links() -> None:
    plans = [random_plan(seed) for seed in range(80)]

    assert any(plan.members[0].groups for plan in plans)
    assert any(member.failbacks for plan in plans for member in plan.members)
    assert any(each.fault is Fault.ONE_LINK and each.link for plan in plans for each in plan.incidents)


def test_machines_of_random_plans_contradict_each_other_in_which_is_preferred() -> None:
    groups = [plan.members for seed in range(400) if (plan := random_plan(seed)).members[0].groups]

    assert any(len({(host.advbase, host.advskew) for host in member.hosts}) > 1 for each in groups for member in each)


def test_a_kept_plan_has_its_witnesses() -> None:
    isolation = Isolation(name="i", host=WAN, link="em0", every_s=0.5, timeout_s=0.4, rise=2, fall=4)
    members = tuple(replace(each, isolations=(isolation,)) for each in pair())
    plan = FaultPlan(seed=1, members=members, incidents=(incident(Fault.WITNESS),), until_ns=NS_PER_S)
    kept = fault_plan_file.decode(fault_plan_file.encode(plan), file="plan.json")

    assert ([each.isolations for each in kept.members], kept.incidents) == ([(isolation,)] * 2, plan.incidents)


def test_random_plans_have_witnesses_and_lose_them() -> None:
    plans = [plan for seed in range(200) if (plan := random_plan(seed)).members[0].isolations]

    assert any(each.fault is Fault.PARTITION for plan in plans for each in plan.incidents)
    assert any(each.fault is Fault.WITNESS for plan in plans for each in plan.incidents)


# Witnesses


def isolated_pair(fall: int = 4) -> tuple[Member, ...]:
    isolation = Isolation(name="i", host=None, link="em0", every_s=0.5, timeout_s=0.4, rise=2, fall=fall)
    return tuple(replace(each, isolations=(isolation,)) for each in pair())


def test_a_machine_that_is_cut_off_lets_go_before_the_other_takes_over() -> None:
    plan = FaultPlan(
        seed=1, members=isolated_pair(), incidents=(incident(Fault.PARTITION, span=20),), until_ns=60 * NS_PER_S
    )
    outcome = simulate(plan)
    spans = {each.node: each for each in outcome.ownerships if each.key == WAN and each.from_ns < 15 * NS_PER_S}

    assert outcome.violations == ()
    assert spans["a"].until_ns is not None
    assert 11.9 <= spans["a"].until_ns / NS_PER_S <= 12.5
    assert spans["a"].until_ns < spans["b"].from_ns


def test_a_machine_that_keeps_its_addresses_without_a_witness_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is told nothing, as if the services were broken."""
    members = isolated_pair()
    incidents = (incident(Fault.PARTITION, span=20),)
    monkeypatch.setattr(SimulatedServices, "_count", lambda *_args, **_facts: None)
    monkeypatch.setattr(SimulatedServices, "_release", lambda *_args: None)

    outcome = simulate(FaultPlan(seed=1, members=members, incidents=incidents, until_ns=60 * NS_PER_S))

    assert Promise.ISOLATED in {each.promise for each in outcome.violations}


# Checks


def test_a_host_that_preempts_before_its_time_is_seen() -> None:
    """The engine is told nothing of the policy, as if the services were broken."""
    plan = FaultPlan(seed=1, members=pair(), incidents=(incident(Fault.POWER),), until_ns=40 * NS_PER_S)
    told = tuple(replace(each, failbacks=_Deaf({WAN: FailbackPolicy(failback_delay_s=20)})) for each in plan.members)

    outcome = simulate(replace(plan, members=told))

    assert Promise.HELD_BACK in {each.promise for each in outcome.violations}


class _Deaf(dict[HostKey, FailbackPolicy]):
    """Policies that the checks find, and nobody who goes through them."""

    def items(self) -> object:  # type: ignore[override]
        return ().__iter__()
