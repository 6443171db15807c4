"""The conformance checks themselves: each finds a violation, and its failure says what it expected."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address
from typing import NamedTuple

import pytest

from pycarp.errors import TransportError
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.testing import CHECKS, Endpoint, VirtualTimeLoop, check_transport, conformance
from pycarp.testing.conformance import Check, Pair, PairFactory
from pycarp.transports import MemoryBus, MemoryTransport
from pycarp.vocabulary import CARP_GROUPS, Address, Datagram, Outgoing
from tests.support.transports import received
from tests.support.virtual import in_virtual_time


class Wrapped:
    """A transport in memory; each subclass breaks one rule."""

    def __init__(self, port: MemoryTransport) -> None:
        self.port = port

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Pass the call on."""
        await self.port.open_link(link, wake)

    async def join(self, link: str, group: Address) -> None:
        """Pass the call on."""
        await self.port.join(link, group)

    async def close_link(self, link: str) -> None:
        """Pass the call on."""
        await self.port.close_link(link)

    def send(self, outgoing: Outgoing) -> None:
        """Pass the call on."""
        self.port.send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Pass the call on."""
        return self.port.prepared_packet(outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Pass the call on."""
        return self.port.drain(limit)

    async def close(self) -> None:
        """Pass the call on."""
        await self.port.close()


class Deaf(Wrapped):
    """Receives nothing."""

    def drain(self, limit: int) -> list[Datagram]:
        """Drop every datagram."""
        self.port.drain(limit)
        return []


class Vain(Wrapped):
    """Receives its own datagrams."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._echoes: list[Datagram] = []

    def send(self, outgoing: Outgoing) -> None:
        """Send, and keep a copy to deliver."""
        super().send(outgoing)
        self._echoes.append(received(outgoing))

    def drain(self, limit: int) -> list[Datagram]:
        """Return the own datagrams among the received ones."""
        heard, self._echoes = self._echoes + super().drain(limit), []
        return heard


class Greedy(Wrapped):
    """Drains everything."""

    def drain(self, limit: int) -> list[Datagram]:
        """Ignore the limit."""
        return super().drain(64)


class OneMore(Wrapped):
    """Drains one datagram more than the limit."""

    def drain(self, limit: int) -> list[Datagram]:
        """Exceed the limit."""
        return super().drain(limit + 1)


class Forgetful(Wrapped):
    """Opens an open link again."""

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open a link again without an error."""
        await self.port.close_link(link)
        await super().open_link(link, wake)


class Silent(Wrapped):
    """Ignores the errors of sending."""

    def send(self, outgoing: Outgoing) -> None:
        """Pretend."""
        with contextlib.suppress(OSError):
            super().send(outgoing)


class Sleepy(Wrapped):
    """Never calls wake."""

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open the link with another wake."""
        await super().open_link(link, lambda: None)


class Changing(Wrapped):
    """Delivers a datagram with another value in one of its fields."""

    def changed(self, datagram: Datagram) -> Datagram:
        """Return what is delivered of a datagram."""
        return datagram

    def drain(self, limit: int) -> list[Datagram]:
        """Change every received datagram."""
        return [self.changed(each) for each in super().drain(limit)]


class OtherPayload(Changing):
    """Pads what it delivers."""

    def changed(self, datagram: Datagram) -> Datagram:
        """Change one field."""
        return datagram._replace(payload=bytes(40))


class OtherTtl(Changing):
    """Counts itself as a router."""

    def changed(self, datagram: Datagram) -> Datagram:
        """Change one field."""
        return datagram._replace(ttl=254)


class OtherSource(Changing):
    """Puts an address of its own in the place of the sender's."""

    def changed(self, datagram: Datagram) -> Datagram:
        """Change one field."""
        return datagram._replace(source=IPv4Address("192.0.2.99"))


class OtherDestination(Changing):
    """Forgets to whom it went."""

    def changed(self, datagram: Datagram) -> Datagram:
        """Change one field."""
        return datagram._replace(destination=IPv4Address("192.0.2.99"))


