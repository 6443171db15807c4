"""The guardian always has its clean-up plan: armed before the addresses are held, disarmed once they are dropped."""

import asyncio
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface

import pytest

from pycarp import State
from pycarp.aio.node import Node
from pycarp.core.inputs import Action
from pycarp.monitors.static import StaticMonitor
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket, SysctlWrite
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import HostKey, InterfaceAddress, Outgoing
from pycarp.wire import advertisement as wire
from tests.support.actuators import RecordingActuator
from tests.support.nodes import config, link
from tests.support.transports import ScriptedTransport
from tests.support.virtual import in_virtual_time, until_held


@dataclass(slots=True)
class RecordingGuardian:
    """Records its calls, with their times."""

    armed: dict[HostKey, tuple[tuple[CleanUpStep, ...], int]] = field(default_factory=dict)
    arms: list[float] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)
    disarms: list[float] = field(default_factory=list)
    left_armed: list[HostKey] | None = None

    async def start(self) -> None:
        """Do nothing."""

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Record the call."""
        self.armed[key] = (steps, limit_ns)
        self.arms.append(asyncio.get_running_loop().time())

    def beat(self, key: HostKey) -> None:
        """Record the call."""
        assert key in self.armed
        self.beats.append(asyncio.get_running_loop().time())

    def disarm(self, key: HostKey) -> None:
        """Record the call."""
        del self.armed[key]
        self.disarms.append(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Record the hosts that are still armed."""
        self.left_armed = list(self.armed)


