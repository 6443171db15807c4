"""A sync group moves its members: what it asks of them at each moment, as inputs of the engine."""

import dataclasses
from ipaddress import ip_address

from msgspec.structs import replace

from pycarp import Reason, Restriction, State
from pycarp.core.events import StateChange
from pycarp.core.inputs import DemotionSet, RestrictionSet, StateForced
from pycarp.core.snapshot import HostSnapshot
from pycarp.dialects.dialect import Claim
from pycarp.placement.group_state import WELL_S, GroupState
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.hosts import KEY, LINK, PEER, advert, bench, config

OTHER = HostKey(LINK, 2)
WAN = bench(config(name="wan")).engine.host_snapshot(KEY)
LAN = replace(WAN, config=config(vhid=2, name="lan"))
LONG_AFTER_NS = 60 * NS_PER_S
GATE = "group r: wan: gate"
LEADER = "group r: wan is not MASTER here"


def view(member: HostSnapshot, state: State, **facts: object) -> HostSnapshot:
    return replace(member, state=state, **facts)


def heard(ago_s: float) -> HostSnapshot:
    """Return the other member as BACKUP that heard its MASTER so long ago."""
    listener = bench(config())
    listener.hear(advert())
    (peer,) = listener.engine.host_snapshot(KEY).peers
    at_ns = LONG_AFTER_NS - round(ago_s * NS_PER_S)
    return view(LAN, State.BACKUP, peers=(dataclasses.replace(peer, at_ns=at_ns),))


def became_master(reason: Reason = Reason.MASTER_SILENT) -> StateChange:
    return StateChange(key=KEY, at_ns=LONG_AFTER_NS, old=State.BACKUP, new=State.MASTER, reason=reason, epoch=2)


def test_a_member_that_becomes_master_pulls_those_that_are_backup() -> None:
    members = [view(WAN, State.MASTER), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(), members, 0) == [StateForced(OTHER, State.MASTER, is_for_group=True)]


def test_a_member_is_pulled_although_it_carries_what_is_over() -> None:
    """The event that a gate has passed may come after that of the takeover."""
    lan = view(LAN, State.BACKUP, restrictions=((GATE, Restriction.BACKUP_ONLY),))

    assert GroupState("r").pull(became_master(), [view(WAN, State.MASTER), lan], 0) == [
        RestrictionSet(OTHER, GATE, None),
        StateForced(OTHER, State.MASTER, is_for_group=True),
    ]


def test_a_member_whose_dead_master_may_have_the_addresses_is_pulled_once_the_lease_is_over() -> None:
    group, members = GroupState("r"), [view(WAN, State.MASTER), heard(1.5)]

    assert group.pull(became_master(), members, 100) == []
    assert StateForced(OTHER, State.MASTER, is_for_group=True) not in group.carry(members, 101.4)
    assert StateForced(OTHER, State.MASTER, is_for_group=True) in group.carry(members, 101.6)
    assert group.looks_at_s is None


def test_a_member_whose_master_is_heard_again_is_pulled_at_once() -> None:
    group = GroupState("r")
    group.pull(became_master(), [view(WAN, State.MASTER), heard(0.9)], 100)

    inputs = group.carry([view(WAN, State.MASTER), heard(-0.1)], 100.1)

    assert StateForced(OTHER, State.MASTER, is_for_group=True) in inputs


def test_a_machine_that_is_alive_is_relieved_of_all_at_once() -> None:
    members = [view(WAN, State.MASTER), heard(0.9)]

    assert GroupState("r").pull(became_master(Reason.PREEMPTING), members, 100) == [
        StateForced(OTHER, State.MASTER, is_for_group=True)
    ]


def test_a_master_whose_advertisement_is_missing_may_be_dead() -> None:
    members = [view(WAN, State.MASTER), heard(1.5)]

    assert GroupState("r").pull(became_master(Reason.PREEMPTING), members, 100) == []


def test_another_machine_on_the_same_link_may_be_dead_although_one_was_relieved() -> None:
    relieved = replace(became_master(Reason.PREEMPTING), peer=ip_address("192.0.2.77"))

    assert GroupState("r").pull(relieved, [view(WAN, State.MASTER), heard(0.9)], 100) == []
    same = replace(relieved, peer=PEER)
    assert GroupState("r").pull(same, [view(WAN, State.MASTER), heard(0.9)], 100) != []


