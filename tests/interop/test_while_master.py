"""``pycarp while-master`` beside real daemons: its command never runs on two machines, whatever happens to one."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.topology import Segment
from tests.support.daemons import Process, Pycarp, new_segment, wait_until
from tests.support.processes import has_ended
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 10.0
TAKEN_OVER_S = 8.0
SCHEDULER = """
trap '' TERM
say() { echo "$1 $PYCARP_TOKEN $(cut -d' ' -f1 /proc/uptime) $$"; }
say begins
while :; do say works; sleep 0.02; done
"""
"""One that does not end when it is asked to, and writes down when it works; the clock has hundredths of a second."""


class WhileMaster(Process):
    """A ``pycarp while-master`` beside a daemon, whose command writes into the log."""

    def __init__(self, segment: Segment, daemon: Pycarp, host: str, folder: Path, *command: str) -> None:
        argv = [sys.executable, "-W", "error", "-m", "pycarp", "while-master", "carp0"]
        argv += ["--control", str(daemon.control), "--", *(command or ("sh", "-c", SCHEDULER))]
        super().__init__(segment, host, argv, folder / f"{host}-command.log")

    @property
    def runs(self) -> list[tuple[str, int, float, int]]:
        """What was written: what, the token, the time in seconds, and the process id."""
        words = [line.split() for line in self.lines("") if line.startswith(("begins ", "works "))]
        return [(each[0], int(each[1]), float(each[2]), int(each[3])) for each in words if len(each) == 4]


class Two(NamedTuple):
    """Two daemons, of which ``a`` is preferred, and a command beside each."""

    a: Pycarp
    b: Pycarp
    on_a: WhileMaster
    on_b: WhileMaster


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    require("ip", "bridge")
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(new_segment(a="192.168.1.3/24", b="192.168.1.5/24"))
        a = stack.enter_context(Pycarp(segment, "a", tmp_path))
        b = stack.enter_context(Pycarp(segment, "b", tmp_path, advskew=100))
        wait_until(lambda: a.is_in("MASTER") and b.is_in("BACKUP"), STARTED_S)
        on_a = stack.enter_context(WhileMaster(segment, a, "a", tmp_path))
        on_b = stack.enter_context(WhileMaster(segment, b, "b", tmp_path))
        wait_until(lambda: bool(on_a.runs) and bool(on_b.lines("waiting for it to be MASTER")), STARTED_S)
        yield Two(a, b, on_a, on_b)


def test_a_hand_over_stops_it_before_the_next_one_begins(two: Two) -> None:
    request(two.a.control, HandoverRequest(host="carp0", timeout_s=5), HandoverReply, timeout_s=10)

    moved(two)
    assert two.on_a.process.poll() is None


def test_a_daemon_that_is_killed_takes_it_along(two: Two) -> None:
    two.a.process.kill()

    moved(two)
    assert two.on_a.process.poll() is None


def test_a_daemon_that_is_stopped_takes_it_along_within_the_lease(two: Two) -> None:
    two.a.process.send_signal(signal.SIGSTOP)
    try:
        moved(two)
    finally:
        two.a.process.send_signal(signal.SIGCONT)


def test_a_while_master_that_is_stopped_as_well_takes_it_along(two: Two) -> None:
    two.on_a.process.send_signal(signal.SIGSTOP)
    two.a.process.send_signal(signal.SIGSTOP)
    try:
        moved(two)
    finally:
        two.on_a.process.kill()
        two.a.process.send_signal(signal.SIGCONT)


def moved(two: Two) -> None:
    """Wait until the command runs on b; it must have ended on a before, and b must have a greater token."""
    wait_until(lambda: len(two.on_b.runs) > 3, TAKEN_OVER_S)
    *_rest, (_what, token_of_a, last_s, pid) = two.on_a.runs
    (what, token_of_b, first_s, _pid), *_rest = two.on_b.runs
    assert has_ended(pid)
    assert what == "begins"
    assert last_s <= first_s
    assert token_of_a < token_of_b


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Segment, Pycarp, Path]]:
    require("ip", "bridge")
    with (
        new_segment(a="192.168.1.3/24") as segment,
        Pycarp(segment, "a", tmp_path) as daemon,
    ):
        wait_until(lambda: daemon.is_in("MASTER"), STARTED_S)
        yield segment, daemon, tmp_path


def test_asked_to_end_it_stops_the_command_and_ends_well(alone: tuple[Segment, Pycarp, Path]) -> None:
    segment, daemon, folder = alone
    line = "trap 'echo cleaned up; exit 3' TERM; echo began; while :; do sleep 0.02; done"
    with WhileMaster(segment, daemon, "a", folder, "sh", "-c", line) as running:
        wait_until(lambda: bool(running.lines("began")), STARTED_S)

        running.process.terminate()

        assert running.process.wait(STARTED_S) == 0
        assert running.lines("cleaned up")


def test_it_finds_a_daemon_that_was_started_again(alone: tuple[Segment, Pycarp, Path]) -> None:
    segment, daemon, folder = alone
    with WhileMaster(segment, daemon, "a", folder) as running:
        wait_until(lambda: bool(running.runs), STARTED_S)
        daemon.process.terminate()
        daemon.process.wait(STARTED_S)

        with Pycarp(segment, "a", folder):
            wait_until(lambda: len({token for _what, token, *_rest in running.runs}) == 2, STARTED_S)
