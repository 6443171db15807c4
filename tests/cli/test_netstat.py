"""The counters in the style of netstat."""

from pycarp.cli.netstat import render
from pycarp.core.inputs import SiegeChanged
from pycarp.core.statistics import DropReason, Statistic
from pycarp.daemon.status import link_status
from tests.support.hosts import LINK, advert, bench


def lines() -> list[str]:
    host = bench()
    host.hear(advert())
    host.hear(advert(ttl=64))
    host.hear(advert(ttl=64))
    return render(link_status(host.engine.snapshot().links[LINK])).splitlines()


def test_all_sixteen_counters_are_shown() -> None:
    counters = lines()[1 : 1 + len(Statistic)]

    assert len(Statistic) == 16
    assert counters[0] == "\t3 packet(s) received (IPv4)"
    assert counters[3] == "\t\t2 discarded for wrong TTL"


def test_a_siege_is_told() -> None:
    host = bench()
    host.hear(advert())
    host.feed(SiegeChanged(LINK, is_on=True, rate=100_000, every=64))

    told = render(link_status(host.engine.snapshot().links[LINK])).splitlines()[-1]

    assert told == "under siege 1 time(s); meanwhile only samples were counted"


def test_the_reasons_that_occurred_follow_in_words() -> None:
    assert lines()[1 + len(Statistic) :] == ["dropped:", f"\t2 {DropReason.TTL.words}"]
