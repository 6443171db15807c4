"""The cluster of the FreeBSD handbook: hosta and hostb have an address each, provider stands in for both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_interface

import pytest

from pycarp import HostConfig, Node, Reason, State, StateChange, VirtualHost
from pycarp.monitors import StaticMonitor
from pycarp.transports import MemoryBus
from pycarp.vocabulary import NS_PER_S, LinkFacts
from tests.support.actuators import RecordingActuator
from tests.support.virtual import in_virtual_time, now_s

FIRST = "192.168.1.50/24"
SECOND = "192.168.1.51/24"
TAKEOVER_S = 3 + 100 / 256


@dataclass(slots=True)
class Machine:
    """A machine that can lose its power."""

    name: str
    own: str
    bus: MemoryBus
    actuator: RecordingActuator = field(default_factory=RecordingActuator)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    node: Node = field(init=False)

    async def boot(self, *hosts: HostConfig) -> tuple[VirtualHost, ...]:
        """Start the node."""
        facts = LinkFacts(name="fxp0", is_up=True, addresses=(ip_interface(self.own),))
        self.actuator = RecordingActuator()
        self.node = Node(transport=self.bus.port(self.name), actuator=self.actuator, monitor=StaticMonitor([facts]))
        await self.stack.enter_async_context(self.node)
        return tuple([await self.node.add(host) for host in hosts])

    async def pull_the_plug(self) -> None:
        """Lose power: the packets of the leaving node are dropped."""
        self.bus.fabric.isolate(self.name)
        await self.stack.aclose()
        self.bus.fabric.heal()

    @property
    def addresses(self) -> set[str]:
        """The shared addresses that answer here."""
        return {str(each) for each in self.actuator.held}


@dataclass(slots=True, kw_only=True)
class Cluster:
    """The three machines and their virtual hosts, and every change since the start."""

    hosta: Machine
    hostb: Machine
    provider: Machine
    web_a: VirtualHost
    web_b: VirtualHost
    carp0: VirtualHost
    carp1: VirtualHost
    changes: list[tuple[str, StateChange]] = field(default_factory=list)

    def watch(self, name: str, host: VirtualHost) -> None:
        """Record the changes of a host under a name."""
        host.on_change(lambda change: self.changes.append((name, change)))


def host(vhid: int, address: str, *, advskew: int = 0, preempt: bool = False) -> HostConfig:
    return HostConfig(
        interface="fxp0", vhid=vhid, passphrase="testpass", addresses=[address], advskew=advskew, preempt=preempt
    )


@contextlib.asynccontextmanager
async def settled_cluster() -> AsyncIterator[Cluster]:
    """The cluster ten seconds after it was switched on."""
    bus = MemoryBus()
    hosta = Machine("hosta", "192.168.1.3/24", bus)
    hostb = Machine("hostb", "192.168.1.4/24", bus)
    provider = Machine("provider", "192.168.1.5/24", bus)
    async with hosta.stack, hostb.stack, provider.stack:
        (web_a,) = await hosta.boot(host(1, FIRST))
        (web_b,) = await hostb.boot(host(2, SECOND))
        carp0, carp1 = await provider.boot(host(1, FIRST, advskew=100), host(2, SECOND, advskew=100))
        await asyncio.sleep(10.2)
        cluster = Cluster(
            hosta=hosta, hostb=hostb, provider=provider, web_a=web_a, web_b=web_b, carp0=carp0, carp1=carp1
        )
        cluster.watch("hosta", web_a)
        cluster.watch("hostb", web_b)
        cluster.watch("carp0", carp0)
        cluster.watch("carp1", carp1)
        yield cluster


@in_virtual_time
async def test_hosta_and_hostb_have_their_addresses_and_provider_has_none() -> None:
    async with settled_cluster() as cluster:
        assert (cluster.web_a.state, cluster.web_b.state) == (State.MASTER, State.MASTER)
        assert (cluster.carp0.state, cluster.carp1.state) == (State.BACKUP, State.BACKUP)
        assert cluster.hosta.addresses == {FIRST}
        assert cluster.hostb.addresses == {SECOND}
        assert cluster.provider.addresses == set()


@in_virtual_time
async def test_provider_takes_over_three_intervals_and_its_skew_after_the_last_advertisement() -> None:
    async with settled_cluster() as cluster:
        peer = cluster.carp0.snapshot().peer
        assert peer is not None
        await cluster.hosta.pull_the_plug()
        change = await cluster.carp0.wait_for(State.MASTER)
        await asyncio.sleep(0.1)

        assert change.reason is Reason.MASTER_SILENT
        assert change.silent_ns is not None
        assert change.silent_ns / NS_PER_S == pytest.approx(TAKEOVER_S, abs=0.001)
        assert (change.at_ns - peer.at_ns) / NS_PER_S == pytest.approx(TAKEOVER_S, abs=0.001)
        assert str(change.peer) == "192.168.1.3"
        assert cluster.provider.addresses == {FIRST}


@in_virtual_time
async def test_hostb_notices_nothing_of_all_this() -> None:
    async with settled_cluster() as cluster:
        await cluster.hosta.pull_the_plug()
        await cluster.carp0.wait_for(State.MASTER)
        await cluster.hosta.boot(host(1, FIRST, preempt=True))
        await asyncio.sleep(60)

        assert [name for name, _ in cluster.changes if name in ("hostb", "carp1")] == []
        assert cluster.hostb.addresses == {SECOND}


@in_virtual_time
async def test_hosta_without_preemption_stays_backup_when_it_is_back() -> None:
    async with settled_cluster() as cluster:
        await cluster.hosta.pull_the_plug()
        await cluster.carp0.wait_for(State.MASTER)
        (web_a,) = await cluster.hosta.boot(host(1, FIRST))
        await asyncio.sleep(60)

        assert (web_a.state, cluster.carp0.state) == (State.BACKUP, State.MASTER)
        assert cluster.hosta.addresses == set()
        assert cluster.provider.addresses == {FIRST}


@in_virtual_time
async def test_hosta_with_preemption_takes_its_address_back_with_the_next_advertisement() -> None:
    async with settled_cluster() as cluster:
        await cluster.hosta.pull_the_plug()
        await cluster.carp0.wait_for(State.MASTER)
        (web_a,) = await cluster.hosta.boot(host(1, FIRST, preempt=True))
        booted_s = now_s()
        change = await web_a.wait_for(State.MASTER)
        await asyncio.sleep(0.1)

        assert change.reason is Reason.PREEMPTING
        assert change.at_ns / NS_PER_S - booted_s <= 1 + 100 / 256 + 0.001
        assert cluster.carp0.state is State.BACKUP
        assert cluster.hosta.addresses == {FIRST}
        assert cluster.provider.addresses == set()


@in_virtual_time
async def test_down_and_up_on_provider_gives_the_address_back_at_once() -> None:
    async with settled_cluster() as cluster:
        await cluster.hosta.pull_the_plug()
        await cluster.carp0.wait_for(State.MASTER)
        (web_a,) = await cluster.hosta.boot(host(1, FIRST))
        await asyncio.sleep(5)
        cluster.carp0.down()
        cluster.carp0.up()
        change = await web_a.wait_for(State.MASTER)
        given_back_s = now_s()
        await asyncio.sleep(60)

        assert change.reason is Reason.MASTER_LEFT
        assert change.at_ns / NS_PER_S == pytest.approx(given_back_s, abs=0.01)
        assert (web_a.state, cluster.carp0.state) == (State.MASTER, State.BACKUP)
        assert cluster.hosta.addresses == {FIRST}
        assert cluster.provider.addresses == set()


@in_virtual_time
async def test_an_address_never_has_two_owners_while_hosts_come_and_go_on_purpose() -> None:
    async with settled_cluster() as cluster:
        owners: list[int] = []

        async def count_owners() -> None:
            while True:
                owners.append(sum(FIRST in each.addresses for each in (cluster.hosta, cluster.provider)))
                await asyncio.sleep(0.002)

        counting = asyncio.create_task(count_owners())
        cluster.hosta.actuator.takes_s = cluster.provider.actuator.takes_s = 0.3
        for _ in range(3):
            cluster.web_a.down()
            await asyncio.sleep(5)
            cluster.web_a.up()
            cluster.carp0.down()
            cluster.carp0.up()
            await asyncio.sleep(5)
        counting.cancel()

        assert max(owners) == 1
        assert owners[-1] == 1


@in_virtual_time
async def test_without_hosta_and_hostb_provider_serves_both() -> None:
    async with settled_cluster() as cluster:
        await cluster.hosta.pull_the_plug()
        await cluster.hostb.pull_the_plug()
        await asyncio.sleep(5)

        assert cluster.provider.addresses == {FIRST, SECOND}


@in_virtual_time
async def test_a_split_segment_heals_to_one_master() -> None:
    async with settled_cluster() as cluster:
        cluster.provider.bus.fabric.isolate("hosta")
        await asyncio.sleep(10)
        assert (cluster.web_a.state, cluster.carp0.state) == (State.MASTER, State.MASTER)
        cluster.provider.bus.fabric.heal()
        await asyncio.sleep(2)

        assert (cluster.web_a.state, cluster.carp0.state) == (State.MASTER, State.BACKUP)
        assert cluster.provider.addresses == set()
