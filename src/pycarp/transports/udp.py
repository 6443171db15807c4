"""Advertisements in UDP datagrams: for hosts without privileges, or where protocol 112 and multicast do not pass.

The payload is the advertisement, 36 octets as in an IP packet; both ends use the same port. Only unicast peers can be
reached. The TTL of a received datagram is unknown and counts as 255, so only the passphrase keeps strangers out.
asyncio-dgram's receive queue has no bound and its ``send`` may wait; datagrams are therefore taken off the queue at
once, and sent through the socket itself.
"""

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import asyncio_dgram

from pycarp.core.checks import check_range, listed
from pycarp.errors import ConfigError, TransportError
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.tasks import start_task
from pycarp.transports.fair_reader import FairReader
from pycarp.transports.prepared_packets import present_index
from pycarp.vocabulary import ANY_ADDRESS, CARP_TTL, Address, Datagram, InterfaceAddress, Outgoing, family_of

DEFAULT_PORT = 11112

QUEUE_LIMIT = 1024
"""The most datagrams kept for the reader of a link; when they are exceeded, the oldest is dropped."""

_READ_LENGTH = 2048
_SOCKET_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(slots=True)
class _BoundSocket:
    """A socket bound to one own address, and the task that empties its stream."""

    address: Address
    sock: socket.socket
    task: "asyncio.Task[None]"


@dataclass(slots=True)
class _Link:
    wake: Callable[[], None]
    index: int
    bound_sockets: dict[Address, _BoundSocket] = field(default_factory=dict)
    waiting: deque[Datagram] = field(default_factory=deque)
    lost: int = 0

    def queue(self, datagram: Datagram) -> None:
        """Queue a datagram, unless this machine sent it, and wake the reader."""
        if datagram.source in self.bound_sockets:
            return
        if len(self.waiting) == QUEUE_LIMIT:
            self.waiting.popleft()
            self.lost += 1
        self.waiting.append(datagram)
        self.wake()


