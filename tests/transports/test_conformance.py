"""Every transport passes the checks of ``pycarp.testing.conformance``."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

import pytest

from pycarp.testing import CHECKS, Endpoint, run
from pycarp.testing.conformance import Check, Pair
from pycarp.transports.memory import MemoryBus
from pycarp.vocabulary import Family
from tests.support.namespaces import LINK, Namespace, inside, joined_namespaces
from tests.support.system import require

SOCKET_TRANSPORTS = ("packet", "packet-real-mac", "raw", "udp")


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


both_families = pytest.mark.parametrize("family", Family, ids=lambda family: f"v{family}")


@contextlib.asynccontextmanager
async def memory_pair(family: Family) -> AsyncIterator[Pair]:
    bus = MemoryBus()
    base = ip_address("192.0.2.0" if family is Family.IPV4 else "2001:db8::")
    left, right = (
        Endpoint(transport=bus.port(name), link="em0", source=base + number, has_real_links=False)
        for number, name in enumerate("ab", 1)
    )
    yield left, right


@contextlib.asynccontextmanager
async def socket_pair(name: str, family: Family, segment: tuple[Namespace, Namespace]) -> AsyncIterator[Pair]:
    left, right = (
        Endpoint(
            transport=inside(name, each),
            link=LINK,
            source=each.address if family is Family.IPV4 else each.address6,
            has_groups=name != "udp",
            has_real_links=name != "udp",
        )
        for each in segment
    )
    try:
        yield left, right
    finally:
        await left.transport.close()
        await right.transport.close()


@both_families
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_memory_transport_conforms(check: Check, family: Family) -> None:
    async def plan() -> None:
        async with memory_pair(family) as pair:
            await check(pair)

    run(plan())


@pytest.mark.system
@both_families
@pytest.mark.parametrize("name", SOCKET_TRANSPORTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_socket_transport_conforms(
    name: str, check: Check, family: Family, segment: tuple[Namespace, Namespace]
) -> None:
    async with socket_pair(name, family, segment) as pair:
        await check(pair)
