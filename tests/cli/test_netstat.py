"""The counters in the style of netstat."""

from pycarp.cli.netstat import render
from pycarp.core.inputs import PacketsRead
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


def test_a_flood_is_told() -> None:
    host = bench()
    host.hear(advert())
    host.feed(PacketsRead(((LINK, 1),)))
    host.feed(PacketsRead(((LINK, 100_000),)))

    told = render(link_status(host.engine.snapshot().links[LINK])).splitlines()[-1]

    assert told == "flooded 1 time(s); during a flood only samples are counted"


def test_the_reasons_that_occurred_follow_in_words() -> None:
    assert lines()[1 + len(Statistic) :] == ["dropped:", f"\t2 {DropReason.TTL.words}"]