class OtherLink(Changing):
    """Forgets where it came in."""

    def changed(self, datagram: Datagram) -> Datagram:
        """Change one field."""
        return datagram._replace(link="em1")


class GroupsOnly(Wrapped):
    """Sends to groups alone."""

    def send(self, outgoing: Outgoing) -> None:
        """Drop the datagrams to a peer."""
        if outgoing.destination.is_multicast:
            super().send(outgoing)


class OneGroup(Wrapped):
    """Receives only the groups of CARP."""

    def drain(self, limit: int) -> list[Datagram]:
        """Drop the datagrams to any other group."""
        heard = super().drain(limit)
        return [each for each in heard if not each.destination.is_multicast or each.destination in CARP_GROUPS.values()]


class JoinsOnce(Wrapped):
    """Refuses a group that it is a member of."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._joined = Counter[Address]()

    async def join(self, link: str, group: Address) -> None:
        """Count."""
        self._joined[group] += 1
        if self._joined[group] > 1:
            raise TransportError(f"cannot join {group} on {link}: Address already in use")
        await super().join(link, group)


class JoinsAnywhere(Wrapped):
    """Joins a group on a link that is not open."""

    async def join(self, link: str, group: Address) -> None:
        """Pretend."""


class Nameless(Wrapped):
    """Names the link in no error."""

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Hide the name."""
        try:
            await super().open_link(link, wake)
        except TransportError as exc:
            raise TransportError("the link is open already") from exc

    async def join(self, link: str, group: Address) -> None:
        """Hide the name."""
        try:
            await super().join(link, group)
        except TransportError as exc:
            raise TransportError("the link is not open") from exc


class UnicastOnly(Wrapped):
    """Has no groups, and passes every check."""

    def send(self, outgoing: Outgoing) -> None:
        """Refuse groups with the way out."""
        if outgoing.destination.is_multicast:
            raise OSError("name the peers")
        super().send(outgoing)

    async def join(self, link: str, group: Address) -> None:
        """Refuse every group."""
        raise TransportError(f"there are no groups on {link}")


class UnicastOnlyWithoutReason(UnicastOnly):
    """Refuses groups, and does not name the way out."""

    def send(self, outgoing: Outgoing) -> None:
        """Raise an error without a message."""
        if outgoing.destination.is_multicast:
            raise OSError("no")
        super().send(outgoing)


class Hasty(Wrapped):
    """Calls wake before a datagram has arrived."""

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Wake at once."""
        await super().open_link(link, wake)
        wake()


class Reversing(Wrapped):
    """Delivers the newest first."""

    def drain(self, limit: int) -> list[Datagram]:
        """Reverse the received datagrams."""
        return super().drain(limit)[::-1]


class Repeating(Wrapped):
    """Delivers the last datagram again when there is no other."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._last: list[Datagram] = []

    def drain(self, limit: int) -> list[Datagram]:
        """Keep the last one."""
        heard = super().drain(limit) or self._last
        self._last = heard[-1:]
        return heard


class Waiting(Wrapped):
    """Waits for a datagram."""

    def drain(self, limit: int) -> list[Datagram]:
        """Block for a second."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.stall(1)
        return super().drain(limit)


class NothingAtAll(Wrapped):
    """Returns None if no datagram waits."""

    def drain(self, limit: int) -> list[Datagram]:
        """Return no list."""
        return super().drain(limit) or None  # type: ignore[return-value]


class NeverClosing(Wrapped):
    """Keeps every link open."""

    async def close_link(self, link: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class WakingOn(NeverClosing):
    """Wakes for a link that was closed, though nothing can be drained of it."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._is_closed = False

    async def close_link(self, link: str) -> None:
        """Only remember it."""
        self._is_closed = True

    def drain(self, limit: int) -> list[Datagram]:
        """Return nothing of it."""
        heard = super().drain(limit)
        return [] if self._is_closed else heard


class Replacing(Wrapped):
    """Refuses to open a link again, and has closed it meanwhile."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._links: set[str] = set()

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Close it before refusing."""
        if link in self._links:
            await super().close_link(link)
            raise TransportError(f"link {link} is open already")
        self._links.add(link)
        await super().open_link(link, wake)


