"""Demotion by links, by groups, by OpenBSD's octet, and the factors that can be set at run time."""

import pytest

from pycarp.core.inputs import Action, DemotionSet, HostAdded, HostRemoved, LinkChanged, SettingsChanged
from pycarp.core.settings import Settings
from pycarp.core.state import Reason
from pycarp.dialects import ALL, FREEBSD, NETBSD, OPENBSD, UCARP, Dialect
from pycarp.vocabulary import LinkFacts
from tests.support.hosts import Bench, advert, bench, changes, config, link, master, seconds, transmitted

UP, DOWN, UNKNOWN = link(), link(is_up=False), link(is_certain=False)
OTHER_LINK = LinkFacts(name="fxp1", is_up=True)
OTHER_DOWN = LinkFacts(name="fxp1", is_up=False)


def elsewhere(dialect: Dialect, vhid: int) -> HostAdded:
    """Return a host on fxp1 coming."""
    return HostAdded(config(vhid=vhid, dialect=dialect, interface="fxp1"))


def with_hosts_elsewhere(dialect: Dialect, *, count: int = 1, **of_first: object) -> Bench:
    host = master(config(dialect=dialect, **of_first))  # type: ignore[arg-type]
    host.feed(LinkChanged(OTHER_LINK))
    for vhid in range(11, 11 + count):
        host.feed(elsewhere(dialect, vhid))
    return host


# Links


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_a_host_whose_link_is_down_demotes_its_node_as_the_dialect_says(dialect: Dialect) -> None:
    """Source: carp.md 5.3 and section 6."""
    host = with_hosts_elsewhere(dialect)
    host.feed(LinkChanged(OTHER_DOWN))

    assert host.engine.snapshot().demotion == dialect.link_down_demotion


def test_every_host_on_the_link_counts() -> None:
    """Source: carp.md 6.1, per vhid whose interface is down."""
    host = with_hosts_elsewhere(FREEBSD, count=2)
    host.feed(LinkChanged(OTHER_DOWN))

    assert host.engine.snapshot().demotion == 480


def test_a_link_that_is_back_forgives() -> None:
    host = with_hosts_elsewhere(FREEBSD)
    host.feed(LinkChanged(OTHER_DOWN))
    effects = host.feed(LinkChanged(OTHER_LINK))

    assert host.engine.snapshot().demotion == 0
    assert [each.advskew for each in transmitted(effects)] == [0]


def test_a_host_that_is_removed_from_a_dead_link_takes_its_demotion_along() -> None:
    host = with_hosts_elsewhere(FREEBSD)
    host.feed(LinkChanged(OTHER_DOWN))
    key = config(vhid=11, interface="fxp1").key
    host.report(Action.DROP, key=key)
    host.feed(HostRemoved(key))
    host.report(Action.DROP, key=key)

    assert host.engine.snapshot().demotion == 0


def test_netbsd_tells_the_onset_at_once_and_the_end_with_its_next_advertisement() -> None:
    """Source: carp.md 6.2, only the change from 0 to 1; capture t06."""
    host = with_hosts_elsewhere(NETBSD)
    onset = host.feed(LinkChanged(OTHER_DOWN))
    end = host.feed(LinkChanged(OTHER_LINK))

    assert ([each.advskew for each in transmitted(onset)], transmitted(end)) == ([240], [])


def test_the_factor_can_be_changed_while_the_link_is_down() -> None:
    host = with_hosts_elsewhere(FREEBSD)
    host.feed(LinkChanged(OTHER_DOWN))
    host.feed(SettingsChanged(Settings(ifdown_demotion_factor=7)))

    assert host.engine.snapshot().demotion == 7


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_a_link_that_does_not_say_whether_it_carries_is_what_the_dialect_takes_it_for(dialect: Dialect) -> None:
    """Source: carp.md 5.3."""
    host = bench(config(dialect=dialect))
    walked = changes(host.feed(LinkChanged(UNKNOWN)))

    assert [each.reason for each in walked] == ([] if dialect.unknown_link_is_up else [Reason.LINK_DOWN])


