"""A sync group moves its members: what it asks of them at each moment, as inputs of the engine."""

from msgspec.structs import replace

from pycarp import Reason, Restriction, State
from pycarp.core.events import StateChange
from pycarp.core.inputs import DemotionSet, RestrictionSet, StateForced
from pycarp.core.snapshot import HostSnapshot
from pycarp.placement.group_state import WELL_S, GroupState
from pycarp.vocabulary import HostKey
from tests.support.hosts import KEY, LINK, PEER, advert, bench, config

OTHER = HostKey(LINK, 2)
WAN = bench(config(name="wan")).engine.host_snapshot(KEY)
LAN = replace(WAN, config=config(vhid=2, name="lan"))
GATE = "group r: wan: gate"
LEADER = "group r: wan is not MASTER here"


def view(member: HostSnapshot, state: State, **facts: object) -> HostSnapshot:
    return replace(member, state=state, **facts)


def became_master(reason: Reason = Reason.MASTER_SILENT) -> StateChange:
    return StateChange(key=KEY, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=reason, epoch=2)


def test_a_member_that_becomes_master_pulls_those_that_are_backup() -> None:
    members = [view(WAN, State.MASTER), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(), members) == [StateForced(OTHER, State.MASTER, is_for_group=True)]


def test_a_member_is_pulled_although_it_carries_what_is_over() -> None:
    """The event that a gate has passed may come after that of the takeover."""
    lan = view(LAN, State.BACKUP, restrictions=((GATE, Restriction.BACKUP_ONLY),))

    assert GroupState("r").pull(became_master(), [view(WAN, State.MASTER), lan]) == [
        RestrictionSet(OTHER, GATE, None),
        StateForced(OTHER, State.MASTER, is_for_group=True),
    ]


def test_a_member_that_was_pulled_pulls_nobody() -> None:
    members = [view(WAN, State.MASTER), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(Reason.GROUPED), members) == []


def test_a_member_is_not_pulled_while_another_one_is_not_able() -> None:
    members = [view(WAN, State.MASTER, demotion=(("disk", 240),)), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(), members) == []


def test_what_a_member_carried_ends_with_its_cause() -> None:
    group = GroupState("r")
    ill = [view(WAN, State.MASTER, demotion=(("disk", 50),)), view(LAN, State.MASTER)]
    begun = group.carry(ill, 0)
    well = [view(WAN, State.MASTER), view(LAN, State.MASTER, demotion=(("group r: wan: disk", 50),))]

    assert begun == [DemotionSet(OTHER, "group r: wan: disk", 50)]
    assert group.carry(well, 1) == [DemotionSet(OTHER, "group r: wan: disk", 0)]


def test_a_member_that_was_given_up_stays_last_until_its_master_has_been_well_for_a_while() -> None:
    heard = bench(config())
    heard.hear(advert())
    group = GroupState("r")
    group.carry([view(WAN, State.BACKUP), view(LAN, State.MASTER)], 0)
    given_up = view(
        LAN,
        State.BACKUP,
        peers=heard.engine.host_snapshot(KEY).peers,
        demotion=((LEADER, 240),),
        restrictions=((LEADER, Restriction.NO_PREEMPT),),
    )
    members = [view(WAN, State.BACKUP), given_up]

    assert given_up.master is not None
    assert given_up.master.source == PEER
    assert (group.carry(members, 10), group.looks_at_s) == ([], 10 + WELL_S)
    assert group.carry(members, 10 + WELL_S) == [DemotionSet(OTHER, LEADER, 0)]
    assert group.looks_at_s is None


def test_nothing_is_left_when_a_group_ends() -> None:
    group = GroupState("r")
    group.carry([view(WAN, State.BACKUP), view(LAN, State.MASTER)], 0)
    members = [view(WAN, State.BACKUP), view(LAN, State.MASTER)]

    assert set(group.end(members)) == {DemotionSet(OTHER, LEADER, 0), RestrictionSet(OTHER, LEADER, None)}
