"""A host that must not preempt, or must not be MASTER at all, for named causes; peers of every dialect beside it."""

from random import Random

import pytest

from pycarp.core.events import RestrictionChange
from pycarp.core.host.decision import Decision
from pycarp.core.inputs import (
    Action,
    AdminChanged,
    HostAdded,
    HostReconfigured,
    HostRemoved,
    LinkChanged,
    RestrictionSet,
    StateForced,
)
from pycarp.core.outlook import outlook
from pycarp.core.restriction import Restriction, RestrictionLedger
from pycarp.core.state import Reason, State
from pycarp.dialects import ALL, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.vocabulary import NS_PER_SKEW, HostKey
from tests.support.hosts import KEY, Bench, advert, bench, changes, config, link, master, published, seconds
from tests.support.segment import masters_after, segment_of

BOW_OUT = advert(advbase=255, advskew=255)
NO_PREEMPT = RestrictionSet(KEY, "startup hold", Restriction.NO_PREEMPT)
BACKUP_ONLY = RestrictionSet(KEY, "gate", Restriction.BACKUP_ONLY)
OPEN = RestrictionSet(KEY, "gate", None)

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


def restricted(event: RestrictionSet, *, dialect: Dialect = UNIVERSAL, **settings: bool | int) -> Bench:
    made = bench(config(dialect=dialect, **settings))  # type: ignore[arg-type]
    made.feed(event)
    return made


def decision(host: Bench) -> Decision:
    return host.engine.host_snapshot(KEY).peers[0].decision


# No preemption


@every_dialect
def test_a_host_that_must_not_preempt_follows_a_weaker_master(dialect: Dialect) -> None:
    host = restricted(NO_PREEMPT, dialect=dialect, preempt=True)
    host.hear(advert(advskew=100))

    assert (host.state, decision(host)) == (State.BACKUP, Decision.NOT_PREEMPTING)


@every_dialect
def test_it_takes_over_when_no_master_is_heard(dialect: Dialect) -> None:
    host = restricted(NO_PREEMPT, dialect=dialect, preempt=True)
    host.pass_time(to_ns=seconds(3))

    assert host.state is State.MASTER


@pytest.mark.parametrize("packet", [BOW_OUT, advert(advbase=4)], ids=["bow-out", "too slow"])
def test_it_takes_over_from_a_master_that_leaves_or_is_too_slow(packet: object) -> None:
    host = restricted(NO_PREEMPT, preempt=True)
    host.hear(packet)  # type: ignore[arg-type]

    assert host.state is State.MASTER


def test_it_preempts_at_the_next_advertisement_once_nothing_restricts_it() -> None:
    host = restricted(NO_PREEMPT, preempt=True)
    host.hear(advert(advskew=100, counter=1), at_ns=seconds(1))
    host.feed(RestrictionSet(KEY, "startup hold", None))
    host.hear(advert(advskew=100, counter=2), at_ns=seconds(2))

    assert host.state is State.MASTER


def test_a_master_that_must_not_preempt_stays() -> None:
    host = master()

    assert (changes(host.feed(NO_PREEMPT)), host.state) == ([], State.MASTER)


# Backup only


@every_dialect
def test_nothing_makes_a_host_that_is_backup_only_master(dialect: Dialect) -> None:
    host = restricted(BACKUP_ONLY, dialect=dialect, preempt=True)
    host.pass_time(to_ns=seconds(3))
    host.pass_time(to_ns=seconds(30))
    for number, packet in enumerate((advert(advskew=100), advert(advbase=200), advert(demote=9), BOW_OUT)):
        host.hear(packet, at_ns=seconds(31 + number))
    host.feed(StateForced(KEY, State.MASTER))
    host.pass_time(to_ns=seconds(60))

    assert host.state is State.BACKUP
    assert host.step.deadline_ns is not None
    assert host.step.deadline_ns > host.now_ns


def test_its_decisions_say_so() -> None:
    host = restricted(BACKUP_ONLY, preempt=True)
    decisions = []
    for number, packet in enumerate((advert(advskew=100, counter=1), BOW_OUT)):
        host.hear(packet, at_ns=seconds(1 + number))
        decisions.append(decision(host))

    assert decisions == [Decision.BACKUP_ONLY, Decision.BACKUP_ONLY]


@every_dialect
def test_a_master_that_becomes_backup_only_drops_its_addresses_and_listens_again(dialect: Dialect) -> None:
    host = master(config(dialect=dialect))
    left = changes(host.feed(BACKUP_ONLY))
    host.report(Action.DROP)
    host.pass_time(to_ns=seconds(60))

    assert [(each.new, each.reason) for each in left] == [(State.INIT, Reason.RESTRICTED)]
    assert host.state is State.BACKUP


