"""The conformance suite itself: a broken promise is found out, and the failure says what was expected."""

import contextlib
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address

import pytest

from pycarp.system.deeds import Parcel
from pycarp.testing import CHECKS, Station, check_transport
from pycarp.testing.conformance import Pair, PairFactory
from pycarp.transports import MemoryBus, Transport
from pycarp.vocabulary import Address, Datagram, Outgoing
from tests.support.transports import received
from tests.support.virtual import in_virtual_time


class Wrapped:
    """A transport in memory, to be spoiled by a subclass."""

    def __init__(self, port: Transport) -> None:
        self.port = port

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Pass on."""
        await self.port.open_link(link, wake)

    async def join(self, link: str, group: Address) -> None:
        """Pass on."""
        await self.port.join(link, group)

    async def close_link(self, link: str) -> None:
        """Pass on."""
        await self.port.close_link(link)

    def send(self, outgoing: Outgoing) -> None:
        """Pass on."""
        self.port.send(outgoing)

    def parcel(self, outgoing: Outgoing) -> Parcel | None:
        """Pass on."""
        return self.port.parcel(outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Pass on."""
        return self.port.drain(limit)

    async def close(self) -> None:
        """Pass on."""
        await self.port.close()


class Deaf(Wrapped):
    """Hears nothing."""

    def drain(self, limit: int) -> list[Datagram]:
        """Throw away what has come."""
        self.port.drain(limit)
        return []


class Vain(Wrapped):
    """Hears itself."""

    def __init__(self, port: Transport) -> None:
        super().__init__(port)
        self._echoes: list[Datagram] = []

    def send(self, outgoing: Outgoing) -> None:
        """Send, and keep a copy to be heard."""
        super().send(outgoing)
        self._echoes.append(received(outgoing))

    def drain(self, limit: int) -> list[Datagram]:
        """Return the own words among those of others."""
        heard, self._echoes = self._echoes + super().drain(limit), []
        return heard


class Greedy(Wrapped):
    """Drains all there is."""

    def drain(self, limit: int) -> list[Datagram]:
        """Disregard the limit."""
        return super().drain(64)


class Forgetful(Wrapped):
    """Does not mind whether a link is open."""

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open it as often as somebody likes."""
        await self.port.close_link(link)
        await super().open_link(link, wake)


class Silent(Wrapped):
    """Swallows what cannot be sent."""

    def send(self, outgoing: Outgoing) -> None:
        """Pretend."""
        with contextlib.suppress(OSError):
            super().send(outgoing)


class Sleepy(Wrapped):
    """Never wakes anybody."""

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Forget whom to wake."""
        await super().open_link(link, lambda: None)


def pairs_of(kind: type[Wrapped], *, has_real_links: bool = False) -> PairFactory:
    """Return a factory of pairs on a bus of their own."""

    @contextlib.asynccontextmanager
    async def pair() -> AsyncIterator[Pair]:
        bus = MemoryBus()
        left, right = (
            Station(
                transport=kind(bus.port(name)),
                link="em0",
                source=IPv4Address(source),
                has_real_links=has_real_links,
            )
            for name, source in (("left", "192.0.2.1"), ("right", "192.0.2.2"))
        )
        yield left, right

    return pair


@in_virtual_time
async def test_a_transport_that_keeps_every_promise_passes() -> None:
    await check_transport(pairs_of(Wrapped))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Deaf, "1 datagrams must arrive"),
        (Vain, "own packets must not be delivered back"),
        (Greedy, "drain(2) must return at most 2"),
        (Forgetful, "opening a link a second time must raise TransportError"),
        (Silent, "sending on a link that was never open must raise OSError"),
        (Sleepy, "1 datagrams must arrive"),
    ],
)
@in_virtual_time
async def test_a_broken_promise_is_found_out(kind: type[Wrapped], expected: str) -> None:
    failures: list[str] = []
    for check in CHECKS:
        async with pairs_of(kind)() as pair:
            try:
                await check(pair)
            except AssertionError as exc:
                failures.append(str(exc))

    assert any(expected in failure for failure in failures)


@in_virtual_time
async def test_a_transport_that_opens_links_which_do_not_exist_is_found_out() -> None:
    with pytest.raises(AssertionError, match="opening nosuchlink0 must raise TransportError"):
        await check_transport(pairs_of(Wrapped, has_real_links=True))


@in_virtual_time
async def test_a_failure_names_the_check() -> None:
    with pytest.raises(AssertionError) as caught:
        await check_transport(pairs_of(Deaf))

    assert caught.value.__notes__ == ["in check: what one sends the other receives intact"]


def test_the_names_of_the_checks_are_sentences() -> None:
    assert all(check.__name__.count("_") >= 4 and check.__doc__ for check in CHECKS)
