"""The probes of interfaces and routes, in network namespaces."""

from collections.abc import Iterator
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Finding, interface, route
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.probes import finding_of
from tests.support.system import require

OK, FAIL = Answer.OK, Answer.FAIL


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as (ours, theirs), entered(ours):
        yield ours, theirs


@pytest.fixture
def ours(segment: tuple[Namespace, Namespace]) -> Namespace:
    return segment[0]


@pytest.mark.system
async def test_an_interface_that_carries_is_up(ours: Namespace) -> None:
    assert await finding_of(interface(LINK)) == Finding(OK, "interface eth0 is up")
    assert await finding_of(interface("eth7")) == Finding(FAIL, "interface eth7 does not exist")

    ours.ip("link", "set", LINK, "down")
    assert await finding_of(interface(LINK)) == Finding(FAIL, "interface eth0 is administratively down")


@pytest.mark.system
async def test_an_interface_whose_cable_is_out_has_no_carrier(segment: tuple[Namespace, Namespace]) -> None:
    segment[1].ip("link", "set", LINK, "down")

    assert await finding_of(interface(LINK)) == Finding(FAIL, "interface eth0 has no carrier")


@pytest.mark.system
async def test_an_interface_has_an_address_or_not(ours: Namespace) -> None:
    for own in (ours.address, str(ours.address6)):
        finding = await finding_of(interface(LINK, address=own))
        assert finding == Finding(OK, f"interface eth0 is up and has {own}")

    finding = await finding_of(interface(LINK, address="192.0.2.1"))
    assert finding == Finding(FAIL, "interface eth0 has no address 192.0.2.1")


@pytest.mark.system
@pytest.mark.parametrize(
    ("destination", "added", "gateway"),
    [
        ("default", "default", "10.77.0.2"),
        ("0.0.0.0/0", "default", "10.77.0.2"),
        ("::/0", "::/0", "fd77::2"),
        ("198.51.100.0/24", "198.51.100.0/24", "10.77.0.2"),
        ("2001:db8::/32", "2001:db8::/32", "fe80::2"),
    ],
)
async def test_a_route_to_a_network_is_there_or_not(
    ours: Namespace, destination: str, added: str, gateway: str
) -> None:
    shown = "default route" if destination in ("default", "0.0.0.0/0", "::/0") else f"route to {destination}"
    assert await finding_of(route(destination)) == Finding(FAIL, f"there is no {shown}")

    ours.ip("-6" if ":" in added else "-4", "route", "add", added, "via", gateway, "dev", LINK)

    assert await finding_of(route(destination)) == Finding(OK, f"the {shown} is via {gateway} through eth0")
    assert await finding_of(route(destination, through="eth7")) == Finding(
        FAIL, f"the {shown} is through eth0, not through eth7"
    )


@pytest.mark.system
async def test_another_network_that_contains_the_wanted_one_is_not_its_route(ours: Namespace) -> None:
    ours.ip("route", "add", "198.51.100.0/23", "via", "10.77.0.2")
    ours.ip("route", "add", "default", "via", "10.77.0.2")

    assert (await finding_of(route("198.51.100.0/24"))).answer is FAIL


@pytest.mark.system
@pytest.mark.parametrize(
    ("destination", "network", "gateway"),
    [("198.51.100.7", "198.51.100.0/24", "10.77.0.2"), ("2001:db8::7", "2001:db8::/32", "fd77::2")],
)
async def test_a_route_for_an_address_is_the_one_that_a_packet_would_take(
    ours: Namespace, destination: str, network: str, gateway: str
) -> None:
    family = "-6" if ":" in network else "-4"
    assert await finding_of(route(destination)) == Finding(FAIL, f"there is no route for {destination}")

    ours.ip(family, "route", "add", network, "via", gateway, "dev", LINK)
    assert await finding_of(route(destination)) == Finding(
        OK, f"the route for {destination} is via {gateway} through eth0"
    )

    ours.ip(family, "route", "replace", "unreachable", f"{destination}/{32 if family == '-4' else 128}")
    assert (await finding_of(route(destination))).answer is FAIL


@pytest.mark.system
@pytest.mark.parametrize("destination", ["default", "198.51.100.7", "::/0", "2001:db8::7"])
async def test_a_route_whose_cable_is_out_does_not_count(
    segment: tuple[Namespace, Namespace], destination: str
) -> None:
    ours, theirs = segment
    ours.ip("route", "add", "default", "via", "10.77.0.2")
    ours.ip("-6", "route", "add", "default", "via", "fd77::2", "dev", LINK)
    assert (await finding_of(route(destination))).answer is OK

    theirs.ip("link", "set", LINK, "down")

    finding = await finding_of(route(destination))
    assert finding.answer is FAIL
    assert finding.detail.endswith("is through eth0, which is down")


@pytest.mark.system
async def test_of_several_gateways_one_that_can_be_reached_is_enough(segment: tuple[Namespace, Namespace]) -> None:
    ours, theirs = segment
    ours.ip("link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
    ours.ip("addr", "add", "10.78.0.1/24", "dev", "spare0")
    ours.ip("link", "set", "spare0", "up")
    ours.ip("link", "set", "spare1", "up")
    ours.wait_for_carrier("spare0")
    hops = ("nexthop", "via", "10.77.0.2", "dev", LINK, "nexthop", "via", "10.78.0.2", "dev", "spare0")
    ours.ip("route", "add", "default", *hops)

    theirs.ip("link", "set", LINK, "down")

    assert await finding_of(route()) == Finding(OK, "the default route is via 10.78.0.2 through spare0")


@pytest.mark.parametrize("name", ["", "a" * 16, "ö" * 8, "\udcff", "a b", "a/b", 7, "eth0\n"])
def test_what_cannot_be_an_interface_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="is no name of an interface"):
        interface(name)


@pytest.mark.parametrize("destination", ["", "gateway", "198.51.100.7/24", 7.5, "::/129"])
def test_what_is_no_destination_is_refused_with_the_way_out(destination: Any) -> None:
    with pytest.raises(ConfigError, match='is no destination; write "default", "::/0", a network such as'):
        route(destination)