@every_dialect
def test_the_next_host_takes_over_within_milliseconds(dialect: Dialect) -> None:
    made = segment_of(UNIVERSAL, dialect)

    made.submit("a", BACKUP_ONLY)

    assert masters_after(made, 0.02) == ["b"]
    assert masters_after(made, 30) == ["b"]


def test_a_lone_host_leaves_its_addresses_and_takes_them_back_when_the_gate_opens() -> None:
    made = segment_of(UNIVERSAL)

    made.submit("a", BACKUP_ONLY)
    assert masters_after(made, 60) == []
    made.submit("a", OPEN)

    assert masters_after(made, 0.1) == ["a"]


def test_a_host_whose_gate_opens_takes_over_after_its_skew_where_nobody_was_heard() -> None:
    host = restricted(BACKUP_ONLY, advskew=64)
    host.pass_time(to_ns=seconds(9))
    host.feed(OPEN, at_ns=seconds(10))

    assert host.step.deadline_ns == seconds(10) + 64 * NS_PER_SKEW
    host.pass_time(to_ns=host.step.deadline_ns)
    assert host.state is State.MASTER


def test_it_waits_for_the_rest_of_the_master_down_time_where_one_was_heard() -> None:
    host = restricted(BACKUP_ONLY)
    host.hear(advert(), at_ns=seconds(8))
    host.feed(OPEN, at_ns=seconds(10))

    assert host.step.deadline_ns == seconds(11)


def test_it_takes_over_soon_where_the_last_master_has_left() -> None:
    host = restricted(BACKUP_ONLY, advskew=64)
    host.hear(advert(), at_ns=seconds(8))
    host.hear(BOW_OUT, at_ns=seconds(9))
    host.feed(OPEN, at_ns=seconds(10))

    assert host.step.deadline_ns == seconds(10) + 64 * NS_PER_SKEW


def test_a_gate_that_opens_beside_a_master_changes_nothing() -> None:
    made = segment_of(UNIVERSAL, UNIVERSAL)
    made.submit("b", BACKUP_ONLY)
    masters_after(made, 10)

    made.submit("b", OPEN)

    assert masters_after(made, 30) == ["a"]


@pytest.mark.parametrize("dialect", [UNIVERSAL, UCARP], ids=lambda dialect: dialect.name)
def test_gates_that_open_at_once_make_one_master(dialect: Dialect) -> None:
    made = segment_of(dialect, dialect, dialect)
    for name in "abc":
        made.submit(name, BACKUP_ONLY)
    assert masters_after(made, 20) == []

    for name in "abc":
        made.submit(name, OPEN)

    assert masters_after(made, 1) == ["a"]


# Causes


def test_the_strictest_cause_is_in_force() -> None:
    host = restricted(NO_PREEMPT)
    host.feed(RestrictionSet(None, "node", Restriction.BACKUP_ONLY))
    both = host.engine.host_snapshot(KEY)
    host.feed(RestrictionSet(None, "node", None))
    one = host.engine.host_snapshot(KEY)

    assert (both.restriction, one.restriction) == (Restriction.BACKUP_ONLY, Restriction.NO_PREEMPT)
    assert both.restrictions == (("node", Restriction.BACKUP_ONLY), ("startup hold", Restriction.NO_PREEMPT))


def test_a_restriction_is_published_once() -> None:
    host = bench()
    events = [*published(host.feed(BACKUP_ONLY)), *published(host.feed(BACKUP_ONLY)), *published(host.feed(OPEN))]

    told = [(each.restriction, each.causes) for each in events if isinstance(each, RestrictionChange)]
    assert told == [(Restriction.BACKUP_ONLY, (("gate", Restriction.BACKUP_ONLY),)), (None, ())]


def test_a_host_that_is_added_is_restricted_with_its_node() -> None:
    host = bench()
    host.feed(RestrictionSet(None, "starting", Restriction.BACKUP_ONLY))
    other = config(vhid=2, addresses=("192.168.1.60/24",))
    host.feed(HostAdded(other))
    host.pass_time(to_ns=seconds(60))

    assert host.engine.host_snapshot(other.key).state is State.BACKUP


def test_a_host_that_joins_a_group_gets_its_restrictions() -> None:
    host = master()
    host.feed(RestrictionSet("web", "drained", Restriction.BACKUP_ONLY))
    before = host.state
    host.feed(HostReconfigured(config(groups=("carp", "web"))))

    assert (before, host.state) == (State.MASTER, State.INIT)


