"""Long work shares the event loop with everything else."""

import asyncio
import time

from pycarp.tasks import TURN_S, Turns


def test_long_work_gives_the_loop_back_after_each_turn() -> None:
    async def work() -> tuple[int, int]:
        others = 0

        async def be_another() -> None:
            nonlocal others
            while True:
                others += 1
                await asyncio.sleep(0)

        another = asyncio.create_task(be_another())
        turns = Turns()
        for _ in range(3):
            time.sleep(TURN_S)  # noqa: ASYNC251  that it blocks is the point
            await turns.end()
        after_long = others
        for _ in range(3):
            await turns.end()
        another.cancel()
        return after_long, others

    after_long, after_short = asyncio.run(work())

    assert after_long == 3
    assert after_short == 3
