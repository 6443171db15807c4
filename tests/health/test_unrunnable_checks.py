"""A check that cannot be run counts as failed: its host leaves to another one."""

import asyncio
from pathlib import Path

import pytest

from pycarp import State
from pycarp.health import Check, program, watch
from pycarp.testing import Cluster
from tests.support.virtual import in_virtual_time


@pytest.mark.parametrize("preempt", [False, True])
@in_virtual_time
async def test_a_check_whose_program_cannot_be_started_moves_the_addresses(tmp_path: Path, *, preempt: bool) -> None:
    there = tmp_path / "check"
    there.write_text("#!/bin/sh\n")
    async with Cluster(2, preempt=preempt) as cluster:
        await cluster.settle()
        first = cluster.master
        assert first is cluster.a
        # It is there, and not executable.
        watching = asyncio.create_task(watch(first.host, Check(name="web", probe=program([str(there)]), fall=2)))
        async with asyncio.timeout(10):
            await cluster.b.host.wait_for(State.MASTER)

        assert first.host.snapshot().last_causes == {"check web"}
        cluster.assert_never_two_owners()
        watching.cancel()
        await asyncio.wait({watching})
