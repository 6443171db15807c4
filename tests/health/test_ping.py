"""The probe that pings, between network namespaces, with and without privileges."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Finding, ping
from tests.support.namespaces import Namespace, entered, joined_namespaces
from tests.support.probes import finding_of
from tests.support.system import require, unprivileged


@pytest.fixture
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    """Be in the first of two namespaces, where only privileged processes may ping."""
    require("ip")
    with joined_namespaces() as (ours, theirs), entered(ours):
        switch("ipv4/ping_group_range", "1 0")
        yield ours, theirs


@pytest.fixture
def ours(segment: tuple[Namespace, Namespace]) -> Namespace:
    return segment[0]


@pytest.fixture
def peer(segment: tuple[Namespace, Namespace]) -> Namespace:
    return segment[1]


def switch(name: str, value: str) -> None:
    """Set a sysctl of this network namespace."""
    Path("/proc/sys/net", name).write_text(value)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Have no privileges, but be allowed to ping."""
    switch("ipv4/ping_group_range", "0 2147483647")
    with unprivileged():
        yield


@pytest.mark.system
@pytest.mark.parametrize("has_privileges", [True, False])
@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2", "fe80::2%eth0"])
async def test_an_address_answers(peer: Namespace, address: str, *, has_privileges: bool) -> None:
    with contextlib.nullcontext() if has_privileges else ordinary_user():
        finding = await finding_of(ping(address))

    assert finding == Finding(Answer.OK, f"{address} answers")


@pytest.mark.system
@pytest.mark.parametrize("has_privileges", [True, False])
@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2"])
async def test_an_address_that_is_silent_fails_at_the_timeout(
    peer: Namespace, address: str, *, has_privileges: bool
) -> None:
    with entered(peer):
        switch("ipv4/icmp_echo_ignore_all", "1")
        switch("ipv6/icmp/echo_ignore_all", "1")

    with contextlib.nullcontext() if has_privileges else ordinary_user():
        finding = await finding_of(ping(address), timeout_s=0.2)

    assert finding == Finding(Answer.FAIL, f"{address} did not answer within 200ms")


@pytest.mark.system
@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7", "fe80::2%eth7"])
async def test_an_address_without_a_route_fails_at_once(peer: Namespace, address: str) -> None:
    finding = await finding_of(ping(address))

    assert finding.answer is Answer.FAIL
    assert finding.detail.removeprefix(f"cannot reach {address}: ") in (
        "Network is unreachable",
        "no interface with this name",
    )


@pytest.mark.system
@pytest.mark.parametrize("has_privileges", [True, False])
async def test_what_a_router_says_is_shown(ours: Namespace, peer: Namespace, *, has_privileges: bool) -> None:
    peer.ip("route", "add", "unreachable", "198.51.100.0/24")
    with entered(peer):
        switch("ipv4/ip_forward", "1")
    ours.ip("route", "add", "default", "via", str(peer.address))

    with contextlib.nullcontext() if has_privileges else ordinary_user():
        finding = await finding_of(ping("198.51.100.7"))

    assert finding == Finding(Answer.FAIL, "cannot reach 198.51.100.7: No route to host")


@pytest.mark.system
async def test_who_may_not_ping_does_not_know(peer: Namespace) -> None:
    with unprivileged():
        finding = await finding_of(ping("10.77.0.2"))

    assert finding == Finding(
        Answer.UNKNOWN,
        "this process may not ping; it needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range",
    )


@pytest.mark.system
@pytest.mark.parametrize("has_privileges", [True, False])
async def test_the_replies_of_many_do_not_mix(peer: Namespace, *, has_privileges: bool) -> None:
    with entered(peer):
        switch("ipv6/icmp/echo_ignore_all", "1")
    with contextlib.nullcontext() if has_privileges else ordinary_user():
        found = await asyncio.gather(
            *(finding_of(ping(address), timeout_s=1) for address in ("10.77.0.1", "10.77.0.2", "fd77::2") * 20)
        )

    assert [each.answer for each in found] == [Answer.OK, Answer.OK, Answer.FAIL] * 20


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gateway", "is no address; write one such as"),
        (7.5, "is no address"),
        ("192.0.2.0/24", "is no address"),
        ("fe80::1", 'is on every segment; name the interface, as in "fe80::1%eth0"'),
        ("224.0.0.18", "is a group; write the address of one machine"),
    ],
)
def test_what_cannot_be_pinged_is_refused_with_the_way_out(address: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ping(address)
