"""The page on failback is true: its code runs, and does what the page says."""

import asyncio
from pathlib import Path

import pytest

from pycarp import State
from pycarp.failback import Cause, Damping
from pycarp.placement.damping import Damper
from pycarp.testing import Cluster
from tests.support.pages import DOCS, block, names_of
from tests.support.virtual import in_virtual_time

PAGE = DOCS / "howto" / "failback.md"


@in_virtual_time
async def test_the_policy_of_the_page_keeps_a_host_back(tmp_path: Path) -> None:
    keep_calm = names_of(block(PAGE, "the policy"))["keep_calm"]
    async with Cluster(2, preempt=True, program=lambda member: keep_calm(member.host, tmp_path)) as c:
        await c.advance(60)
        c.kill("a")
        await c.settle()
        (tmp_path / "1@eth0.json").unlink()
        await c.restart("a")
        await c.advance(50)
        assert c.master is c.b
        await c.advance(20)

        assert c.master is c.a
        c.assert_never_two_owners()


@in_virtual_time
async def test_the_follower_of_the_page_releases_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    async with Cluster(2, preempt=True) as c:
        await c.settle()
        c.kill("a")
        await c.settle()
        await c.restart("a")
        task = c.a.run(names_of(block(PAGE, "the follower"))["show"](c.a.host))
        async with asyncio.timeout(8):
            await c.a.host.wait_for(State.MASTER)
        task.cancel()
        await asyncio.wait([task])

    assert "manual failback no-preempt None" in capsys.readouterr().out


def test_the_page_names_every_cause() -> None:
    page = PAGE.read_text()

    assert [cause for cause in Cause if f"`{cause}`" not in page] == []


def test_three_failures_suppress_for_half_an_hour() -> None:
    damper, damping = Damper(), Damping(half_life_s=900)
    for at_s in (0, 60, 120):
        damper.fail(damping, at_s)

    until_s = damper.until_s(damping)
    assert until_s is not None
    assert 25 * 60 < until_s < 35 * 60
