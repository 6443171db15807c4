"""Addresses that the machine had before are refused, in one line each."""

from collections.abc import AsyncIterator
from ipaddress import ip_interface
from typing import Any

import pytest

from pycarp.aio.node import Node
from pycarp.core.host_config import HostConfig
from pycarp.daemon.own_addresses import OwnAddresses
from pycarp.errors import ConfigError
from pycarp.monitors.static import StaticMonitor
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import LinkFacts

LINKS = (
    LinkFacts(name="eth0", is_up=True, addresses=(ip_interface("10.9.0.12/24"), ip_interface("fe80::1/64"))),
    LinkFacts(name="eth1", is_up=True, addresses=(ip_interface("fe80::2/64"), ip_interface("10.8.0.1/24"))),
)


def config(*addresses: str, **settings: Any) -> HostConfig:
    return HostConfig(
        **{"interface": "eth0", "vhid": 1, "passphrase": "s", "name": "carp0", "addresses": addresses, **settings}
    )


@pytest.fixture
async def own() -> AsyncIterator[OwnAddresses]:
    async with Node(transport=MemoryBus().port("a"), monitor=StaticMonitor(LINKS), actuator="null") as node:
        await node.add(config("10.9.0.50/24", vhid=9, name="carp9"))
        links = (*LINKS, LinkFacts(name="carp9", is_up=True, addresses=(ip_interface("10.9.0.50/24"),)))
        yield OwnAddresses(node, lambda: links)


@pytest.mark.parametrize("address", ["10.9.0.12/24", "10.9.0.12/32", "10.8.0.1/24", "fe80::1/64"])
async def test_an_address_of_this_machine_is_refused(own: OwnAddresses, address: str) -> None:
    ip = address.partition("/")[0]
    with pytest.raises(ConfigError, match=f"^carp0: {ip} is this machine's own address, on eth.; .*ip address del"):
        own.refuse([config("10.9.0.60/24", address)])


async def test_each_has_its_line(own: OwnAddresses) -> None:
    with pytest.raises(ConfigError) as caught:
        own.refuse([config("10.9.0.12/24"), config("10.8.0.1/24", vhid=2, name="carp1")])

    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["carp0", "carp1"]


@pytest.mark.parametrize("address", ["10.9.0.60/24", "fe80::2/64", "10.9.0.50/24"])
async def test_others_are_not(own: OwnAddresses, address: str) -> None:
    """Neither the link-local address of another link, nor what a running host holds."""
    own.refuse([config(address)])


async def test_a_neutral_host_leaves_what_it_finds(own: OwnAddresses) -> None:
    own.refuse([config("10.9.0.12/24", neutral=True)])


async def test_an_alias_is_refused_as_well(own: OwnAddresses) -> None:
    with pytest.raises(ConfigError, match="own address"):
        own.refuse_more(config("10.9.0.60/24"), ip_interface("10.9.0.12/24"))
