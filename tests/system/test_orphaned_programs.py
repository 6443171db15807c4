"""Programs of a daemon that is killed: its guardian ends them. Real processes, in real time.

Run as a program, this file is the daemon: it runs the shell lines of its arguments.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pycarp.system import process_groups
from pycarp.system.guardian.guardian import Guardian
from pycarp.system.programs import run_program
from tests.support.daemons import wait_until
from tests.support.processes import has_ended

ROOT = Path(__file__).parents[2]
SOON_S = 5.0


async def be_daemon(lines: list[str]) -> None:
    guardian = Guardian(on_unprotected=lambda _reasons: None)
    await guardian.start()
    running = asyncio.gather(*(run_program(["sh", "-c", line], timeout_s=None) for line in lines))
    # Programs are started one after the other, each in one turn of the loop.
    for _turn in range(100):
        await asyncio.sleep(0)
    say("all are noted")
    await running
    say(str(guardian.pid))
    await asyncio.sleep(60)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def daemon(*lines: str) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-m", __name__, *lines]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            running.stdout.readline()
            yield running
        finally:
            running.kill()


def pids(file: Path) -> list[int]:
    return [int(each) for each in file.read_text().split()] if file.exists() else []


def test_a_program_and_its_children_end_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with daemon(f"sleep 60 & echo $$ $! > {file}; wait") as running:
        wait_until(lambda: len(pids(file)) == 2, SOON_S)
        running.kill()

        wait_until(lambda: all(has_ended(each) for each in pids(file)), SOON_S)


def test_a_program_may_clean_up_when_its_daemon_is_killed(tmp_path: Path) -> None:
    file, cleaned = tmp_path / "pids", tmp_path / "cleaned"
    # Nobody reads its output any more, and so writing would end it.
    loop = "exec >/dev/null 2>&1; while :; do sleep 0.05; done"
    with daemon(f"trap 'touch {cleaned}; exit' TERM; echo $$ > {file}; {loop}") as running:
        wait_until(lambda: len(pids(file)) == 1, SOON_S)
        running.kill()

        wait_until(cleaned.exists, SOON_S)


def test_a_program_that_ignores_sigterm_is_killed_after_its_daemon(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with daemon(f"trap '' TERM; sleep 60 & echo $$ $! > {file}; wait") as running:
        wait_until(lambda: len(pids(file)) == 2, SOON_S)
        running.kill()

        wait_until(lambda: all(has_ended(each) for each in pids(file)), SOON_S)


def test_what_a_program_left_in_the_background_outlives_the_daemon(tmp_path: Path) -> None:
    """It may be a service that the hook was there to start."""
    file = tmp_path / "pids"
    with daemon(f"sleep 60 >/dev/null 2>&1 & echo $! > {file}") as running:
        assert running.stdout is not None
        guardian = int(running.stdout.readline())
        running.kill()
        wait_until(lambda: has_ended(guardian), SOON_S)
        (left,) = pids(file)
        is_left = not has_ended(left)
        os.kill(left, signal.SIGKILL)

        assert is_left


def test_slots_are_used_again() -> None:
    groups = process_groups.ProcessGroups()
    for number in range(1, 3 * process_groups.SLOTS):
        groups.add(number)
        groups.discard(number)
    groups.add(7)

    assert groups.numbers == (7,)


def test_more_groups_than_there_is_room_for_are_left_out() -> None:
    groups = process_groups.ProcessGroups()
    for number in range(1, process_groups.SLOTS + 3):
        groups.add(number)
    groups.discard(process_groups.SLOTS + 1)

    assert len(groups.numbers) == process_groups.SLOTS


if __name__ == "__main__":
    asyncio.run(be_daemon(sys.argv[1:]))
