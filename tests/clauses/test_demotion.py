"""Section 6 of carp.md, statement by statement: what demotes, how far, and who is told."""

import pytest

from pycarp.core.events import DemotionChange
from pycarp.core.inputs import Action, AddressesDisturbed, DemotionSet, HostAdded, LinkChanged, TransmitReported
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.dialects import ALL, FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.vocabulary import HostKey, LinkFacts
from tests.support.hosts import (
    KEY,
    Bench,
    advert,
    bench,
    config,
    link,
    master,
    published,
    seconds,
    transmitted,
)

OTHER = HostKey("fxp1", 2)


def only(*dialects: Dialect) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("dialect", dialects, ids=lambda dialect: dialect.name)


def but(*dialects: Dialect) -> pytest.MarkDecorator:
    return only(*(each for each in ALL if each not in dialects))


SUPPRESSING = (FREEBSD9, NETBSD, UCARP)


def claimed(host: Bench, key: HostKey = KEY) -> tuple[int, int]:
    """Return the advskew and the demote octet that a host advertises."""
    claim = host.engine.host_snapshot(key).claim
    return claim.advskew, claim.demote


def total(host: Bench) -> int:
    return host.engine.snapshot().demotion


def two_links(dialect: Dialect, *, advskew: int = 20) -> Bench:
    """Return a node with a MASTER on fxp0 and a host on fxp1."""
    host = master(config(dialect=dialect, advskew=advskew))
    host.feed(LinkChanged(LinkFacts(name="fxp1", is_up=True)))
    host.feed(HostAdded(config(dialect=dialect, interface="fxp1", vhid=2, addresses=("192.168.2.50/24",))))
    host.report(Action.DROP, key=OTHER)
    return host


def other_link(*, is_up: bool) -> LinkChanged:
    return LinkChanged(LinkFacts(name="fxp1", is_up=is_up))


def fail(host: Bench, times: int) -> None:
    for _time in range(times):
        host.feed(TransmitReported(KEY, "No buffer space available"))


def succeed(host: Bench, times: int) -> None:
    for _time in range(times):
        host.feed(TransmitReported(KEY, None))


# 6.1 FreeBSD 10 and newer


def test_the_switches_begin_as_those_of_the_kernels() -> None:
    """carp.md 6.1 to 6.4: allow 1, preempt 0, demotion 0."""
    settings = Settings()

    assert (settings.allow, settings.preempt, total(bench())) == (True, False, 0)


def test_more_than_240_is_announced_in_order_by_universal() -> None:
    """carp.md 6.1: FreeBSD makes 240 of any larger sum, and equals of hosts that differ.

    Deviation: demoted-in-order.
    """
    claims = []
    for advskew in (0, 50, 100):
        host = bench(config(advskew=advskew))
        host.feed(DemotionSet(None, "test", 240))
        claims.append(claimed(host)[0])

    assert claims == sorted(set(claims))
    assert claims[0] == 240


@only(FREEBSD)
@pytest.mark.parametrize(("demotion", "announced"), [(0, 20), (100, 120), (240, 240), (1000, 240), (-50, 0)])
def test_the_effective_skew_is_the_sum_within_0_and_240(dialect: Dialect, demotion: int, announced: int) -> None:
    """carp.md 6.1: clamp(advskew + demotion, 0 to 240), used in the advert and in comparisons."""
    host = bench(config(dialect=dialect, advskew=20))
    host.feed(DemotionSet(None, "test", demotion))

    assert claimed(host) == (announced, 0)


@only(FREEBSD)
@pytest.mark.parametrize("advskew", [241, 254])
def test_freebsd_announces_241_to_254_as_240(dialect: Dialect, advskew: int) -> None:
    """carp.md 6.1."""
    assert claimed(bench(config(dialect=dialect, advskew=advskew))) == (240, 0)


