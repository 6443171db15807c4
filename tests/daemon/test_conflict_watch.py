"""A neighbour that answers for a shared address is warned of, once, unless a CARP peer explains it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from pycarp.daemon.conflict_watch import AGAIN_S, EVERY_S, ConflictWatch
from pycarp.daemon.control_messages import Alarm
from pycarp.daemon.warnings import Warnings
from pycarp.errors import ActuatorError
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import Address, HostKey, MacAddress
from tests.support.nodes import LINK, config, node
from tests.support.virtual import in_virtual_time

SHARED, PEER = ip_address("192.0.2.10"), ip_address("192.0.2.2")
STRANGERS, PEERS_OWN = MacAddress.parse("52:54:00:00:00:99"), MacAddress.parse("52:54:00:00:00:02")
VIRTUAL = MacAddress.parse("00:00:5e:00:01:01")
LATER_S = 10.0


@dataclass
class Neighbours:
    """Who answers for what; ``asked`` are the questions."""

    known: Answers
    asked: list[tuple[str, tuple[Address, ...]]] = field(default_factory=list)

    async def find(self, link: str, addresses: Collection[Address]) -> Answers:
        self.asked.append((link, tuple(addresses)))
        await asyncio.sleep(1)
        return {each: set(self.known[each]) for each in addresses if each in self.known}


@asynccontextmanager
async def watching(
    neighbours: Neighbours, *, beside_a_master: bool = False, present_name: Callable[[str], str] = str
) -> AsyncIterator[Warnings]:
    """Have a host looked after; yields the warnings."""
    bus, warnings = MemoryBus(), Warnings()
    watch = ConflictWatch(warnings, neighbours.find, present_name=present_name)
    running = asyncio.create_task(watch.run())
    async with node(bus, host=2) as other, node(bus) as ours:
        if beside_a_master:
            master = await other.add(config())
            await master.wait_for("MASTER")
        host = await ours.add(config(advskew=100, name="carp0"))
        watch.add(host)
        yield warnings
        running.cancel()
        await asyncio.wait({running})


@in_virtual_time
async def test_a_stranger_is_warned_of_with_its_mac_address() -> None:
    async with watching(Neighbours({SHARED: {STRANGERS}})) as warnings:
        await asyncio.sleep(LATER_S)

        (told,) = warnings.about(config().key)
        assert "52:54:00:00:00:99 answers for 192.0.2.10" in told


@in_virtual_time
async def test_neighbours_of_a_renamed_interface_are_asked_by_its_present_name() -> None:
    neighbours = Neighbours({})
    async with watching(neighbours, present_name=lambda _link: "wan0"):
        await asyncio.sleep(LATER_S)

    assert {link for link, _addresses in neighbours.asked} == {"wan0"}


@pytest.mark.parametrize("mac", [VIRTUAL, PEERS_OWN])
@in_virtual_time
async def test_a_master_that_is_heard_explains_its_answers(mac: MacAddress) -> None:
    """From the virtual MAC address, or from that which has its own address as well."""
    async with watching(Neighbours({SHARED: {mac}, PEER: {PEERS_OWN}}), beside_a_master=True) as warnings:
        await asyncio.sleep(LATER_S)

        assert warnings.about(config().key) == []


@in_virtual_time
async def test_a_master_does_not_explain_the_answer_of_somebody_else() -> None:
    neighbours = Neighbours({SHARED: {VIRTUAL, STRANGERS}, PEER: {PEERS_OWN}})
    async with watching(neighbours, beside_a_master=True) as warnings:
        await asyncio.sleep(LATER_S)

        assert [each.split()[0] for each in warnings.about(config().key)] == [str(STRANGERS)]


@in_virtual_time
async def test_the_virtual_mac_of_nobody_who_is_heard_is_warned_of() -> None:
    """One with another password, for one."""
    async with watching(Neighbours({SHARED: {VIRTUAL}})) as warnings:
        await asyncio.sleep(LATER_S)

        assert len(warnings.about(config().key)) == 1


@in_virtual_time
async def test_hosts_of_a_link_are_asked_about_together_and_silence_is_well() -> None:
    neighbours, bus, warnings = Neighbours({}), MemoryBus(), Warnings()
    watch = ConflictWatch(warnings, neighbours.find)
    running = asyncio.create_task(watch.run())
    async with node(bus) as ours:
        for number in (1, 2):
            watch.add(await ours.add(config(vhid=number, address=f"192.0.2.1{number}/24")))
        await asyncio.sleep(LATER_S)
        running.cancel()

    assert neighbours.asked == [(LINK, (ip_address("192.0.2.11"), ip_address("192.0.2.12")))]
    assert warnings.about(config().key) == []


@in_virtual_time
async def test_a_link_that_cannot_be_asked_is_left_alone() -> None:
    async def find(link: str, addresses: Collection[Address]) -> Answers:
        raise ActuatorError("no permission")

    warnings = Warnings()
    watch = ConflictWatch(warnings, find)
    running = asyncio.create_task(watch.run())
    async with node(MemoryBus()) as ours:
        watch.add(await ours.add(config()))
        await asyncio.sleep(LATER_S)

        assert not running.done()
        running.cancel()


@in_virtual_time
async def test_a_host_that_left_meanwhile_is_not_warned_of() -> None:
    neighbours, warnings = Neighbours({SHARED: {STRANGERS}}), Warnings()
    watch = ConflictWatch(warnings, neighbours.find)
    running = asyncio.create_task(watch.run())
    async with node(MemoryBus()) as ours:
        host = await ours.add(config())
        watch.add(host)
        await asyncio.sleep(2)
        await ours.remove(host)
        await asyncio.sleep(LATER_S)

        assert not running.done()
        running.cancel()

    assert warnings.about(config().key) == []


class Told:
    """The alarms that were told last."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, _key: HostKey, alarms: Sequence[Alarm]) -> None:
        self.names = [each.name for each in alarms]


