"""Hosts that are added to a daemon, many at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from pycarp.aio.node import Node
from pycarp.core.host_config import HostConfig
from pycarp.daemon.host_set import PAUSE_S, HostSet
from pycarp.errors import ActuatorError
from pycarp.monitors import StaticMonitor
from pycarp.system.recovery.host_locks import HostLocks
from pycarp.transports import MemoryBus
from pycarp.vocabulary import LinkFacts
from tests.support.actuators import RecordingActuator

LINKS = ("set0", "set1")
MANY = [
    HostConfig(interface=link, vhid=vhid, passphrase="secret", addresses=[f"10.{number}.0.{vhid}/16"])
    for number, link in enumerate(LINKS)
    for vhid in range(1, 201)
]


class _Busy(RecordingActuator):
    """Prepares hosts in a later turn of the loop, counts how many at once, and refuses some vhids of ``set1``."""

    def __init__(self, *refused: int) -> None:
        super().__init__()
        self.begun: list[str] = []
        self.now = 0
        self.most = 0
        self.refused_vhids = refused
        self.fifth = asyncio.Event()

    async def prepare(self, config: HostConfig) -> None:
        self.begun.append(config.name)
        self.now += 1
        self.most = max(self.most, self.now)
        if len(self.begun) == 5:
            self.fifth.set()
        await asyncio.sleep(0)
        self.now -= 1
        if config.interface == LINKS[1] and config.vhid in self.refused_vhids:
            raise ActuatorError(f"cannot make a device for {config.name}")


@contextlib.asynccontextmanager
async def hosts_on(actuator: _Busy) -> AsyncIterator[HostSet]:
    facts = [LinkFacts(name=link, is_up=True) for link in LINKS]
    node = Node(transport=MemoryBus().port("a"), actuator=actuator, monitor=StaticMonitor(facts))
    locks = HostLocks()
    hosts = HostSet(
        node, locks, on_event=lambda _event, _host: None, on_added=lambda _host: None, exists=lambda _link: True
    )
    try:
        async with node:
            yield hosts
        await hosts.finish()
    finally:
        locks.close()


async def test_many_hosts_are_added_at_once_and_the_first_of_each_interface_before_the_others() -> None:
    actuator = _Busy()
    async with hosts_on(actuator) as hosts:
        await hosts.add_all(MANY, asyncio.Event())

        assert {host.key for host in hosts.running} == {config.key for config in MANY}
    assert actuator.begun[:3] == ["1@set0", "1@set1", "2@set0"]
    assert 50 <= actuator.most <= 200


async def test_what_keeps_the_first_host_from_being_added_is_raised_and_no_more_are_begun() -> None:
    actuator = _Busy(20, 10)
    async with hosts_on(actuator) as hosts:
        with pytest.raises(ActuatorError, match="cannot make a device for 10@set1"):
            await hosts.add_all(MANY, asyncio.Event())

    assert "200@set1" not in actuator.begun


async def test_after_a_stop_no_more_hosts_are_begun() -> None:
    actuator = _Busy()
    async with hosts_on(actuator) as hosts:
        await hosts.add_all(MANY, actuator.fifth)

        assert 5 <= len(hosts.running) < len(MANY)


class _Late(Node):
    """A node that is behind with its hosts for so many looks."""

    looks = 3

    @property
    def is_behind(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


async def test_a_host_is_added_when_the_node_is_in_time_again_or_after_a_while() -> None:
    actuator = _Busy()
    facts = [LinkFacts(name=link, is_up=True) for link in LINKS]
    node = _Late(transport=MemoryBus().port("a"), actuator=actuator, monitor=StaticMonitor(facts))
    locks = HostLocks()
    hosts = HostSet(
        node, locks, on_event=lambda _event, _host: None, on_added=lambda _host: None, exists=lambda _link: True
    )
    began_s = asyncio.get_running_loop().time()
    try:
        async with node:
            await hosts.add_all(MANY[:1], asyncio.Event())
            waited_s = asyncio.get_running_loop().time() - began_s
    finally:
        locks.close()

    assert waited_s >= 3 * PAUSE_S
    assert node.looks == -1
