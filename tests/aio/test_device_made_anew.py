"""A real interface that is deleted and created again is received on at once, also by a BACKUP that never sends."""

import asyncio
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

import pytest

from pycarp import HostConfig, Node, State, VirtualHost
from pycarp.actuators import NullActuator
from pycarp.monitors import StaticMonitor
from pycarp.monitors.netlink_monitor import NetlinkMonitor
from pycarp.transports import Transport
from pycarp.vocabulary import LinkFacts
from tests.support.namespaces import LINK, Namespace, entered, inside, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

BRIDGE = "br0"
GONE_S = 0.5
ADDRESS_LATER_S = 0.3
"""As an address from a DHCP server."""

SILENT_S = 5.0
"""Longer than the master-down time of a deaf BACKUP."""


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces; in the second one the cable ends in a bridge, which outlives the cable."""
    require("ip")
    with joined_namespaces() as (ours, theirs):
        theirs.ip("addr", "flush", "dev", LINK)
        theirs.ip("link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
        theirs.ip("addr", "add", str(theirs.own), "dev", BRIDGE)
        theirs.ip("link", "set", LINK, "master", BRIDGE)
        theirs.ip("link", "set", BRIDGE, "up")
        yield ours, theirs


async def make_anew(ours: Namespace, theirs: Namespace) -> None:
    """Delete the cable, and create another one with the same name."""
    ours.ip("link", "del", LINK)
    await asyncio.sleep(GONE_S)
    ours.ip("link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", theirs.name)
    theirs.ip("link", "set", LINK, "master", BRIDGE, "up")
    ours.ip("link", "set", LINK, "up")
    await asyncio.sleep(ADDRESS_LATER_S)
    ours.ip("addr", "add", str(ours.own), "dev", LINK)


async def host_on(node: Node, link: str, *, advskew: int, peers: Sequence[IPv4Address] = ()) -> VirtualHost:
    """Add the virtual host to a node."""
    addresses = ["10.77.0.100/24"]
    config = HostConfig(interface=link, vhid=9, passphrase="secret", addresses=addresses, advskew=advskew, peers=peers)
    return await node.add(config)


@pytest.mark.parametrize("transport", ["packet", "raw", "udp"])
async def test_a_backup_whose_interface_was_made_anew_stays_backup(
    segment: tuple[Namespace, Namespace], transport: str
) -> None:
    ours, theirs = segment
    facts = LinkFacts(name=BRIDGE, is_up=True, addresses=(theirs.own,))
    remote: Transport = inside(transport, theirs)
    # The whole loop runs in the namespace, because the monitor opens sockets while it runs.
    with entered(ours):
        async with (
            Node(transport=remote, actuator=NullActuator(), monitor=StaticMonitor([facts])) as there,
            Node(transport=transport, actuator=NullActuator(), monitor=NetlinkMonitor()) as here,
        ):
            unicast = transport == "udp"
            master = await host_on(there, BRIDGE, advskew=0, peers=[ours.own.ip] * unicast)
            await master.wait_for(State.MASTER)
            backup = await host_on(here, LINK, advskew=100, peers=[theirs.own.ip] * unicast)
            await asyncio.sleep(1.5)
            states: list[State] = []
            backup.on_change(lambda change: states.append(change.new))
            await make_anew(ours, theirs)
            await asyncio.sleep(SILENT_S)

            assert states == [State.INIT, State.BACKUP]
            assert master.state is State.MASTER
