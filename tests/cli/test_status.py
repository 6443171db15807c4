"""``pycarp status`` as its user reads it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pycarp.cli.options import EXIT_NOT_WELL
from pycarp.daemon.control_messages import (
    Alarm,
    CheckStatus,
    CommandStatus,
    DoneReply,
    HostStatus,
    StatusReply,
    StatusRequest,
)
from tests.support.control import cause_of, change_of, host_of, peer_of, scripted_daemon, status_of
from tests.support.daemons import wait_until
from tests.support.terminal import at_terminal


def shown(folder: Path, *hosts: HostStatus, words: tuple[str, ...] = ()) -> list[str]:
    """Return the lines that the command prints about these hosts."""
    with scripted_daemon(folder / "s", lambda _request: status_of(*hosts)) as daemon:
        result = daemon.pycarp("status", *words)
        assert daemon.asked == [StatusRequest()]
    assert result.exit_code in (0, EXIT_NOT_WELL)
    assert result.stderr == ""
    return result.stdout.splitlines()


def test_a_host_is_one_line_of_a_table(tmp_path: Path) -> None:
    backup = host_of(
        "carp1", vhid=2, state="BACKUP", master="192.168.1.4", addresses=["192.168.1.51/24", "2001:db8::1/64"]
    )

    heading, first, second = shown(tmp_path, host_of(), backup)

    assert heading.split() == ["HOST", "VHID", "STATE", "FOR", "MASTER", "ADVERTISES", "ADDRESSES", "WHY"]
    assert first.split() == [
        *("carp0", "1@fxp0", "MASTER", "3.2s", "this", "host", "1+150/256", "s", "192.168.1.50/24"),
        *("master", "timed", "out"),
    ]
    assert second.split()[1:6] == ["2@fxp0", "BACKUP", "3.2s", "192.168.1.4", "1+150/256"]
    assert "192.168.1.51/24 2001:db8::1/64" in second


def test_a_host_that_knows_no_master_and_has_not_changed_says_so(tmp_path: Path) -> None:
    _heading, line = shown(tmp_path, host_of(state="INIT", master=None, last_change=None))

    assert line.split() == ["carp0", "1@fxp0", "INIT", "unknown", "1+150/256", "s", "192.168.1.50/24"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "192.168.1.4 is faster: 1+0 against 1+150; takes over 3.39 s after its last advertisement; {}"),
        ({"preempt": True}, "192.168.1.4 is faster: 1+0 against 1+150; takes over 3.39 s after its last advertisement"),
        ({"next_s": None}, "192.168.1.4 is faster: 1+0 against 1+150; does not take over; {}"),
        ({"effective_advskew": 0}, "192.168.1.4 is as fast: 1+0 against 1+0; takes over 3.39 s after its last {}"),
    ],
    ids=["not preempting", "preempting", "restricted", "equal"],
)
def test_a_backup_says_whose_claim_is_faster_and_when_it_takes_over(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    values: dict[str, object] = {
        "state": "BACKUP",
        "master": "192.168.1.4",
        "heard": [peer_of("192.168.1.4")],
        "next_s": 3.29,
    }
    change = msgspec.structs.replace(change_of(3.2, "initialization complete"), new="BACKUP", reason="ready")

    _heading, line = shown(tmp_path, host_of("carp0", **(values | {"last_change": change} | changes)))

    ending = "advertisement; does not preempt" if "last {}" in why else "does not preempt"
    assert why.format(ending) in line


def test_a_backup_that_hears_no_master_says_when_it_takes_over(tmp_path: Path) -> None:
    change = msgspec.structs.replace(change_of(2.6, "initialization complete"), new="BACKUP", reason="ready")
    host = host_of(state="BACKUP", master=None, last_change=change, next_s=0.79)

    assert "hears no MASTER; takes over in 0.8 s unless a MASTER advertises" in shown(tmp_path, host)[1]


def test_what_changed_a_backup_last_is_not_lost(tmp_path: Path) -> None:
    change = msgspec.structs.replace(change_of(3.2, "user requested"), new="BACKUP", reason="forced")
    host = host_of(state="BACKUP", master="192.168.1.4", heard=[peer_of("192.168.1.4")], last_change=change)

    assert "user requested; 192.168.1.4 is faster" in shown(tmp_path, host)[1]


@pytest.mark.parametrize(
    ("s_ago", "words"),
    [
        (0.04, "0.0s"),
        (59.94, "59.9s"),
        (59.99, "59.9s"),
        (60, "1m00s"),
        (3599.9, "59m59s"),
        (3600, "1h00m"),
        (86399, "23h59m"),
        (86400, "1d00h"),
        (3 * 86400 + 7200, "3d02h"),
    ],
)
def test_ages_are_told_in_two_units_at_most(tmp_path: Path, s_ago: float, words: str) -> None:
    _heading, line = shown(tmp_path, host_of(last_change=change_of(s_ago)))

    assert line.split()[3] == words


def test_what_is_remarkable_follows_below_the_table(tmp_path: Path) -> None:
    host = host_of(
        location="carp0 (virtual MAC: 192.168.1.1 answers)",
        demotion=[cause_of("interface fxp0 is down", 240), cause_of("handed over", 50)],
        rejected=7,
        contested=3,
    )

    assert shown(tmp_path, host)[2:] == [
        "carp0: addresses on carp0 (virtual MAC: 192.168.1.1 answers)",
        "carp0: demoted by 240: interface fxp0 is down",
        "carp0: demoted by 50: handed over",
        "carp0: 7 advertisements not authentic: another pass or other addresses",
        "carp0: others changed its addresses 3 times",
    ]


def test_what_is_missing_and_why_addresses_could_not_be_held_is_told(tmp_path: Path) -> None:
    host = host_of(missing=["192.168.1.50/24"], address_error="cannot add 192.168.1.50/24 to carp0: No such device")

    assert shown(tmp_path, host)[2:] == [
        "carp0: missing now: 192.168.1.50/24; put back after a pause, which grows each time that others remove it",
        "carp0: cannot add 192.168.1.50/24 to carp0: No such device",
    ]


@pytest.mark.parametrize(
    "place",
    [
        host_of,
        lambda text: host_of(location=text),
        lambda text: host_of(demotion=[cause_of(text, 1)]),
        lambda text: host_of(last_change=change_of(1, text)),
    ],
    ids=["name", "location", "cause", "explanation"],
)
def test_brackets_are_never_taken_for_markup(tmp_path: Path, place: Callable[[str], HostStatus]) -> None:
    """Rich raises an error for ``[/x]``, and swallows ``[red]``."""
    assert any("a[red][/x]b" in line for line in shown(tmp_path, place("a[red][/x]b")))


def test_a_long_line_is_not_cut_in_a_pipe(tmp_path: Path) -> None:
    why = "master timed out; 192.168.1.3 silent for 3.391 s, and much more that is worth reading to its very end"

    assert why in shown(tmp_path, host_of(last_change=change_of(1, why)))[1]


def test_scripts_get_the_reply_as_one_object(tmp_path: Path) -> None:
    found = json.loads("\n".join(shown(tmp_path, host_of(), words=("--json",))))

    assert (found["hostname"], found["hosts"][0]["state"], found["counters"]["ipackets"]) == ("hosta", "MASTER", 100)
    assert set(StatusReply.__struct_fields__) <= found.keys()


@pytest.mark.parametrize(
    ("host", "exit_status"),
    [
        (host_of(), 0),
        (host_of(state="INIT", is_up=True), EXIT_NOT_WELL),
        (host_of(state="INIT", is_up=False), 0),
        (host_of(missing=["192.168.1.50/24"]), EXIT_NOT_WELL),
        (host_of(demotion=[cause_of("link fxp0 is down", 240)]), EXIT_NOT_WELL),
        (host_of(demotion=[cause_of("handed over", 50, is_wanted=True)]), 0),
    ],
    ids=["well", "takes no part", "set down", "without an address", "demoted by a fault", "demoted by administrators"],
)
def test_a_daemon_that_runs_but_not_well_has_an_exit_status_of_its_own(
    tmp_path: Path, host: HostStatus, exit_status: int
) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: status_of(host_of(), host)) as daemon:
        assert [daemon.pycarp("status", *words).exit_code for words in ((), ("--json",))] == [exit_status] * 2


def test_a_daemon_that_answers_with_something_else_is_an_error(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: DoneReply()) as daemon:
        result = daemon.pycarp("status")

    assert (result.exit_code, result.stderr) == (1, "pycarp: the daemon answered with DoneReply\n")


def test_a_name_chooses_one_host_or_those_of_an_interface(tmp_path: Path) -> None:
    hosts = (host_of("carp0"), host_of("carp1", interface="fxp1", vhid=2, state="INIT"))

    assert [line.split()[0] for line in shown(tmp_path, *hosts, words=("carp0",))] == ["HOST", "carp0"]
    assert [line.split()[0] for line in shown(tmp_path, *hosts, words=("fxp1",))] == ["HOST", "carp1"]


def test_one_host_is_shown_with_its_peers_and_the_checks_that_pass(tmp_path: Path) -> None:
    check = CheckStatus(name="nginx", passes=True, answer="ok", detail="", by=50, s_ago=3)
    host = host_of(heard=[peer_of("192.168.1.4", has_left=True)], checks=[check])

    assert shown(tmp_path, host, words=("carp0",))[2:] == [
        "carp0: heard 192.168.1.4, which claims 1+0, 0.1s ago, has left: follows the master",
        "carp0: check nginx passes for 3.0s",
    ]
    assert shown(tmp_path, host)[2:] == []


def test_a_narrow_terminal_has_sentences_below_the_table_and_alarms_in_red(tmp_path: Path) -> None:
    alarm = Alarm(name="two-masters", text="192.168.1.4 is MASTER as well", command="")
    with scripted_daemon(tmp_path / "s", lambda _request: status_of(host_of(alarms=[alarm]))) as daemon:
        session = at_terminal("status", "--control", str(daemon.path), answers={})

    assert session.status == EXIT_NOT_WELL
    assert "WHY" not in session.shown
    assert "carp0: master timed out\n" in session.shown
    assert "\x1b[1;31mcarp0: ALARM two-masters: 192.168.1.4 is MASTER as well" in session.shown


def test_a_name_that_no_host_has_is_wrong_usage(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: status_of(host_of())) as daemon:
        result = daemon.pycarp("status", "carp9")

    assert (result.exit_code, result.stderr) == (2, "pycarp: no virtual host 'carp9' here; there are: carp0\n")


def test_a_program_that_runs_on_the_master_is_told_and_one_that_waits(tmp_path: Path) -> None:
    commands = [
        CommandStatus(name="scheduler", pid=4711, is_running=True),
        CommandStatus(name="[dnsmasq]", pid=4712, is_running=False),
    ]

    *_table, running, waiting = shown(tmp_path, host_of(commands=commands))

    assert running == "carp0: scheduler runs (while-master, pid 4711)"
    assert waiting == "carp0: [dnsmasq] waits for this host to be MASTER (while-master, pid 4712)"


def test_watching_shows_it_again_each_second_until_ctrl_c(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: status_of(host_of())) as daemon:
        argv = [sys.executable, "-m", "pycarp", "status", "--watch", "--json", "--control", str(daemon.path)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            lines = [watching.stdout.readline() for _ in range(2)]
            watching.send_signal(signal.SIGINT)

            assert watching.wait(10) == 0
    assert [json.loads(each)["hosts"][0]["name"] for each in lines] == ["carp0", "carp0"]


def test_watching_says_that_nobody_answers_and_goes_on(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pycarp", "status", "--watch", "--control", str(tmp_path / "s")]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert "no pycarp answers" in watching.stderr.readline()
        with scripted_daemon(tmp_path / "s", lambda _request: status_of(host_of())) as daemon:
            wait_until(lambda: bool(daemon.asked), 10)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0


@pytest.mark.parametrize("module", ["cryptography", "asyncio", "pyroute2"])
def test_a_question_needs_none_of_what_a_daemon_needs(module: str) -> None:
    """It is asked often, and half of its time would go there."""
    code = f"import sys, pycarp.cli.status, pycarp.cli.why; sys.exit({module!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"effective_advbase": 255, "effective_advskew": 240}, "last"),
        ({"effective_advbase": 255, "advbase": 255, "effective_advskew": 0}, "255+0/256 s"),
    ],
)
def test_a_host_that_is_the_last_of_all_says_so(tmp_path: Path, changes: dict[str, int], words: str) -> None:
    _heading, line = shown(tmp_path, msgspec.structs.replace(host_of(), **changes))

    assert f" {words} " in line
