"""``pycarp release`` as its user meets it."""

import fcntl
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli.release import as_object, render
from pycarp.system.recovery.dead_daemons import Failed, Held, Report, Spared, Undone
from pycarp.system.recovery.journal import Device, Journal, Shared, Sysctl
from tests.support.namespaces import Namespace, joined_namespaces
from tests.support.recovery import leave, state_of
from tests.support.system import require

DEVICE = Device("carp0", "eth0", "00:00:5e:00:01:07")
ADDRESS = Shared("eth0", "192.0.2.1/24")
SWITCH = Sysctl("net/ipv4/conf/eth0.7/arp_ignore", "0", "1")


def release(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["release", "--state", str(folder), *words])


def test_nothing_to_release_is_well(tmp_path: Path) -> None:
    result = release(tmp_path / "state")

    assert (result.exit_code, result.output) == (0, "nothing to release\n")


def test_what_was_undone_and_what_was_left_alone_is_told() -> None:
    report = Report(undone=(Undone(ADDRESS), Undone(SWITCH)), spared=(Spared(DEVICE, "it is no macvlan"),))

    assert render(report) == [
        "removed address 192.0.2.1/24 from eth0",
        "restored net.ipv4.conf.eth0/7.arp_ignore to 0",
        "left carp0 alone: it is no macvlan",
    ]


def test_a_rehearsal_tells_what_it_would_do() -> None:
    assert render(Report(undone=(Undone(DEVICE), Undone(SWITCH))), is_rehearsal=True) == [
        "would remove device carp0 from eth0",
        "would restore net.ipv4.conf.eth0/7.arp_ignore to 0",
    ]


def test_what_running_daemons_have_is_named(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path)
    journal.record(DEVICE)
    journal.record(ADDRESS)

    result = release(tmp_path)

    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert first == "nothing to release"
    assert second.startswith("held by running pycarp, pid ")
    assert second.endswith(": carp0, 192.0.2.1/24 on eth0")
    journal.end()


def test_the_locks_go_with_the_last_journal_and_not_in_a_rehearsal(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path)
    during = release(tmp_path), sorted(each.name for each in tmp_path.iterdir())
    journal.end()
    rehearsed = release(tmp_path, "--dry-run"), [each.name for each in tmp_path.iterdir()]
    done = release(tmp_path), list(tmp_path.iterdir())

    assert [each.exit_code for each, _files in (during, rehearsed, done)] == [0, 0, 0]
    assert during[1] == sorted([journal.path.name, "cleaning.lock"])
    assert rehearsed[1] == ["cleaning.lock"]
    assert done[1] == []


def test_control_sockets_of_dead_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    dead, living, locked = (tmp_path / f"ucarp-eth0-{vhid}.netns-1.sock" for vhid in (1, 2, 3))
    with socket.socket(socket.AF_UNIX) as gone, socket.socket(socket.AF_UNIX) as starting:
        gone.bind(str(dead))
        starting.bind(str(locked))
    with socket.socket(socket.AF_UNIX) as sock, locked.with_name(f"{locked.name}.lock").open("w") as lock:
        sock.bind(str(living))
        sock.listen()
        fcntl.flock(lock, fcntl.LOCK_EX)
        said, done = release(tmp_path, "--dry-run"), release(tmp_path)

        assert said.output == f"would remove control socket {dead}\n"
        assert done.output == f"removed control socket {dead}\n"
        assert sorted(tmp_path.iterdir()) == [living, locked, locked.with_name(f"{locked.name}.lock")]


def test_scripts_get_one_object(tmp_path: Path) -> None:
    assert json.loads(release(tmp_path, "--json").output) == {
        "released": [],
        "left_alone": [],
        "failed": [],
        "held": [],
    }


def test_the_object_tells_the_same_as_the_lines() -> None:
    report = Report(
        undone=(Undone(DEVICE),),
        spared=(Spared(ADDRESS, "somebody else has put it there"),),
        failed=(Failed(SWITCH, "Read-only file system"),),
        held=(Held(123, (DEVICE,)),),
    )

    assert as_object(report) == {
        "released": [{"verb": "remove", "what": "device carp0 from eth0"}],
        "left_alone": [{"what": "192.0.2.1/24 on eth0", "reason": "somebody else has put it there"}],
        "failed": [{"what": "net.ipv4.conf.eth0/7.arp_ignore", "reason": "Read-only file system"}],
        "held": [{"pid": 123, "what": ["carp0"]}],
    }


def test_what_cannot_be_undone_is_an_error_that_names_it(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path)
    with journal.path.open("a") as file:
        file.write("garbage\n")
    journal.record(DEVICE)
    journal.strike(DEVICE)
    journal.record(SWITCH)
    journal.end()

    result = release(tmp_path)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"pycarp: cannot read {journal.path}: line 2: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [("--nonsense",), ("--state",)])
def test_wrong_usage_is_told_apart_from_failure(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, ["release", *words]).exit_code == 2


def test_a_file_in_the_place_of_the_folder_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    assert release(tmp_path / "state").exit_code == 2


# For real


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip", "setpriv")
    with joined_namespaces() as (ours, _theirs):
        yield ours


def release_in(
    namespace: Namespace, folder: Path, *words: str, before: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    inside = ["ip", "netns", "exec", namespace.name, *before, sys.executable, "-m", "pycarp", "release"]
    return subprocess.run([*inside, "--state", str(folder), *words], capture_output=True, text=True, check=False)


@pytest.mark.system
def test_what_a_killed_daemon_left_is_said_then_done_then_gone(namespace: Namespace, tmp_path: Path) -> None:
    before = state_of(namespace)
    leave(namespace, tmp_path)
    left = state_of(namespace)

    said = release_in(namespace, tmp_path, "--dry-run")
    untouched = state_of(namespace)
    done = release_in(namespace, tmp_path)
    again = release_in(namespace, tmp_path)

    assert (said.returncode, done.returncode, again.returncode) == (0, 0, 0)
    assert "would remove device carp0 from eth0" in said.stdout.splitlines()
    promised = said.stdout.replace("would remove", "removed").replace("would restore", "restored")
    assert promised == done.stdout
    assert again.stdout == "nothing to release\n"
    assert left == untouched != before
    assert state_of(namespace) == before


@pytest.mark.system
def test_what_the_kernel_refuses_is_a_line_each_and_failure(namespace: Namespace, tmp_path: Path) -> None:
    leave(namespace, tmp_path)

    refused = release_in(namespace, tmp_path, before=("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"))

    lines = refused.stderr.splitlines()
    assert refused.returncode == 1
    assert (
        "pycarp: cannot release carp0: Operation not permitted; run as root or give the process CAP_NET_ADMIN" in lines
    )
    assert all(line.startswith("pycarp: cannot release ") for line in lines)
    assert release_in(namespace, tmp_path).returncode == 0
