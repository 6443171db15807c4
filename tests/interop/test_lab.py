"""``pycarp lab`` as its user runs it: the three hosts for real, what it prints, and what it leaves: nothing."""

import contextlib
import importlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest
from pycarp.lab.machines import CLIENT, HOSTS, PREFIX
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

LAB = [sys.executable, "-m", "pycarp", "lab"]
NAMESPACES = {f"{PREFIX}-{host}" for host in (*HOSTS, CLIENT, "switch")}
LINE = re.compile(r" *(\d+\.\d{3}) s  (.+)")
CONTROL = re.compile(r" +pycarp status --control (\S+) ")


@pytest.fixture(autouse=True)
def nothing_before() -> None:
    require("dnsmasq")
    assert not left()


def left() -> set[str]:
    """Return the namespaces of the lab that are there."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines()} & NAMESPACES


def lab(*words: str, before: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*before, *LAB, *words], capture_output=True, text=True, timeout=90, check=False)


@contextlib.contextmanager
def kept() -> Iterator[tuple["subprocess.Popen[str]", list[Path]]]:
    """Start a lab that stays; yield it when it says that everything runs, with the control sockets that it names."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    with subprocess.Popen([*LAB, "--keep"], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            while "Everything runs" not in process.stdout.readline():
                assert process.poll() is None
            told = [process.stdout.readline() for _ in range(7)]
            yield process, [Path(match[1]) for line in told if (match := CONTROL.match(line))]
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=20)


def test_everything_that_the_lab_promises_happens_and_is_told() -> None:
    done = lab("--json")

    found = json.loads(done.stdout)
    told = [(float(match[1]), match[2]) for line in done.stderr.splitlines() if (match := LINE.fullmatch(line))]
    names = [event["name"] for event in found["events"]]
    assert [each["text"] for each in found["expectations"] if not each["is_met"]] == []
    assert (done.returncode, len(found["expectations"])) == (0, 6)
    assert names[1:4] == ["hosta is cut off", "hosta is back", "forced back"]
    assert len(told) == len(done.stderr.splitlines()) == 1 + len(names)
    began_s = found["events"][0]["at_s"] - told[1][0]
    assert [event["at_s"] - began_s for event in found["events"]] == pytest.approx(
        [at_s for at_s, _ in told[1:]], abs=0.1
    )
    assert all(one["until_s"] <= other["at_s"] for one, other in itertools.pairwise(found["events"]))
    assert not left()


def test_when_everything_runs_the_usual_states_are_reached() -> None:
    with kept() as (_process, controls):
        states = [[host.state for host in request(control, StatusRequest(), StatusReply).hosts] for control in controls]

    assert states == [["MASTER"], ["MASTER"], ["BACKUP", "BACKUP"]]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGINT, 0)])
def test_nothing_is_left_of_a_lab_that_is_told_to_go(number: signal.Signals, status: int) -> None:
    with kept() as (process, _controls):
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)

    assert process.returncode == status
    assert ("removing everything" in output) is (number is signal.SIGINT)
    assert not left()


def test_what_a_killed_lab_leaves_is_named_by_the_next_and_can_be_removed() -> None:
    journals = set(Path("/run/pycarp").glob("*.journal"))
    with kept() as (process, _controls):
        second = lab()
        process.kill()
        process.wait()
        refused = lab()
        cleaned = lab("--clean")

    assert (second.returncode, second.stderr) == (
        2,
        "pycarp: another pycarp lab is running; end it with Ctrl-C where it runs\n",
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("pycarp: these namespaces exist already: pycarp-client, ")
    assert "'pycarp lab --clean'" in refused.stderr
    assert not set(Path("/run/pycarp").glob("*.journal")) - journals
    *namespaces, folder = cleaned.stdout.strip().removeprefix("removed: ").split(", ")
    assert set(namespaces) == NAMESPACES
    assert Path(folder).name.startswith("pycarp-lab-")
    assert not Path(folder).exists()
    assert not left()
    assert lab("--clean").stdout == "removed: nothing, nothing was left\n"


def test_without_root_it_says_where_to_look_instead() -> None:
    # Sub-commands are imported when they are used, and another user may not be able to read the checkout.
    importlib.import_module("pycarp.cli.lab")
    with unprivileged():
        done = CliRunner().invoke(cli, ["lab"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "pycarp: network namespaces need root: sudo pycarp lab; or try 'pycarp demo', which needs nothing\n"
    )


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    for program in ("ip", "bridge"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    done = lab(before=("env", f"PATH={tmp_path}"))

    assert (done.returncode, done.stderr) == (
        1,
        "pycarp: not installed: dnsmasq; on Debian: apt install iproute2 dnsmasq-base\n",
    )
