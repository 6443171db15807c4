"""One virtual host: what each state makes of each input, and in which order things are done."""

from collections.abc import Callable
from ipaddress import IPv4Address
from itertools import product
from typing import Any, get_args

import pytest

from pycarp.core import (
    Announce,
    DropAddresses,
    Effect,
    Engine,
    HoldAddresses,
    Publish,
    RenewAddresses,
    Transmit,
)
from pycarp.core.events import ActuationFailed, ConflictWon, Departed
from pycarp.core.host.decision import Decision
from pycarp.core.host.reactions import REACTIONS
from pycarp.core.host.states import Backup, Init, Master
from pycarp.core.inputs import (
    Action,
    AddressesDisturbed,
    AdminChanged,
    DemotionSet,
    HandOverAsked,
    HostAdded,
    HostInput,
    HostReconfigured,
    HostRemoved,
    LinkChanged,
    RestrictionSet,
    SettingsChanged,
    StateForced,
    TransmitReported,
)
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.state import EDGES, Reason, State
from pycarp.dialects import ALL, FREEBSD, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.vocabulary import NS_PER_SKEW, Family, LinkFacts
from pycarp.wire.advertisement import BOW_OUT
from tests.support.hosts import (
    KEY,
    LINK,
    PEER,
    Bench,
    advert,
    bench,
    changes,
    config,
    link,
    master,
    published,
    seconds,
    transmitted,
)

DOWN = AdminChanged(KEY, is_up=False)
UP = AdminChanged(KEY, is_up=True)
UNPLUGGED = LinkChanged(link(is_up=False))
DELETED = LinkChanged(LinkFacts(name=LINK, is_up=False, exists=False))
PLUGGED = LinkChanged(link(is_up=True))
REMOVED = HostRemoved(KEY)

LOWER = IPv4Address("192.168.1.2")
HIGHER = IPv4Address("192.168.1.9")

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


def kinds(effects: tuple[Effect, ...]) -> list[type[Effect]]:
    return [type(effect) for effect in effects]


def reasons(effects: tuple[Effect, ...]) -> list[Reason]:
    return [change.reason for change in changes(effects)]


def fresh() -> Bench:
    """Return an engine that knows its link, but no host yet."""
    made = bench()
    made.feed(REMOVED)
    made.report(Action.DROP)
    return made


def is_bow_out(effects: tuple[Effect, ...]) -> bool:
    return [each.is_bow_out for each in transmitted(effects)] == [True]


# Tables


def test_every_state_reacts_to_every_input() -> None:
    assert set(REACTIONS) == set(product((Init, Backup, Master), get_args(HostInput)))


def slower_master_heard() -> tuple[Effect, ...]:
    return bench(config(preempt=True)).hear(advert(advskew=100))


def more_demoted_master_heard() -> tuple[Effect, ...]:
    return bench(config(dialect=OPENBSD)).hear(advert(demote=1))


def removed_while_down() -> tuple[Effect, ...]:
    host = bench()
    host.feed(DOWN)
    host.report(Action.DROP)
    return host.feed(REMOVED)


def weaker_master_heard_by_one_that_cannot_send() -> tuple[Effect, ...]:
    host = master()
    host.feed(TransmitReported(KEY, "no route", Family.IPV4))
    host.hear(advert(advskew=100, counter=10), at_ns=seconds(4))
    return host.hear(advert(advskew=100, counter=11), at_ns=seconds(4.5))


WALKS: dict[tuple[State, State, Reason], Callable[[], tuple[Effect, ...]]] = {
    (State.INIT, State.INIT, Reason.ADDED): lambda: fresh().feed(HostAdded(config())),
    (State.INIT, State.INIT, Reason.REMOVED): removed_while_down,
    (State.INIT, State.BACKUP, Reason.READY): lambda: fresh().feed(HostAdded(config())),
    (State.BACKUP, State.MASTER, Reason.MASTER_SILENT): lambda: bench().pass_time(to_ns=seconds(3)),
    (State.BACKUP, State.MASTER, Reason.MASTER_LEFT): lambda: bench().hear(advert(advbase=255, advskew=255)),
    (State.BACKUP, State.MASTER, Reason.MASTER_TOO_SLOW): lambda: bench().hear(advert(advbase=4)),
    (State.BACKUP, State.MASTER, Reason.MASTER_DEMOTED): more_demoted_master_heard,
    (State.BACKUP, State.MASTER, Reason.PREEMPTING): slower_master_heard,
    (State.BACKUP, State.MASTER, Reason.FORCED): lambda: bench().feed(StateForced(KEY, State.MASTER)),
    (State.BACKUP, State.MASTER, Reason.GROUPED): lambda: bench().feed(StateForced(KEY, State.MASTER, True)),
    (State.MASTER, State.BACKUP, Reason.BETTER_MASTER): lambda: master(config(advskew=1)).hear(advert()),
    (State.MASTER, State.BACKUP, Reason.TIE_LOST): lambda: master().hear(advert(source=LOWER), at_ns=seconds(4)),
    (State.MASTER, State.BACKUP, Reason.CANNOT_SEND): weaker_master_heard_by_one_that_cannot_send,
    (State.MASTER, State.BACKUP, Reason.ABSENT): lambda: master().hear(advert(advskew=1), at_ns=seconds(60)),
    (State.MASTER, State.BACKUP, Reason.FORCED): lambda: master().feed(StateForced(KEY, State.BACKUP)),
    (State.MASTER, State.BACKUP, Reason.GROUPED): lambda: master().feed(StateForced(KEY, State.BACKUP, True)),
    (State.BACKUP, State.INIT, Reason.LINK_DOWN): lambda: bench().feed(UNPLUGGED),
    (State.BACKUP, State.INIT, Reason.LINK_DELETED): lambda: bench().feed(DELETED),
    (State.BACKUP, State.INIT, Reason.ADMIN_DOWN): lambda: bench().feed(DOWN),
    (State.BACKUP, State.INIT, Reason.REMOVED): lambda: bench().feed(REMOVED),
    (State.MASTER, State.INIT, Reason.LINK_DOWN): lambda: master().feed(UNPLUGGED),
    (State.MASTER, State.INIT, Reason.LINK_DELETED): lambda: master().feed(DELETED),
    (State.MASTER, State.INIT, Reason.ADMIN_DOWN): lambda: master().feed(DOWN),
    (State.MASTER, State.INIT, Reason.HANDED_OVER): lambda: master().feed(HandOverAsked(KEY)),
    (State.MASTER, State.INIT, Reason.NOT_HELD): lambda: master().report(Action.HOLD, error="no such device"),
    (State.MASTER, State.INIT, Reason.RESTRICTED): lambda: master().feed(
        RestrictionSet(KEY, "gate", Restriction.BACKUP_ONLY)
    ),
    (State.MASTER, State.INIT, Reason.REMOVED): lambda: master().feed(REMOVED),
}
STEPS = [(old, new, reason) for (old, new), allowed in EDGES.items() for reason in sorted(allowed)]


