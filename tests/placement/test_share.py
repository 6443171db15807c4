"""What each member of a group carries, from how the members are; a table of cases, and what always holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pycarp import Restriction, State
from pycarp.core.snapshot import HostSnapshot
from pycarp.groups import Share, shares
from pycarp.placement.share import LAST
from tests.support.hosts import KEY, bench, config

WAN = bench(config(name="wan")).engine.host_snapshot(KEY)
LAN = bench(config(name="lan")).engine.host_snapshot(KEY)
NO_PREEMPT, BACKUP_ONLY = Restriction


def view(member: HostSnapshot, state: State = State.MASTER, **facts: object) -> HostSnapshot:
    return replace(member, state=state, **facts)


@pytest.mark.parametrize(
    ("facts", "demotions", "restrictions"),
    [
        ({}, {}, {}),
        ({"state": State.INIT}, {"group r: lan: is down": LAST}, {}),
        ({"demotion": (("disk", 50),)}, {"group r: lan: disk": 50}, {}),
        ({"demotion": (("disk", 50),), "last_causes": frozenset({"disk"})}, {"group r: lan: disk": LAST}, {}),
        ({"demotion": (("addresses not held", 240),)}, {"group r: lan: addresses not held": LAST}, {}),
        ({"demotion": (("sysctl", -20),)}, {}, {}),
        ({"restrictions": (("gate", BACKUP_ONLY),)}, {}, {"group r: lan: gate": BACKUP_ONLY}),
        ({"demotion": (("group r: wan: disk", 50),)}, {}, {}),
        ({"restrictions": (("group other: x is not MASTER here", NO_PREEMPT),)}, {}, {}),
    ],
)
def test_a_member_carries_what_another_one_has(
    facts: dict[str, object], demotions: dict[str, int | None], restrictions: dict[str, Restriction]
) -> None:
    lan = replace(view(LAN), **facts)

    assert shares("r", [view(WAN), lan])[0] == Share(demotions, restrictions)


def test_a_member_that_is_demoted_in_full_is_last_with_the_others() -> None:
    shown = shares("r", [view(WAN), view(LAN, demotion=(("handed over", 240),))])

    assert [share.demotions for share in shown] == [{"group r: lan: handed over": LAST}] * 2


def test_a_member_that_was_given_up_stays_last() -> None:
    cause = "group r: wan is not MASTER here"
    members = [view(WAN, State.BACKUP), view(LAN, State.BACKUP)]

    assert shares("r", members, {LAN.key})[1].demotions == {cause: LAST}


def test_a_cause_that_both_have_is_not_carried_twice() -> None:
    demotion = (("backup runs", 50),)

    assert shares("r", [view(WAN, demotion=demotion), view(LAN, demotion=demotion)]) == [Share(), Share()]


def test_where_the_leader_is_not_master_nobody_else_preempts_and_a_master_is_last() -> None:
    cause = "group r: wan is not MASTER here"

    _wan, lan = shares("r", [view(WAN, State.BACKUP), view(LAN, State.BACKUP)])
    assert lan == Share({}, {cause: NO_PREEMPT})
    _wan, lan = shares("r", [view(WAN, State.BACKUP), view(LAN, State.MASTER)])
    assert lan == Share({cause: LAST}, {cause: NO_PREEMPT})


def test_the_leader_does_not_leave_for_another_member_that_is_elsewhere() -> None:
    assert shares("r", [view(WAN, State.MASTER), view(LAN, State.BACKUP)]) == [Share(), Share()]


states = st.sampled_from(State)
causes = st.lists(st.tuples(st.sampled_from(["disk", "check", "probe"]), st.integers(-10, 300)), max_size=2)
members = st.builds(
    lambda state, demotion, restriction: view(
        WAN, state, demotion=tuple(dict(demotion).items()), restrictions=restriction
    ),
    states,
    causes,
    st.sampled_from([(), (("gate", BACKUP_ONLY),), (("hold", NO_PREEMPT),)]),
)


@given(given_members=st.lists(members, min_size=2, max_size=4))
def test_what_is_carried_is_carried_no_further(given_members: list[HostSnapshot]) -> None:
    named = [replace(each, config=config(name=f"h{number}")) for number, each in enumerate(given_members)]
    first = shares("r", named)
    carrying = [
        replace(
            each,
            demotion=(*each.demotion, *((cause, amount or 240) for cause, amount in share.demotions.items())),
            restrictions=(*each.restrictions, *share.restrictions.items()),
        )
        for each, share in zip(named, first, strict=True)
    ]

    assert shares("r", carrying) == first
    assert shares("other", carrying)[0].demotions.keys().isdisjoint(first[0].demotions)
    assert len(shares("other", carrying)[0].demotions) == len(first[0].demotions)