def test_a_host_that_comes_again_is_not_restricted() -> None:
    host = restricted(BACKUP_ONLY)
    host.feed(HostRemoved(KEY))
    host.report(Action.DROP)
    host.feed(HostAdded(config()))

    assert host.engine.host_snapshot(KEY).restrictions == ()


def test_a_host_in_init_remembers_its_restriction() -> None:
    host = bench()
    host.feed(AdminChanged(KEY, is_up=False))
    host.report(Action.DROP)
    host.feed(BACKUP_ONLY)
    host.feed(AdminChanged(KEY, is_up=True))
    host.pass_time(to_ns=seconds(60))

    assert host.state is State.BACKUP


def test_the_ledger_knows_which_causes_concern_a_host() -> None:
    host, other = config(vhid=1), config(vhid=2)
    ledger = RestrictionLedger()

    assert ledger.set(host.key, "gate", Restriction.BACKUP_ONLY)
    assert not ledger.set(host.key, "gate", Restriction.BACKUP_ONLY)
    assert ledger.set(host.key, "gate", Restriction.NO_PREEMPT)
    assert not ledger.set(None, "absent", None)
    assert ledger.set("carp", "group", Restriction.NO_PREEMPT)
    assert ledger.of(host) == (("group", Restriction.NO_PREEMPT), ("gate", Restriction.NO_PREEMPT))
    assert RestrictionLedger(ledger.entries).of(other) == (("group", Restriction.NO_PREEMPT),)
    ledger.forget(host.key)
    ledger.forget(HostKey("lan", 9))
    assert ledger.set("carp", "group", None)
    assert ledger.entries == ()


# What is shown


def test_the_outlook_of_a_backup_only_host_names_its_causes() -> None:
    host = restricted(BACKUP_ONLY)
    view = host.engine.host_snapshot(KEY)

    assert (view.deadline_ns, view.preempts) == (None, False)
    assert [(each.reason, each.at_ns, "gate" in each.condition) for each in outlook(view)] == [
        (Reason.MASTER_SILENT, None, True)
    ]


def test_the_outlook_of_a_host_that_must_not_preempt_names_its_causes() -> None:
    view = restricted(NO_PREEMPT, preempt=True).engine.host_snapshot(KEY)
    (way,) = [each for each in outlook(view) if each.reason is Reason.PREEMPTING]

    assert (view.preempts, view.wants_preempt, "startup hold" in way.condition) == (False, True, True)


def test_openbsd_takes_over_from_a_more_demoted_master_without_preempting() -> None:
    """As without preempt; source: carp.md 5.1."""
    host = restricted(NO_PREEMPT, dialect=OPENBSD, preempt=True)

    assert [each.reason for each in changes(host.hear(advert(demote=1)))] == [Reason.MASTER_DEMOTED]


# Whatever is restricted in whatever order


@pytest.mark.parametrize("seed", range(40))
def test_the_best_host_that_may_be_master_is(seed: int) -> None:
    chance = Random(seed)
    made = segment_of(UNIVERSAL, UNIVERSAL, UNIVERSAL, preempt=True)
    in_force: dict[tuple[str, str], Restriction] = {}
    for _step in range(12):
        name, cause = chance.choice("abc"), chance.choice(("gate", "hold"))
        restriction = chance.choice((None, None, *Restriction))
        in_force.pop((name, cause), None)
        if restriction is not None:
            in_force[name, cause] = restriction
        made.submit(name, RestrictionSet(KEY, cause, restriction))
        masters_after(made, chance.choice((0.0, 0.002, 0.5, 4.0)))
        assert {name for (name, _cause), each in in_force.items() if each is Restriction.BACKUP_ONLY}.isdisjoint(
            made.masters
        )
    able = [name for name in "abc" if Restriction.BACKUP_ONLY not in _of(in_force, name)]
    masters = masters_after(made, 10)
    free = [name for name in able if not _of(in_force, name)]

    assert len(masters) == bool(able)
    assert set(masters) <= set(able)
    assert not masters or not free or masters[0] <= free[0]


def _of(in_force: dict[tuple[str, str], Restriction], name: str) -> set[Restriction]:
    return {each for (node, _cause), each in in_force.items() if node == name}


def test_a_host_on_a_link_that_is_up_again_stays_backup_only() -> None:
    host = restricted(BACKUP_ONLY)
    host.feed(LinkChanged(link(is_up=False)))
    host.report(Action.DROP)
    host.feed(LinkChanged(link()))
    host.pass_time(to_ns=seconds(60))

    assert host.state is State.BACKUP
