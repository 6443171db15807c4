"""ifconfig in FreeBSD's words."""

import pytest

from pycarp.cli.ifconfig import parse, parse_demotion, render
from pycarp.daemon.control_messages import IfconfigRequest
from pycarp.daemon.status import host_status
from pycarp.errors import UsageError
from tests.support.hosts import KEY, bench, config, master


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("down",), IfconfigRequest(host="carp0", is_up=False)),
        (("up",), IfconfigRequest(host="carp0", is_up=True)),
        (("state", "master"), IfconfigRequest(host="carp0", state="master")),
        (("state", "BACKUP"), IfconfigRequest(host="carp0", state="BACKUP")),
        (("advskew", "50", "advbase", "2"), IfconfigRequest(host="carp0", advskew=50, advbase=2)),
        (("alias", "192.168.1.52/24"), IfconfigRequest(host="carp0", add=["192.168.1.52/24"])),
        (("192.168.1.52/24", "alias"), IfconfigRequest(host="carp0", add=["192.168.1.52/24"])),
        (("inet6", "2001:db8::1/64", "add"), IfconfigRequest(host="carp0", add=["2001:db8::1/64"])),
        (("-alias", "192.168.1.52"), IfconfigRequest(host="carp0", remove=["192.168.1.52"])),
        (("192.168.1.52", "delete"), IfconfigRequest(host="carp0", remove=["192.168.1.52"])),
        (("pass", "new", "rolling", "60"), IfconfigRequest(host="carp0", passphrase="new", rolling_s=60)),
        (("advskew", "-1"), IfconfigRequest(host="carp0", advskew=-1)),
    ],
    ids=str,
)
def test_the_words_are_understood(words: tuple[str, ...], expected: IfconfigRequest) -> None:
    assert parse("carp0", words) == expected


@pytest.mark.parametrize("words", [("state", "init"), ("advskew",), ("advskew", "many"), ("dwon",)], ids=str)
def test_words_that_do_not_fit_are_named_with_what_would(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"'{words[0]}' is not understood; possible are: up, down"):
        parse("carp0", words)


def test_a_password_behind_a_misspelt_word_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        parse("carp0", ("passwd", "hunter2"))

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "by"),
    [((), 0), (("carpdemote",), 1), (("carpdemote", "50"), 50), (("-carpdemote",), -1), (("-carpdemote", "50"), -50)],
    ids=str,
)
def test_the_words_about_a_group_are_understood(words: tuple[str, ...], by: int) -> None:
    assert parse_demotion(words) == by


@pytest.mark.parametrize("words", [("up",), ("carpdemote", "much"), ("carpdemote", "1", "2")], ids=str)
def test_other_words_about_a_group_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="possible are: carpdemote N, -carpdemote N"):
        parse_demotion(words)


def test_ipv6_and_peers_read_as_on_freebsd_14() -> None:
    host = bench(config(addresses=("192.168.1.50/24", "2001:db8::50/64"), peers=("192.168.1.5", "fe80::5")))

    assert render(host_status(host.engine.host_snapshot(KEY), 0, "")) == (
        "fxp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffff00 vhid 1\n"
        "\tinet6 2001:db8::50 prefixlen 64 vhid 1\n"
        "\tcarp: BACKUP vhid 1 advbase 1 advskew 0\n"
        "\t      peer 192.168.1.5 peer6 fe80::5"
    )


def test_a_named_host_reads_as_on_freebsd_9() -> None:
    host = master(config(advskew=100))
    snapshot = host.engine.host_snapshot(KEY)
    status = host_status(snapshot, host.now_ns, "")
    status.name = "carp0"

    assert render(status) == (
        "carp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffff00\n"
        "\tcarp: MASTER vhid 1 advbase 1 advskew 100"
    )


def test_a_host_without_a_name_reads_as_on_freebsd_10() -> None:
    host = bench(config(addresses=("192.168.1.50/32",)))

    assert render(host_status(host.engine.host_snapshot(KEY), 0, "")) == (
        "fxp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffffff vhid 1\n"
        "\tcarp: BACKUP vhid 1 advbase 1 advskew 0"
    )
