"""Refusals of the kernel: the error names the reason, no socket stays open, and the next attempt works."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from pycarp import transports
from pycarp.core.flood import PacketFilter
from pycarp.errors import TransportError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.transports.ip_sockets import receiving_socket
from pycarp.transports.transport import PacketFiltering, Transport
from pycarp.transports.udp import UdpTransport
from pycarp.vocabulary import ANY_ADDRESS, CARP_GROUPS, Family, Outgoing
from tests.support.descriptors import descriptors_left, open_descriptors
from tests.support.namespaces import LINK, Namespace, TransportInside, UdpInside, entered, joined_namespaces
from tests.support.system import require, unprivileged
from tests.support.transports import SocketTransport, by_name

pytestmark = pytest.mark.system

SOCKETS_OF_A_PORT = 2
GROUP = IPv4Address("239.192.0.5")

socket_transports = pytest.mark.parametrize("name", ["packet", "raw"])


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip", "setpriv")
    with joined_namespaces() as (ours, _theirs):
        yield ours


async def open_link(transport: Transport, namespace: Namespace) -> None:
    await TransportInside(transport, namespace).open_link(LINK, lambda: None)


def advert(family: Family) -> Outgoing:
    return Outgoing(
        link=LINK,
        family=family,
        source=ANY_ADDRESS[family],
        destination=CARP_GROUPS[family],
        tos=0x10,
        identification=None,
        source_mac=None,
        payload=bytes(36),
    )


def set_in(namespace: Namespace, switch: str, value: int) -> None:
    path = Path("/proc/sys/net") / switch
    with entered(namespace):
        if not path.exists():
            pytest.skip(f"this kernel has no {path} of a namespace's own")
        path.write_text(str(value))


def make_anew(namespace: Namespace) -> None:
    """Delete the link, and create another one with its name."""
    namespace.ip("link", "del", LINK)
    namespace.ip("link", "add", LINK, "type", "veth", "peer", "name", "other")
    namespace.ip("addr", "add", str(namespace.own), "dev", LINK)
    for each in (LINK, "other"):
        namespace.ip("link", "set", each, "up")


@contextlib.asynccontextmanager
async def opened(name: str, namespace: Namespace) -> AsyncIterator[SocketTransport]:
    transport = by_name(name)
    await open_link(transport, namespace)
    try:
        yield transport
    finally:
        await transport.close()


@socket_transports
async def test_without_permission_it_says_what_to_do_and_works_once_there_is(name: str, namespace: Namespace) -> None:
    transport = transports.by_name(name)
    with entered(namespace):
        with unprivileged(), pytest.raises(TransportError) as caught:
            await transport.open_link(LINK, lambda: None)
        await transport.open_link(LINK, lambda: None)
    await transport.close()

    assert str(caught.value) == f"cannot open a socket on {LINK}: {NO_PERMISSION}"


@socket_transports
@pytest.mark.parametrize("left", range(2 * SOCKETS_OF_A_PORT))
async def test_wherever_descriptors_end_none_stays_open(name: str, left: int, namespace: Namespace) -> None:
    """Without those for IPv6 it takes part in IPv4."""
    transport = transports.by_name(name)
    before = open_descriptors()
    with entered(namespace):
        inside = open_descriptors() - before
        with contextlib.ExitStack() as expected, descriptors_left(left):
            if left < SOCKETS_OF_A_PORT:
                # Python reads the index of a link through a socket, and reports each failure as a missing link.
                text = f"cannot open a socket on {LINK}: (Too many open files|no interface with this name)"
                expected.enter_context(pytest.raises(TransportError, match=text))
            await transport.open_link(LINK, lambda: None)
        there = len(open_descriptors() - before - inside)
    await transport.close()

    assert there == (0 if left < SOCKETS_OF_A_PORT else SOCKETS_OF_A_PORT)
    assert open_descriptors() == before


@socket_transports
async def test_a_link_is_opened_again_after_it_could_not_be(name: str, namespace: Namespace) -> None:
    transport = transports.by_name(name)
    with entered(namespace):
        with descriptors_left(0), pytest.raises(TransportError):
            await transport.open_link(LINK, lambda: None)
        await transport.open_link(LINK, lambda: None)
        transport.send(advert(Family.IPV6))
    await transport.close()


@socket_transports
async def test_a_kernel_that_lets_no_group_be_joined_is_told_of_and_nothing_stays_open(
    name: str, namespace: Namespace
) -> None:
    set_in(namespace, "ipv4/igmp_max_memberships", 0)
    before = open_descriptors()

    with pytest.raises(TransportError, match=f"cannot open a socket on {LINK}: No buffer space available"):
        await open_link(transports.by_name(name), namespace)

    assert open_descriptors() == before


@socket_transports
async def test_one_group_too_many_is_an_error_that_names_it(name: str, namespace: Namespace) -> None:
    set_in(namespace, "ipv4/igmp_max_memberships", 1)
    async with opened(name, namespace) as transport:
        with pytest.raises(TransportError, match=rf"cannot join 239\.192\.0\.5 on {LINK}: No buffer space available"):
            await transport.join(LINK, GROUP)


@socket_transports
async def test_a_link_made_anew_whose_groups_cannot_be_joined_is_tried_again(name: str, namespace: Namespace) -> None:
    async with opened(name, namespace) as transport:
        await TransportInside(transport, namespace).join(LINK, GROUP)
        make_anew(namespace)
        set_in(namespace, "ipv4/igmp_max_memberships", 1)
        with entered(namespace):
            with pytest.raises(OSError, match=f"IPv4 does not work on {LINK}: No buffer space available"):
                transport.send(advert(Family.IPV4))
            before = open_descriptors()
            with pytest.raises(OSError, match=f"IPv4 does not work on {LINK}"):
                transport.send(advert(Family.IPV4))
            assert open_descriptors() == before
            set_in(namespace, "ipv4/igmp_max_memberships", 20)
            transport.send(advert(Family.IPV4))


@socket_transports
async def test_a_kernel_that_takes_no_filter_is_told_of_and_nothing_stays_open(name: str, namespace: Namespace) -> None:
    set_in(namespace, "core/optmem_max", 1)
    before = open_descriptors()

    with pytest.raises(TransportError, match=f"cannot open a socket on {LINK}: Cannot allocate memory"):
        await open_link(transports.by_name(name), namespace)

    assert open_descriptors() == before


@socket_transports
async def test_a_screen_that_the_kernel_refuses_leaves_all_as_before(name: str, namespace: Namespace) -> None:
    """A program of BPF has 4096 instructions at the most."""
    too_long = PacketFilter(tuple(range(3000)), (), every=1 << 16, every_repeated=1 << 16)
    async with opened(name, namespace) as transport:
        assert isinstance(transport, PacketFiltering)
        with pytest.raises(OSError, match="Invalid argument"):
            transport.set_packet_filter(LINK, too_long)
        make_anew(namespace)
        with entered(namespace):
            transport.send(advert(Family.IPV4))


async def test_a_link_that_is_gone_before_it_is_bound_to_leaves_nothing_open(namespace: Namespace) -> None:
    before = open_descriptors()
    with entered(namespace):
        inside = open_descriptors()
        for family in Family:
            with pytest.raises(OSError, match="No such device"):
                receiving_socket(family, "nosuchlink0", 99)
        assert open_descriptors() == inside

    assert open_descriptors() == before


@socket_transports
def test_the_right_to_raw_sockets_alone_is_enough(name: str, namespace: Namespace) -> None:
    """Only a queue above the machine's limit needs another privilege."""
    program = f"""
import asyncio
from pycarp import transports
async def main():
    transport = transports.by_name({name!r})
    await transport.open_link({LINK!r}, lambda: None)
    await transport.close()
asyncio.run(main())
"""
    less = ["setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all"]
    argv = ["ip", "netns", "exec", namespace.name, *less, sys.executable, "-W", "error", "-c", program]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))

    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)

    assert (done.returncode, done.stderr) == (0, "")


