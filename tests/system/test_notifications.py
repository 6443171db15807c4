"""Notifications about links and addresses, and which of them are new."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_interface
from typing import Any

import pytest

from pycarp.system.addresses.link_addresses import add, index_of
from pycarp.system.addresses.renewals import Renewals
from pycarp.system.rtnetlink import address_requests
from pycarp.system.rtnetlink.netlink_reader import changed_links
from pycarp.system.rtnetlink.notifications import Notifications
from pycarp.system.rtnetlink.route_socket import RouteSocket
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

BOTH = (ip_interface("10.77.0.50/24"), ip_interface("fd77::50/64"))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        yield ours


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[list[str | None]]:
    """Collect the names of changed links."""
    names: list[str | None] = []

    async def collect() -> None:
        async for name in changed_links(**options):
            names.append(name)  # noqa: PERF401  it never ends

    collecting = asyncio.create_task(collect())
    await asyncio.sleep(0.1)
    try:
        yield names
    finally:
        collecting.cancel()
        await asyncio.wait({collecting})


async def test_that_an_address_stays_for_longer_is_no_news(namespace: Namespace) -> None:
    """Otherwise the link would be read once a second, for as long as a host is MASTER."""
    index = index_of(LINK)
    renewing = [address_requests.renewing(index, each, 9) for each in BOTH]
    with RouteSocket() as route, contextlib.closing(Renewals()) as renewals:
        async with listening() as names:
            add(route, index, BOTH, (), 5)
            # The first of them changes a flag of IPv6 addresses.
            renewals.send(renewing)
            await asyncio.sleep(0.1)
            assert LINK in names

            names.clear()
            for _ in range(5):
                renewals.send(renewing)
            await asyncio.sleep(0.1)
            assert names == []


async def test_an_address_that_comes_again_is_news(namespace: Namespace) -> None:
    async with listening() as names:
        for verb in ("add", "del", "add"):
            namespace.ip("addr", verb, "10.77.0.50/24", "dev", LINK)
        await asyncio.sleep(0.1)

        assert names.count(LINK) == 3


async def test_of_a_link_its_name_is_told(namespace: Namespace) -> None:
    async with listening() as names:
        namespace.ip("link", "set", LINK, "mtu", "1400")
        await asyncio.sleep(0.1)

        assert names[0] is None
        assert LINK in names


async def test_links_and_addresses_that_nobody_watches_are_passed_over(namespace: Namespace) -> None:
    index = index_of(LINK)
    async with listening(is_watched=lambda at, name: at == index or name == "late0") as names:
        namespace.ip("link", "add", "spare0", "type", "veth", "peer", "name", "late0")
        namespace.ip("addr", "add", "10.9.9.9/24", "dev", "spare0")
        namespace.ip("addr", "add", "10.8.8.8/24", "dev", "late0")
        namespace.ip("addr", "add", "10.77.0.99/24", "dev", LINK)
        await asyncio.sleep(0.2)

    assert names[0] is None
    assert set(names[1:]) == {"late0", LINK}
    assert names.count("late0") >= 2


@pytest.mark.parametrize(
    ("now", "meanwhile"),
    [
        (("link", "set", LINK, "mtu", "1400"), ("link", "set", LINK, "mtu", "1300")),
        (("addr", "add", "10.77.0.99/24", "dev", LINK), ("addr", "del", "10.77.0.99/24", "dev", LINK)),
    ],
    ids=["link", "address"],
)
async def test_what_changes_back_after_nobody_watched_for_a_while_is_news(
    namespace: Namespace, now: tuple[str, ...], meanwhile: tuple[str, ...]
) -> None:
    watched = {LINK}
    async with listening(is_watched=lambda _at, name: name in watched) as names:
        namespace.ip(*now)
        await asyncio.sleep(0.1)
        watched.clear()
        namespace.ip(*meanwhile)
        await asyncio.sleep(0.1)
        watched.add(LINK)
        names.clear()
        namespace.ip(*now)
        await asyncio.sleep(0.1)

    assert LINK in names


async def test_own_renewals_do_not_even_wake_up_whoever_listens(namespace: Namespace) -> None:
    """IPv4 only: for IPv6 addresses the kernel does not say who renewed them."""
    address = ip_interface("10.77.0.50/24")
    with (
        RouteSocket() as route,
        contextlib.closing(Renewals()) as renewals,
        contextlib.closing(Notifications()) as notifications,
    ):
        add(route, index_of(LINK), [address], (), 5)
        assert len(await notifications.take()) == 1

        renewals.send([address_requests.renewing(index_of(LINK), address, 9)])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(notifications.take(), 0.1)

        namespace.ip("addr", "change", str(address), "dev", LINK, "valid_lft", "50", "preferred_lft", "50")
        assert len(await asyncio.wait_for(notifications.take(), 1)) == 1


async def test_that_a_link_has_one_more_device_on_it_is_no_news(namespace: Namespace) -> None:
    """Otherwise it would be read once for each virtual host that begins."""
    namespace.ip("link", "add", "one", "link", LINK, "type", "macvlan")
    async with listening() as names:
        namespace.ip("link", "add", "two", "link", LINK, "type", "macvlan")
        await asyncio.sleep(0.1)
        names.clear()
        namespace.ip("link", "add", "three", "link", LINK, "type", "macvlan")
        await asyncio.sleep(0.1)
        assert LINK not in names

        namespace.ip("link", "set", LINK, "mtu", "1400")
        await asyncio.sleep(0.1)
        assert LINK in names


def test_a_socket_that_cannot_be_bound_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []

    def refused(sock: socket.socket, _program: object) -> None:
        opened.append(sock)
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    monkeypatch.setattr("pycarp.system.rtnetlink.notifications.attach", refused)
    with pytest.raises(OSError, match="Protocol not available"):
        Notifications()

    assert [sock.fileno() for sock in opened] == [-1]
