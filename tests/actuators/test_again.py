"""Calls of an actuator twice, at the same time, or again after a failure."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.errors import ActuatorError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.system.recovery.null_journal import NullJournal
from pycarp.vocabulary import MacMode
from tests.support.addresses import actuator_in, config, ear_on, links, on, switch
from tests.support.descriptors import descriptors_left, open_descriptors
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

HOST = config()
SECOND = config("10.77.0.60/24", vhid=2)
DEVICE = "carp1"
BOTH = {"10.77.0.50/24", "fd77::50/64"}

modes = pytest.mark.parametrize(("mac_mode", "link"), [(MacMode.VIRTUAL, DEVICE), (MacMode.INTERFACE, LINK)])


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip", "setpriv")
    with joined_namespaces() as (ours, _theirs):
        yield ours


class RefusingJournal(NullJournal):
    """Cannot restore the sysctls of a link while ``refuses``."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = False

    def restore(self, path: str) -> None:
        """Refuse, or do nothing."""
        if self.refuses:
            raise OSError(30, "Read-only file system")
        super().restore(path)


@modes
async def test_a_host_that_was_removed_is_added_again(namespace: Namespace, mac_mode: MacMode, link: str) -> None:
    host = config(mac_mode=mac_mode)
    async with actuator_in(namespace) as actuator:
        for _ in range(3):
            await actuator.prepare(host)
            await actuator.hold(host.key, host.addresses)
            there = on(namespace, link)
            await actuator.drop(host.key, host.addresses)
            await actuator.release(host.key)

            assert there >= BOTH
            assert (dict(actuator.modes), dict(actuator.devices)) == ({}, {})
            assert DEVICE not in links(namespace)


async def test_a_host_whose_neighbour_could_not_be_removed_is_added_again(namespace: Namespace) -> None:
    """Removed hosts are forgotten, even if another one of the same call cannot be removed."""
    path = f"ipv4/conf/{LINK}/arp_ignore"
    before, journal = switch(namespace, path), RefusingJournal()
    async with actuator_in(namespace, journal=journal) as actuator:
        await actuator.prepare(HOST)
        await actuator.prepare(SECOND)
        journal.refuses = True
        # The sysctls are restored with the last host of the link, the second one; the first one is removed.
        with pytest.raises(ActuatorError, match="cannot remove carp2: Read-only file system"):
            await actuator.release(HOST.key, SECOND.key)
        journal.refuses = False
        for host in (HOST, SECOND):
            await actuator.prepare(host)
            await actuator.hold(host.key, host.addresses)

        assert on(namespace, DEVICE) == BOTH
        assert on(namespace, "carp2") == {"10.77.0.60/24"}
        await actuator.release(HOST.key, SECOND.key)
        assert switch(namespace, path) == before


async def test_what_could_not_be_removed_is_removed_when_asked_again(namespace: Namespace) -> None:
    path = f"ipv4/conf/{LINK}/arp_ignore"
    before = switch(namespace, path)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        with unprivileged(), pytest.raises(ActuatorError, match=r"cannot remove carp1: (Operation not|Permission)"):
            await actuator.release(HOST.key)
        await actuator.release(HOST.key)

        assert DEVICE not in links(namespace)
        assert dict(actuator.modes) == {}
        assert switch(namespace, path) == before


@modes
async def test_the_same_at_once_is_the_same_as_once(namespace: Namespace, mac_mode: MacMode, link: str) -> None:
    host = config(mac_mode=mac_mode)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(host)
        await asyncio.gather(*(actuator.hold(host.key, host.addresses) for _ in range(3)))
        held = on(namespace, link)
        await asyncio.gather(*(actuator.drop(host.key, host.addresses) for _ in range(3)))
        dropped = on(namespace, link)
        made = links(namespace)
        await asyncio.gather(*(actuator.release(host.key) for _ in range(3)))

    assert held >= BOTH
    assert not dropped & BOTH
    assert {name for name in made if name.startswith("carp")} == ({DEVICE} if mac_mode is MacMode.VIRTUAL else set())
    assert not any(name.startswith("carp") for name in links(namespace))


@modes
async def test_renewing_after_a_drop_brings_nothing_back(namespace: Namespace, mac_mode: MacMode, link: str) -> None:
    host = config(mac_mode=mac_mode)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(host)
        actuator.renew(host.key, host.addresses, 3)
        actuator.send_renewals()
        await actuator.hold(host.key, host.addresses, lifetime_s=3)
        actuator.renew(host.key, host.addresses, 3)
        actuator.send_renewals()
        await actuator.drop(host.key, host.addresses)
        actuator.renew(host.key, host.addresses, 3)
        actuator.send_renewals()
        await asyncio.sleep(0.05)

        assert not on(namespace, link) & BOTH


