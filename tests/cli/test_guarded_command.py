"""A command with a guard, as real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pycarp.cli.while_master.guarded_command import NOT_EXECUTABLE, NOT_FOUND, GuardedCommand, start_status
from pycarp.vocabulary import NS_PER_S
from tests.support.daemons import children
from tests.support.processes import has_ended

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    # The command has one thread when it forks; who runs the tests may have more.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

LONG_NS = 60 * NS_PER_S
ENDED_S = 5.0
STUBBORN = "trap '' TERM; echo $$ > pid; while :; do sleep 0.02; done"


def in_ns(span_ns: int) -> int:
    return time.monotonic_ns() + span_ns


def wait_until(is_so: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + ENDED_S
    while not is_so():
        assert time.monotonic() < limit_s
        time.sleep(0.005)


def result_of(command: GuardedCommand) -> int:
    """Return the exit status of a command that is about to end."""
    limit_s = time.monotonic() + ENDED_S
    while (status := command.poll()) is None:
        assert time.monotonic() < limit_s
        time.sleep(0.005)
    return status


def test_the_exit_status_is_that_of_the_command() -> None:
    assert result_of(GuardedCommand(["sh", "-c", "exit 3"], {}, in_ns(LONG_NS))) == 3


def test_the_environment_is_added_to_that_of_this_process(tmp_path: Path) -> None:
    line = 'echo "$PYCARP_TOKEN $HOME" > told'
    command = GuardedCommand(["sh", "-c", f"cd {tmp_path}; {line}"], {"PYCARP_TOKEN": "7"}, in_ns(LONG_NS))

    result_of(command)

    assert (tmp_path / "told").read_text() == f"7 {os.environ.get('HOME', '')}\n"


def test_a_signal_ends_all_that_the_command_has_started(tmp_path: Path) -> None:
    script = f"cd {tmp_path}; sleep 60 & echo $! > pid; wait"
    command = GuardedCommand(["sh", "-c", script], {}, in_ns(LONG_NS))
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")

    command.signal(signal.SIGTERM)

    assert result_of(command) == 128 + signal.SIGTERM
    wait_until(lambda: has_ended(int((tmp_path / "pid").read_text())))


def test_what_a_command_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    script = f"cd {tmp_path}; (trap '' TERM; exec sleep 60) & echo $! > pid"

    assert result_of(GuardedCommand(["sh", "-c", script], {}, in_ns(LONG_NS))) == 0
    wait_until(lambda: has_ended(int((tmp_path / "pid").read_text())))


def test_the_guard_outlives_the_signal_that_ends_the_command(tmp_path: Path) -> None:
    command = GuardedCommand(["sh", "-c", f"cd {tmp_path}; {STUBBORN}"], {}, in_ns(LONG_NS))
    wait_until((tmp_path / "pid").exists)
    command.signal(signal.SIGTERM)

    command.guard(in_ns(NS_PER_S // 20))

    assert result_of(command) == 128 + signal.SIGKILL


def test_the_guard_kills_no_earlier_than_it_was_sent_last() -> None:
    command = GuardedCommand(["sleep", "60"], {}, in_ns(NS_PER_S // 5))
    command.guard(until_ns := in_ns(NS_PER_S // 2))

    status = result_of(command)

    assert status == 128 + signal.SIGKILL
    assert time.monotonic_ns() >= until_ns


SUPERVISOR = """
import sys, time
from pycarp.cli.while_master.guarded_command import GuardedCommand
GuardedCommand(["sh", "-c", sys.argv[1]], {}, time.monotonic_ns() + int(sys.argv[2]))
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "lease_ns"), [(signal.SIGKILL, LONG_NS), (signal.SIGSTOP, NS_PER_S)], ids=["killed", "stopped"]
)
def test_a_command_does_not_outlive_a_supervisor_that_can_do_nothing(
    tmp_path: Path, number: signal.Signals, lease_ns: int
) -> None:
    argv = [sys.executable, "-c", SUPERVISOR, f"cd {tmp_path}; {STUBBORN}", str(lease_ns)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            assert supervisor.stdout is not None
            supervisor.stdout.readline()
            wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")

            supervisor.send_signal(number)

            wait_until(lambda: has_ended(int((tmp_path / "pid").read_text())))
        finally:
            supervisor.kill()


@pytest.mark.parametrize(
    ("program", "status"), [("/nonexistent", NOT_FOUND), ("/etc", NOT_EXECUTABLE)], ids=["missing", "a folder"]
)
def test_a_program_that_cannot_be_started_is_an_error_and_leaves_no_guard(program: str, status: int) -> None:
    before = children(os.getpid())

    with pytest.raises(OSError, match=program) as refused:
        GuardedCommand([program], {}, in_ns(LONG_NS))

    assert start_status(refused.value) == status
    assert children(os.getpid()) == before
