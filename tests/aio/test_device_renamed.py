"""A real interface that is renamed is followed by its index: the host keeps its state, and leaves nothing behind."""

import asyncio
from collections.abc import Iterator

import pytest

from pycarp import HostConfig, MacMode, Node, Reason, State
from pycarp.actuators.netlink_actuator import NetlinkActuator
from pycarp.monitors.netlink_monitor import NetlinkMonitor
from pycarp.system.addresses import sysctl_files
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

RENAMED = "lan0"
SHARED = "10.77.0.100/24"
WITHIN_S = 5.0
SWITCHES = ("net/ipv4/conf/{}/arp_ignore", "net/ipv4/conf/{}/arp_announce", "net/ipv4/conf/{}/promote_secondaries")


@pytest.fixture
def ours() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (ours, _theirs), entered(ours):
        yield ours


def new_node() -> Node:
    return Node(transport="packet", actuator=NetlinkActuator(), monitor=NetlinkMonitor())


def host(mac_mode: MacMode) -> HostConfig:
    """Return a host that is MASTER after a third of a second."""
    return HostConfig(
        interface=LINK,
        vhid=9,
        name="carp9",
        passphrase="secret",
        addresses=[SHARED],
        advbase=0,
        advskew=26,
        mac_mode=mac_mode,
    )


def switches(link: str) -> list[str | None]:
    return [sysctl_files.read(each.format(link)) for each in SWITCHES]


async def until_called(node: Node, name: str) -> None:
    """Wait until the node knows the new name of its interface."""
    async with asyncio.timeout(WITHIN_S):
        while (facts := node.link_facts(LINK)) is None or facts.present_name != name:  # noqa: ASYNC110  the kernel's
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mac_mode", [MacMode.VIRTUAL, MacMode.INTERFACE])
async def test_a_master_whose_interface_is_renamed_stays_master_and_cleans_up_under_the_new_name(
    ours: Namespace, mac_mode: MacMode
) -> None:
    before = switches(LINK)
    async with new_node() as node:
        carp = await node.add(host(mac_mode))
        async with asyncio.timeout(WITHIN_S):
            await carp.wait_for(State.MASTER)
        changes: list[Reason] = []
        carp.on_change(lambda change: changes.append(change.reason))
        ours.ip("link", "set", LINK, "name", RENAMED)
        await until_called(node, RENAMED)
        await asyncio.sleep(0.5)

        assert (carp.state, changes) == (State.MASTER, [])
        assert SHARED in ours.ip("-o", "addr")

    assert SHARED not in ours.ip("-o", "addr")
    assert "carp9" not in ours.ip("-o", "link")
    assert switches(RENAMED) == before


async def test_a_host_stays_on_its_interface_when_another_one_takes_the_name(ours: Namespace) -> None:
    async with new_node() as node:
        carp = await node.add(host(MacMode.VIRTUAL))
        async with asyncio.timeout(WITHIN_S):
            await carp.wait_for(State.MASTER)
        ours.ip("link", "set", LINK, "name", RENAMED)
        ours.ip("link", "add", LINK, "type", "veth", "peer", "name", "other")
        await until_called(node, RENAMED)
        await asyncio.sleep(0.5)

        assert carp.state is State.MASTER
        assert f"carp9@{RENAMED}" in ours.ip("-o", "link")


async def test_a_host_that_is_added_after_the_last_one_left_is_on_what_has_the_name_then(ours: Namespace) -> None:
    async with new_node() as node:
        previous = await node.add(host(MacMode.VIRTUAL))
        ours.ip("link", "set", LINK, "name", RENAMED)
        await until_called(node, RENAMED)
        await node.remove(previous)
        ours.ip("link", "add", LINK, "type", "veth", "peer", "name", "other")
        await node.add(host(MacMode.VIRTUAL))

        assert f"carp9@{LINK}" in ours.ip("-o", "link")