class OpeningOnce(Wrapped):
    """Opens a link one time only."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._links: set[str] = set()

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Pretend from the second time on."""
        if link not in self._links:
            self._links.add(link)
            await super().open_link(link, wake)


class RealLinks(Wrapped):
    """Knows which links there are."""

    cause: type[Exception] = OSError
    text = "cannot open nosuchlink0"

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Refuse the one that no machine has."""
        if link == conformance.NO_SUCH_LINK:
            raise TransportError(self.text) from self.cause()
        await super().open_link(link, wake)


class RealLinksWithoutCause(RealLinks):
    """Does not chain the operating system's error."""

    cause = ValueError


class RealLinksWithoutName(RealLinks):
    """Does not say which link."""

    text = "cannot open it"


class ClosingOpenLinksOnly(Wrapped):
    """Cannot close what is not open."""

    def __init__(self, port: MemoryTransport) -> None:
        super().__init__(port)
        self._links: set[str] = set()

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Remember it."""
        await super().open_link(link, wake)
        self._links.add(link)

    async def close_link(self, link: str) -> None:
        """Forget it."""
        self._links.remove(link)
        await super().close_link(link)


class ClosingOnce(Wrapped):
    """Cannot be closed twice."""

    is_closed = False

    async def close(self) -> None:
        """Remember it."""
        assert not self.is_closed, "closed already"
        self.is_closed = True
        await super().close()


class Broken(NamedTuple):
    """A transport that a check must reject, and what the check says then."""

    check: Check
    kind: type[Wrapped]
    expected: str
    error: type[Exception] = AssertionError
    has_groups: bool = True
    has_real_links: bool = False


NOT_HEARD = "1 datagrams must arrive within 2 s"
BROKEN = (
    Broken(conformance.what_one_sends_the_other_receives_intact, Deaf, NOT_HEARD),
    Broken(conformance.what_one_sends_the_other_receives_intact, OtherPayload, "was received"),
    Broken(conformance.what_one_sends_the_other_receives_intact, OtherTtl, "was received"),
    Broken(conformance.what_one_sends_the_other_receives_intact, OtherSource, "was received"),
    Broken(conformance.what_one_sends_the_other_receives_intact, OtherDestination, "was received"),
    Broken(conformance.what_one_sends_the_other_receives_intact, OtherLink, "was received"),
    Broken(conformance.a_unicast_peer_receives_what_is_meant_for_it, GroupsOnly, NOT_HEARD),
    Broken(conformance.a_unicast_peer_receives_what_is_meant_for_it, OtherDestination, "was received"),
    Broken(conformance.one_more_group_can_be_joined, OneGroup, NOT_HEARD),
    Broken(conformance.one_more_group_can_be_joined, JoinsOnce, "Address already in use", TransportError),
    Broken(
        conformance.joining_on_a_link_that_is_not_open_raises_transport_error,
        JoinsAnywhere,
        "joining a group on a link that is not open must raise TransportError",
    ),
    Broken(
        conformance.joining_on_a_link_that_is_not_open_raises_transport_error,
        Nameless,
        "the error must name em0, but says the link is not open",
    ),
    Broken(
        conformance.sending_to_a_group_where_there_are_none_raises_os_error,
        Wrapped,
        "sending to a group must raise OSError where there are none",
        has_groups=False,
    ),
    Broken(
        conformance.sending_to_a_group_where_there_are_none_raises_os_error,
        UnicastOnlyWithoutReason,
        "the error must say that peers are needed, but says no",
        has_groups=False,
    ),
    Broken(conformance.wake_is_called_when_something_arrives, Sleepy, NOT_HEARD),
    Broken(conformance.wake_is_called_when_something_arrives, Hasty, "wake must not be called before anything"),
    Broken(conformance.own_packets_are_never_delivered_back, Vain, "own packets must not be delivered back"),
    Broken(conformance.drain_never_exceeds_its_limit_and_keeps_the_order, Greedy, "drain(2) must return at most 2"),
    Broken(conformance.drain_never_exceeds_its_limit_and_keeps_the_order, OneMore, "drain(2) must return at most 2"),
    Broken(conformance.drain_never_exceeds_its_limit_and_keeps_the_order, Reversing, "must arrive in order"),
    Broken(conformance.drain_never_exceeds_its_limit_and_keeps_the_order, Repeating, "nothing must be left"),
    Broken(conformance.drain_with_nothing_waiting_returns_at_once, Waiting, "drain must not wait"),
    Broken(conformance.drain_with_nothing_waiting_returns_at_once, NothingAtAll, "must return an empty list, not None"),
    Broken(conformance.sending_on_a_link_that_is_not_open_raises_os_error, Silent, "that was never open must raise"),
    Broken(conformance.sending_on_a_link_that_is_not_open_raises_os_error, NeverClosing, "that was closed must raise"),
    Broken(
        conformance.opening_a_link_twice_raises_transport_error, Forgetful, "a second time must raise TransportError"
    ),
    Broken(conformance.opening_a_link_twice_raises_transport_error, Nameless, "the error must name em0"),
    Broken(conformance.opening_a_link_twice_raises_transport_error, Replacing, NOT_HEARD),
    Broken(
        conformance.an_unknown_link_raises_transport_error_that_names_it,
        Wrapped,
        "opening nosuchlink0 must raise TransportError",
        has_real_links=True,
    ),
    Broken(
        conformance.an_unknown_link_raises_transport_error_that_names_it,
        RealLinksWithoutName,
        "the error must name nosuchlink0, but says cannot open it",
        has_real_links=True,
    ),
    Broken(
        conformance.an_unknown_link_raises_transport_error_that_names_it,
        RealLinksWithoutCause,
        "the operating system's error must be the cause",
        has_real_links=True,
    ),
    Broken(conformance.after_close_link_nothing_arrives, NeverClosing, "nothing must arrive on a link that was closed"),
    Broken(
        conformance.after_close_link_nothing_arrives, WakingOn, "wake must not be called for a link that was closed"
    ),
    Broken(conformance.a_link_can_be_opened_again_after_it_was_closed, OpeningOnce, NOT_HEARD),
    Broken(conformance.closing_a_link_that_is_not_open_does_nothing, ClosingOpenLinksOnly, "em0", KeyError),
    Broken(conformance.close_can_be_called_again, ClosingOnce, "closed already"),
    Broken(conformance.close_can_be_called_again, NeverClosing, "of a transport that was closed must raise OSError"),
)


def pairs_of(kind: type[Wrapped], *, has_real_links: bool = False, has_groups: bool = True) -> PairFactory:
    """Return a factory of pairs on a bus of their own."""

    @contextlib.asynccontextmanager
    async def pair() -> AsyncIterator[Pair]:
        bus = MemoryBus()
        left, right = (
            Endpoint(
                transport=kind(bus.port(name)),
                link="em0",
                source=IPv4Address(source),
                has_real_links=has_real_links,
                has_groups=has_groups,
            )
            for name, source in (("left", "192.0.2.1"), ("right", "192.0.2.2"))
        )
        yield left, right

    return pair


@in_virtual_time
async def test_a_transport_that_keeps_every_promise_passes() -> None:
    await check_transport(pairs_of(Wrapped))
    await check_transport(pairs_of(RealLinks, has_real_links=True))
    await check_transport(pairs_of(UnicastOnly, has_groups=False))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: f"{broken.check.__name__}-{broken.kind.__name__}")
@in_virtual_time
async def test_a_broken_promise_is_found_out_by_its_check(broken: Broken) -> None:
    pairs = pairs_of(broken.kind, has_groups=broken.has_groups, has_real_links=broken.has_real_links)
    async with pairs() as pair:
        with pytest.raises(broken.error) as caught:
            await broken.check(pair)

    assert broken.expected in str(caught.value)


def test_every_check_rejects_a_transport() -> None:
    assert {broken.check for broken in BROKEN} == set(CHECKS)


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
