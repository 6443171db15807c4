"""Two to seven machines of all dialects, a swarm of faults: no promise is broken.

``python -m tests.simulation --seeds 10000`` goes on where this ends.
"""

import pytest

from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.simulation import simulate

CHAPTER = 25


@pytest.mark.parametrize("first", range(0, 200, CHAPTER))
def test_plans_by_chance_break_no_promise(first: int) -> None:
    broken = {
        seed: outcome.violations
        for seed in range(first, first + CHAPTER)
        if (outcome := simulate(random_plan(seed))).violations
    }

    assert broken == {}