# UDP


async def test_a_port_that_is_free_again_is_bound_to(namespace: Namespace) -> None:
    first, second = (UdpInside(UdpTransport(), namespace) for _ in range(2))
    await first.open_link(LINK, lambda: None)
    before = open_descriptors()
    with pytest.raises(OSError, match="in use"):
        await second.open_link(LINK, lambda: None)
    assert open_descriptors() == before

    await first.close()
    second.follow_addresses(LINK, namespace.own_addresses)
    await second.close()


@pytest.mark.parametrize("left", range(4))
async def test_wherever_descriptors_end_udp_keeps_none(left: int, namespace: Namespace) -> None:
    """One for each of the three addresses."""
    transport = UdpTransport()
    before = open_descriptors()
    with entered(namespace):
        await transport.open_link(LINK, lambda: None)
    with entered(namespace), descriptors_left(left), contextlib.ExitStack() as expected:
        if left < 3:
            expected.enter_context(pytest.raises(OSError, match="Too many open files"))
        transport.follow_addresses(LINK, namespace.own_addresses)
    await transport.close_link(LINK)
    assert open_descriptors() == before
    await UdpInside(transport, namespace).open_link(LINK, lambda: None)
    await transport.close()

    assert open_descriptors() == before


async def test_a_tentative_address_keeps_the_others_from_nothing(namespace: Namespace) -> None:
    """A tentative address cannot be bound yet; the first send from it binds it."""
    namespace.ip("addr", "add", "fd77::7/64", "dev", LINK, "noprefixroute")
    transport = UdpInside(UdpTransport(), namespace)
    tentative = IPv6Address("fd77::7")
    try:
        await transport.open_link(LINK, lambda: None)
        transport.follow_addresses(LINK, [*namespace.own_addresses, tentative])
        outgoing = advert(Family.IPV6)
        with entered(namespace), pytest.raises(OSError, match="Cannot assign requested address"):
            transport.send(replace(outgoing, source=tentative, destination=IPv6Address("fd77::2")))
        await asyncio.sleep(0)
    finally:
        await transport.close()