async def test_renewing_a_host_that_was_removed_brings_nothing_back(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses, lifetime_s=3)
        await actuator.drop(HOST.key, HOST.addresses)
        await actuator.release(HOST.key)
        actuator.renew(HOST.key, HOST.addresses, 3)
        actuator.send_renewals()
        await asyncio.sleep(0.05)

        assert not on(namespace, LINK) & BOTH


# Opening


async def test_without_permission_it_says_what_to_do_and_opens_once_there_is(namespace: Namespace) -> None:
    actuator = NetlinkActuator()
    with entered(namespace):
        with unprivileged(), pytest.raises(ActuatorError) as caught:
            await actuator.open()
        await actuator.open()
    await actuator.hold(HOST.key, HOST.addresses)
    await actuator.close()

    assert str(caught.value) == f"cannot change addresses: {NO_PERMISSION}"
    assert on(namespace, LINK) >= BOTH


@pytest.mark.parametrize("left", [0, 1])
async def test_an_actuator_that_gets_no_socket_keeps_none(namespace: Namespace, left: int) -> None:
    actuator = NetlinkActuator()
    with entered(namespace):
        before = open_descriptors()
        with descriptors_left(left), pytest.raises(OSError, match="Too many open files"):
            await actuator.open()
        await actuator.close()

        assert open_descriptors() == before


# Refusals


async def test_without_permission_no_device_is_made_and_the_switches_stay(namespace: Namespace) -> None:
    before = switch(namespace, f"ipv4/conf/{LINK}/arp_ignore")
    before = switch(namespace, f"ipv4/conf/{LINK}/arp_ignore")
    async with actuator_in(namespace) as actuator:
        with unprivileged(), pytest.raises(ActuatorError) as caught:
            await actuator.prepare(HOST)

        assert DEVICE not in links(namespace)
        assert (dict(actuator.modes), dict(actuator.devices)) == ({}, {})
        assert switch(namespace, f"ipv4/conf/{LINK}/arp_ignore") == before
        assert str(caught.value) == (
            f"cannot set net.ipv4.conf.{LINK}.arp_ignore to 1: Permission denied; "
            'set it before, or use mac_mode = "interface", which needs none'
        )
        await actuator.prepare(HOST)
        assert DEVICE in links(namespace)


async def test_without_permission_nothing_is_dropped_and_later_it_is(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(HOST.key, HOST.addresses)
        with unprivileged(), pytest.raises(ActuatorError, match=r"cannot remove .* from carp1: "):
            await actuator.drop(HOST.key, HOST.addresses)
        await actuator.drop(HOST.key, HOST.addresses)

        assert not on(namespace, DEVICE) & BOTH


async def test_an_address_that_the_kernel_refuses_is_named_and_not_the_first(namespace: Namespace) -> None:
    """Without IPv6 there are no addresses of it."""
    host = config(mac_mode=MacMode.INTERFACE)
    namespace.switch_off_ipv6()
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(host)
        with pytest.raises(ActuatorError, match=rf"cannot add fd77::50/64 to {LINK}: IPv6 is switched off there"):
            await actuator.hold(host.key, host.addresses)


# Idle


@modes
async def test_a_watch_that_has_something_told_is_idle_again(
    namespace: Namespace, mac_mode: MacMode, link: str
) -> None:
    host = config(mac_mode=mac_mode)
    async with actuator_in(namespace) as actuator, ear_on(actuator) as bound:
        await actuator.prepare(host)
        await actuator.hold(host.key, host.addresses)
        namespace.ip("addr", "del", "10.77.0.50/24", "dev", link)
        await bound.until(lambda heard: len(heard) == 1)
        began_s = time.process_time()
        await asyncio.sleep(0.5)

        assert time.process_time() - began_s < 0.05


async def test_a_watch_that_gets_no_socket_waits_for_one(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        with descriptors_left(0):
            watching = asyncio.create_task(actuator.watch(lambda _notice: None))
            began_s = time.process_time()
            await asyncio.sleep(0.5)
            took_s = time.process_time() - began_s
        watching.cancel()
        await asyncio.wait({watching})

        assert took_s < 0.05
