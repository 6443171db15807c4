"""The examples of the documentation do what they say."""

import asyncio
import contextlib
import importlib.util
import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pycarp
from pycarp.transports.memory import MemoryBus
from tests.support.nodes import config, node
from tests.support.virtual import in_virtual_time

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def three_schedulers(scheduler: ModuleType, store: Any, bus: MemoryBus) -> Any:
    """Run the scheduler on three hosts, ``a`` first in line."""
    async with contextlib.AsyncExitStack() as stack:
        hosts = []
        for number, name in enumerate("abc"):
            here = await stack.enter_async_context(node(bus, host=number + 1))
            hosts.append(await here.add(config(advskew=50 * number, preempt=True, name=name)))
        running = [asyncio.create_task(scheduler.schedule(host, store)) for host in hosts]
        yield hosts
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def test_the_scheduler_runs_on_one_host_at_a_time_without_a_pause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = example("singleton_scheduler")
    store = scheduler.Store(str(tmp_path / "jobs.db"))

    @in_virtual_time
    async def plan() -> None:
        async with three_schedulers(scheduler, store, MemoryBus()) as (first, second, _third):
            await first.wait_for(pycarp.State.MASTER)
            await asyncio.sleep(5)
            await first.hand_over()
            await asyncio.sleep(5)
            await second.hand_over()
            await asyncio.sleep(5)

    plan()
    runs = store.runs()
    store.close()

    assert [host for n, (_at_s, host, _token) in enumerate(runs) if host != runs[n - 1][1]] == ["a", "b", "c"]
    assert [token for *_rest, token in runs] == sorted(token for *_rest, token in runs)
    assert max(after[0] - before[0] for before, after in itertools.pairwise(runs)) <= 1.101
    assert "a: 1@em0 is INIT: handed over" in capsys.readouterr().out


def test_in_a_segment_that_is_cut_the_store_listens_to_the_later_term_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = example("singleton_scheduler")
    store = scheduler.Store(str(tmp_path / "jobs.db"))
    bus = MemoryBus()

    @in_virtual_time
    async def plan() -> None:
        async with three_schedulers(scheduler, store, bus) as (first, _second, _third):
            await first.wait_for(pycarp.State.MASTER)
            await asyncio.sleep(5)
            bus.fabric.isolate("host-1")
            await asyncio.sleep(10)
            bus.fabric.heal()
            await asyncio.sleep(10)

    plan()
    runs = store.runs()
    store.close()

    tokens = [token for *_rest, token in runs]
    assert tokens == sorted(tokens)
    assert {host for _at_s, host, _token in runs} == {"a", "b"}
    assert "a: mastership 1 is over: another has begun" in capsys.readouterr().out


def test_the_bare_engine_takes_over_without_asyncio() -> None:
    first, second = example("bare_engine").two_hosts(first_lives_s=1.5, second_lives_s=4)
    for host in (first, second):
        host.start()
    for host in (first, second):
        host.join()

    assert [str(change.new) for change in first.changes] == ["INIT", "BACKUP", "MASTER"]
    assert [str(change.new) for change in second.changes] == ["INIT", "BACKUP", "MASTER"]
    assert second.changes[-1].reason is pycarp.Reason.MASTER_SILENT


def test_the_agent_passes_its_own_tests(tmp_path: Path) -> None:
    for name in ("cloud_agent.py", "test_cloud_agent.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert (done.returncode, "7 passed" in done.stdout) == (0, True), done.stdout + done.stderr
