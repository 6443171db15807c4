"""Tests of the agent: each part alone, then the whole; they need pytest and pycarp, but neither root nor a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, ip_interface
from pathlib import Path

import pytest
from cloud_agent import FakeCloud, FloatingAddresses, FolderTransport, Service, main, serve, settings_in

import pycarp
from pycarp.testing import Clusters, Endpoint, Member, check_transport

ADDRESS = "192.0.2.10"


async def test_the_transport_keeps_the_promises_of_one(tmp_path: Path) -> None:
    @contextlib.asynccontextmanager
    async def pair() -> AsyncIterator[tuple[Endpoint, Endpoint]]:
        one, other = (FolderTransport(tmp_path, name) for name in "ab")
        yield (
            Endpoint(transport=one, link="cloud0", source=IPv4Address("198.51.100.1"), has_real_links=False),
            Endpoint(transport=other, link="cloud0", source=IPv4Address("198.51.100.2"), has_real_links=False),
        )
        await one.close()
        await other.close()

    await check_transport(pair)


def node(bus: pycarp.MemoryBus, number: int, cloud: FakeCloud) -> pycarp.Node:
    link = pycarp.LinkFacts(name="cloud0", is_up=True, addresses=(ip_interface(f"198.51.100.{number}/24"),))
    return pycarp.Node(
        transport=bus.port(f"machine{number}"),
        actuator=FloatingAddresses(cloud, f"machine{number}"),
        monitor=pycarp.StaticMonitor([link]),
    )


def config(advskew: int) -> pycarp.HostConfig:
    return pycarp.HostConfig(
        interface="cloud0", vhid=1, passphrase="secret", addresses=[ADDRESS], advskew=advskew, preempt=True
    )


@pytest.mark.virtual_time
async def test_the_address_moves_with_the_master(tmp_path: Path) -> None:
    bus, cloud = pycarp.MemoryBus(), FakeCloud(tmp_path)
    async with node(bus, 1, cloud) as here, node(bus, 2, cloud) as there:
        first = await here.add(config(0))
        await there.add(config(100))
        await asyncio.sleep(10)
        assert cloud.owner(ADDRESS) == "machine1"

        await first.hand_over()
        await asyncio.sleep(1)
        assert cloud.owner(ADDRESS) == "machine2"

    assert cloud.owner(ADDRESS) == ""


@pytest.mark.virtual_time
async def test_a_host_whose_calls_fail_leaves_the_address_to_the_next_one(tmp_path: Path) -> None:
    bus, ours, theirs = pycarp.MemoryBus(), FakeCloud(tmp_path), FakeCloud(tmp_path)
    async with node(bus, 1, ours) as here, node(bus, 2, theirs) as there:
        first, second = await here.add(config(0)), await there.add(config(100))
        await asyncio.sleep(1)
        ours.is_out_of_order = True
        await second.wait_for("MASTER")
        await asyncio.sleep(1)
        assert (ours.owner(ADDRESS), first.snapshot().demotion) == ("machine2", (("addresses not held", 240),))
        assert first.address_error == f"{ADDRESS}: 503 Service Unavailable"

        ours.is_out_of_order = False
        await first.wait_for("MASTER")
        await asyncio.sleep(1)
        assert ours.owner(ADDRESS) == "machine1"


async def test_the_service_runs_on_the_master_alone(cluster: Clusters) -> None:
    services: dict[str, Service] = {}

    async def program(member: Member) -> None:
        await serve(member.host, services.setdefault(member.name, Service()))

    c = await cluster(3, program=program)
    await c.settle()
    assert [name for name, each in services.items() if each.is_running] == ["a"]

    c.isolate(c.a)
    await c.settle()
    c.heal()
    await c.settle()
    assert [name for name, each in services.items() if each.is_running] == [c.master.name]
    c.assert_never_two_owners(since_s=c.now_s)


async def test_two_agents_follow_each_other(tmp_path: Path) -> None:
    """The whole, in real time: with an advbase of 0 a takeover takes some tenths of a second."""
    cloud = FakeCloud(tmp_path / "cloud")
    common = {"CARP_ADVBASE": "0", "CARP_ADDRESSES": ADDRESS}
    first = asyncio.create_task(main(tmp_path, {**common, "CARP_NAME": "a", "CARP_ADVSKEW": "20"}))
    await until_owned(cloud, "a")
    second = asyncio.create_task(main(tmp_path, {**common, "CARP_NAME": "b", "CARP_ADVSKEW": "60"}))
    await asyncio.sleep(0.5)
    assert cloud.owner(ADDRESS) == "a"

    first.cancel()
    await until_owned(cloud, "b")
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert cloud.owner(ADDRESS) == ""


async def until_owned(cloud: FakeCloud, machine: str) -> None:
    for _ in range(2000):
        if cloud.owner(ADDRESS) == machine:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{machine} did not get the address")


async def test_all_that_is_wrong_with_the_environment_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(pycarp.SettingProblems) as caught:
        await main(tmp_path, {"CARP_VHID": "x", "CARP_PASSWORD": "y", "HOME": "/root"})

    assert [each.setting for each in caught.value.problems] == ["password", "vhid"]


def test_what_the_environment_does_not_say_has_a_default() -> None:
    assert settings_in({"CARP_VHID": "7", "HOME": "/root"})["vhid"] == "7"
    assert settings_in({})["addresses"] == ADDRESS
