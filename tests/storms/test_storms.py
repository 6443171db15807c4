"""Random plans on real nodes break no promise, nor do those that once did.

``python -m tests.storms --seeds 100000`` goes on where this ends.
"""

from pathlib import Path

import pytest

from tests.storms.checker import judge
from tests.storms.plan import draw, from_json
from tests.storms.run import record

AT_A_TIME = 10
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.parametrize("first", range(0, 200, AT_A_TIME))
def test_random_plans_break_no_promise(first: int) -> None:
    broken = {seed: found[0] for seed in range(first, first + AT_A_TIME) if (found := judge(record(draw(seed))))}

    assert broken == {}


@pytest.mark.parametrize("file", REGRESSIONS, ids=lambda file: file.stem)
def test_plans_that_once_broke_a_promise_do_not_any_more(file: Path) -> None:
    assert judge(record(from_json(file.read_text()))) == ()