@pytest.mark.parametrize("walk", STEPS, ids=lambda walk: f"{walk[0]}-{walk[1]}-{walk[2].name}")
def test_every_edge_is_walked_for_every_of_its_reasons(walk: tuple[State, State, Reason]) -> None:
    walked = changes(WALKS[walk]())

    assert walk in [(change.old, change.new, change.reason) for change in walked]


def test_no_edge_is_walked_that_is_not_drawn() -> None:
    assert set(WALKS) == set(STEPS)


# INIT


def test_a_host_begins_in_init_and_becomes_backup_where_its_link_is_up() -> None:
    """Source: carp.md 5.3."""
    effects = fresh().feed(HostAdded(config()))

    assert reasons(effects) == [Reason.ADDED, Reason.READY]


def test_becoming_backup_drops_what_a_crashed_predecessor_left() -> None:
    effects = fresh().feed(HostAdded(config()))

    assert kinds(effects) == [Publish, DropAddresses, Publish]


@pytest.mark.parametrize("event", [UNPLUGGED, DOWN], ids=["link", "administrator"])
def test_a_host_stays_in_init_until_link_and_administrator_are_up(event: LinkChanged | AdminChanged) -> None:
    host = bench()
    host.feed(UNPLUGGED)
    host.feed(DOWN)
    host.report(Action.DROP)
    host.feed(UP if event is UNPLUGGED else PLUGGED)

    assert host.state is State.INIT


def test_a_host_on_an_unknown_link_waits_for_it() -> None:
    host = Bench(Engine(entropy=lambda: 77))
    host.feed(HostAdded(config()))
    before = host.state
    host.feed(PLUGGED)

    assert (before, host.state) == (State.INIT, State.BACKUP)


@pytest.mark.parametrize("state", [State.BACKUP, State.MASTER])
def test_no_state_can_be_forced_in_init(state: State) -> None:
    """Source: carp.md 5.3, manual state."""
    host = bench()
    host.feed(DOWN)
    host.report(Action.DROP)

    assert host.feed(StateForced(KEY, state)) == ()


def test_time_does_nothing_in_init() -> None:
    host = bench()
    host.feed(DOWN)

    assert host.pass_time(to_ns=seconds(100)) == ()
    assert host.step.deadline_ns is None


# BACKUP


@every_dialect
@pytest.mark.parametrize(("advbase", "advskew"), [(1, 0), (1, 100), (3, 254)])
def test_a_lone_host_waits_the_master_down_time(dialect: Dialect, advbase: int, advskew: int) -> None:
    host = bench(config(advbase=advbase, advskew=advskew, dialect=dialect))
    down_ns = dialect.master_down_ns(advbase, advskew, 3)

    assert host.step.deadline_ns == down_ns
    assert host.pass_time(to_ns=down_ns - 1) == ()
    assert reasons(host.pass_time(to_ns=down_ns)) == [Reason.MASTER_SILENT]


def test_the_master_down_time_is_three_advbases_and_the_skew_once() -> None:
    """Source: carp.md 5.2."""
    assert bench(config(advbase=2, advskew=100)).step.deadline_ns == seconds(6) + 100 * NS_PER_SKEW


@every_dialect
def test_every_advertisement_of_the_master_starts_the_wait_anew(dialect: Dialect) -> None:
    host = bench(config(dialect=dialect))
    for second in range(1, 10):
        assert changes(host.hear(advert(counter=second), at_ns=seconds(second))) == []

    assert host.pass_time(to_ns=seconds(12) - 1) == ()
    assert reasons(host.pass_time(to_ns=seconds(12))) == [Reason.MASTER_SILENT]


@every_dialect
def test_a_backup_without_preempt_stays_also_under_a_slower_master(dialect: Dialect) -> None:
    """Source: carp.md 5.1."""
    host = bench(config(dialect=dialect))

    assert changes(host.hear(advert(advskew=200))) == []


@every_dialect
@pytest.mark.parametrize("by", ["host", "node"])
def test_a_backup_that_preempts_takes_over_from_a_slower_master(dialect: Dialect, by: str) -> None:
    """Source: carp.md 5.1, test 1."""
    host = bench(config(dialect=dialect, preempt=by == "host"), settings=Settings(preempt=by == "node"))

    assert reasons(host.hear(advert(advskew=1))) == [Reason.PREEMPTING]


@every_dialect
@pytest.mark.parametrize("advskew", [99, 100])
def test_a_backup_that_preempts_stays_under_a_master_as_fast_or_faster(dialect: Dialect, advskew: int) -> None:
    host = bench(config(dialect=dialect, advskew=100, preempt=True))

    assert changes(host.hear(advert(advskew=advskew))) == []


