"""Conformance checks for transports, also for those of other projects.

A check gets two endpoints on one segment, opens their links itself, and raises AssertionError that says what it
expected. ``check_transport`` runs all of them, each on a fresh pair::

    async def test_my_transport() -> None:
        await check_transport(pair_of_my_transports)

where ``pair_of_my_transports()`` returns an async context manager of two ``Endpoint`` objects. ``CHECKS`` lists
the checks, for one test per check.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address, IPv6Address

import msgspec
from msgspec.structs import replace

from pycarp.errors import TransportError
from pycarp.transports.transport import AddressFollowing, GroupJoining, Transport
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, Address, Datagram, Family, Outgoing, family_of

TIMEOUT_S = 2.0
"""Seconds that a check waits for a datagram that must arrive."""

SETTLE_S = 0.1
"""Seconds that a check waits for a datagram that must not arrive."""

NO_SUCH_LINK = "nosuchlink0"
"""The name of a link that no machine has."""

_OTHER_GROUPS: dict[Family, Address] = {
    Family.IPV4: IPv4Address("239.192.0.5"),
    Family.IPV6: IPv6Address("ff02::ca99"),
}
_QUICK_S = 0.5
_PAYLOAD_LENGTH = 36


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One end of the segment: a transport, the name of its link there, and an address that it may send from.

    The checks use the family of ``source``. ``has_real_links`` is False if the transport accepts links of any name, as
    the one in memory does; ``has_groups`` is False if it sends to unicast peers only.
    """

    transport: Transport
    link: str
    source: Address
    has_real_links: bool = True
    has_groups: bool = True


Pair = tuple[Endpoint, Endpoint]
PairFactory = Callable[[], AbstractAsyncContextManager[Pair]]
Check = Callable[[Pair], Coroutine[None, None, None]]


async def check_transport(pairs: PairFactory) -> None:
    """Run every check on a fresh pair; raises the AssertionError of the first failing one, with its name in a note."""
    for check in CHECKS:
        async with pairs() as pair:
            try:
                await check(pair)
            except AssertionError as exc:
                exc.add_note(f"in check: {check.__name__.replace('_', ' ')}")
                raise


async def what_one_sends_the_other_receives_intact(pair: Pair) -> None:
    """Compare payload, source, destination, TTL, family and link, in both directions."""
    left, right = pair
    left_inbox, right_inbox = await _open(pair)
    for sender, receiver, inbox in ((left, right, right_inbox), (right, left, left_inbox)):
        sender.transport.send(_advert(sender, receiver, 1))
        await _expect_received(inbox, sender, receiver, _destination(receiver))


async def a_unicast_peer_receives_what_is_meant_for_it(pair: Pair) -> None:
    """Send to the own address of the peer, in both directions."""
    left, right = pair
    left_inbox, right_inbox = await _open(pair)
    for sender, receiver, inbox in ((left, right, right_inbox), (right, left, left_inbox)):
        sender.transport.send(replace(_advert(sender, receiver, 1), destination=receiver.source))
        await _expect_received(inbox, sender, receiver, receiver.source)


async def one_more_group_can_be_joined(pair: Pair) -> None:
    """Join a group twice, if there are groups to join. ucarp lets an administrator choose one such as 239.192.0.5."""
    sender, receiver = pair
    if not sender.has_groups:
        return
    _, inbox = await _open(pair)
    transport = receiver.transport
    group = _OTHER_GROUPS[family_of(sender.source)]
    if isinstance(transport, GroupJoining):
        for _ in range(2):
            await transport.join(receiver.link, group)
    sender.transport.send(replace(_advert(sender, receiver, 1), destination=group))
    await _expect_received(inbox, sender, receiver, group)


async def joining_on_a_link_that_is_not_open_raises_transport_error(pair: Pair) -> None:
    """Check transports with and without groups, but none that receives every group."""
    link, transport = pair[0].link, pair[0].transport
    if not isinstance(transport, GroupJoining):
        return
    try:
        await transport.join(link, _OTHER_GROUPS[family_of(pair[0].source)])
    except TransportError as exc:
        _expect(link in str(exc), f"the error must name {link}, but says {exc}")
    else:
        raise AssertionError("joining a group on a link that is not open must raise TransportError")


async def sending_to_a_group_where_there_are_none_raises_os_error(pair: Pair) -> None:
    """Require an error: a host that sends to nobody without noticing becomes a second MASTER."""
    sender, receiver = pair
    if sender.has_groups:
        return
    await _open(pair)
    to_group = replace(_advert(sender, receiver, 1), destination=CARP_GROUPS[family_of(sender.source)])
    try:
        sender.transport.send(to_group)
    except OSError as exc:
        _expect("peer" in str(exc), f"the error must say that peers are needed, but says {exc}")
    else:
        raise AssertionError("sending to a group must raise OSError where there are none")


