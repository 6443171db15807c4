"""Three hosts become the last of all, recover and restart at random: one serves in the end, and never do two."""

import asyncio
import random

import pytest

from pycarp.testing import Cluster
from tests.support.virtual import in_virtual_time

CAUSE = "check web"
PAUSES_S = (0.0001, 0.001, 0.01, 0.5, 3)


async def change_at_random(cluster: Cluster, chance: random.Random) -> list[bool]:
    """Return which hosts are the last of all in the end."""
    last = [False] * len(cluster)
    for _ in range(40):
        number = chance.randrange(len(cluster))
        if chance.random() < 0.2:
            await cluster.restart(number)
            last[number] = False
        elif last[number]:
            cluster[number].host.restore(CAUSE)
            last[number] = False
        else:
            cluster[number].host.demote(CAUSE, last=True)
            last[number] = True
        await asyncio.sleep(chance.choice(PAUSES_S))
    return last


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_a_host_that_works_serves_in_the_end(seed: int) -> None:
    chance = random.Random(seed)
    async with Cluster(3, preempt=chance.random() < 0.5, advbase=chance.choice([1, 2])) as cluster:
        cluster.delay(chance.choice([0.0001, 0.0005]))
        await cluster.settle()

        last = await change_at_random(cluster, chance)
        await asyncio.sleep(20)

        cluster.assert_one_master()
        cluster.assert_never_two_owners()
        serving = next(number for number, member in enumerate(cluster) if member.is_master())
        assert not last[serving] or all(last)