class WillingActuator(RecordingActuator):
    """An actuator whose addresses a guardian can drop."""

    def clean_up_plan(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> tuple[CleanUpStep, ...]:
        """Return one clean-up step per address."""
        return tuple(SysctlWrite("net/test", str(address)) for address in addresses)


def guarded(
    guardian: RecordingGuardian, *, actuator: RecordingActuator | None = None, bus: MemoryBus | None = None
) -> Node:
    """Return a node on a bus of its own unless one is given."""
    return Node(
        transport=(bus or MemoryBus()).port("here"),
        actuator=actuator or WillingActuator(),
        monitor=StaticMonitor([link(1)]),
        guardian=guardian,
    )


@in_virtual_time
async def test_it_is_armed_with_what_drops_the_addresses_and_its_patience() -> None:
    guardian = RecordingGuardian()
    async with guarded(guardian) as here:
        web = await here.add(config())
        await until_held(web)

        assert guardian.armed == {web.key: ((SysctlWrite("net/test", "192.0.2.10/24"),), 1_750_000_000)}


@in_virtual_time
async def test_its_last_packet_is_a_bow_out_that_peers_accept() -> None:
    guardian = RecordingGuardian()
    node = Node(
        transport=ScriptedTransport(), actuator=WillingActuator(), monitor=StaticMonitor([link(1)]), guardian=guardian
    )
    async with node as here:
        web = await here.add(config())
        await until_held(web)
        prepared_packet = guardian.armed[web.key][0][-1]

        assert isinstance(prepared_packet, PreparedPacket)
        advert = wire.decode(prepared_packet.octets)
        assert (advert.advbase, advert.advskew) == (wire.BOW_OUT, wire.BOW_OUT)


@in_virtual_time
async def test_every_advertisement_is_a_sign_of_life() -> None:
    guardian = RecordingGuardian()
    async with guarded(guardian) as here:
        web = await here.add(config())
        await until_held(web)
        await asyncio.sleep(5.5)

        assert [round(at_s) for at_s in guardian.beats] == [4, 5, 6, 7, 8]


@in_virtual_time
async def test_it_is_as_patient_as_the_settings_of_now_demand() -> None:
    guardian = RecordingGuardian()
    async with guarded(guardian) as here:
        web = await here.add(config())
        await until_held(web)
        web.reconfigure(advbase=10)
        await asyncio.sleep(0.1)

        assert guardian.armed[web.key][1] == 28_750_000_000


@in_virtual_time
async def test_its_bow_out_is_signed_with_the_password_of_now() -> None:
    guardian = RecordingGuardian()
    node = Node(
        transport=ScriptedTransport(), actuator=WillingActuator(), monitor=StaticMonitor([link(1)]), guardian=guardian
    )
    async with node as here:
        web = await here.add(config())
        await until_held(web)
        before = guardian.armed[web.key][0][-1]
        web.reconfigure(passphrase="another")
        await asyncio.sleep(0.1)
        after = guardian.armed[web.key][0][-1]

        assert isinstance(before, PreparedPacket)
        assert isinstance(after, PreparedPacket)
        assert wire.decode(before.octets).digest != wire.decode(after.octets).digest


class Selective(ScriptedTransport):
    """A transport that cannot reach some destinations."""

    unreachable: tuple[str, ...] = ()

    def send(self, outgoing: Outgoing) -> None:
        if str(outgoing.destination) in self.unreachable:
            raise OSError(113, "No route to host")


@pytest.mark.parametrize("unreachable", ["192.0.2.2", "192.0.2.3"])
def test_a_master_that_reaches_one_of_its_peers_gives_signs_of_life(unreachable: str) -> None:
    @in_virtual_time
    async def plan() -> None:
        guardian, transport = RecordingGuardian(), Selective()
        transport.unreachable = (unreachable,)
        node = Node(transport=transport, actuator="null", monitor=StaticMonitor([link(1)]), guardian=guardian)
        async with node as here:
            web = await here.add(replace(config(), peers=(ip_address("192.0.2.2"), ip_address("192.0.2.3"))))
            await until_held(web)
            await asyncio.sleep(1.5)

            assert len(guardian.beats) == 1

    plan()


@in_virtual_time
async def test_a_family_that_cannot_be_sent_ends_no_sign_of_life_of_the_other() -> None:
    guardian, transport = RecordingGuardian(), Selective()
    transport.unreachable = ("ff02::12",)
    node = Node(transport=transport, actuator="null", monitor=StaticMonitor([link(1)]), guardian=guardian)
    async with node as here:
        web = await here.add(
            replace(config(), addresses=(ip_interface("192.0.2.10/24"), ip_interface("2001:db8::10/64")))
        )
        await until_held(web)
        await asyncio.sleep(1.5)
        before = len(guardian.beats)
        web.reconfigure(addresses=["192.0.2.10/24"])
        await asyncio.sleep(1.5)

        assert (before, len(guardian.beats)) == (1, 3)


@in_virtual_time
async def test_a_master_that_cannot_send_gives_no_sign_of_life() -> None:
    guardian, transport = RecordingGuardian(), ScriptedTransport()
    node = Node(transport=transport, actuator=WillingActuator(), monitor=StaticMonitor([link(1)]), guardian=guardian)
    async with node as here:
        web = await here.add(config())
        await until_held(web)
        transport.error = OSError(105, "No buffer space available")
        await asyncio.sleep(3.5)
        silent = len(guardian.beats)
        transport.error = None
        await asyncio.sleep(4)

        assert (silent, len(guardian.beats) > 0) == (0, True)


@in_virtual_time
async def test_it_is_disarmed_only_when_the_addresses_are_dropped() -> None:
    guardian = RecordingGuardian()
    async with guarded(guardian, actuator=WillingActuator(takes_s=1)) as here:
        web = await here.add(config())
        await until_held(web)
        await asyncio.sleep(2)
        web.force(State.BACKUP)
        await asyncio.sleep(0.5)
        while_dropping = list(guardian.armed)
        await asyncio.sleep(1)

        assert (while_dropping, list(guardian.armed)) == ([web.key], [])


@in_virtual_time
async def test_a_drop_that_is_over_when_the_host_is_master_again_disarms_nothing() -> None:
    guardian = RecordingGuardian()
    async with guarded(guardian, actuator=WillingActuator(takes_s=1)) as here:
        web = await here.add(config())
        await until_held(web)
        await asyncio.sleep(2)
        web.force(State.BACKUP)
        web.force(State.MASTER)
        await asyncio.sleep(3)

        assert list(guardian.armed) == [web.key]


@in_virtual_time
async def test_nothing_is_armed_at_a_clean_end() -> None:
    guardian = RecordingGuardian()
    async with guarded(guardian) as here:
        web = await here.add(config())
        await until_held(web)

    assert guardian.left_armed == []


@in_virtual_time
async def test_addresses_that_could_not_be_dropped_at_the_end_are_left_to_it() -> None:
    guardian = RecordingGuardian()
    actuator = WillingActuator()

    async def leave_in_vain() -> None:
        async with guarded(guardian, actuator=actuator) as here:
            await until_held(await here.add(config()))
            actuator.refused.add(Action.DROP)

    with pytest.raises(TimeoutError):
        await leave_in_vain()

    assert guardian.left_armed == [config().key]
