"""The probe for foreign MAC addresses, on real links."""

import asyncio
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pycarp.errors import ActuatorError
from pycarp.system.addresses.mac_probe import neighbours, probe
from pycarp.vocabulary import MacMode
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

FORBIDDEN = f"frames from foreign MAC addresses get no answer on {LINK}, e.g. a hypervisor forbids them"


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip", "nft")
    with joined_namespaces() as both:
        yield both


def meet(ours: Namespace, theirs: Namespace) -> None:
    """Add the neighbour to the kernel's table."""
    ours.ip("neigh", "replace", str(theirs.address), "lladdr", mac_of(theirs), "dev", LINK, "nud", "stale")


def mac_of(namespace: Namespace) -> str:
    return namespace.ip("-o", "link", "show", "dev", LINK).split("link/ether ")[1].split()[0]


def drop_at_the_other_end(ours: Namespace, theirs: Namespace, expression: str) -> None:
    """Drop frames on the cable as a hypervisor's port does."""
    rules = f"""
        table netdev port {{
            chain arriving {{
                type filter hook ingress device {LINK} priority 0;
                {expression.format(mac=mac_of(ours))} drop
            }}
        }}
    """
    argv = ["ip", "netns", "exec", theirs.name, "nft", "-f", "-"]
    done = subprocess.run(argv, input=rules, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def probe_in(namespace: Namespace, link: str = LINK) -> tuple[MacMode, str]:
    with entered(namespace):
        return await probe(link)


@pytest.mark.system
async def test_where_a_neighbour_answers_a_foreign_mac_it_is_the_virtual_one(
    pair: tuple[Namespace, Namespace],
) -> None:
    ours, theirs = pair
    meet(ours, theirs)

    assert await probe_in(ours) == (MacMode.VIRTUAL, f"{theirs.address} answers a foreign MAC address on {LINK}")


@pytest.mark.system
async def test_a_default_gateway_is_asked_even_if_it_was_never_met(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    ours.ip("route", "add", "default", "via", str(theirs.address))

    assert (await probe_in(ours))[1] == f"{theirs.address} answers a foreign MAC address on {LINK}"


@pytest.mark.system
async def test_where_frames_from_a_foreign_mac_are_dropped_it_is_the_links_own(
    pair: tuple[Namespace, Namespace],
) -> None:
    ours, theirs = pair
    meet(ours, theirs)
    drop_at_the_other_end(ours, theirs, "ether saddr != {mac}")

    assert await probe_in(ours) == (MacMode.INTERFACE, FORBIDDEN)


@pytest.mark.system
async def test_where_answers_to_a_foreign_mac_are_dropped_it_is_the_links_own(
    pair: tuple[Namespace, Namespace],
) -> None:
    ours, theirs = pair
    meet(ours, theirs)
    drop_at_the_other_end(theirs, ours, "ether daddr & 01:00:00:00:00:00 == 0 ether daddr != " + mac_of(ours))

    assert await probe_in(ours) == (MacMode.INTERFACE, FORBIDDEN)


@pytest.mark.system
async def test_where_no_neighbour_is_known_it_is_the_virtual_one(pair: tuple[Namespace, Namespace]) -> None:
    assert await probe_in(pair[0]) == (MacMode.VIRTUAL, f"no neighbour to test it with on {LINK}")


@pytest.mark.system
async def test_where_nobody_answers_it_is_the_virtual_one_within_the_time(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    meet(ours, theirs)
    drop_at_the_other_end(ours, theirs, "ether type arp")
    loop = asyncio.get_running_loop()

    begun_s = loop.time()
    found = await probe_in(ours)

    assert found == (MacMode.VIRTUAL, f"no neighbour to test it with on {LINK}")
    assert 0.55 < loop.time() - begun_s < 0.9


@pytest.mark.system
async def test_a_link_that_is_down_has_nobody_to_probe_with(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    meet(ours, theirs)
    ours.ip("link", "set", LINK, "down")

    assert await probe_in(ours) == (MacMode.VIRTUAL, f"no neighbour to test it with on {LINK}")


@pytest.mark.system
async def test_the_neighbour_learns_nothing_from_being_asked(pair: tuple[Namespace, Namespace]) -> None:
    ours, theirs = pair
    meet(ours, theirs)
    await probe_in(ours)

    assert "0.0.0.0" not in theirs.ip("neigh", "show", "nud", "all")
    assert "lladdr 02:" not in theirs.ip("neigh", "show", "nud", "all", "dev", LINK).replace(mac_of(ours), "own")


@pytest.mark.system
async def test_neighbours_are_those_of_the_link_the_gateway_first(pair: tuple[Namespace, Namespace]) -> None:
    ours, _theirs = pair
    ours.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
    for number in (5, 6, 7, 8):
        ours.ip("neigh", "add", f"10.77.0.{number}", "lladdr", "02:00:00:00:00:01", "dev", LINK, "nud", "stale")
    ours.ip("neigh", "add", "10.77.0.9", "dev", LINK, "nud", "failed")
    ours.ip("link", "set", "other0", "up")
    ours.ip("neigh", "add", "10.99.0.5", "lladdr", "02:00:00:00:00:01", "dev", "other0", "nud", "stale")
    ours.ip("route", "add", "default", "via", "10.77.0.8")

    with entered(ours):
        found = neighbours(LINK)

    assert found[0] == IPv4Address("10.77.0.8")
    assert sorted(map(str, found)) == [f"10.77.0.{number}" for number in (5, 6, 7, 8)]


@pytest.mark.system
async def test_a_link_that_is_no_ethernet_has_its_own_only() -> None:
    require()

    assert await probe("lo") == (
        MacMode.INTERFACE,
        "lo is no Ethernet, and has no MAC address that others could know",
    )


@pytest.mark.parametrize("mark", ["phy80211", "wireless"])
async def test_a_wireless_link_has_its_own_only(tmp_path: Path, mark: str) -> None:
    (tmp_path / "wlan0" / mark).mkdir(parents=True)

    assert await probe("wlan0", sysfs=tmp_path) == (
        MacMode.INTERFACE,
        "wlan0 is wireless, and carries frames from its own MAC address only",
    )


@pytest.mark.system
async def test_a_link_that_does_not_exist_is_named() -> None:
    require()

    with pytest.raises(ActuatorError, match="cannot probe nosuch0: No such device"):
        await probe("nosuch0")


@pytest.mark.system
async def test_a_probe_without_privileges_says_which_are_needed() -> None:
    require()

    with unprivileged(), pytest.raises(ActuatorError, match="cannot probe lo: no permission: run as root or give"):
        await probe("lo")
