"""Section 5 of carp.md, statement by statement: who becomes MASTER, who yields, when, and what is said."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp.auth.counter import CounterMode
from pycarp.core import Announce, DropAddresses, HoldAddresses, Publish, Transmit
from pycarp.core.events import StateChange
from pycarp.core.inputs import (
    Action,
    AdminChanged,
    DemotionSet,
    HostReconfigured,
    HostRemoved,
    LinkChanged,
    SettingsChanged,
    StateForced,
)
from pycarp.core.settings import Settings
from pycarp.core.state import Reason, State
from pycarp.dialects import ALL, FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.dialects.dialect import Claim
from pycarp.errors import ConfigError
from pycarp.vocabulary import NS_PER_SKEW
from tests.support.hosts import KEY, PEER, Bench, advert, bench, changes, config, link, master, seconds, transmitted

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


def only(*dialects: Dialect) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("dialect", dialects, ids=lambda dialect: dialect.name)


def but(*dialects: Dialect) -> pytest.MarkDecorator:
    return only(*(each for each in ALL if each not in dialects))


DUAL = ("192.168.1.50/24", "2001:db8::50/64")
V6_PEER = IPv6Address("fe80::99")


def reasons(host: Bench) -> Reason:
    change = host.engine.host_snapshot(KEY).last_change
    assert change is not None
    return change.reason


# 5.1 INIT


@every_dialect
def test_init_ignores_advertisements_and_adopts_nothing(dialect: Dialect) -> None:
    """carp.md 5.1: INIT ignores; the kernels have adopted the counter by then.

    Deviation: init-adopts-nothing.
    """
    host = bench(config(dialect=dialect))
    host.feed(AdminChanged(KEY, is_up=False))
    host.report(Action.DROP)
    host.hear(advert(counter=41))
    host.feed(AdminChanged(KEY, is_up=True))

    assert 42 not in [each.counter for each in transmitted(host.pass_time(to_ns=seconds(10)))]


@every_dialect
def test_a_late_counter_is_not_adopted(dialect: Dialect) -> None:
    """carp.md 5.1: the received counter is adopted.

    Deviation: late-counter-is-not-adopted.
    """
    host = bench(config(dialect=dialect))
    for counter in (41, 43, 41):
        host.hear(advert(counter=counter))

    counters = [each.counter for each in transmitted(host.pass_time(to_ns=seconds(10)))]
    assert 42 not in counters
    assert dialect.counter is CounterMode.CONSTANT or 44 in counters


@every_dialect
def test_packets_that_waited_while_the_process_stood_still_make_nobody_take_over(dialect: Dialect) -> None:
    """carp.md 5.1, BACKUP: a slower MASTER is preempted.

    Deviation: packets-of-a-stall.
    """
    host = bench(config(dialect=dialect, preempt=True))
    host.hear(advert(advskew=0, counter=41))

    # No time has passed for the host: it stood still past its deadline, and this packet was there before.
    host.now_ns = seconds(20)
    effects = host.hear(advert(advskew=100, counter=42))

    assert changes(effects) == []


# 5.1 MASTER


@every_dialect
def test_a_master_yields_to_a_faster_one(dialect: Dialect) -> None:
    """carp.md 5.1, MASTER: T of mine > T of the peer."""
    host = master(config(dialect=dialect, advskew=100))

    host.hear(advert(advskew=99))

    assert (host.state, reasons(host)) == (State.BACKUP, Reason.BETTER_MASTER)


@every_dialect
def test_a_master_stays_under_a_slower_one(dialect: Dialect) -> None:
    """carp.md 5.1, MASTER: not if T of mine < T of the peer."""
    host = master(config(dialect=dialect, advskew=100))

    host.hear(advert(advskew=101))

    assert host.state is State.MASTER


@only(FREEBSD, FREEBSD9, OPENBSD, NETBSD)
def test_equal_means_yield(dialect: Dialect) -> None:
    """carp.md 5.1, MASTER: T of mine >= T of the peer, and with OpenBSD no more demoted than mine."""
    host = master(config(dialect=dialect, advskew=100))

    host.hear(advert(advskew=100))

    assert host.state is State.BACKUP


@pytest.mark.parametrize(
    ("own", "advskew", "demote", "yields"),
    [
        (5, 0, 5, True),
        (5, 50, 5, True),
        (5, 0, 6, False),
        (5, 200, 4, True),
        (0, 0, 1, False),
    ],
)
def test_openbsd_yields_to_the_less_demoted(own: int, advskew: int, demote: int, *, yields: bool) -> None:
    """carp.md 5.1, MASTER: (T >= and peer.demote <= mine) or peer.demote < mine."""
    host = master(config(dialect=OPENBSD, advskew=50))
    host.feed(DemotionSet(KEY, "test", own))

    host.hear(advert(advskew=advskew, demote=demote))

    assert (host.state is State.BACKUP) is yields


@pytest.mark.parametrize(
    ("theirs", "yields"), [("11.0.0.1", True), ("10.1.0.2", False), ("10.77.0.2", False), ("10.76.0.1", True)]
)
def test_ucarp_compares_equals_by_their_addresses_last_octet_first(theirs: str, *, yields: bool) -> None:
    """carp.md 5.1, MASTER and verified: 10.77.0.1 yields to 11.0.0.1, but not to 10.1.0.2 or 10.77.0.2."""
    host = master(config(dialect=UCARP), own="10.77.0.1/24")

    host.hear(advert(source=type(PEER)(theirs)))

    assert (host.state is State.BACKUP) is yields


def test_ucarp_says_one_more_ordinary_thing_when_it_yields() -> None:
    """carp.md 5.1, 5.3: sends one more ordinary advertisement, then BACKUP."""
    host = master(config(dialect=UCARP, advskew=100))

    effects = host.hear(advert())

    assert [(each.advbase, each.advskew) for each in transmitted(effects)] == [(1, 100)]


@but(UCARP)
def test_others_yield_without_a_word(dialect: Dialect) -> None:
    """carp.md 5.3, MASTER to BACKUP: no packet is sent by the BSDs."""
    host = master(config(dialect=dialect, advskew=100))

    assert transmitted(host.hear(advert())) == []


def test_ucarp_announces_again_when_it_hears_a_slower_one() -> None:
    """carp.md 5.1: immediate gratuitous ARP, plus one more after its second following advertisement."""
    host = master(config(dialect=UCARP))
    for second in range(4, 8):
        host.pass_time(to_ns=seconds(second))

    announced = [
        any(isinstance(each, Announce) for each in effects)
        for effects in (
            host.hear(advert(advskew=10)),
            host.pass_time(to_ns=seconds(8)),
            host.pass_time(to_ns=seconds(9)),
            host.pass_time(to_ns=seconds(10)),
        )
    ]

    assert announced == [True, False, True, False]


# 5.1 BACKUP, in the order of its tests


@every_dialect
def test_backup_1_preempts_a_slower_master(dialect: Dialect) -> None:
    """carp.md 5.1, BACKUP 1."""
    host = bench(config(dialect=dialect, preempt=True))

    host.hear(advert(advskew=1))

    assert (host.state, reasons(host)) == (State.MASTER, Reason.PREEMPTING)


@every_dialect
def test_backup_1_does_not_preempt_an_equal(dialect: Dialect) -> None:
    """carp.md 5.1, BACKUP 1: T of mine < T of the peer."""
    host = bench(config(dialect=dialect, preempt=True))

    host.hear(advert())

    assert host.state is State.BACKUP


@every_dialect
def test_backup_1_needs_preempt(dialect: Dialect) -> None:
    """carp.md 5.1: with preempt off it stays BACKUP even though the heard master is slower."""
    host = bench(config(dialect=dialect))

    host.hear(advert(advskew=254))

    assert host.state is State.BACKUP


@pytest.mark.parametrize(("demote", "preempts"), [(4, False), (5, True)])
def test_backup_1_of_openbsd_wants_the_peer_no_less_demoted(demote: int, *, preempts: bool) -> None:
    """carp.md 5.1, BACKUP 1: OpenBSD additionally requires peer.demote >= my demote."""
    host = bench(config(dialect=OPENBSD, preempt=True))
    host.feed(DemotionSet(KEY, "test", 5))

    host.hear(advert(advskew=100, demote=demote))

    assert (host.state is State.MASTER) is preempts


@every_dialect
def test_backup_2_relieves_the_more_demoted_with_openbsd_alone(dialect: Dialect) -> None:
    """carp.md 5.1, BACKUP 2: regardless of preempt; others ignore the octet (6.4)."""
    host = bench(config(dialect=dialect, advskew=100))

    host.hear(advert(demote=1))

    assert (host.state is State.MASTER) is (dialect is OPENBSD)


@every_dialect
@pytest.mark.parametrize(("advskew", "takes_over"), [(100, False), (101, True)])
def test_backup_3_takes_over_from_a_master_slower_than_it_would_wait(
    dialect: Dialect, advskew: int, *, takes_over: bool
) -> None:
    """carp.md 5.1, BACKUP 3: 3 x advbase + own skew < T of the peer; ucarp with dead_ratio for 3."""
    host = bench(config(dialect=dialect, advskew=100))

    host.hear(advert(advbase=3, advskew=advskew))

    assert (host.state is State.MASTER) is takes_over


def test_backup_3_takes_the_dead_ratio_of_ucarp() -> None:
    """carp.md 5.1, BACKUP 3."""
    host = bench(config(dialect=UCARP, dead_ratio=5))

    host.hear(advert(advbase=5))

    assert host.state is State.BACKUP


def test_backup_3_is_not_for_openbsd_with_advbase_0() -> None:
    """carp.md 5.1, BACKUP 3: OpenBSD runs this test only when advbase is not 0."""
    host = bench(config(dialect=OPENBSD, advbase=0, advskew=10))

    host.hear(advert(advbase=255, advskew=255))

    assert host.state is State.BACKUP


@but(UCARP)
def test_backup_4_rearms_the_timer_of_the_family_heard_alone(dialect: Dialect) -> None:
    """carp.md 5.1, BACKUP 4; 5.2: either timer expiring makes the whole vhid MASTER."""
    host = bench(config(dialect=dialect, addresses=DUAL))
    for second in (1, 2, 3):
        host.hear(advert(addresses=DUAL), at_ns=seconds(second) - 1)

    host.pass_time(to_ns=seconds(3))

    assert (host.state, reasons(host)) == (State.MASTER, Reason.MASTER_SILENT)


@but(UCARP)
def test_both_families_keep_a_dual_stack_host_backup(dialect: Dialect) -> None:
    """carp.md 5.2: a dual-stack vhid must hear advertisements in both families."""
    host = bench(config(dialect=dialect, addresses=DUAL))
    for second in (2, 4, 6):
        host.hear(advert(addresses=DUAL), at_ns=seconds(second))
        host.hear(advert(addresses=DUAL, source=V6_PEER), at_ns=seconds(second))
        host.pass_time(to_ns=seconds(second) + 1)

    assert host.state is State.BACKUP


@only(FREEBSD)
def test_freebsd_compares_with_the_demoted_skew(dialect: Dialect) -> None:
    """carp.md 5.1: T of mine uses the demoted effective skew."""
    host = master(config(dialect=dialect, advskew=10))
    host.feed(DemotionSet(None, "test", 90))

    host.hear(advert(advskew=99))

    assert host.state is State.BACKUP


@only(FREEBSD9, NETBSD, UCARP)
@pytest.mark.parametrize(("advskew", "yields"), [(239, True), (241, False)])
def test_suppression_compares_with_240(dialect: Dialect, advskew: int, *, yields: bool) -> None:
    """carp.md 5.1, 6.2: 240 if suppression is active and own skew < 240."""
    host = master(config(dialect=dialect, advskew=10))
    host.feed(DemotionSet(None, "test", 1))

    host.hear(advert(advskew=advskew))

    assert (host.state is State.BACKUP) is yields


@every_dialect
def test_the_tolerance_uses_the_raw_skew(dialect: Dialect) -> None:
    """carp.md 5.1, 5.2: Tdead has the own skew, not the demoted one."""
    host = bench(config(dialect=dialect, advskew=10))
    host.feed(DemotionSet(KEY, "test", 100))

    host.hear(advert(advbase=3, advskew=11, demote=255))

    assert host.state is State.MASTER


# 5.2 Timers


@every_dialect
@pytest.mark.parametrize(("advbase", "advskew"), [(1, 0), (1, 100), (2, 254), (60, 7)])
def test_the_interval_is_advbase_and_advskew(dialect: Dialect, advbase: int, advskew: int) -> None:
    """carp.md 5.2, advert interval; 1.1: advskew is 1/256 s. FreeBSD announces no more than 240 (6.1)."""
    host = master(config(dialect=dialect, advbase=advbase, advskew=advskew))
    announced = min(advskew, 240) if dialect is FREEBSD else advskew

    change = host.engine.host_snapshot(KEY).last_change
    assert change is not None
    host.pass_time(to_ns=change.at_ns + seconds(advbase) + announced * NS_PER_SKEW - 1)
    early = host.step.effects
    on_time = host.pass_time(to_ns=host.now_ns + 1)

    assert (transmitted(early), len(transmitted(on_time))) == ([], 1)


def test_the_first_interval_of_a_mastership_is_the_demoted_one_too() -> None:
    """carp.md 5.2: FreeBSD arms with the raw skew on entry and with the demoted one after each send.

    Deviation: first-interval-is-demoted.
    """
    host = bench(config(dialect=FREEBSD))
    host.feed(DemotionSet(None, "test", 128))
    host.pass_time(to_ns=seconds(3))

    assert host.engine.host_snapshot(KEY).deadline_ns == seconds(4.5)


def test_netbsd_advertises_every_240_while_suppressed() -> None:
    """carp.md 5.2."""
    host = master(config(dialect=NETBSD))
    host.feed(DemotionSet(None, "test", 1))

    deadline_ns = host.engine.host_snapshot(KEY).deadline_ns
    assert deadline_ns == host.now_ns + seconds(1) + 240 * NS_PER_SKEW


def test_openbsd_with_both_0_advertises_every_256th_of_a_second() -> None:
    """carp.md 5.2: both 0: 1/256 s, stated of O25; we hear such hosts, and are none.

    Deviation: advbase-0-refused.
    """
    assert OPENBSD.claim(0, 0, 0).interval_ns == NS_PER_SKEW
    assert OPENBSD.master_down_ns(0, 0, 3) == 3 * NS_PER_SKEW
    with pytest.raises(ConfigError, match="advbase 0 with advskew 0 is an interval of 0/256 s"):
        config(dialect=OPENBSD, advbase=0, advskew=0)


@but(UCARP)
@pytest.mark.parametrize(("advbase", "advskew", "down_s"), [(1, 0, 3.0), (1, 100, 3.390625), (2, 128, 6.5)])
def test_the_master_down_time_has_the_skew_once(dialect: Dialect, advbase: int, advskew: int, down_s: float) -> None:
    """carp.md 5.2: 3 x advbase + skew/256; OpenBSD up to 2020.

    Deviation: openbsd-of-2020.
    """
    host = bench(config(dialect=dialect, advbase=advbase, advskew=advskew))

    assert host.step.deadline_ns == seconds(down_s)


@pytest.mark.parametrize(
    ("advbase", "advskew", "measured_s"),
    [(1, 0, 3.03), (1, 10, 3.148), (1, 100, 4.215), (1, 200, 5.384), (1, 254, 6.004), (2, 50, 6.612)],
)
def test_ucarp_takes_over_when_it_was_measured_to(advbase: int, advskew: int, measured_s: float) -> None:
    """carp.md 5.2, verified: from process start, no other host present; ours lacks its start of some 30 ms.

    Deviation: no-polling.
    """
    host = bench(config(dialect=UCARP, advbase=advbase, advskew=advskew))

    assert host.step.deadline_ns is not None
    assert 0 < seconds(measured_s) - host.step.deadline_ns < seconds(0.06)


@only(OPENBSD, UNIVERSAL)
@pytest.mark.parametrize(("advskew", "down_ns"), [(64, 3 * 64 * NS_PER_SKEW), (1, 3 * NS_PER_SKEW)])
def test_below_a_second_three_skews_are_waited_for(dialect: Dialect, advskew: int, down_ns: int) -> None:
    """carp.md 5.2: OpenBSD with advbase 0: 3 x skew/256."""
    assert bench(config(dialect=dialect, advbase=0, advskew=advskew)).step.deadline_ns == down_ns


@but(OPENBSD, UNIVERSAL)
def test_advbase_0_is_refused(dialect: Dialect) -> None:
    """carp.md 5.2: F9, NetBSD and UCARP accept it and flap.

    Deviation: advbase-0-refused.
    """
    with pytest.raises(ConfigError, match="advbase 0 is outside 1-255"):
        config(dialect=dialect, advbase=0, advskew=50)


@every_dialect
def test_a_timer_runs_only_for_the_families_that_are_shared(dialect: Dialect) -> None:
    """carp.md 5.2: the v4 timer is armed only if the vhid has v4 addresses, v6 likewise."""
    host = bench(config(dialect=dialect))
    for second in (2, 4, 6):
        host.hear(advert(), at_ns=seconds(second))
        host.pass_time(to_ns=seconds(second) + 1)

    assert host.state is State.BACKUP


@every_dialect
def test_timers_are_exact(dialect: Dialect) -> None:
    """carp.md 5.2: kernels round up to a tick; there is no random jitter anywhere.

    Deviation: no-ticks.
    """
    host = bench(config(dialect=dialect))
    host.pass_time(to_ns=seconds(3) - 1)
    before = host.state
    host.pass_time(to_ns=seconds(3))

    assert (before, host.state) == (State.BACKUP, State.MASTER)


# 5.3 Entering and leaving


@every_dialect
def test_there_is_no_way_from_init_to_master(dialect: Dialect) -> None:
    """carp.md 5.3: a lone host waits."""
    host = bench(config(dialect=dialect))

    assert host.state is State.BACKUP


@every_dialect
def test_a_host_needs_an_address(dialect: Dialect) -> None:
    """carp.md 5.3: at least one address; FreeBSD 10 destroys a vhid with its last one.

    Deviation: no-host-without-address.
    """
    with pytest.raises(ConfigError, match="at least one shared address"):
        config(dialect=dialect, addresses=())


@but(FREEBSD)
def test_a_host_that_may_not_hear_still_speaks(dialect: Dialect) -> None:
    """carp.md 13, 14: NetBSD and FreeBSD 10.4 keep sending with allow 0, and hear nothing."""
    host = bench(config(dialect=dialect))
    host.feed(SettingsChanged(Settings(allow=False)))

    assert len(transmitted(host.pass_time(to_ns=seconds(3)))) == 1


def test_freebsd_goes_to_init_with_allow_0() -> None:
    """carp.md 14: 12, 13 and 15 go to INIT, and log it as "hardware interface down"."""
    host = master(config(dialect=FREEBSD))

    effects = host.feed(SettingsChanged(Settings(allow=False)))

    assert [each.reason for each in changes(effects)] == [Reason.LINK_DOWN]
    assert transmitted(host.pass_time(to_ns=seconds(30))) == []


def test_freebsd_is_demoted_with_allow_0_and_forgiven_with_allow_1() -> None:
    """carp.md 14: 240 demotion, by the factor of links that are down."""
    host = bench(config(dialect=FREEBSD))

    host.feed(SettingsChanged(Settings(allow=False)))
    denied = host.engine.snapshot().demotion
    host.feed(SettingsChanged(Settings()))

    assert (denied, host.engine.snapshot().demotion) == (240, 0)


def test_freebsd_stays_in_init_with_allow_0_although_its_link_comes_up() -> None:
    """carp.md 5.3: INIT to BACKUP needs allow as well."""
    host = bench(config(dialect=FREEBSD))
    host.feed(SettingsChanged(Settings(allow=False)))

    host.feed(LinkChanged(link(is_up=False)))
    host.feed(LinkChanged(link()))

    assert host.state is State.INIT


@every_dialect
def test_an_unknown_link_is_up_but_for_freebsd(dialect: Dialect) -> None:
    """carp.md 5.3, link rules."""
    host = bench(config(dialect=dialect))

    host.feed(LinkChanged(link(is_certain=False)))

    assert (host.state is State.INIT) is (dialect in (FREEBSD, FREEBSD9))


@every_dialect
@pytest.mark.parametrize("kind", [AdminChanged, LinkChanged])
def test_link_and_administrator_must_be_up(dialect: Dialect, kind: type) -> None:
    """carp.md 5.3: parent UP with link, carp interface UP."""
    host = bench(config(dialect=dialect))
    host.feed(AdminChanged(KEY, is_up=False) if kind is AdminChanged else LinkChanged(link(is_up=False)))

    assert host.state is State.INIT


@every_dialect
def test_a_takeover_advertises_then_holds_then_announces(dialect: Dialect) -> None:
    """carp.md 5.3: state change, one advertisement per family, gratuitous ARP, NA; UCARP has the up-script first.

    Deviation: advertise-before-holding.
    """
    host = bench(config(dialect=dialect))

    effects = [*host.pass_time(to_ns=seconds(3))]
    effects += [] if HoldAddresses in map(type, effects) else host.wait_for_hold()
    effects += host.report(Action.HOLD)

    assert [type(each) for each in effects if not isinstance(each, Publish)] == [Transmit, HoldAddresses, Announce]


@but(UCARP)
def test_a_takeover_advertises_once_a_family(dialect: Dialect) -> None:
    """carp.md 5.3: one advert per family; 1.5: the second has the next counter, with OpenBSD the same."""
    host = bench(config(dialect=dialect, addresses=DUAL))
    host.hear(advert(addresses=DUAL, counter=7))
    host.hear(advert(addresses=DUAL, counter=41, source=V6_PEER))

    adverts = transmitted(host.pass_time(to_ns=seconds(10)))

    assert [each.counter for each in adverts] == ([42, 43] if dialect is not OPENBSD else [adverts[0].counter] * 2)


@but(UCARP)
def test_every_shared_address_is_announced(dialect: Dialect) -> None:
    """carp.md 5.3: gratuitous ARP for every IPv4 VIP, unsolicited NA for every IPv6 VIP."""
    addresses = (*DUAL, "192.168.1.51/24")
    host = bench(config(dialect=dialect, addresses=addresses))
    host.pass_time(to_ns=seconds(3))

    (announced,) = [each for each in host.report(Action.HOLD) if isinstance(each, Announce)]

    assert [str(each) for each in announced.addresses] == list(addresses)


@every_dialect
def test_openbsd_ucarp_and_we_announce_again_with_the_second_later_advertisement(dialect: Dialect) -> None:
    """carp.md 5.3: FreeBSD and NetBSD send one round; UCARP at 3.031 and 5.031 s."""
    host = master(config(dialect=dialect))

    rounds = [
        any(isinstance(each, Announce) for each in host.pass_time(to_ns=seconds(second))) for second in (4, 5, 6, 7)
    ]

    assert rounds == [False, dialect in (OPENBSD, UCARP, UNIVERSAL), False, False]


@every_dialect
def test_a_master_that_yields_waits_for_every_family_anew(dialect: Dialect) -> None:
    """carp.md 5.3, MASTER to BACKUP: stop the advert timer, remove addresses, arm master-down."""
    host = master(config(dialect=dialect, advskew=128))
    down_ns = seconds(4.5 if dialect is UCARP else 3.5)

    effects = host.hear(advert())

    assert any(isinstance(each, DropAddresses) for each in effects)
    assert host.engine.host_snapshot(KEY).deadline_ns == host.now_ns + down_ns


BOWS_OUT = (UNIVERSAL, FREEBSD9, OPENBSD, NETBSD)


@every_dialect
def test_who_bows_out_when_it_is_set_down(dialect: Dialect) -> None:
    """carp.md 5.3: F9, NetBSD and OpenBSD do; FreeBSD 10 and UCARP never."""
    host = master(config(dialect=dialect))
    host.feed(AdminChanged(KEY, is_up=False))

    said = [(each.advbase, each.advskew) for each in transmitted(host.report(Action.DROP))]

    assert said == ([(255, 255)] if dialect in BOWS_OUT else [])


@every_dialect
def test_removal_bows_out_as_setting_down_does(dialect: Dialect) -> None:
    """carp.md 5.3: destroying the interface while MASTER is silent on NetBSD.

    Deviation: removal-bows-out.
    """
    host = master(config(dialect=dialect))
    host.feed(HostRemoved(KEY))

    assert len(transmitted(host.report(Action.DROP))) == (1 if dialect in BOWS_OUT else 0)


def test_a_bow_out_comes_after_the_addresses_are_dropped() -> None:
    """carp.md 5.3: the kernels bow out first; two owners would be worse than a moment with none.

    Deviation: drop-before-bow-out.
    """
    host = master()

    assert transmitted(host.feed(AdminChanged(KEY, is_up=False))) == []


@only(*BOWS_OUT)
def test_a_bow_out_is_otherwise_normal_and_the_last(dialect: Dialect) -> None:
    """carp.md 5.3: valid digest, next counter; the advert timer is not re-armed after it."""
    host = master(config(dialect=dialect, advskew=10))
    host.hear(advert(advskew=50, counter=41))
    host.feed(AdminChanged(KEY, is_up=False))
    (last,) = transmitted(host.report(Action.DROP))
    expected = last.counter if dialect is OPENBSD else 42

    assert (last.counter, host.step.deadline_ns) == (expected, None)


@every_dialect
def test_all_systems_follow_a_bow_out_at_once(dialect: Dialect) -> None:
    """carp.md 5.3: all systems accept bow-outs."""
    host = bench(config(dialect=dialect))

    host.hear(advert(advbase=255, advskew=255))

    assert (host.state, reasons(host)) == (State.MASTER, Reason.MASTER_LEFT)


@every_dialect
@pytest.mark.parametrize(("advbase", "state"), [(85, State.MASTER), (86, State.BACKUP)])
def test_advbase_86_is_deaf_to_bow_outs(dialect: Dialect, advbase: int, state: State) -> None:
    """carp.md 5.3: a peer configured with advbase >= 86 would not react."""
    host = bench(config(dialect=dialect, advbase=advbase))

    host.hear(advert(advbase=255, advskew=255))

    assert host.state is state


@every_dialect
def test_a_dead_link_makes_init_without_a_bow_out(dialect: Dialect) -> None:
    """carp.md 5.3, parent down: in none is a bow-out possible on a dead link.

    UCARP becomes BACKUP and sleeps 10 s at a time.

    Deviation: ucarp-follows-its-link.
    """
    host = master(config(dialect=dialect))
    host.feed(LinkChanged(link(is_up=False)))

    said = transmitted(host.report(Action.DROP))

    assert (host.state, reasons(host), said) == (State.INIT, Reason.LINK_DOWN, [])


@every_dialect
def test_a_link_that_is_back_makes_backup_at_once(dialect: Dialect) -> None:
    """carp.md 5.3, parent down: up again, INIT to BACKUP."""
    host = master(config(dialect=dialect))
    host.feed(LinkChanged(link(is_up=False)))
    host.report(Action.DROP)
    host.feed(LinkChanged(link()))

    assert host.state is State.BACKUP


@but(UCARP)
def test_a_changed_address_does_not_cost_mastership(dialect: Dialect) -> None:
    """carp.md 5.3, address add and remove: the kernels bounce through INIT and lose three seconds.

    Deviation: reconfigure-without-bounce.
    """
    host = master(config(dialect=dialect))

    effects = host.feed(HostReconfigured(config(dialect=dialect, addresses=("192.168.1.50/24", "192.168.1.51/24"))))

    assert (host.state, changes(effects)) == (State.MASTER, [])


@every_dialect
def test_an_address_of_the_link_that_is_shared_keeps_its_skew(dialect: Dialect) -> None:
    """carp.md 5.3: F9 forces the advskew of an address owner to 0.

    Deviation: no-address-owner.
    """
    host = bench(config(dialect=dialect, advskew=100), own="192.168.1.50/24")

    assert host.engine.host_snapshot(KEY).claim == Claim(advbase=1, advskew=100)


@every_dialect
def test_a_master_can_be_put_to_backup_silently(dialect: Dialect) -> None:
    """carp.md 5.3, manual state: stop silently, arm master-down. UCARP and F9's tool have no such thing.

    Deviation: state-for-all.
    """
    host = master(config(dialect=dialect))

    said = transmitted(host.feed(StateForced(KEY, State.BACKUP)))

    assert (host.state, said) == (State.BACKUP, [])


@every_dialect
def test_a_host_put_to_backup_wins_again_when_nobody_speaks(dialect: Dialect) -> None:
    """carp.md 5.3, manual state: re-win after 3 x advbase + skew/256."""
    host = master(config(dialect=dialect))
    host.feed(StateForced(KEY, State.BACKUP))
    host.pass_time(to_ns=host.now_ns + seconds(3))

    assert host.state is State.MASTER


@every_dialect
def test_a_backup_can_be_made_master(dialect: Dialect) -> None:
    """carp.md 5.3, manual state: MASTER is the same as timeout."""
    host = bench(config(dialect=dialect))

    said = transmitted(host.feed(StateForced(KEY, State.MASTER)))

    assert (host.state, reasons(host), len(said)) == (State.MASTER, Reason.FORCED, 1)


@every_dialect
@pytest.mark.parametrize("state", State)
def test_no_state_can_be_asked_for_in_init(dialect: Dialect, state: State) -> None:
    """carp.md 5.3, manual state: not possible from INIT."""
    host = bench(config(dialect=dialect))
    host.feed(AdminChanged(KEY, is_up=False))
    host.feed(StateForced(KEY, state))

    assert host.state is State.INIT


@every_dialect
def test_init_cannot_be_asked_for(dialect: Dialect) -> None:
    """carp.md 5.3, manual state: state init is ignored."""
    host = master(config(dialect=dialect))
    host.feed(StateForced(KEY, State.INIT))

    assert host.state is State.MASTER


@only(FREEBSD9, OPENBSD, NETBSD)
def test_down_and_up_leaves_a_backup(dialect: Dialect) -> None:
    """carp.md 5.3: ifconfig carp0 down && up: bow-out, INIT, BACKUP; without preempt it stays BACKUP."""
    host = master(config(dialect=dialect))
    host.feed(AdminChanged(KEY, is_up=False))
    host.feed(AdminChanged(KEY, is_up=True))
    said = transmitted(host.report(Action.DROP))
    host.hear(advert(advskew=100))

    assert ([each.is_bow_out for each in said], host.state) == ([True], State.BACKUP)


# 5.4 What is told


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("initialization complete", Reason.READY),
        ("master timed out", Reason.MASTER_SILENT),
        ("master announces too slowly", Reason.MASTER_TOO_SLOW),
        ("preempting a slower master", Reason.PREEMPTING),
        ("more frequent advertisement received", Reason.BETTER_MASTER),
        ("hardware interface down", Reason.LINK_DOWN),
        ("user requested", Reason.FORCED),
    ],
)
def test_transitions_are_told_in_the_words_of_freebsd(words: str, reason: Reason) -> None:
    """carp.md 5.4; the hardware interface's coming up is told as initialisation."""
    assert reason == words


