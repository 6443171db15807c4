"""Killed after any single thing that it did, a daemon leaves nothing that a later start does not clean up."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.system.recovery import state_folder
from tests.support.namespaces import Namespace, joined_namespaces
from tests.support.recovery import argv_of_program, clean_in, state_of
from tests.support.system import require

pytestmark = pytest.mark.system

_SIGKILLED = -9
_MOST_EFFECTS = 90


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        yield ours


def run_until(namespace: Namespace, folder: Path, last: int) -> int:
    """Let the program run until it has had that many effects; return its exit status."""
    argv = argv_of_program(namespace, "plane_program", folder, last)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode in (0, _SIGKILLED), done.stderr
    return done.returncode


@pytest.mark.timeout(180)
async def test_a_daemon_killed_after_any_effect_leaves_nothing_that_is_not_cleaned(
    namespace: Namespace, tmp_path: Path
) -> None:
    before = state_of(namespace)
    unclean: dict[int, object] = {}
    last = 0
    for last in range(1, _MOST_EFFECTS):
        status = run_until(namespace, tmp_path, last)
        report = await clean_in(namespace, tmp_path)
        if state_of(namespace) != before or report.failed or report.spared or state_folder.journals(tmp_path):
            unclean[last] = report
        if status == 0:
            break

    assert unclean == {}
    assert 30 < last < _MOST_EFFECTS, "the program has as many effects as it should, and comes to its end"
