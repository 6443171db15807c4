"""The addresses of a link are read once for all hosts that take over at once, and again when somebody changed them."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from pycarp import HostConfig, MacMode
from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.system.addresses.recent_addresses import RecentAddresses
from pycarp.system.rtnetlink.route_socket import RouteSocket
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

OWN = "10.99.0.1/16"


@pytest.fixture
def ours() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        yield ours


def test_a_reading_is_good_for_what_was_asked_before_it_until_it_is_forgotten(ours: Namespace) -> None:
    now_s = 1.0
    with RouteSocket() as route:
        recent, index = RecentAddresses(route, lambda: now_s), socket.if_nametoindex(LINK)

        def has_own(asked_at_s: float) -> bool:
            return OWN in [str(each.interface) for each in recent.of(index, asked_at_s)]

        assert not has_own(0.9)
        ours.ip("address", "add", OWN, "dev", LINK)
        assert not has_own(1.0)
        now_s = 1.2
        assert has_own(1.1)
        ours.ip("address", "del", OWN, "dev", LINK)
        assert has_own(1.2)
        recent.forget()
        assert not has_own(1.2)


async def test_an_own_address_that_comes_among_many_holds_is_preferred_to_all_of_them(ours: Namespace) -> None:
    hosts = [
        HostConfig(
            interface=LINK,
            vhid=vhid,
            name=f"carp{vhid}",
            passphrase="secret",
            addresses=[f"10.99.1.{vhid}/16"],
            mac_mode=MacMode.INTERFACE,
        )
        for vhid in range(1, 41)
    ]
    actuator = NetlinkActuator()
    await actuator.open()
    for each in hosts:
        await actuator.prepare(each)
    watch = asyncio.create_task(actuator.watch(lambda _notice: None))
    await asyncio.sleep(0.2)
    for each in hosts[:20]:
        await actuator.hold(each.key, each.addresses, lifetime_s=30)
    ours.ip("address", "add", OWN, "dev", LINK)
    for each in hosts[20:]:
        await actuator.hold(each.key, each.addresses, lifetime_s=30)
    async with asyncio.timeout(5):
        while "src 10.99.0.1" not in ours.ip("route", "get", "10.99.5.5"):  # noqa: ASYNC110  the kernel's
            await asyncio.sleep(0.05)
    held = ours.ip("-o", "address").count("10.99.1.")
    watch.cancel()
    await actuator.release(*(each.key for each in hosts))
    await actuator.close()

    assert held == len(hosts)