async def wake_is_called_when_something_arrives(pair: Pair) -> None:
    """Require at least one call per arrival, before the datagram is drained."""
    _, inbox = await _open(pair)
    _expect(inbox.wakes == 0, "wake must not be called before anything was sent")
    pair[0].transport.send(_advert(pair[0], pair[1], 1))
    await inbox.receive(1)
    _expect(inbox.wakes > 0, "wake must be called when a datagram arrives")


async def own_packets_are_never_delivered_back(pair: Pair) -> None:
    """Require that a MASTER never receives its own advertisement, which would look like that of an equal MASTER."""
    mine, theirs = await _open(pair)
    pair[0].transport.send(_advert(pair[0], pair[1], 1))
    await theirs.receive(1)
    await asyncio.sleep(SETTLE_S)

    echo = mine.drain(1)

    _expect(not echo, f"own packets must not be delivered back, but {echo} was")


async def drain_never_exceeds_its_limit_and_keeps_the_order(pair: Pair) -> None:
    """Drain five datagrams as two, two and one."""
    _, inbox = await _open(pair)
    for number in range(5):
        pair[0].transport.send(_advert(pair[0], pair[1], number))
    await asyncio.sleep(SETTLE_S)

    batches = [pair[1].transport.drain(2) for _ in range(3)]

    _expect(all(len(batch) <= 2 for batch in batches), f"drain(2) must return at most 2, but returned {batches}")
    received = [datagram.payload for batch in batches for datagram in batch]
    expected = [_payload(number) for number in range(5)]
    _expect(received == expected, f"five datagrams must arrive in order, not {received}")
    _expect(not inbox.drain(1), "nothing must be left after all has been drained")


async def drain_with_nothing_waiting_returns_at_once(pair: Pair) -> None:
    """Require that drain never waits, because it would block the event loop."""
    await _open(pair)
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    nothing = pair[0].transport.drain(64)

    _expect(nothing == [], f"drain with nothing waiting must return an empty list, not {nothing}")
    _expect(loop.time() - began_s < _QUICK_S, "drain must not wait")


async def sending_on_a_link_that_is_not_open_raises_os_error(pair: Pair) -> None:
    """Require OSError, which the runtime counts; any other exception would stop the node."""
    await _expect_os_error(pair[0], "that was never open")
    await _open(pair)
    await pair[0].transport.close_link(pair[0].link)
    await _expect_os_error(pair[0], "that was closed")


async def opening_a_link_twice_raises_transport_error(pair: Pair) -> None:
    """Require that the first opening still works afterwards."""
    _, inbox = await _open(pair)
    try:
        await pair[1].transport.open_link(pair[1].link, _ignore)
    except TransportError as exc:
        _expect(pair[1].link in str(exc), f"the error must name {pair[1].link}, but says {exc}")
    else:
        raise AssertionError("opening a link a second time must raise TransportError")
    pair[0].transport.send(_advert(pair[0], pair[1], 1))
    await inbox.receive(1)


async def an_unknown_link_raises_transport_error_that_names_it(pair: Pair) -> None:
    """Check transports with real links only."""
    if not pair[0].has_real_links:
        return
    try:
        await pair[0].transport.open_link(NO_SUCH_LINK, _ignore)
    except TransportError as exc:
        _expect(NO_SUCH_LINK in str(exc), f"the error must name {NO_SUCH_LINK}, but says {exc}")
        _expect(isinstance(exc.__cause__, OSError), "the operating system's error must be the cause")
    else:
        raise AssertionError(f"opening {NO_SUCH_LINK} must raise TransportError")


async def after_close_link_nothing_arrives(pair: Pair) -> None:
    """Require that queued and later datagrams are dropped, and that wake is not called."""
    _, inbox = await _open(pair)
    pair[0].transport.send(_advert(pair[0], pair[1], 1))
    await asyncio.sleep(SETTLE_S)
    await pair[1].transport.close_link(pair[1].link)
    wakes = inbox.wakes
    pair[0].transport.send(_advert(pair[0], pair[1], 2))
    await asyncio.sleep(SETTLE_S)

    late = pair[1].transport.drain(64)

    _expect(not late, f"nothing must arrive on a link that was closed, but {late} did")
    _expect(inbox.wakes == wakes, "wake must not be called for a link that was closed")


