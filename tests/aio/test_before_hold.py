"""What is awaited before the addresses are held: bounded by the mastership, and in nobody's way."""

import asyncio

import pytest

from pycarp import ConfigError, State
from pycarp.core.events import AddressesHeld, StateChange
from pycarp.runtime.reconciler import ATTEMPTS_MAX
from pycarp.testing import Cluster
from tests.support.virtual import in_virtual_time


@in_virtual_time
async def test_it_is_called_once_in_each_mastership_and_not_for_repairs() -> None:
    changes: list[int] = []

    async with Cluster(1) as cluster:
        host = cluster.a.host

        @host.before_hold
        async def prepare(change: StateChange) -> None:
            changes.append(change.epoch)

        await cluster.settle()
        host.reconfigure(addresses=["192.0.2.77/24"])
        await asyncio.sleep(5)
        host.force(State.BACKUP)
        await asyncio.sleep(5)

        assert changes == [2, 5]


@in_virtual_time
async def test_a_mastership_that_is_lost_meanwhile_cancels_it_and_nothing_was_held() -> None:
    outcome: list[str] = []

    async def prepare(_change: StateChange) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise

    async with Cluster(1) as cluster:
        host = cluster.a.host
        host.before_hold(prepare)
        await host.wait_for(State.MASTER)
        await asyncio.sleep(60)
        assert (host.state, cluster.a.addresses) == (State.MASTER, ())

        host.down()
        await asyncio.sleep(0.1)
        assert (host.state, outcome) == (State.INIT, ["cancelled"])


@in_virtual_time
async def test_other_settings_meanwhile_neither_cancel_it_nor_call_it_again() -> None:
    calls: list[str] = []

    async def prepare(_change: StateChange) -> None:
        calls.append("begins")
        await asyncio.sleep(10)
        calls.append("ends")

    async with Cluster(1) as cluster:
        host = cluster.a.host
        host.before_hold(prepare)
        await host.wait_for(State.MASTER)
        await asyncio.sleep(5)
        host.reconfigure(addresses=["192.0.2.77/24"])
        host.reconfigure(passphrase="another")
        await asyncio.sleep(4)
        assert (calls, cluster.a.addresses) == (["begins"], ())
        await asyncio.sleep(2)

        assert calls == ["begins", "ends"]
        assert {str(each.address) for each in cluster.history} == {"192.0.2.77/24"}


@in_virtual_time
async def test_one_that_fails_after_other_settings_came_is_called_again() -> None:
    calls: list[str] = []

    async def prepare(_change: StateChange) -> None:
        calls.append("begins")
        await asyncio.sleep(10)
        if len(calls) == 1:
            raise OSError("not mounted")

    async with Cluster(1) as cluster:
        host = cluster.a.host
        host.before_hold(prepare)
        await host.wait_for(State.MASTER)
        await asyncio.sleep(5)
        host.reconfigure(addresses=["192.0.2.77/24"])
        await asyncio.sleep(60)

        assert calls == ["begins", "begins"]
        assert [str(each) for each in cluster.a.addresses] == ["192.0.2.77/24"]


@in_virtual_time
async def test_hosts_that_wait_leave_the_way_free_for_all_others() -> None:
    vhids = range(1, ATTEMPTS_MAX + 3)

    async def prepare(_change: StateChange) -> None:
        await asyncio.sleep(3600)

    async with Cluster(1, vhids=vhids) as cluster:
        *waiting, last = cluster.a.hosts.values()
        for host in waiting:
            host.before_hold(prepare)
        held = asyncio.create_task(_first_held(last))
        async with asyncio.timeout(10):
            assert await held == last.snapshot().epoch


async def _first_held(host: object) -> int:
    async with host.events() as events:  # type: ignore[attr-defined]
        async for event in events:
            if isinstance(event, AddressesHeld):
                return event.epoch
    raise AssertionError


@in_virtual_time
async def test_a_host_that_is_held_says_so_once_in_each_mastership() -> None:
    held: list[int] = []

    async with Cluster(1) as cluster:
        host = cluster.a.host
        async with host.events() as events:
            await cluster.settle()
            host.reconfigure(addresses=["192.0.2.77/24"])
            await asyncio.sleep(1)
            host.force(State.BACKUP)
            await asyncio.sleep(5)
            await cluster.leave("a")
            held += [event.epoch async for event in events if isinstance(event, AddressesHeld)]

    assert held == [2, 5]


@in_virtual_time
async def test_a_callback_that_was_removed_is_not_called() -> None:
    async def prepare(_change: StateChange) -> None:
        await asyncio.sleep(3600)

    async with Cluster(1) as cluster:
        cluster.a.host.before_hold(prepare)
        cluster.a.host.remove_callback(prepare)
        await cluster.settle()

        assert cluster.a.addresses


@in_virtual_time
async def test_what_cannot_be_called_is_refused() -> None:
    async with Cluster(1) as cluster:
        with pytest.raises(ConfigError, match="cannot be called"):
            cluster.a.host.before_hold(7)  # type: ignore[type-var]