def settled(group: GroupState, wan: HostSnapshot, lan: HostSnapshot, *, since_s: float = 100) -> None:
    """Let a group see both members as BACKUP, following whoever they heard, and then the first one as MASTER."""
    group.carry([wan, lan], since_s)
    group.carry([view(wan, State.MASTER), lan], since_s + 5)


def elsewhere(member: HostSnapshot) -> HostSnapshot:
    """Return a member on another link."""
    return replace(member, config=dataclasses.replace(member.config, interface="eth9"))


def follows(source: str, *, ago_s: float = 0.9, is_last: bool = False) -> HostSnapshot:
    """Return the first member as BACKUP that heard a MASTER so long ago."""
    peer = heard(ago_s).peers[0]
    claim = Claim(advbase=255, advskew=240, demote=255) if is_last else peer.claim
    peer = dataclasses.replace(peer, source=ip_address(source), claim=claim)
    return view(WAN, State.BACKUP, peers=(peer,))


def test_two_masters_on_two_links_that_were_well_are_one_machine_which_is_relieved_of_all_at_once() -> None:
    group, wan, lan = GroupState("r"), follows("192.0.2.77"), elsewhere(heard(0.9))
    settled(group, wan, lan)
    event = replace(became_master(Reason.MASTER_TOO_SLOW), peer=ip_address("192.0.2.77"))

    assert group.pull(event, [view(wan, State.MASTER), lan], 105) == [
        StateForced(lan.key, State.MASTER, is_for_group=True)
    ]


def test_a_master_on_another_link_that_was_last_for_long_is_another_machine_which_may_be_dead() -> None:
    group, wan, lan = GroupState("r"), follows("192.0.2.77", is_last=True), elsewhere(heard(0.9))
    settled(group, wan, lan)
    event = replace(became_master(Reason.MASTER_TOO_SLOW), peer=ip_address("192.0.2.77"))

    assert group.pull(event, [view(wan, State.MASTER), lan], 105) == []


def test_masters_on_two_links_that_have_just_changed_may_be_two_machines() -> None:
    group, wan, lan = GroupState("r"), follows("192.0.2.77"), elsewhere(heard(0.9))
    group.carry([wan, lan], 104.5)
    event = replace(became_master(Reason.MASTER_TOO_SLOW), peer=ip_address("192.0.2.77"))

    assert group.pull(event, [view(wan, State.MASTER), lan], 105) == []


def test_a_packet_that_waited_in_the_socket_shows_no_living_master() -> None:
    group, members = GroupState("r"), [view(WAN, State.MASTER), heard(0.9)]
    group.pull(became_master(), members, 100)

    inputs = group.carry([view(WAN, State.MASTER), heard(-0.005)], 100.005)

    assert StateForced(OTHER, State.MASTER, is_for_group=True) not in inputs


def test_the_lease_of_a_machine_that_has_taken_the_member_meanwhile_counts() -> None:
    group, pulled = GroupState("r"), StateForced(OTHER, State.MASTER, is_for_group=True)
    group.pull(became_master(), [view(WAN, State.MASTER), heard(0.9)], 100)
    members = [view(WAN, State.MASTER), heard(-0.005)]

    assert pulled not in group.carry(members, 102.2)
    assert pulled in group.carry(members, 103.1)


def test_a_member_whose_stronger_master_is_heard_again_is_not_pulled() -> None:
    group = GroupState("r")
    lan = replace(heard(0.9), claim=Claim(advbase=1, advskew=100, demote=0))
    group.pull(became_master(), [view(WAN, State.MASTER), lan], 100)

    inputs = group.carry([view(WAN, State.MASTER), replace(lan, peers=heard(-0.1).peers)], 100.1)

    assert StateForced(OTHER, State.MASTER, is_for_group=True) not in inputs


def test_the_machine_that_was_heard_last_has_the_member_whoever_was_relieved() -> None:
    relieved = replace(became_master(Reason.PREEMPTING), peer=PEER)
    (before,) = heard(0.5).peers
    newer = dataclasses.replace(before, source=ip_address("192.0.2.77"), at_ns=before.at_ns + 1)

    assert (
        GroupState("r").pull(relieved, [view(WAN, State.MASTER), replace(heard(0), peers=(before, newer))], 100) == []
    )


