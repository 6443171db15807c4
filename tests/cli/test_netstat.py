"""The counters in the style of netstat."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from pycarp.cli.netstat import render
from pycarp.core.inputs import PacketsRead
from pycarp.core.statistics import DropReason, Statistic
from pycarp.daemon.control_messages import LinkStatus
from pycarp.daemon.status import link_status
from tests.support.control import counters_of, drops_of, host_of, scripted_daemon, status_of
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


# The command

LINKS = {
    "fxp0": LinkStatus(counters_of(1), drops_of(1, 2), 1),
    "fxp1": LinkStatus(counters_of(20), drops_of(10, 0, 5), 2),
}


def netstat(folder: Path, *words: str, links: dict[str, LinkStatus] = LINKS) -> Result:
    """Run the command against a daemon that has counted on two links, and 100 and more in all."""
    with scripted_daemon(folder / "s", lambda _request: status_of(links=links)) as daemon:
        return daemon.pycarp("netstat", *words)


def test_the_node_is_told_of_with_the_reasons_of_all_its_links(tmp_path: Path) -> None:
    result = netstat(tmp_path)

    lines = result.stdout.splitlines()
    first, second, third = list(DropReason)[:3]
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in lines[1:17]] == [str(number) for number in range(100, 116)]
    assert lines[17:] == [
        "dropped:",
        f"\t11 {first.words}",
        f"\t2 {second.words}",
        f"\t5 {third.words}",
        "flooded 3 time(s); during a flood only samples are counted",
    ]


def test_one_interface_can_be_chosen(tmp_path: Path) -> None:
    lines = netstat(tmp_path, "-I", "fxp1").stdout.splitlines()

    assert lines[1] == "\t20 packet(s) received (IPv4)"
    assert lines[-1] == "flooded 2 time(s); during a flood only samples are counted"


@pytest.mark.parametrize(("links", "known"), [(LINKS, "fxp0, fxp1"), ({}, "none yet")], ids=["two", "none"])
def test_an_interface_that_counts_nothing_is_named(tmp_path: Path, links: dict[str, LinkStatus], known: str) -> None:
    result = netstat(tmp_path, "-I", "em0", links=links)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"pycarp: nothing was counted on interface 'em0'; there are: {known}\n"


def test_nothing_dropped_has_no_heading(tmp_path: Path) -> None:
    assert len(netstat(tmp_path, links={}).stdout.splitlines()) == 17


def test_scripts_get_one_object(tmp_path: Path) -> None:
    found = json.loads(netstat(tmp_path, "--json").stdout)

    assert (found["counters"]["badauth"], found["floods"]) == (108, 3)
    assert list(found["drops"].values()) == [11, 2, 5]


def test_counts_of_a_daemon_of_another_version_are_shown_as_far_as_they_are_known() -> None:
    lines = render(LinkStatus({"ipackets": 3}, {"phase-of-the-moon": 7})).splitlines()

    assert lines[1:3] == ["\t3 packet(s) received (IPv4)", "\t0 packet(s) received (IPv6)"]
    assert lines[-2:] == ["dropped:", "\t7 phase-of-the-moon"]


def test_the_words_of_freebsd_show_the_same(tmp_path: Path) -> None:
    assert netstat(tmp_path, "-s", "-p", "carp").stdout == netstat(tmp_path).stdout
    assert netstat(tmp_path, "-s", "-p", "tcp").exit_code == 2


def test_a_host_stands_for_its_interface(tmp_path: Path) -> None:
    status = status_of(host_of("carp7", interface="fxp1"), links=LINKS)
    with scripted_daemon(tmp_path / "s", lambda _request: status) as daemon:
        assert daemon.pycarp("netstat", "-I", "carp7").stdout == daemon.pycarp("netstat", "-I", "fxp1").stdout