def test_preempt_can_be_switched_on_for_the_node_later() -> None:
    host = bench()
    host.feed(SettingsChanged(Settings(preempt=True)))

    assert reasons(host.hear(advert(advskew=1))) == [Reason.PREEMPTING]


def test_a_demoted_backup_does_not_preempt() -> None:
    host = bench(config(preempt=True))
    host.feed(DemotionSet(KEY, "maintenance", 100))

    assert changes(host.hear(advert(advskew=100))) == []


@every_dialect
@pytest.mark.parametrize(("advskew", "taken"), [(100, []), (101, [Reason.MASTER_TOO_SLOW])])
def test_a_backup_takes_over_from_a_master_slower_than_its_own_patience(
    dialect: Dialect, advskew: int, taken: list[Reason]
) -> None:
    """Source: carp.md 5.1, test 3; section 13, advbase 3 with equal skew stays, one skew unit more takes over."""
    host = bench(config(dialect=dialect, advskew=100))

    assert reasons(host.hear(advert(advbase=3, advskew=advskew))) == taken


@every_dialect
def test_a_bow_out_is_followed_at_once(dialect: Dialect) -> None:
    """Source: carp.md 5.3; every system accepts it."""
    host = bench(config(dialect=dialect, advskew=254 if dialect is not UCARP else 255))

    assert reasons(host.hear(advert(advbase=255, advskew=255), at_ns=1)) == [Reason.MASTER_LEFT]


def test_an_advertisement_of_a_slow_interval_is_not_called_a_bow_out() -> None:
    assert reasons(bench().hear(advert(advbase=255, advskew=254))) == [Reason.MASTER_TOO_SLOW]


def test_a_takeover_names_the_peer_and_its_silence() -> None:
    host = bench()
    host.hear(advert(), at_ns=seconds(1))

    (change,) = changes(host.pass_time(to_ns=seconds(5)))

    assert (change.peer, change.silent_ns) == (PEER, seconds(4))


def test_a_takeover_names_nobody_when_nobody_was_heard() -> None:
    (change,) = changes(bench().pass_time(to_ns=seconds(3)))

    assert (change.peer, change.silent_ns) == (None, None)


def test_a_backup_that_becomes_less_patient_does_not_take_over_from_a_master_that_was_in_time() -> None:
    host = bench(config(advbase=10))
    host.hear(advert(advbase=10), at_ns=seconds(1))
    host.feed(HostReconfigured(config(advbase=1)), at_ns=seconds(9))

    assert host.engine.host_snapshot(KEY).deadline_ns == seconds(12)


@pytest.mark.parametrize(("advskew", "later"), [(100, 100), (254, 254)])
def test_a_higher_advskew_puts_the_deadline_of_a_backup_off(advskew: int, later: int) -> None:
    host = bench()
    host.hear(advert(), at_ns=seconds(1))
    host.feed(HostReconfigured(config(advskew=advskew)), at_ns=seconds(2))

    assert host.pass_time(to_ns=seconds(4) + later * NS_PER_SKEW - 1) == ()
    assert reasons(host.pass_time(to_ns=seconds(4) + later * NS_PER_SKEW)) == [Reason.MASTER_SILENT]


def test_a_lower_advskew_brings_the_deadline_of_a_backup_forward() -> None:
    host = bench(config(advskew=100))
    host.feed(HostReconfigured(config(advskew=0)), at_ns=seconds(1))

    assert host.step.deadline_ns == seconds(3)


def test_a_new_advskew_is_used_from_then_on() -> None:
    host = bench()
    host.feed(HostReconfigured(config(advskew=100)))
    host.hear(advert(), at_ns=seconds(1))

    assert host.pass_time(to_ns=seconds(4)) == ()


def test_preempt_can_be_switched_on_for_a_host_later() -> None:
    host = bench()
    host.feed(HostReconfigured(config(preempt=True)))

    assert reasons(host.hear(advert(advskew=1))) == [Reason.PREEMPTING]


def test_what_is_configured_in_init_is_used_afterwards() -> None:
    host = bench()
    host.feed(DOWN)
    host.report(Action.DROP)
    host.feed(HostReconfigured(config(advbase=2)))
    host.feed(UP)

    assert host.step.deadline_ns == seconds(6)


def test_demotion_does_not_change_how_long_a_backup_waits() -> None:
    """Source: carp.md 5.2, raw skew."""
    host = bench(config(advskew=100))
    host.feed(DemotionSet(None, "link", 100))

    assert host.step.deadline_ns == seconds(3) + 100 * NS_PER_SKEW


def test_forcing_a_backup_to_be_backup_does_nothing() -> None:
    assert bench().feed(StateForced(KEY, State.BACKUP)) == ()


def test_a_backup_tells_when_its_addresses_cannot_be_dropped() -> None:
    (failure,) = published(bench().report(Action.DROP, error="busy"))

    assert isinstance(failure, ActuationFailed)
    assert (failure.action, failure.error) == ("drop", "busy")


# BACKUP to MASTER


@every_dialect
def test_a_new_master_speaks_before_it_holds_the_addresses(dialect: Dialect) -> None:
    """Source: carp.md 5.3."""
    host = bench(config(dialect=dialect))
    effects = [*host.pass_time(to_ns=seconds(3))]
    effects += [] if HoldAddresses in kinds(host.step.effects) else host.wait_for_hold()

    assert sorted(kinds(tuple(effects)), key=str) == sorted([Transmit, HoldAddresses, Publish], key=str)
    assert kinds(tuple(effects))[0] is Transmit


def test_a_new_master_holds_all_shared_addresses() -> None:
    host = config(addresses=("192.168.1.50/24", "10.0.0.1/8"))

    effects = bench(host).wait_for_hold()

    assert [each.addresses for each in effects if isinstance(each, HoldAddresses)] == [host.addresses]