@only(FREEBSD, UNIVERSAL, OPENBSD)
def test_any_change_is_told_at_once(dialect: Dialect) -> None:
    """carp.md 6.1, 6.4: any change makes all MASTERs advertise immediately."""
    host = master(config(dialect=dialect))

    said = [len(transmitted(host.feed(DemotionSet(None, "test", amount)))) for amount in (10, 20, 5, 0)]

    assert said == [1, 1, 1, 1]


@but(OPENBSD)
def test_a_demoted_master_keeps_mastership_as_long_as_nobody_preempts(dialect: Dialect) -> None:
    """carp.md 6.1: demotion works only if the peers have preempt on."""
    backup = bench(config(dialect=dialect, advskew=100))

    backup.hear(advert(advskew=240))

    assert backup.state is State.BACKUP


@only(FREEBSD, UNIVERSAL)
def test_three_send_errors_demote_by_240(dialect: Dialect) -> None:
    """carp.md 6.1: senderr_demotion_factor 240, after 3 consecutive errors of a vhid."""
    host = master(config(dialect=dialect))
    fail(host, 2)
    before = total(host)
    fail(host, 1)

    assert (before, total(host)) == (0, 240)


@but(OPENBSD)
def test_three_successes_in_a_row_forgive_send_errors(dialect: Dialect) -> None:
    """carp.md 6.1: F10 to F14p never undo it, by a mistake that F14 and F15 mend.

    Deviation: send-errors-are-forgiven.
    """
    host = master(config(dialect=dialect))
    fail(host, 3)
    succeed(host, 2)
    before = total(host)
    succeed(host, 1)

    assert (before > 0, total(host)) == (True, 0)


@only(FREEBSD, UNIVERSAL)
def test_a_dead_link_demotes_by_240_for_each_of_its_hosts(dialect: Dialect) -> None:
    """carp.md 6.1: ifdown_demotion_factor 240, per vhid whose interface is down."""
    host = bench(config(dialect=dialect), config(dialect=dialect, vhid=2, addresses=("192.168.1.60/24",)))
    host.feed(LinkChanged(link(is_up=False)))

    assert total(host) == 480


@only(FREEBSD)
def test_one_recovery_of_two_does_not_lift_the_announced_240(dialect: Dialect) -> None:
    """carp.md 6.1: a failed interface and pfsync: 480, still announced as 240."""
    host = two_links(dialect)
    host.feed(DemotionSet(None, "pfsync", 240))
    host.feed(other_link(is_up=False))
    both = total(host), claimed(host)
    host.feed(other_link(is_up=True))

    assert (both, claimed(host)) == ((480, (240, 0)), (240, 0))


def test_the_dscp_of_freebsd_is_56() -> None:
    """carp.md 6.1, 1.2: net.inet.carp.dscp 56, in the upper six bits."""
    assert FREEBSD.tos == 56 << 2


# 6.2 FreeBSD 9 and NetBSD


@only(*SUPPRESSING)
@pytest.mark.parametrize(("advskew", "announced"), [(0, 240), (239, 240), (240, 240), (250, 250)])
def test_any_suppression_announces_240(dialect: Dialect, advskew: int, announced: int) -> None:
    """carp.md 6.2: while non-zero, 240 instead of an advskew up to 240."""
    host = bench(config(dialect=dialect, advskew=advskew))
    host.feed(DemotionSet(None, "test", 1))

    assert claimed(host) == (announced, 0)


@only(*SUPPRESSING)
def test_only_the_onset_of_suppression_is_told_at_once(dialect: Dialect) -> None:
    """carp.md 6.2: only the 0 to 1 change triggers an immediate round."""
    host = master(config(dialect=dialect))

    said = [
        len(transmitted(host.feed(DemotionSet(None, cause, amount))))
        for cause, amount in (("one", 1), ("other", 1), ("one", 0), ("other", 0))
    ]

    assert said == [1, 0, 0, 0]


