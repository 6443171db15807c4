"""Plans that broke a promise once. Each says in ``told`` what went wrong; none may again."""

from pathlib import Path

import pytest

from pycarp.sim.faults import fault_plan_file
from pycarp.sim.simulation import simulate

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_a_plan_that_went_wrong_goes_well(path: Path) -> None:
    assert simulate(fault_plan_file.decode(path.read_bytes(), file=path.name)).violations == ()


def test_there_are_plans() -> None:
    assert REGRESSIONS
