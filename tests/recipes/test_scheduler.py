"""docs/howto/recipes/scheduler.md with a store in a file, beside real daemons."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from tests.recipes.pages import block
from tests.recipes.pair import STARTED_S, Pair, pair
from tests.support.daemons import Process, Pycarp, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

PAGE = "scheduler.md"


class Scheduler(Process):
    """The command of the page's service on one of the machines, which all have the name of the test's."""

    def __init__(self, pair: Pair, host: str, daemon: Pycarp) -> None:
        program = pair.folder / f"{host}.py"
        program.write_text(block(PAGE, "the scheduler").replace("os.uname().nodename", repr(host)))
        argv = [sys.executable, "-m", "pycarp", "while-master", "jobs", "--control", str(daemon.control)]
        argv += ["--", "env", "JOBS_EVERY_S=0.05", sys.executable, str(program), str(pair.folder / "jobs.db")]
        super().__init__(pair.segment, host, argv, pair.folder / f"{host}.jobs.log")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[tuple[Pair, Scheduler]]:
    """Yield two machines, of which the first has begun to run jobs."""
    require("ip", "bridge")
    with contextlib.ExitStack() as stack:
        two = stack.enter_context(pair(PAGE, tmp_path))
        first = stack.enter_context(Scheduler(two, "a", two.a))
        stack.enter_context(Scheduler(two, "b", two.b))
        wait_until(lambda: len(done(tmp_path)) > 2, STARTED_S)
        yield two, first


def done(folder: Path) -> list[tuple[int, str]]:
    """Return token and machine of each job, in their order."""
    with contextlib.closing(sqlite3.connect(folder / "jobs.db", timeout=10)) as store:
        try:
            return store.execute("SELECT token, machine FROM job ORDER BY rowid").fetchall()
        except sqlite3.OperationalError:
            return []


def test_the_jobs_move_with_a_hand_over_and_never_run_on_two_machines(jobs: tuple[Pair, Scheduler]) -> None:
    two, _first = jobs
    request(two.a.control, HandoverRequest(host="jobs", timeout_s=5), HandoverReply, timeout_s=10)
    wait_until(lambda: done(two.folder)[-1][1] == "b", STARTED_S)
    request(two.b.control, HandoverRequest(host="jobs", timeout_s=5), HandoverReply, timeout_s=10)
    wait_until(lambda: done(two.folder)[-1][1] == "a", STARTED_S)

    assert [machine for machine, _jobs in groupby(machine for _token, machine in done(two.folder))] == ["a", "b", "a"]
    assert [token for token, _machine in done(two.folder)] == sorted(token for token, _machine in done(two.folder))


def test_a_split_leaves_the_jobs_of_the_later_mastership_alone(jobs: tuple[Pair, Scheduler]) -> None:
    two, first = jobs
    two.segment.isolate("a")
    wait_until(lambda: done(two.folder)[-1][1] == "b", STARTED_S)
    wait_until(lambda: bool(first.lines("is over: a later one has begun")), STARTED_S)

    assert two.a.is_in("MASTER")
    assert [machine for machine, _jobs in groupby(machine for _token, machine in done(two.folder))] == ["a", "b"]


def test_a_late_writer_is_refused_by_the_store(tmp_path: Path) -> None:
    program = tmp_path / "jobs.py"
    program.write_text(block(PAGE, "the scheduler"))
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as store:
        store.execute("CREATE TABLE fence (one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER)")
        store.execute("INSERT INTO fence VALUES (1, 8)")
        store.commit()

    argv = [sys.executable, str(program), str(tmp_path / "jobs.db")]
    environment = {**os.environ, "PYCARP_TOKEN": "7"}
    refused = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=STARTED_S, check=False)

    assert (refused.returncode, refused.stderr) == (1, "the mastership with token 7 is over: a later one has begun\n")
