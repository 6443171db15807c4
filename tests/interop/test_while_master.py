"""``pycarp while-master`` beside real daemons: its command never runs on two machines, whatever happens to one."""

import contextlib
import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.lab_network import Segment
from tests.support.daemons import Process, Pycarp, new_segment, wait_until
from tests.support.processes import has_ended
from tests.support.system import require

pytestmark = pytest.mark.system

STARTED_S = 10.0
CTRL_Z = b"\x1a"
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
    since: int = 0
    """How many lines b had written before."""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    require("ip", "bridge")
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(new_segment(a="192.168.1.3/24", b="192.168.1.5/24"))
        a = stack.enter_context(Pycarp(segment, "a", tmp_path))
        b = stack.enter_context(Pycarp(segment, "b", tmp_path, advskew=100))
        wait_until(lambda: b.is_in("BACKUP"), STARTED_S)
        a.become_master(STARTED_S)
        on_a = stack.enter_context(WhileMaster(segment, a, "a", tmp_path))
        on_b = stack.enter_context(WhileMaster(segment, b, "b", tmp_path))
        wait_until(lambda: bool(on_a.runs) and bool(on_b.lines("waiting for a mastership")), STARTED_S)
        yield Two(a, b, on_a, on_b)


def test_neither_a_hand_over_nor_the_death_of_a_daemon_lets_it_run_twice(two: Two) -> None:
    request(two.a.control, HandoverRequest(host="carp0", timeout_s=5), HandoverReply, timeout_s=10)
    moved(two)

    back = Two(two.b, two.a, two.on_b, two.on_a, since=len(two.on_a.runs))
    two.b.process.kill()
    moved(back)

    assert two.on_a.process.poll() is two.on_b.process.poll() is None


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
    wait_until(lambda: len(two.on_b.runs) > two.since + 3, TAKEN_OVER_S)
    *_rest, (_what, token_of_a, last_s, pid) = two.on_a.runs
    what, token_of_b, first_s, _pid = two.on_b.runs[two.since]
    assert has_ended(pid)
    assert what == "begins"
    assert last_s <= first_s
    assert token_of_a < token_of_b


def test_it_finds_a_daemon_that_was_started_again_and_ends_well(tmp_path: Path) -> None:
    require("ip", "bridge")
    line = "trap 'echo cleaned up; exit 3' TERM; echo ran $PYCARP_TOKEN; while :; do sleep 0.02; done"
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(new_segment(a="192.168.1.3/24"))
        first = stack.enter_context(Pycarp(segment, "a", tmp_path))
        first.become_master(STARTED_S)
        running = stack.enter_context(WhileMaster(segment, first, "a", tmp_path, "sh", "-c", line))
        wait_until(lambda: bool(running.lines("ran ")), STARTED_S)
        first.process.terminate()
        first.process.wait(STARTED_S)
        assert len(running.lines("cleaned up")) == 1
        stack.enter_context(Pycarp(segment, "a", tmp_path)).become_master(STARTED_S)
        wait_until(lambda: len(set(running.lines("ran "))) == 2, STARTED_S)

        running.process.terminate()

        assert running.process.wait(STARTED_S) == 0
        assert len(running.lines("cleaned up")) == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_with_its_terminal_it_ends_and_ctrl_z_does_not_stop_it(tmp_path: Path) -> None:
    require("ip", "bridge")
    line = f"trap 'echo cleaned up >{tmp_path}/end; exit' TERM; echo ran; while :; do sleep 0.02; done"
    with new_segment(a="192.168.1.3/24") as segment, Pycarp(segment, "a", tmp_path) as daemon:
        daemon.become_master(STARTED_S)
        argv = [sys.executable, "-m", "pycarp", "while-master", "carp0", "--control", str(daemon.control)]
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(sys.executable, [*argv, "--", "sh", "-c", line])
        try:
            read_until(terminal, b"ran")
            os.write(terminal, CTRL_Z)
            read_until(terminal, b"^Z")
            assert state_of(pid) != "T"
            os.close(terminal)

            wait_until((tmp_path / "end").exists, STARTED_S)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def state_of(pid: int) -> str:
    """Return the letter for the state of a process; T for one that is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def read_until(terminal: int, text: bytes) -> None:
    """Read from a terminal until a text has come."""
    found = b""
    while text not in found:
        found += os.read(terminal, 4096)