def test_a_machine_that_has_just_begun_to_listen_waits_for_a_lease_that_it_knows_nothing_of() -> None:
    assert LAN.last_change is not None
    new = replace(LAN, last_change=replace(LAN.last_change, at_ns=LONG_AFTER_NS - NS_PER_S))

    assert GroupState("r").pull(became_master(), [view(WAN, State.MASTER), view(new, State.BACKUP)], 100) == []


def test_a_member_that_has_yielded_since_pulls_nobody() -> None:
    members = [view(WAN, State.BACKUP), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(), members, 0) == []


def test_a_leader_that_only_tried_to_take_over_does_not_excuse_what_was_given_up() -> None:
    group = GroupState("r")
    group.carry([view(WAN, State.BACKUP), view(LAN, State.MASTER)], 0)
    tried = [view(WAN, State.MASTER), view(LAN, State.BACKUP, demotion=((LEADER, 240),))]
    group.carry(tried, 1)
    kept = group.carry([view(WAN, State.BACKUP), view(LAN, State.BACKUP)], 1.01)
    group.carry(tried, 2)

    assert DemotionSet(OTHER, LEADER, 240, is_last=True) in kept
    assert group.looks_at_s is not None
    assert group.carry(tried, group.looks_at_s) == []
    assert group.looks_at_s is None


def test_a_member_that_was_pulled_pulls_nobody() -> None:
    members = [view(WAN, State.MASTER), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(Reason.GROUPED), members, 0) == []


def test_a_member_is_not_pulled_while_another_one_is_not_able() -> None:
    members = [view(WAN, State.MASTER, demotion=(("disk", 240),)), view(LAN, State.BACKUP)]

    assert GroupState("r").pull(became_master(), members, 0) == []


def test_what_a_member_carried_ends_with_its_cause() -> None:
    group = GroupState("r")
    ill = [view(WAN, State.MASTER, demotion=(("disk", 50),)), view(LAN, State.MASTER)]
    begun = group.carry(ill, 0)
    well = [view(WAN, State.MASTER), view(LAN, State.MASTER, demotion=(("group r: wan: disk", 50),))]

    assert begun == [DemotionSet(OTHER, "group r: wan: disk", 50)]
    assert group.carry(well, 1) == [DemotionSet(OTHER, "group r: wan: disk", 0)]


def given_up(heard_at_s: float) -> list[HostSnapshot]:
    """Return both members as BACKUP, the second one given up, and when it heard a MASTER that is well."""
    listener = bench(config())
    listener.hear(advert())
    (peer,) = listener.engine.host_snapshot(KEY).peers
    lan = view(
        LAN,
        State.BACKUP,
        peers=(dataclasses.replace(peer, at_ns=round(heard_at_s * NS_PER_S)),),
        demotion=((LEADER, 240),),
        restrictions=((LEADER, Restriction.NO_PREEMPT),),
    )
    return [view(WAN, State.BACKUP), lan]


def test_a_member_that_was_given_up_stays_last_until_its_master_has_been_well_for_a_while() -> None:
    group = GroupState("r")
    group.carry([view(WAN, State.BACKUP), view(LAN, State.MASTER)], 0)

    assert (group.carry(given_up(10), 10), group.looks_at_s) == ([], 10 + WELL_S)
    assert group.carry(given_up(9 + WELL_S), 10 + WELL_S) == [DemotionSet(OTHER, LEADER, 0)]
    assert group.looks_at_s is None


def test_a_member_that_was_given_up_stays_last_while_the_master_that_it_heard_is_silent() -> None:
    group = GroupState("r")
    group.carry([view(WAN, State.BACKUP), view(LAN, State.MASTER)], 0)
    group.carry(given_up(10), 10)

    assert [group.carry(given_up(10), at_s) for at_s in (10 + WELL_S, 12 + WELL_S, 20)] == [[], [], []]
    assert (group.carry(given_up(21), 21), group.looks_at_s) == ([], 21 + WELL_S)


def test_nothing_is_left_when_a_group_ends() -> None:
    group = GroupState("r")
    group.carry([view(WAN, State.BACKUP), view(LAN, State.MASTER)], 0)
    members = [view(WAN, State.BACKUP), view(LAN, State.MASTER)]

    assert set(group.end(members)) == {DemotionSet(OTHER, LEADER, 0), RestrictionSet(OTHER, LEADER, None)}
