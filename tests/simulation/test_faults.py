"""Each fault does what its name says: to the addresses, to the segment, and to who is MASTER."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest
from msgspec import structs

from pycarp.auth.key import Passphrase
from pycarp.core.host_config import HostConfig
from pycarp.core.state import Reason, State
from pycarp.sim.faults.fault_plan import THE_MASTER, Fault, FaultPlan, Incident, Member
from pycarp.sim.outcome import Outcome, Promise
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S, HostKey

KEY = HostKey("em0", 1)


def member(name: str, *, advskew: int, **others: object) -> Member:
    host = HostConfig(
        interface="em0",
        vhid=1,
        passphrase="secret",
        addresses=["192.0.2.50/24"],
        advskew=advskew,
        **others,  # type: ignore[arg-type]
    )
    return Member(name=name, hosts=(host,), own={"em0": (ip_interface(f"192.0.2.{advskew + 1}/24"),)})


def plan(*incidents: Incident, seconds: float = 40, preempt: bool = False) -> FaultPlan:
    return FaultPlan(
        seed=1,
        members=(member("a", advskew=0, preempt=preempt), member("b", advskew=100)),
        incidents=incidents,
        until_ns=round(seconds * NS_PER_S),
    )


def incident(
    fault: Fault, *, at: float = 10, span: float = 10, node: str = "a", other: str = "", amount: float = 0
) -> Incident:
    return Incident(
        at_ns=round(at * NS_PER_S),
        fault=fault,
        node=node,
        other=other,
        span_ns=round(span * NS_PER_S),
        amount=amount,
    )


def reigns(outcome: Outcome) -> list[tuple[str, float, float | None]]:
    """Return who owned the addresses from when until when, in tenths of a second."""
    return [
        (
            each.node,
            round(each.from_ns / NS_PER_S, 1),
            None if each.until_ns is None else round(each.until_ns / NS_PER_S, 1),
        )
        for each in outcome.ownerships
    ]


def reasons(outcome: Outcome, node: str) -> list[Reason]:
    return [change.event.reason for change in outcome.changes if change.node == node]


@pytest.mark.parametrize(
    ("fault", "lost_at", "taken_at"),
    [
        (Fault.CRASH, 10, 10),  # the guardian drops and bows out
        (Fault.CRASH_ALL, 12.2, 13.4),  # 2 s after the last sign of life, and 1/4 s for the kernel; 3.39 s for the peer
        (Fault.POWER, 10, 13.4),
        (Fault.LINK_DOWN, 10, 13.4),
        (Fault.STOP, 11.8, 11.8),  # 1.75 s after the last sign of life the guardian acts
        (Fault.ADMIN_DOWN, 10, 10),
        (Fault.HAND_OVER, 10, 10),
    ],
)
def test_the_peer_takes_over_when_it_can_know(fault: Fault, lost_at: float, taken_at: float) -> None:
    outcome = simulate(plan(incident(fault, at=10.01), seconds=15))

    assert reigns(outcome) == [("a", 3.0, lost_at), ("b", taken_at, None)]


def test_a_machine_that_stands_still_does_not_know_how_long() -> None:
    outcome = simulate(plan(incident(Fault.PAUSE, at=10.5), seconds=25))

    assert reigns(outcome)[:2] == [("a", 3.0, 10.5), ("b", 13.4, 21.0)]
    assert Reason.ABSENT not in reasons(outcome, "a")


def test_both_sides_of_a_partition_have_an_owner_until_it_heals() -> None:
    outcome = simulate(plan(incident(Fault.PARTITION, at=10.01), seconds=25))

    assert reigns(outcome) == [("a", 3.0, None), ("b", 13.4, 20.3)]


def test_a_one_way_cut_makes_a_second_owner_that_yields_as_soon_as_it_hears() -> None:
    outcome = simulate(plan(incident(Fault.ONE_WAY, at=10.01), seconds=25))

    assert reigns(outcome)[0] == ("a", 3.0, None)
    assert reasons(outcome, "b")[-1] is Reason.BETTER_MASTER


def test_what_others_remove_is_put_back_in_milliseconds() -> None:
    (first, second) = simulate(plan(incident(Fault.MEDDLING, span=0), seconds=15)).ownerships

    assert first.until_ns is not None
    assert second.from_ns - first.until_ns < 10_000_000


def test_who_cannot_send_lets_the_addresses_go_before_the_peer_has_them() -> None:
    a, b = simulate(plan(incident(Fault.SEND_ERRORS, at=10.01, span=20), seconds=15)).ownerships

    assert a.until_ns is not None
    assert a.until_ns < b.from_ns


def test_a_master_that_cannot_hold_is_relieved_by_one_that_preempts() -> None:
    failing = incident(Fault.FAILING_ADDRESSES, at=0.1, span=20, amount=1.0)
    members = (member("a", advskew=0), member("b", advskew=100, preempt=True))
    outcome = simulate(structs.replace(plan(failing, seconds=20), members=members))

    assert outcome.changes[-1].node == "b" or outcome.ownerships[-1].node == "b"
    assert outcome.ownerships[-1].until_ns is None


def test_lost_packets_are_lost() -> None:
    assert simulate(plan(incident(Fault.LOSS, amount=1.0, node=""), seconds=19)).changes[-1].event.new is State.MASTER


def test_who_hears_nothing_but_itself_stays_master() -> None:
    outcome = simulate(plan(incident(Fault.LOOP), seconds=20))

    assert reasons(outcome, "a") == [Reason.ADDED, Reason.READY, Reason.MASTER_SILENT]


def test_the_master_is_whoever_it_is_then() -> None:
    crashes = (
        incident(Fault.POWER, at=10, node=THE_MASTER, span=5),
        incident(Fault.POWER, at=30, node=THE_MASTER, span=5),
    )
    ends = [each for each in simulate(plan(*crashes, seconds=50)).ownerships if each.until_ns is not None]

    assert [each.node for each in ends] == ["a", "b"]


def test_people_and_processes_never_make_two_owners() -> None:
    faults = (Fault.STOP, Fault.CRASH, Fault.ADMIN_DOWN, Fault.HAND_OVER)
    incidents = [incident(fault, at=10 + 10 * n, span=4) for n, fault in enumerate(faults)]
    outcome = simulate(plan(*incidents, seconds=60, preempt=True))

    assert len(outcome.ownerships) == 9
    assert outcome.violations == ()


def test_two_owners_that_hear_each_other_for_too_long_are_told() -> None:
    """Other passphrases: neither understands the other."""
    told = plan(seconds=60)
    stranger = member("b", advskew=100)
    foreign = structs.replace(stranger, hosts=(replace(stranger.hosts[0], passphrase=Passphrase("other")),))
    outcome = simulate(structs.replace(told, members=(told.members[0], foreign)))

    assert {each.promise for each in outcome.violations} == {Promise.ONE_OWNER, Promise.ORDERLY}


def test_a_segment_without_an_owner_is_told() -> None:
    failing = incident(Fault.FAILING_ADDRESSES, at=0, span=0, amount=1.0)
    lonely = structs.replace(plan(failing, seconds=60), members=(structs.replace(member("a", advskew=0), own={}),))

    assert [each.promise for each in simulate(lonely).violations] == [Promise.AN_OWNER, Promise.NO_STRANDED_DEMOTION]