def test_a_new_master_announces_only_what_it_holds() -> None:
    host = bench()
    taken = host.pass_time(to_ns=seconds(3))
    held = host.report(Action.HOLD)

    assert (kinds(taken).count(Announce), kinds(held)) == (0, [Announce])


@every_dialect
def test_an_announcement_has_the_form_of_the_dialect(dialect: Dialect) -> None:
    host = bench(config(dialect=dialect))
    host.pass_time(to_ns=seconds(3))
    (announced,) = host.report(Action.HOLD)

    assert announced == Announce(KEY, 2, config().addresses, dialect.arp)


def test_a_report_of_an_older_epoch_announces_nothing() -> None:
    host = master()
    old = host.engine.host_snapshot(KEY).epoch
    host.feed(StateForced(KEY, State.BACKUP))
    host.feed(StateForced(KEY, State.MASTER))

    assert host.report(Action.HOLD, epoch=old) == ()
    assert kinds(host.report(Action.HOLD)) == [Announce]


def test_a_report_that_comes_after_the_master_has_yielded_does_nothing() -> None:
    host = bench()
    host.pass_time(to_ns=seconds(3))
    old = host.engine.host_snapshot(KEY).epoch
    host.feed(StateForced(KEY, State.BACKUP))

    assert host.report(Action.HOLD, epoch=old) == ()


def test_a_late_report_of_a_drop_does_nothing_to_a_master() -> None:
    assert master().report(Action.DROP) == ()


def test_addresses_that_could_not_be_held_are_not_announced() -> None:
    host = bench()
    host.pass_time(to_ns=seconds(3))

    assert Announce not in kinds(host.report(Action.HOLD, error="no such device"))


def test_a_failure_to_hold_is_told() -> None:
    host = bench()
    host.pass_time(to_ns=seconds(3))

    effects = host.report(Action.HOLD, error="no such device")

    assert [(each.action, each.error) for each in published(effects) if isinstance(each, ActuationFailed)] == [
        ("hold", "no such device")
    ]


@every_dialect
def test_a_takeover_is_announced_again_when_the_dialect_does_so(dialect: Dialect) -> None:
    """Source: carp.md 5.3; ucarp, and universal like it: with the second later advertisement, measured."""
    host = master(config(dialect=dialect))
    announced = [Announce in kinds(host.pass_time(to_ns=seconds(at))) for at in (4, 5, 6, 7)]

    assert announced == [False, dialect.announce_again_after == 2, False, False]


# MASTER


@every_dialect
@pytest.mark.parametrize(("advbase", "advskew"), [(1, 0), (1, 100), (3, 200)])
def test_a_master_advertises_once_an_interval(dialect: Dialect, advbase: int, advskew: int) -> None:
    host = master(config(dialect=dialect, advbase=advbase, advskew=advskew))
    change = host.engine.host_snapshot(KEY).last_change
    assert change is not None
    taken_ns = change.at_ns
    interval_ns = seconds(advbase) + advskew * NS_PER_SKEW

    for number in range(1, 5):
        due_ns = taken_ns + number * interval_ns
        assert Transmit not in kinds(host.pass_time(to_ns=due_ns - 1))
        assert Transmit in kinds(host.pass_time(to_ns=due_ns))


def test_a_late_advertisement_does_not_put_the_next_one_off() -> None:
    host = master()
    host.pass_time(to_ns=seconds(4) + 900_000)

    assert host.step.deadline_ns == seconds(5)


def test_advertisements_that_were_missed_are_not_made_up_for() -> None:
    host = master()
    effects = host.pass_time(to_ns=seconds(60) + 5)

    assert len(transmitted(effects)) == 1
    assert host.step.deadline_ns == seconds(61) + 5


def test_an_advertisement_that_is_a_whole_interval_late_is_followed_by_none_at_once() -> None:
    host = master()
    host.pass_time(to_ns=seconds(5))

    assert host.step.deadline_ns == seconds(6)


@every_dialect
def test_a_master_yields_to_a_faster_one(dialect: Dialect) -> None:
    """Source: carp.md 5.1; acceptance.json, skew 99 against 100."""
    host = master(config(dialect=dialect, advskew=100))

    assert reasons(host.hear(advert(advskew=99))) == [Reason.BETTER_MASTER]


@every_dialect
def test_a_master_stays_when_it_hears_a_slower_one(dialect: Dialect) -> None:
    host = master(config(dialect=dialect, advskew=100))

    assert changes(host.hear(advert(advskew=101))) == []


def test_a_master_that_yields_drops_its_addresses_and_waits_anew() -> None:
    host = master(config(advskew=100))
    effects = host.hear(advert(), at_ns=seconds(10))

    assert kinds(effects) == [DropAddresses, Publish]
    assert host.step.deadline_ns is not None
    assert host.pass_time(to_ns=seconds(13) + 100 * NS_PER_SKEW - 1) == ()
    assert reasons(host.pass_time(to_ns=seconds(13) + 100 * NS_PER_SKEW)) == [Reason.MASTER_SILENT]


def test_a_master_that_yields_names_to_whom() -> None:
    (change,) = changes(master(config(advskew=100)).hear(advert(source=LOWER)))

    assert (change.peer, change.silent_ns) == (LOWER, 0)


def test_ucarp_bids_farewell_with_an_ordinary_advertisement_before_it_yields() -> None:
    """Source: captured, carp.md 5.3."""
    effects = master(config(advskew=100, dialect=UCARP)).hear(advert())

    assert kinds(effects) == [Transmit, DropAddresses, Publish]
    assert [(each.advbase, each.advskew) for each in transmitted(effects)] == [(1, 100)]


