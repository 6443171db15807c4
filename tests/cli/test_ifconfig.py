"""ifconfig in FreeBSD's words."""

from pathlib import Path

import pytest

from pycarp.cli.ifconfig import parse, parse_demotion, render
from pycarp.daemon.control_messages import (
    DoneReply,
    GroupReply,
    GroupRequest,
    IfconfigRequest,
    Reply,
    Request,
    StatusRequest,
)
from pycarp.daemon.status import host_status
from pycarp.errors import UsageError
from tests.support.control import host_of, scripted_daemon, status_of
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


# The command


def answer(request: Request) -> Reply:
    """Answer as a daemon of two named hosts and one without a name."""
    if isinstance(request, GroupRequest):
        return GroupReply(group=request.group, before=1, demotion=1 + request.by, hosts=["carp0", "carp1"])
    if isinstance(request, IfconfigRequest):
        return DoneReply()
    return status_of(
        host_of("carp0"),
        host_of("carp1", vhid=2, is_up=False, state="INIT"),
        host_of("3@em0", vhid=3, interface="em0", link_is_up=False),
    )


def heads(output: str) -> list[str]:
    return [line for line in output.splitlines() if not line.startswith("\t")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["carp0: flags=41<UP,RUNNING>", "carp1: flags=40<RUNNING>", "em0: flags=1<UP>"]),
        (("carp1",), ["carp1: flags=40<RUNNING>"]),
        (("fxp0",), ["carp0: flags=41<UP,RUNNING>", "carp1: flags=40<RUNNING>"]),
        (("fxp0", "vhid", "2"), ["carp1: flags=40<RUNNING>"]),
        (("2@fxp0",), ["carp1: flags=40<RUNNING>"]),
        (("em0",), ["em0: flags=1<UP>"]),
    ],
    ids=str,
)
def test_hosts_are_shown_by_their_names_or_interfaces(
    tmp_path: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("ifconfig", *words)

        assert (result.exit_code, heads(result.stdout)) == (0, expected)
        assert daemon.asked == [StatusRequest()]


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("carp0", "down"), IfconfigRequest(host="carp0", is_up=False)),
        (("fxp0", "vhid", "1", "state", "backup"), IfconfigRequest(host="1@fxp0", state="backup")),
        (("carp0", "advskew", "-1"), IfconfigRequest(host="carp0", advskew=-1)),
        (("-g", "carp"), GroupRequest("carp", 0)),
        (("-g", "carp", "carpdemote", "50"), GroupRequest("carp", 50)),
        (("-g", "carp", "-carpdemote"), GroupRequest("carp", -1)),
    ],
    ids=str,
)
def test_a_change_is_asked_for_and_nothing_else(tmp_path: Path, words: tuple[str, ...], asked: Request) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("ifconfig", *words)

        assert (result.exit_code, daemon.asked) == (0, [asked])
        assert bool(result.stdout) is isinstance(asked, GroupRequest)


def test_the_demotion_of_a_group_is_shown_with_its_hosts(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        shown = daemon.pycarp("ifconfig", "-g", "carp", "carpdemote", "50").stdout

    assert shown == "carp: carp demote count 51 (carp0, carp1)\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("carp9",), "no virtual host 'carp9' here; there are: carp0, carp1, 3@em0"),
        (("fxp0", "vhid", "3"), "no virtual host 'fxp0' here; there are: carp0, carp1, 3@em0"),
        (("carp0", "dwon"), "'dwon' is not understood; possible are: up, down"),
        (("-g", "carp", "carpdemote", "1234567890"), "'carpdemote 1234567890' is not understood"),
        (("-g", "carp", "up"), "'up' is not understood; possible are: carpdemote N, -carpdemote N"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_changes_nothing(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        result = daemon.pycarp("ifconfig", *words)

        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert result.stderr.startswith(f"pycarp: {complaint}")
        assert not any(isinstance(each, IfconfigRequest | GroupRequest) for each in daemon.asked)


def test_without_hosts_a_name_is_told_that_there_are_none(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: status_of()) as daemon:
        assert daemon.pycarp("ifconfig", "carp0").stderr == "pycarp: no virtual host 'carp0' here; there are: none\n"
