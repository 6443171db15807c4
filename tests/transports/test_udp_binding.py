"""Which addresses UDP binds: those that the monitor reports, or those that it is told; on the loopback interface."""

import asyncio
from ipaddress import IPv4Address, ip_interface

import pytest

from pycarp import HostConfig, LinkFacts, Node, State, StaticMonitor, UdpTransport
from pycarp.errors import ConfigError, TransportError
from pycarp.vocabulary import InterfaceAddress
from tests.support.transports import free_udp_port

FIRST, SECOND = "127.0.0.2", "127.0.0.3"


def node(transport: UdpTransport, *own: str, link: str = "lo") -> Node:
    facts = LinkFacts(name=link, is_up=True, addresses=tuple(ip_interface(each) for each in own))
    return Node(transport=transport, actuator="null", monitor=StaticMonitor([facts]))


def config(peer: str, *, link: str = "lo", advskew: int = 13) -> HostConfig:
    return HostConfig(
        interface=link,
        vhid=7,
        passphrase="secret",
        addresses=["192.0.2.10/24"],
        advbase=0,
        advskew=advskew,
        peers=[peer],
    )


@pytest.mark.parametrize("link", ["lo", "no-device"])
async def test_the_addresses_of_the_monitor_are_bound_on_a_link_of_any_name(link: str) -> None:
    port = free_udp_port()
    async with (
        asyncio.timeout(20),
        node(UdpTransport(port=port), f"{FIRST}/8", link=link) as here,
        node(UdpTransport(port=port), f"{SECOND}/8", link=link) as there,
    ):
        web = await here.add(config(SECOND, link=link))
        await web.wait_for(State.MASTER)
        peer = await there.add(config(FIRST, link=link, advskew=100))
        successor = await web.hand_over(timeout_s=10)

        assert (peer.state, successor) == (State.MASTER, IPv4Address(SECOND))


async def test_the_address_that_is_bound_is_the_one_that_a_host_advertises_from() -> None:
    port = free_udp_port()
    async with (
        asyncio.timeout(20),
        node(UdpTransport(port=port, bind=FIRST), "127.0.0.1/8", f"{FIRST}/8") as here,
        node(UdpTransport(port=port, bind=[SECOND]), "127.0.0.1/8") as there,
    ):
        web = await here.add(config(SECOND))
        await web.wait_for(State.MASTER)
        peer = await there.add(config(FIRST, advskew=100))
        successor = await web.hand_over(timeout_s=10)

        assert (peer.state, successor) == (State.MASTER, IPv4Address(SECOND))
        assert here.link_facts("lo") == LinkFacts(name="lo", is_up=True, addresses=(ip_interface(f"{FIRST}/8"),))


async def test_a_port_that_is_taken_ends_the_addition_of_a_host() -> None:
    port = free_udp_port()
    async with (
        node(UdpTransport(port=port), f"{FIRST}/8") as here,
        node(UdpTransport(port=port), f"{FIRST}/8") as there,
    ):
        await here.add(config(SECOND))
        with pytest.raises(TransportError, match=rf"cannot bind 127\.0\.0\.2 port {port} on lo: .*in use"):
            await there.add(config(SECOND))


OWN: tuple[InterfaceAddress, ...] = (
    ip_interface("192.0.2.1/24"),
    ip_interface("192.0.2.2/24"),
    ip_interface("fe80::1/64"),
)


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ((), ["192.0.2.1/24", "192.0.2.2/24", "fe80::1/64"]),
        ("192.0.2.2", ["192.0.2.2/24"]),
        (IPv4Address("192.0.2.2"), ["192.0.2.2/24"]),
        (["fe80::1", "192.0.2.1"], ["fe80::1/64", "192.0.2.1/24"]),
        (["192.0.2.2", "203.0.113.5"], ["192.0.2.2/24"]),
        (["203.0.113.5"], ["203.0.113.5/32"]),
    ],
)
def test_the_chosen_addresses_of_a_link_are_those_that_it_has_or_all(
    bind: str | IPv4Address | list[str | IPv4Address], expected: list[str]
) -> None:
    assert [str(each) for each in UdpTransport(bind=bind).sources("eth0", OWN)] == expected


@pytest.mark.parametrize(
    ("bind", "said"),
    [
        ("eth0", "bind 'eth0' is not an IP address"),
        (["0.0.0.0"], "bind 0.0.0.0 is no address to send from; name an own one, or leave bind out"),
        ("224.0.0.18", "bind 224.0.0.18 is no address to send from"),
    ],
)
def test_what_cannot_be_bound_is_a_config_error(bind: str | list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        UdpTransport(bind=bind)