@pytest.mark.parametrize(
    ("dialect", "source", "yields"),
    [
        (FREEBSD, LOWER, True),
        (FREEBSD, HIGHER, True),
        (NETBSD, LOWER, True),
        (NETBSD, HIGHER, True),
        (UCARP, LOWER, True),
        (UCARP, HIGHER, False),
        (UNIVERSAL, LOWER, True),
        (UNIVERSAL, HIGHER, False),
    ],
    ids=lambda each: each.name if isinstance(each, Dialect) else str(each),
)
def test_on_an_equal_claim_the_rule_of_the_dialect_decides(
    *, dialect: Dialect, source: IPv4Address, yields: bool
) -> None:
    """Source: carp.md 5.1; our address ends in 3."""
    host = master(config(dialect=dialect))

    heard = host.hear(advert(source=source), at_ns=host.now_ns + seconds(0.5))

    assert reasons(heard) == ([Reason.TIE_LOST] if yields else [])


def test_a_universal_master_yields_to_a_faster_one_also_just_after_its_takeover() -> None:
    assert reasons(master(config(advskew=1)).hear(advert(source=HIGHER))) == [Reason.BETTER_MASTER]


@every_dialect
def test_a_master_announces_again_when_it_hears_a_weaker_one_if_the_dialect_does_so(dialect: Dialect) -> None:
    """Source: captured from ucarp, carp.md 5.1; universal announces once more when the other has dropped."""
    host = master(config(dialect=dialect))
    for second in (4, 5):
        host.pass_time(to_ns=seconds(second))
    heard = host.hear(advert(advskew=9))
    later = [Announce in kinds(host.pass_time(to_ns=seconds(second))) for second in (6, 7, 8)]

    assert (Announce in kinds(heard), later) == (dialect.reasserts, [dialect.answers_weaker, dialect.reasserts, False])


def test_a_master_that_does_not_hold_its_addresses_yet_reasserts_nothing() -> None:
    host = bench()
    host.pass_time(to_ns=seconds(3))

    assert Announce not in kinds(host.hear(advert(advskew=9)))


def test_forcing_a_master_to_be_master_does_nothing() -> None:
    assert master().feed(StateForced(KEY, State.MASTER)) == ()


def test_a_master_that_is_forced_to_be_backup_leaves_silently() -> None:
    """Source: carp.md 5.3, manual state."""
    assert kinds(master().feed(StateForced(KEY, State.BACKUP))) == [DropAddresses, Publish]


def test_a_master_tells_its_new_advskew_at_once() -> None:
    host = master()
    effects = host.feed(HostReconfigured(config(advskew=128)), at_ns=seconds(3.25))

    assert [each.advskew for each in transmitted(effects)] == [128]
    assert changes(effects) == []
    assert host.engine.host_snapshot(KEY).deadline_ns == seconds(4.75)


def test_a_master_tells_its_demotion_at_once() -> None:
    """Source: carp.md 6.1."""
    effects = master(config(advskew=10)).feed(DemotionSet(KEY, "maintenance", 100))

    assert [each.advskew for each in transmitted(effects)] == [110]


# Leaving


def test_a_master_that_leaves_bows_out_only_when_its_addresses_are_dropped() -> None:
    host = master()
    left = host.feed(DOWN)
    dropped = host.report(Action.DROP)

    assert kinds(left) == [DropAddresses, Publish]
    assert is_bow_out(dropped)


@every_dialect
def test_a_master_bows_out_if_its_dialect_does_so(dialect: Dialect) -> None:
    """Source: carp.md 5.3."""
    host = master(config(dialect=dialect))
    host.feed(DOWN)

    assert is_bow_out(host.report(Action.DROP)) is (dialect.bow_out is not None)


def test_a_bow_out_has_the_next_counter_and_an_authentic_digest() -> None:
    host = master()
    host.hear(advert(advskew=200, counter=41))
    host.feed(DOWN)
    (bow_out,) = transmitted(host.report(Action.DROP))

    assert bow_out.counter == 42
    assert bow_out.digest == transmitted_digest(counter=42)


def transmitted_digest(*, counter: int) -> bytes:
    return advert(counter=counter).payload[16:36]


def test_a_demoted_master_bows_out_with_255_255() -> None:
    host = master()
    host.feed(DemotionSet(KEY, "maintenance", 100))
    host.feed(DOWN)

    assert [(each.advbase, each.advskew) for each in transmitted(host.report(Action.DROP))] == [(BOW_OUT, BOW_OUT)]


def test_a_backup_that_leaves_says_nothing() -> None:
    host = bench()
    host.feed(DOWN)

    assert host.report(Action.DROP) == ()


def test_a_bow_out_is_sent_once() -> None:
    host = master()
    host.feed(DOWN)
    host.report(Action.DROP)

    assert host.report(Action.DROP) == ()


def test_a_drop_that_fails_is_told_and_holds_the_bow_out_back() -> None:
    host = master()
    host.feed(DOWN)
    failed = host.report(Action.DROP, error="busy")
    dropped = host.report(Action.DROP)

    assert [type(each) for each in published(failed)] == [ActuationFailed]
    assert (transmitted(failed), is_bow_out(dropped)) == ([], True)


def test_the_report_of_an_older_drop_does_not_release_the_bow_out() -> None:
    host = master()
    host.feed(DOWN)

    assert host.report(Action.DROP, epoch=1) == ()


def test_a_master_whose_link_goes_down_does_not_bow_out() -> None:
    """Source: carp.md 5.3; nobody could hear it."""
    host = master()
    host.feed(UNPLUGGED)

    assert host.report(Action.DROP) == ()


def test_a_master_that_leaves_does_not_bow_out_when_its_link_went_down_meanwhile() -> None:
    host = master()
    host.feed(DOWN)
    host.feed(UNPLUGGED)

    assert host.report(Action.DROP) == ()