async def a_link_can_be_opened_again_after_it_was_closed(pair: Pair) -> None:
    """Do as ``Node`` does when the last host of an interface is removed and another is added."""
    await _open(pair)
    await pair[1].transport.close_link(pair[1].link)
    inbox = await _Inbox.open(pair[1])
    pair[0].transport.send(_advert(pair[0], pair[1], 1))
    await inbox.receive(1)


async def closing_a_link_that_is_not_open_does_nothing(pair: Pair) -> None:
    """Close a link before it was opened, and twice in a row."""
    await pair[0].transport.close_link(pair[0].link)
    await _open(pair)
    await pair[0].transport.close_link(pair[0].link)
    await pair[0].transport.close_link(pair[0].link)


async def close_can_be_called_again(pair: Pair) -> None:
    """Close twice, and require that every link is closed."""
    await _open(pair)
    await pair[0].transport.close()
    await pair[0].transport.close()
    await _expect_os_error(pair[0], "of a transport that was closed")


CHECKS: tuple[Check, ...] = (
    what_one_sends_the_other_receives_intact,
    a_unicast_peer_receives_what_is_meant_for_it,
    one_more_group_can_be_joined,
    joining_on_a_link_that_is_not_open_raises_transport_error,
    sending_to_a_group_where_there_are_none_raises_os_error,
    wake_is_called_when_something_arrives,
    own_packets_are_never_delivered_back,
    drain_never_exceeds_its_limit_and_keeps_the_order,
    drain_with_nothing_waiting_returns_at_once,
    sending_on_a_link_that_is_not_open_raises_os_error,
    opening_a_link_twice_raises_transport_error,
    an_unknown_link_raises_transport_error_that_names_it,
    after_close_link_nothing_arrives,
    a_link_can_be_opened_again_after_it_was_closed,
    closing_a_link_that_is_not_open_does_nothing,
    close_can_be_called_again,
)
"""All checks; each needs a pair whose links are not open yet."""


class _Inbox:
    """Receives the datagrams of an endpoint; drains the transport only when asked."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.wakes = 0
        self._transport = endpoint.transport
        self._arrival = asyncio.Event()

    @classmethod
    async def open(cls, endpoint: Endpoint) -> "_Inbox":
        inbox = cls(endpoint)
        await endpoint.transport.open_link(endpoint.link, inbox._wake)
        if isinstance(endpoint.transport, AddressFollowing):
            endpoint.transport.follow_addresses(endpoint.link, [endpoint.source])
        return inbox

    def _wake(self) -> None:
        self.wakes += 1
        self._arrival.set()

    def drain(self, limit: int) -> list[Datagram]:
        return self._transport.drain(limit)

    async def receive(self, count: int) -> list[Datagram]:
        """Return the next ``count`` datagrams; AssertionError if they do not arrive in time."""
        received: list[Datagram] = []
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while len(received) < count:
                    await self._arrival.wait()
                    self._arrival.clear()
                    received += self.drain(count - len(received))
        except TimeoutError:
            raise AssertionError(f"{count} datagrams must arrive within {TIMEOUT_S:g} s, but {received} did") from None
        return received


async def _open(pair: Pair) -> tuple[_Inbox, _Inbox]:
    return await _Inbox.open(pair[0]), await _Inbox.open(pair[1])


async def _expect_received(inbox: _Inbox, sender: Endpoint, receiver: Endpoint, destination: Address) -> None:
    received = await inbox.receive(1)
    expected = Datagram(
        link=receiver.link,
        family=family_of(sender.source),
        source=sender.source,
        destination=destination,
        ttl=CARP_TTL,
        payload=_payload(1),
    )
    _expect(received == [expected], f"{expected} was sent, {received} was received")


async def _expect_os_error(endpoint: Endpoint, which: str) -> None:
    try:
        endpoint.transport.send(_advert(endpoint, endpoint, 1))
    except OSError:
        return
    raise AssertionError(f"sending on a link {which} must raise OSError")


def _expect(condition: bool, message: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(message)


def _ignore() -> None:
    """Ignore the call."""


def _payload(number: int) -> bytes:
    """Return 36 octets, the length of an advertisement, that differ by ``number``."""
    return number.to_bytes(2, "big").ljust(_PAYLOAD_LENGTH, b"\x5a")


def _destination(receiver: Endpoint) -> Address:
    return CARP_GROUPS[family_of(receiver.source)] if receiver.has_groups else receiver.source


def _advert(sender: Endpoint, receiver: Endpoint, number: int) -> Outgoing:
    return Outgoing(
        link=sender.link,
        family=family_of(sender.source),
        source=sender.source,
        destination=_destination(receiver),
        tos=0x10,
        identification=None,
        source_mac=None,
        payload=_payload(number),
    )
