"""Addresses on a real link, in a namespace."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path

import pytest

from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.errors import ActuatorError
from pycarp.system.guardian.clean_up_steps import Request
from pycarp.system.recovery.dead_daemons import clean
from pycarp.system.recovery.journal import Journal
from pycarp.system.rtnetlink.notifications import Notifications
from pycarp.system.rtnetlink.route_messages import NEW_ADDRESS, address_place
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import HostKey
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

KEY = HostKey(LINK, 1)
ELSEWHERE = HostKey("nosuchlink0", 1)
SHARED = (IPv4Interface("10.77.0.50/24"), IPv4Interface("10.77.0.51/32"))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        yield ours


@contextlib.asynccontextmanager
async def actuator_in(namespace: Namespace) -> AsyncIterator[NetlinkActuator]:
    actuator = NetlinkActuator()
    with entered(namespace):
        await actuator.open()
    try:
        yield actuator
    finally:
        await actuator.close()


async def leave(namespace: Namespace, *addresses: IPv4Interface | IPv6Interface) -> None:
    """Hold addresses, and end without dropping them."""
    async with actuator_in(namespace) as predecessor:
        await predecessor.hold(KEY, addresses)


async def test_held_addresses_are_on_the_link_beside_its_own(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED)

    assert namespace.addresses() == {str(namespace.own), "10.77.0.50/24", "10.77.0.51/32"}


async def test_trying_an_address_out_leaves_nothing(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED[:1])
        before = namespace.addresses()
        await actuator.try_out(KEY, SHARED)

        assert namespace.addresses() == before
        assert await actuator.missing() == {KEY: frozenset()}


async def test_an_address_that_is_refused_when_tried_out_is_an_error_and_what_is_held_stays(
    namespace: Namespace,
) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED)
        namespace.switch_off_ipv6()
        with pytest.raises(ActuatorError, match="cannot add fd77::50/64 to eth0: IPv6 is switched off there"):
            await actuator.try_out(KEY, (*SHARED, IPv6Interface("fd77::50/64")))

    assert namespace.addresses() == {str(namespace.own), "10.77.0.50/24", "10.77.0.51/32"}


@pytest.mark.parametrize("was_master", [False, True])
async def test_a_backup_foresees_what_is_refused_and_never_has_an_address_for_that(
    namespace: Namespace, was_master: bool
) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED if was_master else ())
        await actuator.drop(KEY, SHARED)
        with entered(namespace), contextlib.closing(Notifications()) as notified:
            await actuator.try_out(KEY, (*SHARED, IPv4Interface("10.77.0.60/24"), IPv6Interface("fd77::50/64")))
            namespace.switch_off_ipv6()
            with pytest.raises(ActuatorError, match="cannot add fd77::50/64 to eth0: IPv6 is switched off there"):
                await actuator.try_out(KEY, (IPv6Interface("fd77::50/64"),))
            namespace.ip("link", "set", LINK, "mtu", "1000")
            with pytest.raises(
                ActuatorError, match="cannot add fd77::50/64 to eth0: this kernel, or this link, has no"
            ):
                await actuator.try_out(KEY, (IPv6Interface("fd77::50/64"),))
            seen = {address_place(each).packed for each in await notified.take() if each.kind == NEW_ADDRESS}

    assert seen.isdisjoint({IPv4Interface("10.77.0.60/24").packed, IPv6Interface("fd77::50/64").packed})


async def test_what_somebody_removed_is_missing(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED)
        namespace.ip("addr", "del", str(SHARED[1]), "dev", LINK)

        assert await actuator.missing() == {KEY: frozenset(SHARED[1:])}


async def test_holding_again_changes_nothing(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED)
        before = namespace.addresses()
        await actuator.hold(KEY, SHARED)

    assert namespace.addresses() == before


async def test_dropped_addresses_are_gone_and_the_own_one_stays(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED)
        await actuator.drop(KEY, SHARED)

    assert namespace.addresses() == {str(namespace.own)}


async def test_dropping_what_was_never_held_changes_nothing(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.drop(KEY, SHARED)
        await actuator.drop(KEY, SHARED)

    assert namespace.addresses() == {str(namespace.own)}


async def test_leftovers_of_a_predecessor_are_dropped(namespace: Namespace) -> None:
    await leave(namespace, SHARED[0])
    async with actuator_in(namespace) as actuator:
        await actuator.drop(KEY, SHARED)

    assert namespace.addresses() == {str(namespace.own)}


async def test_what_somebody_else_has_put_there_is_not_dropped(namespace: Namespace) -> None:
    namespace.ip("addr", "add", str(SHARED[0]), "dev", LINK)
    async with actuator_in(namespace) as actuator:
        await actuator.drop(KEY, SHARED)

    assert namespace.addresses() == {str(namespace.own), str(SHARED[0])}


async def test_dropping_the_addresses_of_one_host_leaves_those_of_another(namespace: Namespace) -> None:
    """The first address of a network is its primary one; with it, Linux removes the others unless a sysctl is set."""
    first, second = ip_interface("192.168.1.50/24"), ip_interface("192.168.1.51/24")
    async with actuator_in(namespace) as actuator:
        await actuator.hold(HostKey(LINK, 1), (first,))
        await actuator.hold(HostKey(LINK, 2), (second,))
        await actuator.drop(HostKey(LINK, 1), (first,))

    assert namespace.addresses() == {str(namespace.own), str(second)}


async def test_dropping_a_leftover_that_came_first_leaves_the_own_address_as_it_was(namespace: Namespace) -> None:
    first = "192.168.1.50/24"
    await leave(namespace, ip_interface(first))
    namespace.ip("addr", "add", "192.168.1.3/24", "brd", "+", "dev", LINK, "label", f"{LINK}:own")
    async with actuator_in(namespace) as actuator:
        await actuator.drop(KEY, (ip_interface(first),))

    assert "inet 192.168.1.3/24 brd 192.168.1.255 scope global eth0:own" in namespace.ip("addr", "show", "dev", LINK)


async def test_all_addresses_of_a_host_are_dropped_whichever_came_first(namespace: Namespace) -> None:
    shared = tuple(IPv4Interface(f"192.168.1.{host}/24") for host in range(50, 60))
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, shared)
        await actuator.drop(KEY, shared)

    assert namespace.addresses() == {str(namespace.own)}


async def test_holding_on_a_link_that_does_not_exist_is_an_actuator_error_that_names_it(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        with pytest.raises(ActuatorError, match=r"cannot add 10\.77\.0\.50/24 to nosuchlink0: .*does not exist"):
            await actuator.hold(ELSEWHERE, SHARED)


async def test_dropping_on_a_link_that_does_not_exist_is_well(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.drop(ELSEWHERE, SHARED)


async def test_a_link_that_went_away_is_an_error_to_hold_on_and_well_to_drop_from(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, SHARED)
        namespace.ip("link", "del", LINK)
        await actuator.drop(KEY, SHARED)
        with pytest.raises(ActuatorError, match="does not exist"):
            await actuator.hold(KEY, SHARED)


async def test_what_the_kernel_refuses_is_an_actuator_error_with_its_reason(namespace: Namespace) -> None:
    await leave(namespace, SHARED[0])
    async with actuator_in(namespace) as actuator:
        with unprivileged():
            with pytest.raises(ActuatorError, match=r"cannot add 10\.77\.0\.50/24 to eth0: Operation not permitted"):
                await actuator.hold(KEY, SHARED)
            with pytest.raises(ActuatorError, match=r"cannot remove 10\.77\.0\.50/24 from eth0: Operation not perm"):
                await actuator.drop(KEY, SHARED[:1])


BOTH = (IPv4Interface("10.77.0.50/24"), IPv6Interface("fd77::50/64"))


def shown6(namespace: Namespace) -> str:
    return namespace.ip("-o", "-6", "addr", "show", "dev", LINK)


async def test_an_ipv6_address_is_held_at_once_without_detecting_duplicates(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, BOTH)
        (line,) = [line for line in shown6(namespace).splitlines() if "fd77::50" in line]

    assert "nodad" in line
    assert "tentative" not in line


async def test_an_ipv6_address_is_dropped_and_the_others_stay(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, (*BOTH, IPv6Interface("fd77::51/64")))
        await actuator.drop(KEY, BOTH)

    assert "fd77::50/" not in shown6(namespace)
    assert "fd77::51/" in shown6(namespace)
    assert str(namespace.own6) in shown6(namespace)


async def test_where_ipv6_is_switched_off_the_error_says_so(namespace: Namespace) -> None:
    namespace.switch_off_ipv6()
    async with actuator_in(namespace) as actuator:
        with pytest.raises(ActuatorError, match="IPv6 is switched off there"):
            await actuator.hold(KEY, BOTH)


async def test_the_machines_own_connections_do_not_begin_from_a_shared_address(namespace: Namespace) -> None:
    """They would break when it leaves; of two good IPv6 addresses Linux takes the newer one."""
    shared = tuple(ip_interface(each) for each in ("10.77.0.50/24", "fd77::50/64"))
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, shared)

    assert f"src {namespace.address} " in namespace.ip("route", "get", "10.77.0.2")
    assert f"src {namespace.address6} " in namespace.ip("route", "get", "fd77::2")


async def test_a_shared_ipv6_address_stays_until_it_is_dropped(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, (ip_interface("fd77::50/64"),))

    told = namespace.ip("-o", "-6", "addr", "show", "dev", LINK)
    (line,) = [each for each in told.splitlines() if "fd77::50/64" in each]
    assert "valid_lft forever" in line
    assert "nodad" in line
    assert "tentative" not in line


async def test_dropping_hundreds_of_addresses_takes_no_longer_than_adding_them(namespace: Namespace) -> None:
    """Were the first of a network always dropped first, all others would have to be put back each time."""
    hosts = [(HostKey(LINK, n), (ip_interface(f"10.78.0.{n}/24"),)) for n in range(1, 201)]
    async with actuator_in(namespace) as actuator:
        await asyncio.gather(*(actuator.hold(key, shared) for key, shared in hosts))
        async with asyncio.timeout(3):
            await asyncio.gather(*(actuator.drop(key, shared) for key, shared in hosts))

    assert namespace.addresses() == {str(namespace.own)}


async def test_a_drop_that_is_cancelled_does_not_come_late(namespace: Namespace) -> None:
    """The address may be held again by then."""
    first, second = ip_interface("10.78.0.1/24"), ip_interface("10.78.0.2/24")
    async with actuator_in(namespace) as actuator:
        await actuator.hold(KEY, (first, second))
        dropping = asyncio.create_task(actuator.drop(HostKey(LINK, 1), (first,)))
        cancelled = asyncio.create_task(actuator.drop(HostKey(LINK, 2), (second,)))
        await asyncio.sleep(0)
        cancelled.cancel()
        await actuator.hold(HostKey(LINK, 2), (second,))
        await asyncio.wait({dropping, cancelled})

    assert namespace.addresses() == {str(namespace.own), str(second)}


@pytest.fixture
def routed(namespace: Namespace) -> Namespace:
    """A link without any IPv4 address of its own, by which there are routes."""
    namespace.ip("addr", "del", str(namespace.own), "dev", LINK)
    namespace.ip("route", "add", "default", "dev", LINK, "metric", "9")
    namespace.ip("route", "add", "10.9.0.0/16", "dev", LINK, "table", "77")
    namespace.ip("route", "add", "10.10.0.0/16", "via", "10.9.0.1", "dev", LINK, "onlink", "metric", "5")
    return namespace


def routes(namespace: Namespace) -> str:
    return namespace.ip("route", "show", "table", "all")


async def test_the_last_address_of_a_link_leaves_without_the_routes_of_others(routed: Namespace) -> None:
    before = routes(routed)
    async with actuator_in(routed) as actuator:
        for _ in range(2):
            await actuator.hold(KEY, SHARED)
            await actuator.drop(KEY, SHARED)

    assert routes(routed) == before


async def test_the_guardian_leaves_the_routes_of_others(routed: Namespace) -> None:
    before = routes(routed)
    async with actuator_in(routed) as actuator:
        await actuator.hold(KEY, SHARED)
        await actuator.hold(KEY, SHARED)
        with entered(routed), RouteSocket() as route:
            route.ask([each.octets for each in actuator.clean_up_plan(KEY, SHARED) if isinstance(each, Request)])

    assert routes(routed) == before


async def test_routes_are_put_back_when_daemon_and_guardian_died_with_the_addresses(
    routed: Namespace, tmp_path: Path
) -> None:
    before = routes(routed)
    with entered(routed):
        journal = Journal.begin(tmp_path)
    actuator = NetlinkActuator(journal=journal)
    with entered(routed):
        await actuator.open()
    await actuator.hold(KEY, SHARED, lifetime_s=1)
    journal.end()
    await actuator.close()
    async with asyncio.timeout(5):
        while SHARED[0].ip.compressed in routed.ip("addr"):  # noqa: ASYNC110  the kernel's
            await asyncio.sleep(0.1)
    assert "10.9.0.0/16" not in routes(routed)
    with entered(routed):
        report = await clean(tmp_path)

    assert routes(routed) == before
    assert "restored route to 10.10.0.0/16 via 10.9.0.1 of eth0" in [str(each) for each in report.undone]


async def test_a_route_that_went_while_there_was_an_own_address_does_not_come_back(routed: Namespace) -> None:
    async with actuator_in(routed) as actuator:
        await actuator.hold(KEY, SHARED)
        routed.ip("addr", "add", str(routed.own), "dev", LINK)
        routed.ip("route", "del", "10.10.0.0/16")
        await actuator.hold(KEY, SHARED)
        before = actuator.clean_up_plan(KEY, SHARED)
        await actuator.drop(KEY, SHARED)

    assert len(before) == len(SHARED)
    assert "10.10.0.0/16" not in routes(routed)
