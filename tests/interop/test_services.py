"""Two real daemons with checks, hooks and drains: a service fails, an administrator works, the daemon is killed."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import PASSWORD, SHARED, Toml, new_segment, wait_until
from tests.support.processes import has_ended
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 20.0
SOON_S = 15.0
HOST = f'[[host]]\ninterface = "fxp0"\npassword = "{PASSWORD}"\nname = "web"\nvhid = 1\naddresses = ["{SHARED}/24"]\n'
CHECK = '[[host.check]]\nname = "server"\ntcp = "127.0.0.1:8080"\nevery = "100ms"\nrise = 1\nfall = 2\n'


@pytest.fixture
def segment() -> Iterator[Segment]:
    require()
    with new_segment(a="192.168.1.3/24", b="192.168.1.5/24") as made:
        yield made


def pair(segment: Segment, folder: Path, more: str) -> tuple[Toml, Toml]:
    return (
        Toml(segment, "a", folder, HOST + more),
        Toml(segment, "b", folder, f"{HOST}advskew = 100\n{more}"),
    )


def hook(log: Path) -> str:
    """Return a hook that writes whether the address is there, and what it is called on."""
    line = f'echo $(ip -4 -o addr show | grep -c " {SHARED}/") $PYCARP_EVENT >> {log}'
    on = ["backup", "before-hold", "master", "after-hold", "lost"]
    return f"[[hook]]\nname = 'note'\non = {on}\nshell = '''{line}'''\n"


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def serve(segment: Segment, host: str) -> "subprocess.Popen[str]":
    return segment.popen(host, [sys.executable, "-m", "http.server", "8080", "--bind", "127.0.0.1"])


def until_one_is_master(master: Toml, backup: Toml) -> None:
    wait_until(lambda: master.are_in("web") and backup.are_in("web", state="BACKUP"), STARTED_S)


def test_a_service_that_dies_moves_the_address_and_hooks_are_called_in_order(segment: Segment, tmp_path: Path) -> None:
    a = Toml(segment, "a", tmp_path, HOST + CHECK + hook(tmp_path / "a.hooks"))
    b = Toml(segment, "b", tmp_path, f"{HOST}advskew = 100\n{CHECK}{hook(tmp_path / 'b.hooks')}")
    b.after = a
    servers = [serve(segment, name) for name in ("a", "b")]
    try:
        with a, b:
            until_one_is_master(a, b)
            servers[0].kill()
            wait_until(lambda: b.are_in("web"), SOON_S)

            wait_until(lambda: b.has_address() and not a.has_address(), SOON_S)
            (failing,) = a.hosts["web"].checks
            assert (failing.passes, failing.answer) == (False, "fail")
            assert "Connection refused" in failing.detail
            assert a.command("status").returncode == 3
            assert "this host is the last of all" in a.command("status").stdout
            assert "check server fails: no connection" in a.command("why", "web").stdout
            events = [json.loads(each) for each in a.command("events", "web", "--json").stdout.splitlines()]
            assert [each["seq"] for each in events] == sorted(each["seq"] for each in events)
            lost = next(each for each in events if "MASTER -> BACKUP" in each["text"])
            assert (lost["about"]["host"], lost["about"]["peer"]) == ("web", "192.168.1.5")
            first = ["0 backup", "0 before-hold", "1 master", "1 after-hold"]
            wait_until(lambda: lines(tmp_path / "b.hooks") == first, SOON_S)
            wait_until(lambda: lines(tmp_path / "a.hooks") == [*first, "0 lost", "0 backup"], SOON_S)
    finally:
        for server in servers:
            server.kill()
            server.wait()


def test_a_drained_host_stays_so_when_its_daemon_is_killed_and_is_taken_back(segment: Segment, tmp_path: Path) -> None:
    a, b = pair(segment, tmp_path, "preempt = true\n")
    with b:
        with a:
            until_one_is_master(a, b)

            done = a.command("drain", "web", "--reason", "new kernel", "--json")

            reply = json.loads(done.stdout)
            assert reply["hosts"] == [{"host": "web", "was_master": True, "master": "192.168.1.5", "answers": True}]
            assert b.has_address()
            a.process.send_signal(signal.SIGKILL)
            a.process.wait()
        with a:
            wait_until(lambda: a.are_in("web", state="BACKUP"), STARTED_S)
            assert a.hosts["web"].is_drained
            refused = b.command("drain", "--all", "--timeout", "300ms")
            assert (refused.returncode, b.hosts["web"].state) == (1, "MASTER")
            assert "--force" in refused.stderr

            assert a.command("undrain", "--all").returncode == 0
            wait_until(lambda: a.are_in("web") and not b.has_address(), SOON_S)


def test_a_hook_before_the_hold_that_fails_leaves_the_address_to_the_peer(segment: Segment, tmp_path: Path) -> None:
    hook = '[[host.hook]]\nname = "promote"\non = ["before-hold"]\nrun = ["/bin/false"]\non_failure = "release"\n'
    a = Toml(segment, "a", tmp_path, HOST + hook)
    b = Toml(segment, "b", tmp_path, f"{HOST}advskew = 100\n")
    with a:
        wait_until(lambda: bool(a.lines("hook promote on before-hold: failed with exit status 1")), STARTED_S)
        with b:
            wait_until(lambda: b.are_in("web") and b.has_address(), STARTED_S)

            wait_until(lambda: a.are_in("web", state="BACKUP"), SOON_S)
            assert not a.has_address()


def test_a_reload_changes_checks_and_hooks_and_disturbs_nobody(segment: Segment, tmp_path: Path) -> None:
    with Toml(segment, "a", tmp_path, HOST) as daemon:
        wait_until(lambda: daemon.are_in("web"), STARTED_S)
        epoch = daemon.hosts["web"].epoch
        ready = tmp_path / "ready"
        ready.touch()
        daemon.file.write_text(f'{HOST}[[host.check]]\nname = "ready"\nfile = "{ready}"\nevery = "50ms"\nby = 10\n')

        added = daemon.command("reload").stdout
        assert added == "web: check ready added; web is demoted by 10 until it has passed\n"

        wait_until(lambda: daemon.hosts["web"].checks[0].passes, SOON_S)
        ready.unlink()
        wait_until(lambda: [each.amount for each in daemon.hosts["web"].demotion] == [10], SOON_S)
        daemon.file.write_text(HOST)
        assert daemon.command("reload").stdout == "web: check ready removed\n"
        assert daemon.hosts["web"].demotion == []
        assert daemon.hosts["web"].epoch == epoch


def test_what_a_killed_daemon_was_running_ends(segment: Segment, tmp_path: Path) -> None:
    hook, check = tmp_path / "hook", tmp_path / "check"
    more = (
        f'[[host.hook]]\non = ["master"]\nshell = "echo $$ > {hook}; sleep 60"\ntimeout = "1min"\n'
        f'[[host.check]]\nname = "slow"\nexec = ["sh", "-c", "echo $$ > {check}; sleep 60"]\ntimeout = "1min"\n'
    )
    with Toml(segment, "a", tmp_path, HOST + more) as daemon:
        wait_until(lambda: bool(lines(hook) and lines(check)), STARTED_S)
        running = [int(lines(each)[0]) for each in (hook, check)]
        # An answer shows that both have been started, and not only begun to run.
        assert daemon.hosts["web"].state == "MASTER"
        assert not any(has_ended(each) for each in running)

        daemon.process.kill()

        wait_until(lambda: all(has_ended(each) for each in running), SOON_S)
        wait_until(lambda: not daemon.has_address(), SOON_S)
