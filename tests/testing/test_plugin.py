"""The pytest plugin, seen from the suites of others: each test here runs pytest inside pytest."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import pycarp.testing  # noqa: F401  pytester forgets what is imported in an inner run, which cryptography does not bear

ROOT = Path(__file__).parents[2]
EXAMPLE = {each.stem: each.read_text() for each in (ROOT / "docs" / "examples").glob("*reporter.py")}
TAKEN_OVER = """
    import asyncio

    async def test_one_takes_over(cluster):
        c = await cluster(3)
        await c.settle()
        c.kill(c.master)
        await c.settle()
        c.assert_one_master()
        assert asyncio.get_running_loop().time() > 7
"""
MARKED = """
    import asyncio, pytest

    @pytest.mark.virtual_time
    async def test_sleeps_for_half_an_hour():
        await asyncio.sleep(1800)
"""
PLAIN = """
    import asyncio, pytest, time

    @pytest.mark.asyncio
    async def test_runs_as_ever(request):
        assert asyncio.get_running_loop().time() == pytest.approx(time.monotonic(), abs=1)
        assert not hasattr(request.node, "callspec")

    def test_is_not_a_coroutine():
        pass
"""
STRANGERS = """
    import asyncio, pytest

    class TheirLoop(asyncio.SelectorEventLoop):
        pass

    def pytest_asyncio_loop_factories(config, item):
        return {"theirs": TheirLoop}

    @pytest.fixture
    def cluster():
        return "kubernetes"
"""
USING_STRANGERS = """
    import asyncio, pytest
    from conftest import TheirLoop

    @pytest.mark.asyncio
    async def test_theirs(cluster):
        assert cluster == "kubernetes"
        assert isinstance(asyncio.get_running_loop(), TheirLoop)

    async def test_ours(carp_cluster):
        await carp_cluster(2)
        assert not isinstance(asyncio.get_running_loop(), TheirLoop)
"""
WAITING_FOR_EVER = """
    import asyncio, pytest

    async def test_nobody_comes(cluster):
        c = await cluster(2)
        await c.settle()
        await asyncio.Event().wait()

    @pytest.mark.virtual_time
    async def test_nothing_moves():
        await asyncio.Event().wait()

    @pytest.mark.virtual_time(timeout_s=60)
    async def test_has_a_limit_of_its_own():
        await asyncio.sleep(50)
"""

Inner = Callable[..., pytest.RunResult]


@pytest.fixture
def inner(pytester: pytest.Pytester) -> Inner:
    """Return what runs pytest on files, with warnings as errors; ``ini`` has further lines of configuration."""

    def run_pytest(*options: str, ini: str = "", asyncio: bool = True, **files: str) -> pytest.RunResult:
        pytester.makepyfile(**files)
        scope = "asyncio_default_fixture_loop_scope = function\n" if asyncio else ""
        pytester.makeini(f"[pytest]\n{scope}filterwarnings = error\n{ini}")
        # Pytest would rewrite the assertions of all of hypothesis in every run.
        without = ["-p", "no:hypothesispytest", *([] if asyncio else ["-p", "no:asyncio"])]
        # In the order of the files, even if other plugins change it.
        apart = ("-p", "no:cacheprovider", "-p", "no:randomly")
        return pytester.runpytest_inprocess("-p", "pytest_pycarp", *apart, *without, *options)

    return run_pytest


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_a_test_needs_nothing_but_the_fixture_or_the_mark(inner: Inner, mode: str) -> None:
    result = inner("-o", f"asyncio_mode={mode}", test_cluster=TAKEN_OVER, test_marked=MARKED, test_plain=PLAIN)

    result.assert_outcomes(passed=4)


def test_pytest_asyncio_is_not_needed(inner: Inner) -> None:
    result = inner(asyncio=False, test_cluster=TAKEN_OVER, test_marked=MARKED)

    result.assert_outcomes(passed=2)


def test_fixtures_and_loops_of_others_are_left_alone(inner: Inner) -> None:
    result = inner(conftest=STRANGERS, test_strangers=USING_STRANGERS)

    result.assert_outcomes(passed=2)


def test_waiting_for_ever_fails_and_says_where(inner: Inner) -> None:
    result = inner(ini="pycarp_virtual_timeout = 20", test_waiting=WAITING_FOR_EVER)

    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "Overtime: 20 virtual seconds have passed, and the test still waits*",
            "  Task-* test_nobody_comes: *test_waiting.py:6, for Event.wait",
            "*pycarp cluster*",
            "    3.000000 a  BACKUP -> MASTER: master timed out",
            "         now b BACKUP, holds nothing",
            "Deadlock: nothing is scheduled*",
            "  Task-* test_nothing_moves: *test_waiting.py:10, for Event.wait",
        ]
    )


def test_what_fails_in_a_member_fails_the_test(inner: Inner) -> None:
    result = inner(
        test_program="""
        async def program(member):
            raise RuntimeError("out of paper")

        async def test_program(cluster):
            await (await cluster(1, program=program)).settle()
        """
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E *RuntimeError: out of paper"])


def test_a_test_that_cannot_await_is_refused(inner: Inner) -> None:
    result = inner(test_sync="def test_sync(cluster): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_sync uses the fixture cluster, so it must be 'async def'"])


@pytest.mark.parametrize("limit", ["soon", "0", "nan"])
def test_a_limit_that_is_none_is_refused(inner: Inner, limit: str) -> None:
    result = inner(ini=f"pycarp_virtual_timeout = {limit}", test_marked=MARKED)

    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines([f"*pycarp_virtual_timeout '{limit}' is not a number of seconds above 0*"])


def test_a_word_that_the_mark_does_not_know_is_refused(inner: Inner) -> None:
    result = inner(test_marked=MARKED.replace("virtual_time\n", "virtual_time(timeout=3)\n"))

    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*the mark virtual_time takes timeout_s=SECONDS and nothing else*"])


def test_the_example_passes(inner: Inner) -> None:
    result = inner(**EXAMPLE)

    result.assert_outcomes(passed=2)


def test_the_example_fails_when_backups_report_as_well(inner: Inner) -> None:
    wrong = EXAMPLE["reporter"].replace("if change.new is pycarp.State.MASTER:", "if True:")
    result = inner(**EXAMPLE | {"reporter": wrong})

    result.assert_outcomes(passed=1, failed=1)


def test_loading_the_plugin_does_not_import_pycarp() -> None:
    code = "import sys, pytest_pycarp; sys.exit('pycarp' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plugin_is_known_by_the_name_of_its_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["project"]["entry-points"]["pytest11"] == {"pytest_pycarp": "pytest_pycarp"}
    assert "src/pytest_pycarp" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_the_howto_is_true(inner: Inner) -> None:
    page = (ROOT / "docs" / "howto" / "test-your-failover.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    result = inner(test_howto="\n\n".join(blocks))

    result.assert_outcomes(passed=page.count("async def test_"))