def test_down_and_up_at_once_bows_out_first_and_only_then_becomes_backup() -> None:
    host = master()
    host.feed(DOWN)
    up = host.feed(UP)
    before = host.state
    dropped = host.report(Action.DROP)

    assert (up, before) == ((), State.INIT)
    assert kinds(dropped) == [Transmit, DropAddresses, Publish]
    assert transmitted(dropped)[0].is_bow_out
    assert reasons(dropped) == [Reason.READY]


def test_a_host_that_comes_back_waits_as_a_new_one() -> None:
    host = master()
    host.feed(DOWN)
    host.report(Action.DROP)
    host.feed(UP, at_ns=seconds(20))

    assert host.step.deadline_ns == seconds(23)


def test_a_host_that_leaves_hears_nothing_more() -> None:
    host = bench(config(preempt=True))
    host.feed(DOWN)

    assert host.hear(advert(advskew=100)) == ()


@pytest.mark.parametrize("is_up", [True, False], ids=["link up", "link down"])
def test_the_link_is_named_as_the_cause_only_when_it_is(*, is_up: bool) -> None:
    host = bench()
    effects = host.feed(DOWN if is_up else UNPLUGGED)

    assert reasons(effects) == [Reason.ADMIN_DOWN if is_up else Reason.LINK_DOWN]


# Removal


def test_a_removed_backup_departs_when_its_addresses_are_dropped() -> None:
    host = bench()
    removed = host.feed(REMOVED)
    (departed,) = published(host.report(Action.DROP))

    assert reasons(removed) == [Reason.REMOVED]
    assert isinstance(departed, Departed)


def test_a_removed_master_bows_out_before_it_departs() -> None:
    host = master()
    host.feed(REMOVED)
    effects = host.report(Action.DROP)

    assert kinds(effects) == [Transmit, Publish]
    assert [type(each) for each in published(effects)] == [Departed]
    assert transmitted(effects)[0].is_bow_out


def test_a_departed_host_is_gone() -> None:
    host = bench()
    host.feed(REMOVED)
    host.report(Action.DROP)

    assert host.engine.snapshot().hosts == ()
    assert host.step.deadline_ns is None


def test_a_host_that_is_down_can_be_removed() -> None:
    host = bench()
    host.feed(DOWN)
    host.report(Action.DROP)
    host.feed(REMOVED)

    assert [type(each) for each in published(host.report(Action.DROP))] == [Departed]


def test_a_master_that_is_removed_while_it_goes_down_bows_out_once() -> None:
    host = master()
    host.feed(DOWN)
    host.feed(REMOVED)
    too_old = host.report(Action.DROP, epoch=3)
    effects = host.report(Action.DROP, epoch=4)

    assert too_old == ()
    assert [each.is_bow_out for each in transmitted(effects)] == [True]
    assert [type(each) for each in published(effects)] == [Departed]


@pytest.mark.parametrize("event", [UP, PLUGGED, REMOVED], ids=["up", "link up", "removed again"])
def test_a_removed_host_does_not_come_back(event: AdminChanged | LinkChanged | HostRemoved) -> None:
    host = bench()
    host.feed(REMOVED)
    host.feed(event)

    assert host.state is State.INIT
    assert [type(each) for each in published(host.report(Action.DROP))] == [Departed]


# Epochs


def test_every_stay_in_a_state_has_the_next_epoch() -> None:
    host = bench()
    seen = [change.epoch for change in changes(host.pass_time(to_ns=seconds(3)))]
    seen += [change.epoch for change in changes(host.feed(StateForced(KEY, State.BACKUP)))]
    seen += [change.epoch for change in changes(host.feed(DOWN))]

    assert seen == [2, 3, 4]


def test_an_actuation_has_the_epoch_of_its_state_change() -> None:
    host = bench()
    change = changes(host.pass_time(to_ns=seconds(3)))[0]
    holds = [effect.epoch for effect in host.wait_for_hold() if isinstance(effect, HoldAddresses)]

    assert holds == [change.epoch]


# Giving way, and being absent


def test_who_hears_a_more_eager_heir_never_holds_what_was_left() -> None:
    host = bench(config(advskew=100))
    host.hear(advert(advbase=255, advskew=255), at_ns=seconds(1))
    yields = host.hear(advert(source=HIGHER), at_ns=seconds(1.001))

    assert (host.state, HoldAddresses in kinds(yields)) == (State.BACKUP, False)


def test_a_backup_leaves_a_weaker_master_to_the_better_one_that_it_hears() -> None:
    """A loser that bids farewell must not make a third host MASTER."""
    host = bench(config(advskew=50, preempt=True))
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advskew=100, source=HIGHER), at_ns=seconds(1.1))

    view = host.engine.host_snapshot(KEY)
    assert (view.state, view.deadline_ns) == (State.BACKUP, seconds(1.1) + seconds(3) + 50 * NS_PER_SKEW)


def test_the_bow_out_of_a_loser_is_no_vacancy() -> None:
    host = bench(config(advskew=50))
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advbase=255, advskew=255, source=HIGHER), at_ns=seconds(1.1))

    assert host.state is State.BACKUP


def test_after_the_bow_out_of_one_that_was_relieved_the_other_is_waited_for_as_long_as_it_may_hold() -> None:
    """The other one may have been stopped after its advertisement: its kernel keeps the addresses for a while."""
    host = bench(config(advskew=50))
    host.hear(advert(advskew=100), at_ns=seconds(1))
    host.hear(advert(advskew=75, source=HIGHER), at_ns=seconds(2))
    host.hear(advert(advbase=255, advskew=255), at_ns=seconds(3))
    before = host.state
    host.pass_time(to_ns=seconds(5) + 50 * NS_PER_SKEW - 1)
    late = host.state
    host.pass_time(to_ns=seconds(5) + 50 * NS_PER_SKEW)

    assert [before, late, host.state] == [State.BACKUP, State.BACKUP, State.MASTER]


