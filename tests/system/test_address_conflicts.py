"""Address conflict detection on real links; its probes change no neighbour's cache."""

import asyncio
import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from pycarp.errors import ActuatorError
from pycarp.system.addresses.address_conflicts import find
from pycarp.vocabulary import MacAddress
from tests.support.capture import Capture
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

TAKEN4, TAKEN6, FREE4, FREE6 = (
    IPv4Address("10.77.0.50"),
    IPv6Address("fd77::50"),
    IPv4Address("10.77.0.51"),
    IPv6Address("fd77::51"),
)


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A link between this machine and a neighbour that has two of the addresses."""
    require("ip")
    with joined_namespaces() as (ours, other):
        other.ip("addr", "add", f"{TAKEN4}/24", "dev", LINK)
        other.ip("addr", "add", f"{TAKEN6}/64", "dev", LINK, "nodad")
        yield ours, other


def mac_of(namespace: Namespace) -> MacAddress:
    (link,) = json.loads(namespace.ip("-j", "link", "show", "dev", LINK))
    return MacAddress.parse(link["address"])


def neighbours(namespace: Namespace) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(namespace.ip("-j", "neigh", "show", "dev", LINK))
    return [each for each in found if each["state"] != ["PERMANENT"]]


async def test_those_that_are_taken_are_found_with_the_mac_address(pair: tuple[Namespace, Namespace]) -> None:
    ours, other = pair
    with entered(ours):
        found = await find(LINK, [TAKEN4, FREE4, TAKEN6, FREE6])

    assert found == {TAKEN4: {mac_of(other)}, TAKEN6: {mac_of(other)}}


async def test_nobody_learns_anything(pair: tuple[Namespace, Namespace]) -> None:
    ours, other = pair
    for each in pair:
        each.ip("neigh", "flush", "all")
    with Capture(other) as capture, entered(ours):
        await find(LINK, [TAKEN4, TAKEN6])
        frames = capture.frames(lambda frame: frame.source == mac_of(ours), 6)

    assert neighbours(other) == []
    assert {frame.destination.octets[:2] for frame in frames} == {b"\xff\xff", b"\x33\x33"}


async def test_somebody_who_asks_for_an_address_does_not_have_it(pair: tuple[Namespace, Namespace]) -> None:
    """Two hosts that start at the same time probe at the same time."""
    ours, other = pair
    with entered(other):
        theirs = asyncio.create_task(find(LINK, [FREE4, FREE6]))
        await asyncio.sleep(0)
    with entered(ours):
        found = await find(LINK, [FREE4, FREE6])

    assert found == await theirs == {}


async def test_a_link_that_does_not_exist_is_an_error(pair: tuple[Namespace, Namespace]) -> None:
    with entered(pair[0]), pytest.raises(ActuatorError, match="cannot ask on nosuchlink0"):
        await find("nosuchlink0", [TAKEN4])


async def test_a_link_that_is_down_is_an_error(pair: tuple[Namespace, Namespace]) -> None:
    ours, _other = pair
    ours.ip("link", "set", "dev", LINK, "down")
    with entered(ours), pytest.raises(ActuatorError, match="cannot ask on eth0"):
        await find(LINK, [TAKEN4])
