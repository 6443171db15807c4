"""Every transport, held to what ``pycarp.testing.conformance`` demands."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address

import pytest

from pycarp import transports
from pycarp.testing import CHECKS, Station, run
from pycarp.testing.conformance import Check, Pair
from pycarp.transports.memory import MemoryBus
from tests.support.namespaces import LINK, Namespace, TransportInside, joined_namespaces
from tests.support.system import require

SOCKET_TRANSPORTS = ("packet", "packet-real-mac", "raw")


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as pair:
        yield pair


@contextlib.asynccontextmanager
async def memory_pair() -> AsyncIterator[Pair]:
    bus = MemoryBus()
    yield (
        Station(transport=bus.port("a"), link="em0", source=IPv4Address("192.0.2.1"), has_real_links=False),
        Station(transport=bus.port("b"), link="em0", source=IPv4Address("192.0.2.2"), has_real_links=False),
    )


@contextlib.asynccontextmanager
async def socket_pair(name: str, segment: tuple[Namespace, Namespace]) -> AsyncIterator[Pair]:
    left, right = (
        Station(transport=TransportInside(transports.by_name(name), each), link=LINK, source=each.address)
        for each in segment
    )
    try:
        yield left, right
    finally:
        await left.transport.close()
        await right.transport.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_memory_transport_conforms(check: Check) -> None:
    async def story() -> None:
        async with memory_pair() as pair:
            await check(pair)

    run(story())


@pytest.mark.system
@pytest.mark.parametrize("name", SOCKET_TRANSPORTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_socket_transport_conforms(name: str, check: Check, segment: tuple[Namespace, Namespace]) -> None:
    async with socket_pair(name, segment) as pair:
        await check(pair)
