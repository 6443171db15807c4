"""Two to seven machines of all dialects, a swarm of faults: no promise is broken.

``python -m tests.simulation --seeds 10000`` goes on where this ends.
"""

import pytest

from pycarp.sim.simulation import simulate
from pycarp.sim.stories import random_story

CHAPTER = 25


@pytest.mark.parametrize("first", range(0, 200, CHAPTER))
def test_stories_by_chance_break_no_promise(first: int) -> None:
    broken = {
        seed: outcome.violations
        for seed in range(first, first + CHAPTER)
        if (outcome := simulate(random_story(seed))).violations
    }

    assert broken == {}
