"""Stories that broke a promise once. Each says in ``told`` what went wrong; none may again."""

from pathlib import Path

import pytest

from pycarp.sim import story_file
from pycarp.sim.simulation import simulate

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_a_story_that_went_wrong_goes_well(path: Path) -> None:
    assert simulate(story_file.decode(path.read_bytes(), file=path.name)).violations == ()


def test_there_are_stories() -> None:
    assert REGRESSIONS
