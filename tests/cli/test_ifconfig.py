"""ifconfig in FreeBSD's words."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from pycarp.auth.key import Passphrase
from pycarp.cli import cli
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
from pycarp.daemon.status import Place, host_status
from pycarp.errors import UsageError
from tests.support.control import host_of, scripted_daemon, status_of
from tests.support.hosts import KEY, bench, config, master
from tests.support.terminal import at_terminal


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
        (("alias", "10.0.0.5", "netmask", "255.255.255.0"), IfconfigRequest(host="carp0", add=["10.0.0.5/24"])),
        (("inet", "10.0.0.5", "netmask", "0xffffff00", "alias"), IfconfigRequest(host="carp0", add=["10.0.0.5/24"])),
        (("inet6", "fd00::5", "prefixlen", "64", "add"), IfconfigRequest(host="carp0", add=["fd00::5/64"])),
        (
            ("-alias", "10.0.0.5", "netmask", "255.0.0.0", "advskew", "5"),
            IfconfigRequest(host="carp0", remove=["10.0.0.5/8"], advskew=5),
        ),
        (("inet6", "2001:db8::1/64", "add"), IfconfigRequest(host="carp0", add=["2001:db8::1/64"])),
        (("-alias", "192.168.1.52"), IfconfigRequest(host="carp0", remove=["192.168.1.52"])),
        (("192.168.1.52", "delete"), IfconfigRequest(host="carp0", remove=["192.168.1.52"])),
        (("pass", "rolling", "60"), IfconfigRequest(host="carp0", passphrase="new", rolling_s=60)),
        (("advskew", "50", "pass"), IfconfigRequest(host="carp0", passphrase="new", advskew=50)),
        (
            ("pass", "alias", "192.168.1.52/24"),
            IfconfigRequest(host="carp0", passphrase="new", add=["192.168.1.52/24"]),
        ),
        (("advskew", "-1"), IfconfigRequest(host="carp0", advskew=-1)),
    ],
    ids=str,
)
def test_the_words_are_understood(words: tuple[str, ...], expected: IfconfigRequest) -> None:
    assert parse("carp0", words, password=lambda _what: Passphrase("new")) == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("dwon", "'dwon' is not understood; possible are: up, down"),
        ("advskew abc", "advskew 'abc' is not a number of 0 to 254"),
        ("advbase 1.5", "advbase '1.5' is not a number of 0 to 255"),
        ("state bogus", "state 'bogus' is not master or backup"),
        ("alias 300.1.1.1", "alias '300.1.1.1' is not an address such as 192.0.2.10/24"),
        ("inet6 -alias fe80::x", "-alias 'fe80::x' is not an address"),
        ("300.1.1.1 delete", "delete '300.1.1.1' is not an address"),
        ("192.0.2.1", "192.0.2.1 stands alone; write alias 192.0.2.1 to share it"),
        ("rolling soon", "rolling 'soon' is not a number of seconds such as 60"),
        ("advskew", "advskew has no value; write advskew and a number of 0 to 254"),
        ("up state", "state has no value; write state and master or backup"),
        ("alias 10.0.0.5 netmask", "netmask has no value; write netmask and a netmask such as 255.255.255.0"),
        ("alias 10.0.0.5 netmask 255.0.255.0", "netmask '255.0.255.0' is not a netmask such as 255.255.255.0"),
        ("netmask 255.0.0.0 alias 10.0.0.5", "netmask '255.0.0.0' is not a netmask such as 255.255.255.0"),
        ("alias 10.0.0.5/24 netmask 255.0.0.0", "10.0.0.5/24 has a prefix length already; leave out netmask"),
        ("alias fd00::5 netmask 255.0.0.0", "netmask is for IPv4; write fd00::5 prefixlen 64"),
        ("alias 10.0.0.5 prefixlen 64", "prefixlen '64' is not a number of 0 to 32"),
        ("alias", "alias has no value; write alias and an address"),
        ("rolling", "rolling has no value; write rolling and a number of seconds"),
        ("vhid", "vhid has no value; write vhid and a number of 1 to 255"),
        ("vhid one up", "vhid 'one' is not a number of 1 to 255"),
    ],
)
def test_words_that_do_not_fit_are_named_with_what_would(words: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("carp0", tuple(words.split()))

    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize("words", [("pass", "hunter2"), ("advskew", "5", "pass", "hunter2", "rolling", "60")], ids=str)
def test_a_password_on_the_command_line_is_refused_and_not_shown(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="every user of this machine could read a password") as caught:
        parse("carp0", words)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("stdin", "code", "told"), [("new\nmore\n", 0, "new"), ("new", 0, "new"), ("", 2, None)])
def test_pass_reads_standard_input(tmp_path: Path, stdin: str, code: int, told: str | None) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        argv = ["ifconfig", "carp0", "pass", "rolling", "60", "--control", str(daemon.path)]
        result = CliRunner().invoke(cli, argv, input=stdin)
        asked = [each.passphrase for each in daemon.asked if isinstance(each, IfconfigRequest)]

    assert (result.exit_code, asked) == (code, [] if told is None else [told])


def test_pass_asks_on_a_terminal_twice_and_shows_nothing(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        ours, theirs = pty.openpty()
        argv = [sys.executable, "-m", "pycarp", "ifconfig", "carp0", "pass", "rolling", "60"]
        argv += ["--control", str(daemon.path)]
        with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
            os.close(theirs)
            shown = b""
            for prompt in (b"New password of carp0: ", b"Once more: "):
                while prompt not in shown:
                    shown += os.read(ours, 1024)
                os.write(ours, b"hunter2\n")
            assert process.wait(10) == 0
        with contextlib.suppress(OSError):
            shown += os.read(ours, 1024)
        os.close(ours)

    assert b"hunter2" not in shown
    assert [each.passphrase for each in daemon.asked if isinstance(each, IfconfigRequest)] == ["hunter2"]


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

    assert render(host_status(host.engine.host_snapshot(KEY), 0, Place())) == (
        "fxp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffff00 vhid 1\n"
        "\tinet6 2001:db8::50 prefixlen 64 vhid 1\n"
        "\tcarp: BACKUP vhid 1 advbase 1 advskew 0\n"
        "\t      peer 192.168.1.5 peer6 fe80::5"
    )


def test_a_named_host_reads_as_on_freebsd_9() -> None:
    host = master(config(advskew=100))
    snapshot = host.engine.host_snapshot(KEY)
    status = host_status(snapshot, host.now_ns, Place())
    status.name = "carp0"

    assert render(status) == (
        "carp0: flags=41<UP,RUNNING>\n"
        "\tinet 192.168.1.50 netmask 0xffffff00\n"
        "\tcarp: MASTER vhid 1 advbase 1 advskew 100"
    )


def test_a_host_without_a_name_reads_as_on_freebsd_10() -> None:
    host = bench(config(addresses=("192.168.1.50/32",)))

    assert render(host_status(host.engine.host_snapshot(KEY), 0, Place())) == (
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


@pytest.mark.parametrize("words", [("em0",), ("1@em0",), ("em0", "vhid", "1")], ids=str)
def test_a_host_is_shown_by_the_interface_that_the_file_names(tmp_path: Path, words: tuple[str, ...]) -> None:
    reply = msgspec.structs.replace(status_of(host_of("carp0")), renames={"em0": "fxp0"})
    with scripted_daemon(tmp_path / "s", lambda _request: reply) as daemon:
        assert heads(daemon.pycarp("ifconfig", *words).stdout) == ["carp0: flags=41<UP,RUNNING>"]


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

        changes = [each for each in daemon.asked if not isinstance(each, StatusRequest)]
        assert (result.exit_code, changes) == (0, [asked])
        assert bool(result.stdout) is isinstance(asked, GroupRequest)


LAST = ("-alias", "192.168.1.50")


OF_LAST = "carp0 ends here without 192.168.1.50, its last address. Go on? [y/N]: "
OF_OTHERS = "Go on? [y/N]: "


@pytest.mark.parametrize(
    ("question", "typed", "words", "asked"),
    [
        (OF_LAST, "y\n", LAST, [IfconfigRequest(host="carp0", remove=["192.168.1.50"], is_forced=True)]),
        (OF_LAST, "n\n", LAST, []),
        ("", "", (*LAST, "--force"), [IfconfigRequest(host="carp0", remove=["192.168.1.50"], is_forced=True)]),
        (
            OF_OTHERS,
            "y\n",
            (*LAST, "alias", "192.168.1.51/24"),
            [IfconfigRequest(host="carp0", add=["192.168.1.51/24"], remove=["192.168.1.50"])],
        ),
        (OF_OTHERS, "y\n", ("-alias", "192.168.1.99"), [IfconfigRequest(host="carp0", remove=["192.168.1.99"])]),
    ],
    ids=["yes", "no", "forced", "another one takes its place", "not the last"],
)
def test_the_last_address_is_asked_about_on_a_terminal(
    tmp_path: Path, question: str, typed: str, words: tuple[str, ...], asked: list[Request]
) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        argv = ("ifconfig", "carp0", *words, "--control", str(daemon.path))
        session = at_terminal(*argv, answers={question: typed} if question else {})

        assert [each for each in daemon.asked if isinstance(each, IfconfigRequest)] == asked
        assert (OF_LAST in session.shown) is (question == OF_LAST)


def test_elsewhere_the_daemon_is_left_to_refuse_it(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        daemon.pycarp("ifconfig", "carp0", *LAST)

        assert daemon.asked[-1] == IfconfigRequest(host="carp0", remove=["192.168.1.50"])


def test_what_the_daemon_warns_of_is_printed(tmp_path: Path) -> None:
    reply = GroupReply("carp", 0, 241, ["carp0"], "241 is outside")
    with scripted_daemon(tmp_path / "s", lambda _request: reply) as daemon:
        result = daemon.pycarp("ifconfig", "-g", "carp", "carpdemote", "241")

    assert (result.exit_code, result.stderr) == (0, "pycarp: warning: 241 is outside\n")


def test_the_demotion_of_a_group_is_shown_with_its_hosts(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        shown = daemon.pycarp("ifconfig", "-g", "carp", "carpdemote", "50").stdout

    assert shown == "carp: carp demote count 51 (carp0, carp1)\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("carp9",), "no virtual host 'carp9' here; there are: carp0, carp1, 3@em0"),
        (("fxp0", "vhid", "3"), "fxp0 has no vhid 3; carp0 has vhid 1, carp1 has vhid 2"),
        (("carp0", "vhid", "7"), "carp0 has no vhid 7; carp0 has vhid 1"),
        (("carp0", "vhid", "7", "down"), "carp0 has no vhid 7; carp0 has vhid 1"),
        (("-a", "carp0"), "-a shows all virtual hosts"),
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


def test_a_is_freebsds_word_for_all(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("ifconfig", "-a").stdout == daemon.pycarp("ifconfig").stdout


def test_a_host_may_be_named_beside_its_vhid(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", answer) as daemon:
        assert daemon.pycarp("ifconfig", "carp0", "vhid", "1", "down").exit_code == 0
        assert daemon.asked[-1] == IfconfigRequest(host="carp0", is_up=False)