def test_a_bow_out_beside_another_master_never_puts_the_takeover_off() -> None:
    host = bench(config(advskew=50))
    host.hear(advert(advskew=200), at_ns=seconds(1))
    host.hear(advert(advskew=100, source=HIGHER), at_ns=seconds(2))
    host.hear(advert(advbase=255, advskew=255), at_ns=seconds(4.5))

    assert host.engine.host_snapshot(KEY).deadline_ns == seconds(5) + 50 * NS_PER_SKEW


def test_a_better_master_that_became_a_weaker_one_is_relieved() -> None:
    host = bench(config(advskew=50, preempt=True))
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advskew=240), at_ns=seconds(2))

    assert host.state is State.MASTER


def test_a_better_master_that_fell_silent_stands_in_nobodys_way() -> None:
    host = bench(config(advskew=50, preempt=True))
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.now_ns = seconds(1)
    host.hear(advert(advskew=100, source=HIGHER), at_ns=seconds(4) + 50 * NS_PER_SKEW)

    assert host.state is State.MASTER


def test_addresses_that_are_asked_for_anew_are_not_announced_before_they_are_here() -> None:
    """After an absence the kernel may have let them go."""
    host = master(config())
    host.report(Action.HOLD)
    host.pass_time(to_ns=host.now_ns + seconds(4))
    told = host.feed(DemotionSet(None, "x", -50))

    assert Announce not in kinds(told)
    assert Announce in kinds(host.report(Action.HOLD))


def test_a_conflict_is_told_once_while_it_lasts() -> None:
    host = master()
    told = []
    for second in range(4, 12):
        host.pass_time(to_ns=seconds(second))
        events = published(host.hear(advert(advskew=9))) if second not in (7, 8, 9) else []
        told.append(sum(isinstance(event, ConflictWon) for event in events))

    assert told == [1, 0, 0, 0, 0, 0, 1, 0]


def test_a_master_that_was_stalled_steps_down_when_it_hears_who_took_over() -> None:
    host = master()
    effects = host.hear(advert(advskew=100), at_ns=host.now_ns + seconds(1.75))

    assert reasons(effects) == [Reason.ABSENT]
    assert transmitted(effects) == []


def test_a_master_whose_loop_was_late_for_less_than_that_stays() -> None:
    host = master()

    assert reasons(host.hear(advert(advskew=100), at_ns=host.now_ns + seconds(1.7))) == []


def test_a_master_that_was_stalled_while_nobody_took_over_holds_its_addresses_anew() -> None:
    host = master()
    effects = host.pass_time(to_ns=host.now_ns + seconds(2.5))

    assert [effect.force for effect in effects if isinstance(effect, HoldAddresses)] == [True]
    assert len(transmitted(effects)) == 1


@pytest.mark.parametrize("event", [DemotionSet(None, "x", -50), HostReconfigured(config(advskew=5))])
def test_a_host_that_was_stalled_listens_before_it_says_anything_new(event: DemotionSet | HostReconfigured) -> None:
    """What wakes a process first may be a command, while the advertisements of whoever took over wait in the socket."""
    host = master(config())
    host.report(Action.HOLD)
    told = host.feed(event, at_ns=host.now_ns + seconds(4))

    assert transmitted(told) == []
    assert host.engine.host_snapshot(KEY).deadline_ns == host.now_ns
    assert reasons(host.hear(advert(advskew=100))) == [Reason.ABSENT]


def test_a_host_that_was_stalled_relieves_nobody_on_the_word_of_old_packets() -> None:
    """Who sent them may stand still itself by now, or be dead with its addresses still there."""
    host = master(config(preempt=True))
    host.hear(advert(advskew=100), at_ns=host.now_ns + seconds(4))
    host.hear(advert(advskew=100))
    states = [host.state]
    host.hear(advert(advskew=100), at_ns=host.now_ns + seconds(1))

    assert [*states, host.state] == [State.BACKUP, State.MASTER]


def test_a_host_that_was_stalled_takes_over_from_no_slow_master_on_the_word_of_old_packets() -> None:
    """A MASTER that was last when it sent them may be dead by now, with its addresses still there."""
    host = bench(config(preempt=False))
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advbase=255, advskew=254), at_ns=seconds(9))
    host.hear(advert(advbase=255, advskew=254))
    states = [host.state]
    host.hear(advert(advbase=255, advskew=254), at_ns=host.now_ns + seconds(1))

    assert [*states, host.state] == [State.BACKUP, State.MASTER]


def test_a_master_that_was_stalled_and_yields_distrusts_what_else_has_waited() -> None:
    """Behind the advertisement of a better MASTER its bow-out may have waited, and whoever filled its place."""
    host = master(config(advskew=50))
    yielded = host.hear(advert(advskew=0), at_ns=host.now_ns + seconds(4))
    host.hear(advert(advbase=255, advskew=255))

    assert reasons(yielded) == [Reason.BETTER_MASTER]
    assert host.state is State.BACKUP
    assert reasons(host.pass_time(to_ns=host.now_ns + 20_000_000)) == [Reason.MASTER_SILENT]


def test_an_old_bow_out_is_no_vacancy_if_somebody_has_filled_it() -> None:
    host = bench()
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advbase=255, advskew=255), at_ns=seconds(9))
    host.hear(advert(advskew=100, source=HIGHER))

    assert (host.state, host.engine.host_snapshot(KEY).deadline_ns) == (State.BACKUP, seconds(12))


def test_an_old_bow_out_that_nobody_has_filled_is_followed_after_listening() -> None:
    host = bench()
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advbase=255, advskew=255), at_ns=seconds(9))

    assert host.state is State.BACKUP
    assert reasons(host.pass_time(to_ns=seconds(9) + 20_000_000)) == [Reason.MASTER_SILENT]


# Being mute