@only(FREEBSD9, NETBSD)
def test_each_host_of_a_dead_link_suppresses_by_one(dialect: Dialect) -> None:
    """carp.md 6.2: +1 per carp interface whose parent is down."""
    host = two_links(dialect)
    host.feed(other_link(is_up=False))

    assert (total(host), claimed(host)) == (1, (240, 0))


@only(FREEBSD9, NETBSD)
def test_a_link_that_is_back_suppresses_no_longer(dialect: Dialect) -> None:
    """carp.md 5.3, 6.2: up: reverse."""
    host = two_links(dialect)
    host.feed(other_link(is_up=False))
    host.feed(other_link(is_up=True))

    assert (total(host), claimed(host)) == (0, (20, 0))


@only(*SUPPRESSING)
def test_three_send_errors_suppress_by_one(dialect: Dialect) -> None:
    """carp.md 6.2, 6.3: +1 on 3 consecutive send errors, -1 after 3 successes."""
    host = master(config(dialect=dialect))
    fail(host, 3)
    before = total(host), claimed(host)
    succeed(host, 3)

    assert (before, total(host), claimed(host)) == ((1, (240, 0)), 0, (0, 0))


@only(*SUPPRESSING)
def test_suppression_does_not_forbid_preemption_but_makes_it_slow(dialect: Dialect) -> None:
    """carp.md 6.2: nothing suppresses the own preempt test directly, it only raises T."""
    host = bench(config(dialect=dialect, preempt=True))
    host.feed(DemotionSet(None, "test", 1))
    host.hear(advert(advskew=200))
    under_a_faster = host.state
    host.hear(advert(advskew=250))

    assert (under_a_faster, host.state) == (State.BACKUP, State.MASTER)


# 6.3 UCARP


def test_the_link_does_not_demote_ucarp() -> None:
    """carp.md 6.3: fed only by failed writes."""
    host = two_links(UCARP)
    host.feed(other_link(is_up=False))

    assert (total(host), claimed(host)) == (0, (20, 0))


# 6.4 OpenBSD


def test_every_host_is_in_the_group_carp() -> None:
    """carp.md 6.4: default group carp."""
    host = bench(config(dialect=OPENBSD, advskew=20))
    host.feed(DemotionSet("carp", "test", 7))

    assert claimed(host) == (20, 7)


def test_the_octet_is_the_sum_over_the_groups_and_the_interface() -> None:
    """carp.md 6.4: min(255, sum over the interface's groups), plus a per-interface counter; advskew is not altered."""
    host = bench(config(dialect=OPENBSD, groups=("carp", "uplink"), advskew=20))
    host.feed(DemotionSet("carp", "test", 1))
    host.feed(DemotionSet("uplink", "test", 2))
    host.feed(DemotionSet("lan", "test", 4))
    host.feed(DemotionSet(KEY, "test", 8))

    assert claimed(host) == (20, 11)


@pytest.mark.parametrize(("demotion", "octet"), [(255, 255), (256, 255), (-1, 0)])
def test_the_octet_is_capped(demotion: int, octet: int) -> None:
    """carp.md 6.4, 1.1: capped at 255."""
    host = bench(config(dialect=OPENBSD))
    host.feed(DemotionSet("carp", "test", demotion))

    assert claimed(host) == (0, octet)


def test_a_dead_carpdev_demotes_by_one() -> None:
    """carp.md 6.4: carpdev down: +1, reversed on up."""
    host = two_links(OPENBSD)
    host.feed(other_link(is_up=False))
    down = claimed(host)
    host.feed(other_link(is_up=True))

    assert (down, claimed(host)) == ((20, 1), (20, 0))


@pytest.mark.parametrize(("hosts", "errors"), [(1, 3), (2, 6), (3, 9)])
def test_send_errors_are_counted_by_the_hosts_of_the_interface(hosts: int, errors: int) -> None:
    """carp.md 6.4: >= 3 x (number of vhids on the interface) send errors: +1."""
    others = [
        config(dialect=OPENBSD, vhid=vhid, advbase=200, addresses=(f"192.168.1.{60 + vhid}/24",))
        for vhid in range(2, hosts + 1)
    ]
    host = master(config(dialect=OPENBSD), *others)
    fail(host, errors - 1)
    before = total(host)
    fail(host, 1)

    assert (before, total(host)) == (0, 1)