class UdpTransport:
    """One socket per own address of a link, all on one port.

    The own addresses are those that the node's monitor reports. ``bind``, an address or several, replaces them: those
    that the link has, or all of them if it has none, such as 127.0.0.2 on ``lo``. Raises ConfigError for a port and an
    address that cannot be bound.
    """

    def __init__(self, *, port: int = DEFAULT_PORT, bind: Address | str | Iterable[Address | str] = ()) -> None:
        check_range("UDP port", port, 1, 65535)
        self._port = port
        chosen = (bind,) if isinstance(bind, str | IPv4Address | IPv6Address) else listed("bind", bind)
        self._chosen = tuple(_bindable(each) for each in chosen or ())
        self._links: dict[str, _Link] = {}
        self._fair_reader = FairReader()

    @property
    def lost(self) -> int:
        """How many datagrams were dropped because the queue was full."""
        return sum(opened.lost for opened in self._links.values())

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open a link, of any name; ``follow_addresses`` binds to its addresses."""
        if link in self._links:
            raise TransportError(f"link {link} is open already")
        # Only link-local addresses need the device, and a monitor may know a link that is none.
        with contextlib.suppress(OSError):
            self._links[link] = _Link(wake, socket.if_nametoindex(link))
        self._links.setdefault(link, _Link(wake, 0))

    def sources(self, link: str, own: tuple[InterfaceAddress, ...]) -> tuple[InterfaceAddress, ...]:
        """Return the own addresses of a link, or those of ``bind``."""
        if not self._chosen:
            return own
        present = {each.ip: each for each in own}
        found = tuple(present[each] for each in self._chosen if each in present)
        return found or tuple(map(ip_interface, self._chosen))

    def follow_addresses(self, link: str, own: Collection[Address]) -> None:
        """Bind to the new addresses, and close the sockets of those that are gone."""
        opened = self._links.get(link)
        if opened is None:
            return
        for address in set(opened.bound_sockets).difference(own):
            _close(opened.bound_sockets.pop(address))
        self._bind_all(link, opened, own)

    async def join(self, link: str, group: Address) -> None:
        """Raise TransportError: this transport has no groups."""
        raise TransportError(f"transport udp carries to unicast peers only, not to {group} on {link}: name the peers")

    async def close_link(self, link: str) -> None:
        """Close the sockets of a link."""
        opened = self._links.pop(link, None)
        bound_sockets = list(opened.bound_sockets.values()) if opened else []
        for bound in bound_sockets:
            bound.task.cancel()
        if bound_sockets:
            await asyncio.wait([bound.task for bound in bound_sockets])
        for bound in bound_sockets:
            bound.sock.close()

    def send(self, outgoing: Outgoing) -> None:
        """Send at once; raises OSError if the kernel refuses, or for a group."""
        opened = self._links.get(outgoing.link)
        if opened is None:
            raise OSError(f"link {outgoing.link} is not open")
        if outgoing.destination.is_multicast:
            raise OSError(f"transport udp carries to unicast peers only, not to {outgoing.destination}")
        if outgoing.source == ANY_ADDRESS[outgoing.family]:
            # A socket bound to it would receive the datagrams of other links.
            text = f"no own IPv{outgoing.family} address on {outgoing.link} to reach {outgoing.destination} from"
            raise OSError(errno.EADDRNOTAVAIL, text)
        bound = opened.bound_sockets.get(outgoing.source) or self._bind(outgoing.link, opened, outgoing.source)
        bound.sock.sendto(outgoing.payload, _socket_address(outgoing.destination, self._port, opened.index))

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Return the datagram, None for a group; the routing table chooses its source address."""
        if outgoing.destination.is_multicast:
            return None
        opened = self._links.get(outgoing.link)
        known = opened.index if opened else 0
        index = present_index(outgoing.link, known) if outgoing.destination.is_link_local else 0
        return PreparedPacket(
            family=_SOCKET_FAMILIES[outgoing.destination.version],
            kind=socket.SOCK_DGRAM,
            protocol=0,
            options=(),
            address=_socket_address(outgoing.destination, self._port, index),
            octets=outgoing.payload,
        )

    def drain(self, limit: int) -> list[Datagram]:
        """Return the queued datagrams, then those in the sockets: a stream reads only one per turn of the loop."""
        return self._fair_reader.read([partial(_read, link, opened) for link, opened in self._links.items()], limit)

    async def close(self) -> None:
        """Close every socket."""
        for link in list(self._links):
            await self.close_link(link)

    def _bind_all(self, link: str, opened: _Link, own: Iterable[Address]) -> None:
        """Bind to the addresses that are not bound yet; skip absent ones. Raises OSError that names the address."""
        for address in own:
            if address in opened.bound_sockets:
                continue
            try:
                self._bind(link, opened, address)
            except OSError as exc:
                if exc.errno != errno.EADDRNOTAVAIL:
                    text = f"cannot bind {address} port {self._port} on {link}: {exc.strerror}"
                    raise OSError(exc.errno, text) from exc

    def _bind(self, link: str, opened: _Link, address: Address) -> _BoundSocket:
        """Bind one more socket and begin to read it; raises OSError."""
        sock = socket.socket(_SOCKET_FAMILIES[address.version], socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(_socket_address(address, self._port, opened.index))
        except OSError:
            sock.close()
            raise
        task = start_task(_listen(sock, link, address, opened))
        opened.bound_sockets[address] = _BoundSocket(address, sock, task)
        return opened.bound_sockets[address]


def _bindable(address: object) -> Address:
    try:
        found = ip_address(str(address))
    except ValueError:
        raise ConfigError(f"bind {address!r} is not an IP address") from None
    if found.is_multicast or found.is_unspecified:
        raise ConfigError(f"bind {found} is no address to send from; name an own one, or leave bind out")
    return found


def _close(bound: _BoundSocket) -> None:
    bound.task.add_done_callback(lambda _task: bound.sock.close())
    bound.task.cancel()


async def _listen(sock: socket.socket, link: str, address: Address, into: _Link) -> None:
    """Queue every datagram of a socket until cancelled; errors that the network reports are ignored."""
    opening = start_task(asyncio_dgram.from_socket(sock))
    try:
        stream = await asyncio.shield(opening)
    except asyncio.CancelledError:
        # It takes a turn of the loop; uvloop never closes an endpoint whose making is cancelled.
        (await opening).close()
        raise
    try:
        while True:
            with contextlib.suppress(OSError):
                payload, source = await stream.recv()
                into.queue(_datagram(link, payload, source[0], address))
    except asyncio_dgram.TransportClosed:
        # The next send from this address binds it again.
        into.bound_sockets.pop(address, None)
    finally:
        stream.close()


def _read(link: str, opened: _Link, limit: int, into: list[Datagram]) -> int:
    """Read the queued datagrams, then one socket after the other; return how many were read."""
    kept = min(limit, len(opened.waiting))
    into += [opened.waiting.popleft() for _ in range(kept)]
    count = kept
    for bound in list(opened.bound_sockets.values()):
        while count < limit:
            try:
                payload, source = bound.sock.recvfrom(_READ_LENGTH)
            except OSError:
                break
            count += 1
            datagram = _datagram(link, payload, source[0], bound.address)
            if datagram.source not in opened.bound_sockets:
                into.append(datagram)
    return count


def _datagram(link: str, payload: bytes, source: str, destination: Address) -> Datagram:
    return Datagram(
        link=link,
        family=family_of(destination),
        source=ip_address(source.partition("%")[0]),
        destination=destination,
        ttl=CARP_TTL,
        payload=payload,
    )


def _socket_address(address: Address, port: int, index: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if address.version == 4:
        return str(address), port
    return str(address), port, 0, index if address.is_link_local else 0
