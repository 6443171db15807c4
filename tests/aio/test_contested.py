"""A program that removes the addresses of the MASTER again and again: they are served all the same."""

import asyncio
from collections.abc import Sequence

import pytest

from pycarp.core.engine import EXTERNALLY_CHANGED
from pycarp.core.state import Reason, State
from pycarp.core.trouble import EXTERNAL_CHANGES_NS
from pycarp.testing import Cluster, Member
from pycarp.vocabulary import NS_PER_S
from tests.support.virtual import in_virtual_time

STARTED_S = 10.0
SPAN_S = 60.0
STEP_S = 0.005


async def flushed(cluster: Cluster, flushed: Sequence[Member], *, every_s: float, span_s: float = SPAN_S) -> float:
    """Remove the addresses of members for some time; return in which share of it anybody had them."""
    began_s, count, served = cluster.now_s, 0, 0
    while cluster.now_s - began_s < span_s:
        if cluster.now_s - began_s >= count * every_s:
            count += 1
            for member in flushed:
                for address in member.addresses:
                    member.actuator.take_away(address)
        await asyncio.sleep(STEP_S)
        served += any(member.addresses for member in cluster)
    return served * STEP_S / span_s


@in_virtual_time
async def test_a_peer_takes_over_although_it_does_not_preempt() -> None:
    async with Cluster(2) as cluster:
        await cluster.advance(STARTED_S)
        share = await flushed(cluster, [cluster.a], every_s=1)

        assert cluster.master is cluster.b
        change = cluster.b.host.snapshot().last_change
        assert change is not None
        assert change.reason is Reason.MASTER_TOO_SLOW
        assert share > 0.99


@in_virtual_time
async def test_a_lone_master_goes_on_repairing_and_has_its_addresses_nearly_always() -> None:
    async with Cluster(1) as cluster:
        await cluster.advance(STARTED_S)
        share = await flushed(cluster, [cluster.a], every_s=1)

        assert dict(cluster.a.host.snapshot().demotion)[EXTERNALLY_CHANGED] == 240
        assert cluster.a.host.state is State.MASTER
        assert share > 0.95


@pytest.mark.parametrize("every_s", [0.05, 0.3, 0.95, 1.0])
@in_virtual_time
async def test_a_lone_master_has_its_addresses_within_a_second_once_they_are_left_alone(every_s: float) -> None:
    async with Cluster(1) as cluster:
        await cluster.advance(STARTED_S)
        await flushed(cluster, [cluster.a], every_s=every_s, span_s=20)
        await cluster.advance(1.1)

        assert cluster.a.addresses


@in_virtual_time
async def test_where_every_host_is_flushed_somebody_goes_on_serving() -> None:
    async with Cluster(2) as cluster:
        await cluster.advance(STARTED_S)
        share = await flushed(cluster, list(cluster), every_s=1)

        cluster.assert_one_master()
        assert share > 0.95


@in_virtual_time
async def test_it_is_forgotten_after_a_minute_without_changes() -> None:
    async with Cluster(2) as cluster:
        await cluster.advance(STARTED_S)
        await flushed(cluster, [cluster.a], every_s=1, span_s=10)
        await cluster.advance(EXTERNAL_CHANGES_NS / NS_PER_S + 1)

        assert cluster.a.host.snapshot().demotion == ()
        assert not cluster.a.host.snapshot().claim.is_last
        # Without preempt it stays where it is.
        assert cluster.master is cluster.b