def test_a_takeover_is_told_from_backup() -> None:
    """carp.md 5.4: NetBSD's text for BACKUP to MASTER misleadingly speaks of INIT.

    Deviation: honest-log.
    """
    host = bench(config(dialect=NETBSD))

    (change,) = changes(host.pass_time(to_ns=seconds(3)))

    assert isinstance(change, StateChange)
    assert (change.old, change.new) == (State.BACKUP, State.MASTER)


@but()
def test_a_master_that_stood_still_yields_to_whoever_took_over(dialect: Dialect) -> None:
    """carp.md 5.1: a MASTER ignores a weaker claim; but this one was as good as gone.

    Deviation: absent-yields.
    """
    host = master(config(dialect=dialect))
    host.hear(advert(advskew=100), at_ns=host.now_ns + seconds(60))

    assert reasons(host) is Reason.ABSENT


@pytest.mark.parametrize(("dialect", "state"), [(UNIVERSAL, State.BACKUP), (FREEBSD, State.MASTER)])
def test_a_weaker_master_is_relieved_unless_a_better_one_was_just_heard(dialect: Dialect, state: State) -> None:
    """carp.md 5.1: kernels judge each advertisement alone.

    Deviation: leaves-it-to-the-better.
    """
    host = bench(config(dialect=dialect, advskew=50, preempt=True))
    host.hear(advert(advskew=0), at_ns=seconds(1))
    host.hear(advert(advskew=100, source=IPv4Address("192.168.1.9")), at_ns=seconds(1.1))

    assert host.state is state


@pytest.mark.parametrize(("dialect", "waits"), [(UNIVERSAL, True), (FREEBSD, False)])
def test_what_a_bow_out_leaves_is_held_after_listening_for_a_moment(dialect: Dialect, *, waits: bool) -> None:
    """carp.md 5.3: all who hear a bow-out are MASTER at once, and kernels answer for the addresses at once.

    Deviation: listens-before-it-inherits.
    """
    host = bench(config(dialect=dialect))
    takes_over = host.hear(advert(advbase=255, advskew=255), at_ns=1)

    assert any(isinstance(effect, HoldAddresses) for effect in takes_over) is not waits
