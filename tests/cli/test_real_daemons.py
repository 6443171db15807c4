"""The commands with running daemons: what they say is so, and what they ask for happens."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.lab.lab_network import Segment
from tests.support.daemons import PASSWORD, SHARED, Pycarp, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

A, B = "192.168.1.3", "192.168.1.5"
STARTED_S = 8.0
SOON_S = 3.0


class Two(NamedTuple):
    """A master and a backup, and the file into which the master records."""

    segment: Segment
    a: Pycarp
    b: Pycarp
    record: Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    require("ip", "bridge")
    record = tmp_path / "a.jsonl"
    with (
        new_segment(a=f"{A}/24", b=f"{B}/24") as segment,
        Pycarp(segment, "a", tmp_path, options=("--record", str(record))) as a,
        Pycarp(segment, "b", tmp_path, advskew=100, after=a) as b,
    ):
        wait_until(lambda: a.is_in("MASTER") and b.is_in("BACKUP") and b.status.master == A, STARTED_S)
        yield Two(segment, a, b, record)


def pycarp(daemon: Pycarp, *words: str, code: int = 0) -> str:
    """Run a command about a daemon and return what it prints."""
    result = CliRunner().invoke(cli, [*words, "--control", str(daemon.control)])
    assert (result.exit_code, result.stderr if code == 0 else "") == (code, "")
    return result.output


def counters(daemon: Pycarp) -> dict[str, int]:
    found: dict[str, int] = json.loads(pycarp(daemon, "netstat", "--json"))["counters"]
    return found


def test_the_commands_tell_the_same_plan(two: Two) -> None:
    change = two.b.status.last_change
    assert change is not None
    status = pycarp(two.b, "status").splitlines()
    shown = pycarp(two.b, "ifconfig", "carp0").splitlines()
    first = counters(two.a)
    time.sleep(2.5)
    second = counters(two.a)

    assert status[1].split()[:5] == ["carp0", "1@fxp0", "BACKUP", status[1].split()[3], A]
    assert change.s_ago - 0.1 <= float(status[1].split()[3].removesuffix("s")) < change.s_ago + SOON_S
    assert shown[-1] == "\tcarp: BACKUP vhid 1 advbase 1 advskew 100"
    assert 2 <= second["opackets"] - first["opackets"] <= 3
    assert second["ipackets"] == first["ipackets"]
    assert f"\t{counters(two.b)['opackets']} packet(s) sent (IPv4)" in pycarp(two.b, "netstat").splitlines()


def test_a_switch_that_is_set_is_read_back_and_demotes(two: Two) -> None:
    name = "net.inet.carp.demotion"

    assert pycarp(two.a, "sysctl", f"{name}=200", name) == f"{name}: 0 -> 200\n{name}: 200\n"
    assert f"{name}: 200" in pycarp(two.a, "sysctl").splitlines()
    assert "carp0: demoted by 200: net.inet.carp.demotion" in pycarp(two.a, "status").splitlines()
    assert pycarp(two.a, "sysctl", "net.inet.carp.log=7", code=2) == ("pycarp: net.inet.carp.log: 7 is outside 0-2\n")


def test_a_hand_over_moves_the_address_and_back_is_told(two: Two) -> None:
    told = pycarp(two.a, "handover", "carp0")

    match = re.fullmatch(rf"carp0: {B} is MASTER after (\d+\.\d) ms\n", told)
    assert match
    assert float(match[1]) < 300
    wait_until(two.b.has_address, SOON_S)
    assert not two.a.has_address()
    assert pycarp(two.a, "handover", "carp0", code=2).startswith("pycarp: carp0 is BACKUP; only a MASTER can")
    assert pycarp(two.a, "handover", "carp0", "--back") == "carp0: demoted by the hand-over no longer\n"
    assert not two.a.status.demotion


def test_a_hand_over_that_nobody_takes_ends_with_the_address_where_it_was(two: Two) -> None:
    two.segment.unplug("b")
    began_s = time.monotonic()

    told = pycarp(two.a, "handover", "carp0", "--timeout", "0.5", code=1)

    assert 0.5 <= time.monotonic() - began_s < 0.75
    assert told == "pycarp: nobody took the addresses of carp0 over within 0.5 s; it is MASTER again\n"
    wait_until(two.a.has_address, SOON_S)


def test_ifconfig_sets_down_and_up_and_changes(two: Two) -> None:
    pycarp(two.a, "ifconfig", "carp0", "down")
    wait_until(lambda: two.b.is_in("MASTER"), SOON_S)
    assert pycarp(two.a, "ifconfig").startswith("carp0: flags=40<RUNNING>\n")

    pycarp(two.a, "ifconfig", "fxp0", "vhid", "1", "up")
    wait_until(lambda: two.a.is_in("BACKUP"), SOON_S)
    pycarp(two.a, "ifconfig", "carp0", "advskew", "50", "alias", "192.168.1.51/24")
    assert pycarp(two.a, "ifconfig", "-g", "carp", "carpdemote", "3") == "carp: carp demote count 3 (carp0)\n"

    assert (two.a.status.advskew, [each.amount for each in two.a.status.demotion]) == (50, [3])
    assert two.a.status.addresses == [f"{SHARED}/24", "192.168.1.51/24"]
    assert "pycarp: 192.168.1.51 is shared by carp0 already" in pycarp(
        two.a, "ifconfig", "carp0", "alias", "192.168.1.51/24", code=2
    )


def test_decode_watches_and_replay_explains_what_was_recorded(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYCARP_PASSWORD", PASSWORD)
    argv = [sys.executable, "-m", "pycarp", "decode", "-i", "fxp0", "--json", "-a", SHARED]
    watching = two.segment.popen("b", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watching.stdout is not None
    seen = [json.loads(watching.stdout.readline()) for _ in range(2)]
    watching.terminate()
    watching.communicate(timeout=5)
    pycarp(two.a, "handover", "carp0")
    two.a.process.terminate()
    two.a.process.wait(5)

    assert {(each["source"], each["vhid"], each["authentic"], len(each["problems"])) for each in seen} == {
        (A, 1, True, 0)
    }
    assert seen[1]["counter"] == seen[0]["counter"] + 1
    told = CliRunner().invoke(cli, ["replay", str(two.record)])
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1].endswith(": identical")
    assert [line.split(" carp0 ")[1] for line in told.output.splitlines() if " -> " in line][:3] == [
        "INIT -> BACKUP initialization complete",
        "BACKUP -> MASTER master timed out",
        "MASTER -> INIT handed over",
    ]