@asynccontextmanager
async def reviewing(neighbours: Neighbours, *, beside_a_master: bool = False) -> AsyncIterator[tuple[Told, Warnings]]:
    """Have the answers for a host that runs reviewed again and again."""
    bus, warnings, told = MemoryBus(), Warnings(), Told()
    async with node(bus, host=2) as other, node(bus) as ours:
        if beside_a_master:
            await (await other.add(config())).wait_for("MASTER")
        host = await ours.add(config(advskew=100))
        await host.wait_for("BACKUP" if beside_a_master else "MASTER")
        watch = ConflictWatch(warnings, neighbours.find, hosts=lambda: ours.hosts, tell=told)
        running = asyncio.create_task(watch.run())
        yield told, warnings
        running.cancel()
        await asyncio.wait({running})


REVIEWED_S = EVERY_S + AGAIN_S + 3


@pytest.mark.parametrize(("mac", "name"), [(VIRTUAL, "unheard-master"), (STRANGERS, "duplicate-address")])
@in_virtual_time
async def test_who_answers_although_this_host_is_master_is_an_alarm_until_it_stops(mac: MacAddress, name: str) -> None:
    neighbours = Neighbours({})
    async with reviewing(neighbours) as (told, warnings):
        await asyncio.sleep(REVIEWED_S)
        assert told.names == []

        neighbours.known[SHARED] = {mac}
        await asyncio.sleep(REVIEWED_S)
        assert (told.names, len(warnings.about(config().key))) == ([name], 1)

        neighbours.known.clear()
        await asyncio.sleep(2 * AGAIN_S)
        assert (told.names, warnings.about(config().key)) == ([], [])


@in_virtual_time
async def test_an_answer_that_ends_at_once_is_no_alarm() -> None:
    """An old MASTER may not have dropped the addresses yet."""
    neighbours = Neighbours({SHARED: {STRANGERS}})
    async with reviewing(neighbours) as (told, _warnings):
        await asyncio.sleep(EVERY_S + 1.5)
        neighbours.known.clear()
        await asyncio.sleep(REVIEWED_S)

        assert told.names == []


@in_virtual_time
async def test_the_answers_of_the_master_that_a_backup_hears_are_none() -> None:
    neighbours = Neighbours({SHARED: {VIRTUAL}, PEER: {PEERS_OWN}})
    async with reviewing(neighbours, beside_a_master=True) as (told, _warnings):
        await asyncio.sleep(REVIEWED_S)

        assert told.names == []


@in_virtual_time
async def test_of_many_hosts_each_has_its_turn() -> None:
    neighbours = Neighbours({})
    async with node(MemoryBus()) as ours:
        for number in range(1, 21):
            await ours.add(config(vhid=number, address=f"192.0.2.{100 + number}/24"))
        watch = ConflictWatch(Warnings(), neighbours.find, hosts=lambda: ours.hosts)
        running = asyncio.create_task(watch.run())
        await asyncio.sleep(2 * EVERY_S + 3)
        running.cancel()

    asked = [addresses for _link, addresses in neighbours.asked]
    assert [len(each) for each in asked] == [16, 16]
    assert len({each for addresses in asked for each in addresses}) == 20


def test_what_was_said_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    warnings = Warnings()
    for _ in range(3):
        warnings.tell(config().key, "odd")

    assert [each.getMessage() for each in caplog.records] == [f"carp: {config().key}: odd"]
    assert warnings.about(config().key) == ["odd"]
