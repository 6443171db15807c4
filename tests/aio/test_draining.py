"""Maintenance: a drained host leaves its addresses to a peer first, and refuses where nobody would take them."""

import asyncio

import pytest

from pycarp import ConfigError, HandOverError
from pycarp.dialects import FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP, UNIVERSAL, Dialect
from pycarp.testing import Cluster
from tests.support.virtual import in_virtual_time, now_s


@pytest.mark.parametrize("preempt", [True, False])
@in_virtual_time
async def test_a_peer_takes_over_first_and_keeps_the_addresses(preempt: bool) -> None:
    async with Cluster(2, preempt=preempt) as c:
        await c.settle()
        began_s = now_s()
        master = await c.a.host.drain("drained: new kernel")

        assert now_s() - began_s < 0.02
        assert (str(master), c.master) == ("192.0.2.102", c.b)
        await c.advance(60)
        assert c.master is c.b
        assert c.a.host.snapshot().last_causes == {"drained: new kernel"}
        c.assert_never_two_owners()


@pytest.mark.parametrize("dialect", [UNIVERSAL, FREEBSD, FREEBSD9, NETBSD, OPENBSD, UCARP], ids=lambda each: each.name)
@in_virtual_time
async def test_every_dialect_can_be_drained(dialect: Dialect) -> None:
    async with Cluster(2, dialect=dialect) as c:
        await c.settle()
        await c.a.host.drain()

        assert c.master is c.b


@in_virtual_time
async def test_where_nobody_would_take_over_it_goes_on_serving_without_a_gap() -> None:
    async with Cluster(1) as c:
        await c.settle()
        before = len(c.history)
        with pytest.raises(HandOverError, match="nobody took the addresses of 1@eth0 over within 5 s"):
            await c.a.host.drain()

        assert c.master is c.a
        assert c.a.host.snapshot().demotion == ()
        assert len(c.history) == before


@in_virtual_time
async def test_a_peer_that_is_last_itself_does_not_take_over() -> None:
    async with Cluster(2) as c:
        await c.settle()
        c.b.host.demote("check web", last=True)
        with pytest.raises(HandOverError):
            await c.a.host.drain()

        assert c.master is c.a


@in_virtual_time
async def test_by_force_it_serves_until_somebody_comes() -> None:
    async with Cluster(2) as c:
        await c.settle()
        c.kill("b")
        assert await c.a.host.drain(force=True) is None
        assert c.master is c.a
        await c.restart("b")
        await c.settle()

        assert c.master is c.b


@in_virtual_time
async def test_a_drained_host_serves_when_its_peer_dies_and_can_be_drained_again() -> None:
    async with Cluster(2) as c:
        await c.settle()
        await c.a.host.drain()
        c.kill("b")
        await c.settle()
        assert c.master is c.a
        with pytest.raises(HandOverError):
            await c.a.host.drain()

        assert c.a.host.snapshot().last_causes == {"drained"}


@in_virtual_time
async def test_restored_it_preempts_as_before() -> None:
    async with Cluster(2, preempt=True) as c:
        await c.settle()
        await c.a.host.drain()
        c.a.host.restore("drained")
        await c.settle()

        assert c.master is c.a


@in_virtual_time
async def test_a_backup_is_drained_at_once() -> None:
    async with Cluster(2) as c:
        await c.settle()
        began_s = now_s()
        master = await c.b.host.drain()

        assert (str(master), now_s() - began_s) == ("192.0.2.101", 0)
        with pytest.raises(HandOverError):
            await c.a.host.drain()


@in_virtual_time
async def test_a_cancelled_drain_leaves_the_host_as_it_was() -> None:
    async with Cluster(1) as c:
        await c.settle()
        task = c.a.run(c.a.host.drain())
        await c.advance(0.5)
        before = c.a.host.snapshot().last_causes
        task.cancel()
        await asyncio.wait([task])

        assert before == {"drained"}
        assert not c.a.host.snapshot().last_causes
        assert c.master is c.a


@in_virtual_time
async def test_a_drain_that_fails_leaves_a_demotion_of_the_same_cause_as_it_was() -> None:
    async with Cluster(1) as c:
        await c.settle()
        c.a.host.demote("drained", by=100)
        with pytest.raises(HandOverError):
            await c.a.host.drain()

        snapshot = c.a.host.snapshot()
        assert (snapshot.demotion, snapshot.last_causes) == ((("drained", 100),), frozenset())


@in_virtual_time
async def test_a_peer_that_takes_over_in_time_may_settle_after_it() -> None:
    async with Cluster(2, preempt=True) as c:
        await c.settle()
        master = await c.a.host.drain(timeout_s=0.005)

        assert (str(master), c.master) == ("192.0.2.102", c.b)
        assert c.a.host.snapshot().last_causes == {"drained"}


@in_virtual_time
async def test_a_lost_advertisement_is_made_up_for() -> None:
    async with Cluster(2) as c:
        await c.settle()
        c.cut("a", "b", one_way=True)
        task = c.a.run(c.a.host.drain())
        await c.advance(0.1)
        c.heal()
        async with asyncio.timeout(3):
            await task

        assert c.master is c.b


@pytest.mark.parametrize("arguments", [{"cause": 1}, {"cause": " "}, {"force": 1}, {"timeout_s": 0}])
@in_virtual_time
async def test_wrong_arguments_are_refused(arguments: dict[str, object]) -> None:
    async with Cluster(2) as c:
        await c.settle()
        with pytest.raises(ConfigError):
            await c.a.host.drain(**arguments)  # type: ignore[arg-type]

        assert (c.a.host.snapshot().demotion, c.master) == ((), c.a)
