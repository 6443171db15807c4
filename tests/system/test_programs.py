"""Programs are run to their end, and ended when they take too long."""

import asyncio
import errno
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pycarp.system.programs import OUTPUT_LIMIT, exit_status, run_program
from tests.support.descriptors import open_descriptors
from tests.support.processes import has_ended, own_children, wait_for_end
from tests.support.system import require


def run_now(*argv: str, timeout_s: float = 5, document: bytes = b"{}") -> Any:
    return asyncio.run(run_program(argv, timeout_s=timeout_s, environment={"PYCARP_HOST": "web"}, document=document))


def test_a_program_gets_the_document_and_the_environment() -> None:
    outcome = run_now("sh", "-c", "cat; echo $PYCARP_HOST >&2", document=json.dumps({"vhid": 1}).encode())

    assert (outcome.error, outcome.output) == ("", '{"vhid": 1}web')


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("/nonexistent",), "cannot run /nonexistent: No such file or directory"),
        (("sh", "-c", "exit 3"), "failed with exit status 3"),
        (("sh", "-c", "kill -9 $$"), "ended by SIGKILL"),
        ((sys.executable, "-c", "import os; os.kill(os.getpid(), 40)"), "ended by signal 40"),
        (("a\0b",), "cannot run a\0b: embedded null byte"),
    ],
)
def test_a_program_that_fails_says_how(argv: tuple[str, ...], error: str) -> None:
    assert run_now(*argv).error == error


def test_output_is_bounded_and_input_need_not_be_read() -> None:
    outcome = run_now("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x", document=b"x" * 1_000_000)

    assert outcome.error == ""
    assert len(outcome.output) <= OUTPUT_LIMIT + 4


def test_what_would_steer_a_terminal_is_taken_out_of_the_output() -> None:
    outcome = run_now("printf", r"\033[31mred\r\ngreen \303\244\tb\302\233")

    assert outcome.output == "[31mred \ngreen ä b"


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    began_s = time.monotonic()
    script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; wait; sleep 60"

    outcome = run_now("sh", "-c", script, timeout_s=0.3)

    assert outcome.error == "took longer than 0.3 s and was ended"
    assert time.monotonic() - began_s < 3
    wait_for_end(int((tmp_path / "pid").read_text()))


def test_what_was_written_before_the_timeout_is_kept() -> None:
    outcome = run_now("sh", "-c", "echo begun; sleep 60", timeout_s=0.3)

    assert outcome.output == "begun"


def test_a_program_has_time_to_put_things_in_order() -> None:
    outcome = run_now("sh", "-c", "trap 'echo in order; exit' TERM; echo begun; sleep 60 & wait", timeout_s=0.3)

    assert outcome.output == "begun\nin order"


def test_a_child_in_the_background_goes_on_and_is_not_waited_for(tmp_path: Path) -> None:
    began_s = time.monotonic()

    outcome = run_now("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid")

    assert (outcome.error, time.monotonic() - began_s < 2) == ("", True)
    child = int((tmp_path / "pid").read_text())
    assert not has_ended(child)
    os.kill(child, signal.SIGKILL)


async def test_children_are_ended_with_their_program_where_that_is_wanted(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid"

    assert await exit_status(("sh", "-c", script), timeout_s=5, ends_children=True) == 0

    child = int((tmp_path / "pid").read_text())
    wait_for_end(child)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_caller_that_is_cancelled_leaves_no_process_and_no_descriptor(tmp_path: Path, times: int) -> None:
    await run_program(("true",), timeout_s=5)
    before = open_descriptors()
    pid_pipe = tmp_path / "pid"
    os.mkfifo(pid_pipe)
    script = f"trap '' TERM; echo $$ > {pid_pipe}; sleep 60 & sleep 60"
    task = asyncio.create_task(run_program(("sh", "-c", script), timeout_s=None, document=b"x"))
    pid = int(await asyncio.to_thread(pid_pipe.read_text))

    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await task

    wait_for_end(pid)
    assert open_descriptors() == before


async def test_on_a_kernel_without_descriptors_of_processes_a_thread_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    before = own_children()

    assert await exit_status(("sh", "-c", "exit 3"), timeout_s=5) == 3
    with pytest.raises(TimeoutError):
        await exit_status(("sleep", "60"), timeout_s=0.1)
    assert own_children() == before


async def test_many_programs_start_one_by_one_and_leave_the_event_loop_turns_between() -> None:
    before = len(own_children())
    many = asyncio.gather(*(exit_status(("sleep", "0.2"), timeout_s=5) for _ in range(20)))
    counts = [0]
    while not many.done():
        counts.append(len(own_children()) - before)
        await asyncio.sleep(0)

    assert max(counts) > 5
    assert max(after - before for before, after in itertools.pairwise(counts)) == 1


TRACER = """if True:
    import ctypes, os, sys, time
    PTRACE_SEIZE = 0x4206
    assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, os.getppid(), None, None) == 0
    open(sys.argv[1], "w").write(f"{os.getppid()} {os.getpid()}")
    time.sleep(60)
"""
"""Whoever traces a process hears of its end before its parent does, and this one does not pass it on."""

TRACED = """if True:
    import subprocess, sys
    subprocess.run([sys.executable, "-c", *sys.argv[1:]], start_new_session=True)
"""


@pytest.mark.system
async def test_a_program_that_cannot_be_ended_keeps_nobody_waiting_for_ever(tmp_path: Path) -> None:
    require()
    pid_pipe = tmp_path / "pid"
    os.mkfifo(pid_pipe)
    argv = (sys.executable, "-c", TRACED, TRACER, str(pid_pipe))
    task = asyncio.create_task(exit_status(argv, timeout_s=None, grace_s=0))
    traced, tracer = map(int, (await asyncio.to_thread(pid_pipe.read_text)).split())
    try:
        task.cancel()
        _done, late = await asyncio.wait({task}, timeout=5)
    finally:
        os.kill(tracer, signal.SIGKILL)
        # The loop learns of its end, as it would if it ended late by itself.
        async with asyncio.timeout(5):
            while Path(f"/proc/{traced}").exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    assert not late
    assert task.cancelled()