def test_all_masters_of_a_group_are_told() -> None:
    """carp.md 6.4: any change triggers adverts from all MASTERs in the group."""
    others = config(dialect=OPENBSD, vhid=2, addresses=("192.168.1.60/24",), groups=("carp", "uplink"))
    host = bench(config(dialect=OPENBSD), others)
    host.pass_time(to_ns=seconds(3))

    said = [
        [each.vhid for each in transmitted(host.feed(DemotionSet(group, "test", 1)))] for group in ("carp", "uplink")
    ]

    assert said == [[1, 2], [2]]


@but(OPENBSD)
def test_other_systems_send_0_in_the_octet(dialect: Dialect) -> None:
    """carp.md 6.4, 1.1: FreeBSD, NetBSD, UCARP: sent as 0."""
    host = master(config(dialect=dialect))
    host.feed(DemotionSet(None, "test", 5))

    assert claimed(host)[1] == 0


@but(OPENBSD)
def test_other_systems_ignore_the_octet(dialect: Dialect) -> None:
    """carp.md 6.4: non-OpenBSD peers see only a non-zero pad byte and ignore it."""
    host = master(config(dialect=dialect, advskew=100))

    host.hear(advert(advskew=50, demote=255))

    assert host.state is State.BACKUP


@pytest.mark.parametrize("advskew", [0, 254])
def test_a_demoted_openbsd_yields_to_any_system_no_matter_how_slow(advskew: int) -> None:
    """carp.md 6.4: demote 0 < own."""
    host = master(config(dialect=OPENBSD, advskew=50))
    host.feed(DemotionSet("carp", "test", 1))

    host.hear(advert(advbase=2, advskew=advskew))

    assert host.state is State.BACKUP


@but()
def test_causes_are_named(dialect: Dialect) -> None:
    """carp.md 6.1: the kernels keep one number, so that nobody knows what it is made of.

    Deviation: ledger-of-causes.
    """
    host = bench(config(dialect=dialect))
    host.feed(DemotionSet(None, "pfsync", 1))

    (event,) = [each for each in published(host.feed(DemotionSet(KEY, "mine", 2))) if isinstance(each, DemotionChange)]

    assert (event.total, event.causes) == (3, (("pfsync", 1), ("mine", 2)))


@but()
def test_addresses_that_cannot_be_held_demote(dialect: Dialect) -> None:
    """No system has this; a kernel cannot fail to hold what it holds. Known until they are held once.

    Deviation: not-held-demotes.
    """
    host = bench(config(dialect=dialect))
    host.pass_time(to_ns=seconds(10))
    host.report(Action.HOLD, error="no such device")
    failed = [cause for cause, _amount in host.engine.host_snapshot(KEY).demotion]
    host.report(Action.HOLD)

    assert (failed, host.engine.host_snapshot(KEY).demotion) == (["addresses not held"], ())


@but()
def test_addresses_that_others_keep_changing_make_a_host_the_last(dialect: Dialect) -> None:
    """No system has this; nobody takes addresses from a carp interface.

    Deviation: contested-demotes.
    """
    host = bench(config(dialect=dialect))
    for _ in range(5):
        host.feed(AddressesDisturbed(KEY, "somebody removed them"))
    contested = host.engine.host_snapshot(KEY)
    host.pass_time(to_ns=seconds(60))

    assert ([cause for cause, _amount in contested.demotion], contested.claim.is_last) == (
        ["addresses contested"],
        True,
    )
    assert (host.engine.host_snapshot(KEY).demotion, host.engine.host_snapshot(KEY).claim.is_last) == ((), False)