def mute_master() -> Bench:
    """Return a MASTER whose guardian took the addresses away, because nothing could be sent for so long."""
    host = master(config())
    host.report(Action.HOLD)
    host.pass_time(to_ns=host.now_ns + seconds(1))
    host.feed(TransmitReported(KEY, "no buffers", Family.IPV4))
    host.now_ns += seconds(0.8)
    return host


def test_a_master_that_cannot_send_does_not_take_back_what_its_guardian_let_go() -> None:
    """To its peers it is silent; one of them is about to take over."""
    host = mute_master()

    assert HoldAddresses not in kinds(host.feed(AddressesDisturbed(KEY, "removed by the guardian")))
    assert HoldAddresses not in kinds(host.pass_time(to_ns=host.now_ns + seconds(1)))


def test_a_master_that_could_not_send_yields_to_whoever_took_over() -> None:
    assert reasons(mute_master().hear(advert(advskew=100))) == [Reason.ABSENT]


def test_a_master_that_can_send_again_holds_anew() -> None:
    host = mute_master()
    host.pass_time(to_ns=host.now_ns + seconds(1))

    assert HoldAddresses in kinds(host.feed(TransmitReported(KEY, None, Family.IPV4)))
    assert HoldAddresses not in kinds(host.feed(TransmitReported(KEY, None, Family.IPV4)))


def dual_stack_master(**settings: Any) -> Bench:
    host = master(config(addresses=("192.168.1.50/24", "2001:db8::50/64"), **settings))
    host.report(Action.HOLD)
    return host


def test_a_master_of_which_one_family_can_be_sent_keeps_its_lease() -> None:
    """Nobody else may be there, and what works is to go on working."""
    host = dual_stack_master()
    renewed = []
    for second in range(4, 8):
        renewed.append(RenewAddresses in kinds(host.pass_time(to_ns=seconds(second))))
        host.feed(TransmitReported(KEY, "no route", Family.IPV6))

    assert renewed == [True] * 4


def test_a_master_of_which_no_family_can_be_sent_does_not_renew_its_lease() -> None:
    host = dual_stack_master()
    for family in Family:
        host.feed(TransmitReported(KEY, "no route", family))

    assert RenewAddresses not in kinds(host.pass_time(to_ns=seconds(4)))


def test_a_family_that_cannot_be_sent_is_counted_whatever_the_other_one_does() -> None:
    host = dual_stack_master()
    for _ in range(3):
        host.feed(TransmitReported(KEY, None, Family.IPV4))
        host.feed(TransmitReported(KEY, "no route", Family.IPV6))

    assert host.engine.snapshot().demotion == 240


def test_a_master_of_which_a_family_cannot_be_sent_yields_to_a_weaker_one_that_is_heard_in_both() -> None:
    host = dual_stack_master()
    host.feed(TransmitReported(KEY, "no route", Family.IPV6))
    dual = ("192.168.1.50/24", "2001:db8::50/64")
    host.hear(advert(advskew=100, counter=1, addresses=dual), at_ns=seconds(4))

    yields = host.hear(advert(advskew=100, counter=2, addresses=dual), at_ns=seconds(4.1))

    assert reasons(yields) == [Reason.CANNOT_SEND]


def test_a_host_that_could_not_send_is_trusted_again_after_a_while_as_backup() -> None:
    host = master()
    for _ in range(3):
        host.feed(TransmitReported(KEY, "no buffers"))
    host.feed(StateForced(KEY, State.BACKUP))
    for second in range(4, 15):
        host.hear(advert(), at_ns=seconds(second))
        host.pass_time(to_ns=seconds(second))

    assert host.engine.snapshot().demotion == 0


def test_a_single_send_that_failed_is_soon_forgotten() -> None:
    host = master(config())
    host.report(Action.HOLD)
    host.pass_time(to_ns=host.now_ns + seconds(1))
    host.feed(TransmitReported(KEY, "no buffers", Family.IPV4))
    host.pass_time(to_ns=host.now_ns + seconds(1))
    host.feed(TransmitReported(KEY, None, Family.IPV4))

    assert reasons(host.hear(advert(advskew=100))) == []


# After a hand-over


def handed_over() -> Bench:
    """Return a BACKUP that preempts and has handed over: demoted by 240, it claims more than advskew 254 does."""
    host = master(config(preempt=True))
    host.report(Action.HOLD)
    host.feed(HandOverAsked(KEY))
    host.report(Action.DROP)
    return host


def test_a_host_that_handed_over_leaves_the_addresses_to_the_slowest_host() -> None:
    host = handed_over()

    host.hear(advert(advskew=254))

    assert host.state is State.BACKUP
    assert [peer.decision for peer in host.engine.host_snapshot(KEY).peers] == [Decision.HANDED_OVER]


def test_a_host_that_handed_over_preempts_again_once_it_is_restored() -> None:
    host = handed_over()
    host.hear(advert(advskew=254))

    host.feed(DemotionSet(KEY, "handed over", 0))
    host.hear(advert(advskew=254, counter=8), at_ns=host.now_ns + seconds(1))

    assert host.state is State.MASTER


def test_a_host_that_handed_over_follows_the_bow_out_of_the_other() -> None:
    host = handed_over()
    host.hear(advert(advskew=254))

    host.hear(advert(advbase=255, advskew=255, counter=8), at_ns=host.now_ns + seconds(1))

    assert host.state is State.MASTER


def test_a_copy_of_an_advertisement_is_answered_once() -> None:
    """Answers to copies, copied in turn, would use up the rate limit within microseconds."""
    host = master(config())
    host.report(Action.HOLD)
    at_ns = host.now_ns + seconds(0.5)
    weaker = advert(advskew=100, source=HIGHER)
    first, copy = (host.hear(weaker, at_ns=at_ns + late_ns) for late_ns in (0, 1_000))
    later = host.hear(weaker, at_ns=at_ns + seconds(0.1))

    assert [Transmit in kinds(each) for each in (first, copy, later)] == [True, False, True]