def test_a_host_that_ignores_its_link_stays() -> None:
    """Source: ucarp's -S, carp.md 8.6."""
    host = bench(config(dialect=UCARP, ignores_link=True))

    assert changes(host.feed(LinkChanged(DOWN))) == []


# Groups


def test_a_group_demotes_its_hosts() -> None:
    """Source: carp.md 6.4."""
    host = master(config(dialect=OPENBSD, groups=("carp", "lan")))
    effects = host.feed(DemotionSet("lan", "carpdemote", 3))

    assert [each.demote for each in transmitted(effects)] == [3]


def test_a_group_demotes_nobody_else() -> None:
    host = master(config(dialect=OPENBSD))

    assert host.feed(DemotionSet("lan", "carpdemote", 3)) == ()


# OpenBSD's octet


def test_openbsd_relieves_a_more_demoted_master_even_without_preempt() -> None:
    """Source: carp.md 5.1, test 2."""
    host = bench(config(dialect=OPENBSD, advskew=200))

    assert [each.reason for each in changes(host.hear(advert(demote=1)))] == [Reason.MASTER_DEMOTED]


def test_openbsd_preempts_no_less_demoted_master() -> None:
    """Source: carp.md 5.1, test 1."""
    host = bench(config(dialect=OPENBSD, preempt=True))
    host.feed(DemotionSet(None, "carpdemote", 2))

    assert changes(host.hear(advert(advskew=100, demote=1))) == []


def test_a_demoted_openbsd_master_yields_to_any_less_demoted_one() -> None:
    """Source: carp.md 6.4, however slow it is."""
    host = master(config(dialect=OPENBSD))
    host.feed(DemotionSet(None, "carpdemote", 2))

    assert [each.reason for each in changes(host.hear(advert(advskew=254, demote=1)))] == [Reason.BETTER_MASTER]


def test_openbsd_keeps_mastership_from_a_faster_but_more_demoted_host() -> None:
    """Source: carp.md 5.1."""
    host = master(config(dialect=OPENBSD, advskew=100))

    assert changes(host.hear(advert(advskew=0, demote=1))) == []


def test_the_octet_holds_no_more_than_255() -> None:
    """Source: carp.md 6.4."""
    host = master(config(dialect=OPENBSD))
    effects = host.feed(DemotionSet(None, "carpdemote", 700))

    assert [each.demote for each in transmitted(effects)] == [255]


# advbase 0, OpenBSD's way below a second


@pytest.mark.parametrize(("advskew", "silent_ns"), [(128, seconds(1.5)), (1, 3 * 3_906_250)])
def test_openbsd_with_advbase_0_waits_three_times_its_skew(advskew: int, silent_ns: int) -> None:
    """Source: carp.md 5.2."""
    host = bench(config(dialect=OPENBSD, advbase=0, advskew=advskew))

    assert changes(host.pass_time(to_ns=silent_ns - 1)) == []
    assert [each.reason for each in changes(host.pass_time(to_ns=silent_ns))] == [Reason.MASTER_SILENT]


def test_a_bow_out_means_nothing_to_openbsd_with_advbase_0() -> None:
    """Source: carp.md 5.1, the test is not run then."""
    host = bench(config(dialect=OPENBSD, advbase=0, advskew=128))

    assert changes(host.hear(advert(advbase=255, advskew=255))) == []


# The start


def test_a_neutral_host_leaves_the_addresses_alone_at_its_start() -> None:
    """Source: ucarp's -n, carp.md 8.6."""
    host = bench()
    effects = host.feed(HostAdded(config(vhid=2, neutral=True)))

    assert [type(each).__name__ for each in effects if "Drop" in type(each).__name__] == []
    assert host.engine.host_snapshot(config(vhid=2).key).state.value == "BACKUP"
