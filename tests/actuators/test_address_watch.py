"""The watch reports external changes of addresses and devices."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.vocabulary import MacMode
from tests.support.addresses import BoundSocket, actuator_in, config, ear_on, links, on
from tests.support.namespaces import LINK, Namespace, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

HOST = config()
KEY = HOST.key
DEVICE = "carp1"
MAC = "00:00:5e:00:01:01"
SILENCE_S = 0.3


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        yield ours


@asynccontextmanager
async def adopted(
    namespace: Namespace, mac_mode: MacMode = MacMode.VIRTUAL
) -> AsyncIterator[tuple[NetlinkActuator, BoundSocket]]:
    async with actuator_in(namespace) as actuator, ear_on(actuator) as bound:
        await actuator.prepare(config(mac_mode=mac_mode))
        yield actuator, bound


def disturbed(what: str) -> AddressesDisturbed:
    return AddressesDisturbed(KEY, what)


@pytest.mark.parametrize("mac_mode", [MacMode.VIRTUAL, MacMode.INTERFACE])
async def test_our_own_changes_are_never_told(namespace: Namespace, mac_mode: MacMode) -> None:
    async with adopted(namespace, mac_mode) as (actuator, bound):
        for _ in range(30):
            await actuator.hold(KEY, HOST.addresses, lifetime_s=3)
            actuator.renew(KEY, HOST.addresses, 3)
            actuator.send_renewals()
            await actuator.drop(KEY, HOST.addresses)
        await actuator.hold(KEY, HOST.addresses)
        await actuator.prepare(config(mac_mode=MacMode.INTERFACE if mac_mode is MacMode.VIRTUAL else MacMode.VIRTUAL))
        await actuator.release(KEY)
        await asyncio.sleep(SILENCE_S)

        assert bound.heard == []


@pytest.mark.parametrize(
    ("before", "after"), [(MacMode.INTERFACE, MacMode.VIRTUAL), (MacMode.VIRTUAL, MacMode.INTERFACE)]
)
async def test_a_host_that_gets_another_mode_loses_what_it_holds(
    namespace: Namespace, before: MacMode, after: MacMode
) -> None:
    async with adopted(namespace, before) as (actuator, _bound):
        await actuator.hold(KEY, HOST.addresses)
        await actuator.prepare(config(mac_mode=after))

        assert not {str(each) for each in HOST.addresses} & set(namespace.ip("-o", "addr").split())


async def test_our_own_setting_down_and_up_is_never_told(namespace: Namespace) -> None:
    """The host is up again when the notification of its device being down arrives; it must not be set down again."""
    async with adopted(namespace) as (actuator, bound):
        for _ in range(3):
            for is_up in (False, False, True, True):
                actuator.set_up(KEY, is_up=is_up)
        await asyncio.sleep(SILENCE_S)
        told = list(bound.heard)
        namespace.ip("link", "set", DEVICE, "down")
        await bound.until(lambda heard: heard == [AdminChanged(KEY, False)])

        assert told == []


@pytest.mark.parametrize(("mac_mode", "link"), [(MacMode.VIRTUAL, DEVICE), (MacMode.INTERFACE, LINK)])
@pytest.mark.parametrize("address", ["10.77.0.50/24", "fd77::50/64"])
async def test_a_held_address_that_is_removed_is_told_within_milliseconds(
    namespace: Namespace, mac_mode: MacMode, link: str, address: str
) -> None:
    async with adopted(namespace, mac_mode) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("addr", "del", address, "dev", link)
        await bound.until(lambda heard: heard == [disturbed(f"{address} was removed from {link}")], within_s=0.05)


@pytest.mark.parametrize(
    ("mac_mode", "link"), [(MacMode.VIRTUAL, DEVICE), (MacMode.VIRTUAL, LINK), (MacMode.INTERFACE, LINK)]
)
async def test_a_dropped_address_that_appears_is_told(namespace: Namespace, mac_mode: MacMode, link: str) -> None:
    async with adopted(namespace, mac_mode) as (actuator, bound):
        await actuator.drop(KEY, HOST.addresses)
        namespace.ip("addr", "add", "10.77.0.50/24", "dev", link)
        await bound.until(lambda heard: heard == [disturbed(f"10.77.0.50/24 was added to {link}")])


async def test_an_address_that_nobody_renewed_is_told_when_it_is_gone(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses[:1], lifetime_s=1)
        told = disturbed("10.77.0.50/24 was removed from carp1")
        await bound.until(lambda heard: heard == [told], within_s=3)


async def test_other_addresses_are_nobodys_business(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        for link in (LINK, DEVICE):
            namespace.ip("addr", "add", "10.77.0.99/24", "dev", link)
            namespace.ip("addr", "del", "10.77.0.99/24", "dev", link)
        await asyncio.sleep(SILENCE_S)

        assert bound.heard == []


async def test_a_device_that_is_deleted_is_told_as_that_and_not_as_an_administrators_wish(
    namespace: Namespace,
) -> None:
    """The kernel first notifies that the device is down."""
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("link", "del", DEVICE)
        await bound.until(lambda heard: len(heard) > 0)
        await actuator.hold(KEY, HOST.addresses)
        await asyncio.sleep(SILENCE_S)

        (told,) = bound.heard
        assert isinstance(told, AddressesDisturbed)
        assert told.what == "carp1 was deleted"
        assert len(on(namespace, DEVICE)) == 2
        assert ",UP," in namespace.ip("link", "show", "dev", DEVICE)


async def test_a_device_that_is_renamed_has_its_name_back(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("link", "set", DEVICE, "name", "other0")
        await bound.until(lambda heard: heard == [disturbed("carp1 was renamed to other0, and has its name back")])

        assert DEVICE in links(namespace)
        assert len(on(namespace, DEVICE)) == 2


async def test_a_device_whose_name_is_taken_meanwhile_drops_its_addresses_all_the_same(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses[:1])
        namespace.ip_batch(f"link set {DEVICE} name other0\nlink add {DEVICE} type veth peer name spare1\n")
        await bound.until(lambda heard: len(heard) > 0)
        await actuator.drop(KEY, HOST.addresses[:1])

        assert "10.77.0.50/24" not in on(namespace, "other0") | on(namespace, DEVICE)


async def test_a_device_gets_its_mac_address_back(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("link", "set", DEVICE, "address", "02:00:00:00:00:09")
        what = "carp1 had the MAC address 02:00:00:00:00:09 for a while"
        await bound.until(lambda heard: heard == [disturbed(what)])

        assert MAC in namespace.ip("link", "show", "dev", DEVICE)


@pytest.mark.parametrize("is_held", [True, False])
async def test_down_and_up_at_once_are_both_told(namespace: Namespace, is_held: bool) -> None:
    """``ifconfig carp0 down && ifconfig carp0 up`` takes 3 ms."""
    async with adopted(namespace) as (actuator, bound):
        if is_held:
            await actuator.hold(KEY, HOST.addresses[:1])
        namespace.ip_batch(f"link set {DEVICE} down\nlink set {DEVICE} up\n")
        await asyncio.sleep(SILENCE_S)

        assert bound.heard == [AdminChanged(KEY, is_up=False), AdminChanged(KEY, is_up=True)]


async def test_the_handbooks_own_command_is_told(namespace: Namespace) -> None:
    require("ifconfig")
    command = f"ifconfig {DEVICE} down && ifconfig {DEVICE} up"
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses[:1])
        run = await asyncio.create_subprocess_exec("ip", "netns", "exec", namespace.name, "sh", "-c", command)
        assert await run.wait() == 0
        await asyncio.sleep(SILENCE_S)

        assert bound.heard == [AdminChanged(KEY, is_up=False), AdminChanged(KEY, is_up=True)]


async def test_a_device_that_is_down_is_dropped_from_and_stays_down_even_when_made_anew(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("link", "set", DEVICE, "down")
        await bound.until(lambda heard: heard == [AdminChanged(KEY, is_up=False)])
        await actuator.drop(KEY, HOST.addresses)
        assert on(namespace, DEVICE) == set()
        await actuator.hold(KEY, HOST.addresses)
        assert ",UP" not in namespace.ip("link", "show", "dev", DEVICE)

        namespace.ip("link", "del", DEVICE)
        await actuator.hold(KEY, HOST.addresses)
        assert ",UP" not in namespace.ip("link", "show", "dev", DEVICE)

        bound.forget()
        namespace.ip("link", "set", DEVICE, "up")
        await bound.until(lambda heard: AdminChanged(KEY, is_up=True) in heard)


async def test_a_device_that_was_there_before_is_heard_of_as_well(namespace: Namespace) -> None:
    namespace.ip("link", "add", DEVICE, "link", LINK, "address", MAC, "type", "macvlan", "mode", "bridge")
    namespace.ip("link", "set", DEVICE, "up")
    async with adopted(namespace) as (_actuator, bound):
        namespace.ip("link", "set", DEVICE, "down")
        await bound.until(lambda heard: heard == [AdminChanged(KEY, is_up=False)])


@pytest.mark.parametrize("turns", range(4))
async def test_a_device_that_is_made_while_listening_begins_is_not_heard_of(namespace: Namespace, turns: int) -> None:
    """A new device is down for a moment."""
    bound = BoundSocket()
    async with actuator_in(namespace) as actuator:
        watching = asyncio.create_task(actuator.watch(bound.notice))
        for _ in range(turns):
            await asyncio.sleep(0)
        await actuator.prepare(HOST)
        await asyncio.sleep(SILENCE_S)
        watching.cancel()
        await asyncio.wait({watching})

    assert bound.heard == []


async def test_who_listens_late_hears_of_what_comes_then(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(HOST)
        await actuator.hold(KEY, HOST.addresses[:1])
        async with ear_on(actuator) as bound:
            assert bound.heard == []
            namespace.ip("link", "set", DEVICE, "down")
            await bound.until(lambda heard: heard == [AdminChanged(KEY, is_up=False)])


async def test_the_loss_of_the_links_carrier_is_not_told(namespace: Namespace) -> None:
    """The monitor reports it."""
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("link", "set", LINK, "down")
        namespace.ip("link", "set", LINK, "up")
        await asyncio.sleep(SILENCE_S)

        assert bound.heard == []
        assert len(on(namespace, DEVICE)) == 2


async def test_a_link_that_is_deleted_and_made_anew_has_its_device_again(namespace: Namespace) -> None:
    spare = config("192.0.2.1/24", link="spare0")
    namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    async with actuator_in(namespace) as actuator, ear_on(actuator) as bound:
        await actuator.prepare(spare)
        namespace.ip("link", "del", "spare0")
        await bound.until(lambda heard: heard == [AddressesDisturbed(spare.key, "carp1 was deleted")])
        await actuator.drop(spare.key, spare.addresses)
        namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
        await asyncio.sleep(SILENCE_S)

        assert DEVICE in links(namespace)
        assert len(bound.heard) == 1


async def test_the_device_follows_the_mtu_of_its_link(namespace: Namespace) -> None:
    async with adopted(namespace):
        for mtu in ("1300", "1450"):
            namespace.ip("link", "set", LINK, "mtu", mtu)
            await asyncio.sleep(SILENCE_S)
            assert f"mtu {mtu}" in namespace.ip("link", "show", "dev", DEVICE)


async def test_what_is_lost_in_a_storm_is_found_by_looking(namespace: Namespace) -> None:
    async with adopted(namespace) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        storm = "".join(f"addr add 10.81.{n // 250}.{n % 250}/32 dev {LINK}\n" for n in range(2000))
        # The loop stands still meanwhile, and the socket's queue overflows.
        namespace.ip_batch(storm + storm.replace("addr add", "addr del") + f"addr del 10.77.0.50/24 dev {DEVICE}\n")
        told = disturbed("10.77.0.50/24 was removed from carp1")
        await bound.until(lambda heard: heard == [told])


def source(namespace: Namespace, destination: str) -> str:
    """Return the source address that the machine chooses, empty if it has no route."""
    argv = ["ip", "-n", namespace.name, "route", "get", destination]
    words = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()
    return words[words.index("src") + 1] if words else ""


async def until_source(namespace: Namespace, destination: str, wanted: str) -> None:
    async with asyncio.timeout(1):
        while source(namespace, destination) != wanted:  # noqa: ASYNC110  (the kernel)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mac_mode", [MacMode.VIRTUAL, MacMode.INTERFACE])
async def test_own_conversations_begin_from_an_own_address_that_was_away(
    namespace: Namespace, mac_mode: MacMode
) -> None:
    """The shared one is the first of its network by then, and would be taken."""
    async with adopted(namespace, mac_mode) as (actuator, bound):
        namespace.ip("addr", "del", str(namespace.own), "dev", LINK)
        await actuator.hold(KEY, HOST.addresses, lifetime_s=60)
        namespace.ip("addr", "add", str(namespace.own), "dev", LINK)
        await until_source(namespace, "10.77.0.99", str(namespace.address))

        assert on(namespace, DEVICE if mac_mode is MacMode.VIRTUAL else LINK) >= {"10.77.0.50/24"}
        assert bound.heard == []


@pytest.mark.parametrize("mac_mode", [MacMode.VIRTUAL, MacMode.INTERFACE])
async def test_clients_are_reached_when_the_own_address_goes(namespace: Namespace, mac_mode: MacMode) -> None:
    """The route to their network goes with it."""
    async with adopted(namespace, mac_mode) as (actuator, bound):
        await actuator.hold(KEY, HOST.addresses)
        for own in (namespace.own, namespace.own6):
            namespace.ip("addr", "del", str(own), "dev", LINK)
        await until_source(namespace, "10.77.0.99", "10.77.0.50")
        await until_source(namespace, "fd77::99", "fd77::50")

        assert bound.heard == []


async def test_a_shared_address_that_gets_a_route_keeps_the_other_routes(namespace: Namespace) -> None:
    """A link without any IPv4 address would lose them."""
    async with adopted(namespace, MacMode.INTERFACE) as (actuator, _ear):
        await actuator.hold(KEY, HOST.addresses)
        namespace.ip("route", "add", "10.99.0.0/16", "dev", LINK)
        namespace.ip("addr", "del", str(namespace.own), "dev", LINK)
        await until_source(namespace, "10.77.0.99", "10.77.0.50")

        assert "10.99.0.0/16" in namespace.ip("route")


async def test_what_is_put_behind_the_own_address_answers_all_the_while(namespace: Namespace) -> None:
    async with adopted(namespace, MacMode.INTERFACE) as (actuator, _ear):
        namespace.ip("addr", "del", str(namespace.own), "dev", LINK)
        await actuator.hold(KEY, HOST.addresses)
        argv = ("ip", "-n", namespace.name, "monitor", "route")
        monitor = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
        await asyncio.sleep(SILENCE_S)
        namespace.ip("addr", "add", str(namespace.own), "dev", LINK)
        await until_source(namespace, "10.77.0.99", str(namespace.address))
        monitor.terminate()
        told = (await monitor.communicate())[0].decode()

    changes = [-1 if line.startswith("Deleted") else 1 for line in told.splitlines() if "local 10.77.0.50 " in line]
    assert -1 in changes
    assert min(itertools.accumulate(changes, initial=1)) == 1, told


async def test_two_processes_that_share_a_link_do_not_move_behind_each_other(namespace: Namespace) -> None:
    """Each would find the other's address behind its own, again and again."""
    other = config("10.77.0.51/24", vhid=2, mac_mode=MacMode.INTERFACE)
    namespace.ip("addr", "del", str(namespace.own), "dev", LINK)
    async with (
        adopted(namespace, MacMode.INTERFACE) as (actuator, _ear),
        actuator_in(namespace) as second,
        ear_on(second),
    ):
        await actuator.hold(KEY, HOST.addresses)
        await second.prepare(other)
        await second.hold(other.key, other.addresses)
        await asyncio.sleep(SILENCE_S)
        monitor = await asyncio.create_subprocess_exec(
            "ip", "-n", namespace.name, "monitor", "address", stdout=subprocess.PIPE
        )
        await asyncio.sleep(3 * SILENCE_S)
        monitor.terminate()

        assert (await monitor.communicate())[0] == b""
