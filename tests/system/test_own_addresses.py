"""Addresses that the machine has without pycarp are refused, in one line each, by the daemon and by the library."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from pycarp.aio.node import Node
from pycarp.core.host_config import HostConfig
from pycarp.errors import ConfigError
from pycarp.monitors.static import StaticMonitor
from pycarp.system.addresses.interfaces import interfaces, own_interfaces
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import LinkFacts, MacMode
from tests.support.addresses import actuator_in, config, on
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

OTHER = "spare0"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs):
        ours.ip("link", "add", OTHER, "type", "bridge")
        for each in ("10.8.0.1/24", "fe80::2/64"):
            ours.ip("addr", "add", each, "dev", OTHER)
        yield ours


def refused(*addresses: str) -> HostConfig:
    return config(*addresses, name="carp0")


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("10.77.0.1/24", LINK),
        ("10.77.0.1/32", LINK),
        ("10.77.0.1/8", LINK),
        ("10.8.0.1/24", OTHER),
        ("fd77::1/64", LINK),
        ("fd77::1/128", LINK),
        ("fe80::1/64", LINK),
    ],
)
@pytest.mark.parametrize("mac_mode", list(MacMode))
async def test_an_address_of_this_machine_is_refused(
    namespace: Namespace, address: str, link: str, mac_mode: MacMode
) -> None:
    ip = address.partition("/")[0]
    async with actuator_in(namespace) as actuator:
        before = on(namespace, link)
        with pytest.raises(ConfigError, match=rf"^carp0: {ip} is this machine's own address, on {link}; .*del {ip}/"):
            await actuator.prepare(replace(refused("10.77.0.60/24", address), mac_mode=mac_mode))

        assert on(namespace, link) == before


@pytest.mark.parametrize("name", [LINK, OTHER, "lo"])
@pytest.mark.parametrize("mac_mode", [MacMode.AUTO, MacMode.VIRTUAL])
async def test_a_host_that_is_called_like_another_device_is_refused(
    namespace: Namespace, name: str, mac_mode: MacMode
) -> None:
    async with actuator_in(namespace) as actuator:
        before = namespace.ip("link", "show")
        with pytest.raises(ConfigError, match=f"^{name}: there is an interface {name} already, .*; give"):
            actuator.check(replace(config("10.77.0.60/24", name=name), mac_mode=mac_mode))

        assert namespace.ip("link", "show") == before


@pytest.mark.parametrize("name", ["all", "default", "web/1", "a-name-that-is-long"])
async def test_a_host_whose_name_no_device_can_have_gets_another_device(namespace: Namespace, name: str) -> None:
    async with actuator_in(namespace) as actuator:
        made = replace(config("10.77.0.60/24", name=name), mac_mode=MacMode.VIRTUAL)
        actuator.check(made)
        await actuator.prepare(made)

        assert "link/ether 00:00:5e:00:01" in namespace.ip("link", "show", "dev", made.device)


async def test_each_has_its_line(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        with pytest.raises(ConfigError) as caught:
            actuator.check(refused("10.77.0.1/24"), config("10.8.0.1/24", vhid=2, name="carp1"), config(vhid=3))

    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["carp0", "carp1"]


async def test_the_link_local_address_of_another_link_can_be_shared(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(refused("fe80::2/64"))


async def test_a_neutral_host_leaves_what_it_finds(namespace: Namespace) -> None:
    async with actuator_in(namespace) as actuator:
        actuator.check(replace(refused("10.77.0.1/24"), neutral=True))


@pytest.mark.parametrize("mac_mode", [MacMode.VIRTUAL, MacMode.INTERFACE])
async def test_what_pycarp_holds_is_not_the_machines_own(namespace: Namespace, mac_mode: MacMode) -> None:
    """Neither those of a running host, nor those of a process that died."""
    host = config(mac_mode=mac_mode)
    async with actuator_in(namespace) as predecessor:
        await predecessor.prepare(host)
        await predecessor.hold(host.key, host.addresses)
        predecessor.check(host)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(host)


async def test_a_users_node_refuses_to_add_and_to_reconfigure(namespace: Namespace) -> None:
    facts = LinkFacts(name=LINK, is_up=True, addresses=(ip_interface("10.77.0.1/24"),), index=1)
    node = Node(transport=MemoryBus().port("a"), monitor=StaticMonitor([facts]), actuator="netlink")
    with entered(namespace):
        async with node:
            with pytest.raises(ConfigError, match="own address"):
                await node.add(refused("10.77.0.1/24"))
            host = await node.add(refused("10.77.0.60/24"))
            with pytest.raises(ConfigError, match="own address"):
                host.reconfigure(addresses=["10.77.0.60/24", "10.77.0.1/24"])

            assert [str(each) for each in host.config.addresses] == ["10.77.0.60/24"]


@pytest.mark.parametrize("mac_mode", [MacMode.VIRTUAL, MacMode.INTERFACE])
async def test_the_machines_own_addresses_are_told_from_those_that_pycarp_holds(
    namespace: Namespace, mac_mode: MacMode
) -> None:
    host = config(mac_mode=mac_mode)
    async with actuator_in(namespace) as actuator:
        await actuator.prepare(host)
        await actuator.hold(host.key, host.addresses)
        with entered(namespace):
            seen, own = (
                {address for facts in find() for address in facts.addresses} for find in (interfaces, own_interfaces)
            )

    assert seen - own == set(host.addresses)
