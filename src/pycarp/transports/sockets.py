"""What the socket transports share: a port a link and family, watched by the event loop, drained without waiting."""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from pycarp.core.flood import PacketFilter
from pycarp.errors import TransportError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.aside import Aside, AsidePort, AsideTimer
from pycarp.transports.fair_reader import FairReader
from pycarp.transports.prepared_packets import prepared_packet_of
from pycarp.vocabulary import Address, Datagram, Family, Outgoing, family_of

_GONE = (errno.ENODEV, errno.ENXIO)
"""What the kernel says of a link that was deleted, also when there is another of the same name by now."""


class Port(Protocol):
    """The sockets of one family on one link; every method may raise OSError."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something arrives."""

    def receive(self) -> Datagram | None:
        """Return the next datagram, None for what is none of CARP; BlockingIOError when nothing is waiting."""

    def send(self, outgoing: Outgoing) -> None:
        """Send at once."""

    def join(self, group: Address) -> None:
        """Become a member of a group; EADDRINUSE when it is one already."""

    def set_packet_filter(self, packet_filter: PacketFilter | None) -> None:
        """Have the kernel drop what a packet filter does not pass; None for the usual filter."""

    def close(self) -> None:
        """Close the sockets."""


@dataclass(slots=True, kw_only=True)
class _Link:
    wake: Callable[[], None]
    ports: dict[Family, Port] = field(default_factory=dict)
    groups: set[Address] = field(default_factory=set)
    asides: dict[Family, Aside] = field(default_factory=dict)
    packet_filter: PacketFilter | None = None
    reads: int = 0


class SocketTransport:
    """Two ports a link; ``opener`` makes one, a member of its family's group already, and raises OSError.

    ``uses_link_mac`` says that whatever they send leaves from the link's own MAC address.
    A machine or link may be without IPv6, now or later, and a link may be deleted and made anew: then a port is
    missing, and each attempt to send through it tries to open it again.
    """

    def __init__(self, opener: Callable[[str, Family], Port], *, uses_link_mac: bool = False) -> None:
        self._opener = opener
        self._uses_link_mac = uses_link_mac
        self._links: dict[str, _Link] = {}
        self._fair_reader = FairReader()
        self._timer = AsideTimer(lambda: [each for link in self._links.values() for each in link.asides.values()])

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open the ports of a link and let the running loop watch them."""
        if link in self._links:
            raise TransportError(f"link {link} is open already")
        opened = _Link(wake=wake)
        try:
            self._open_port(opened, link, Family.IPV4)
        except PermissionError as exc:
            raise TransportError(f"cannot open a socket on {link}: {NO_PERMISSION}") from exc
        except OSError as exc:
            raise TransportError(f"cannot open a socket on {link}: {exc.strerror or exc}") from exc
        self._links[link] = opened
        try:
            self._open_port(opened, link, Family.IPV6)
        except OSError:
            # Whoever wants to send IPv6 is told then; IPv4 must not suffer.
            return

    async def join(self, link: str, group: Address) -> None:
        """Become a member of a group; a membership that is there already is well."""
        opened = self._links.get(link)
        if opened is None:
            raise TransportError(f"link {link} is not open")
        opened.groups.add(group)
        port = opened.ports.get(family_of(group))
        try:
            if port is not None:
                _join(port, group)
        except OSError as exc:
            raise TransportError(f"cannot join {group} on {link}: {exc.strerror}") from exc

    async def close_link(self, link: str) -> None:
        """Close the ports of a link."""
        opened = self._links.pop(link, None)
        for port in opened.ports.values() if opened else ():
            _close(port)

    def send(self, outgoing: Outgoing) -> None:
        """Send at once; OSError when the kernel does not take it."""
        opened = self._links.get(outgoing.link)
        if opened is None:
            raise OSError(f"link {outgoing.link} is not open")
        port = opened.ports.get(outgoing.family) or self._reopened(opened, outgoing)
        try:
            port.send(outgoing)
        except OSError as exc:
            if exc.errno not in _GONE:
                raise
            if outgoing.family in opened.asides:
                opened.asides[outgoing.family].port = None
            _close(opened.ports.pop(outgoing.family))
            self._reopened(opened, outgoing).send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket:
        """Return a frame, or a packet to a peer; OSError when the link is gone."""
        return prepared_packet_of(replace(outgoing, source_mac=None) if self._uses_link_mac else outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Read every port in its turn."""
        readers = [
            partial(_read, link, port, link.asides.get(family))
            for link in self._links.values()
            for family, port in link.ports.items()
        ]
        return self._fair_reader.read(readers, limit)

    def packets_read(self) -> dict[str, int]:
        """Return how many packets were read on each link, of both families."""
        return {name: link.reads for name, link in self._links.items()}

    def set_aside(self, link: str, family: Family, heads: Mapping[int, bytes]) -> None:
        """Let some advertisements wait, see ``SettingAside``."""
        opened = self._links.get(link)
        if opened is not None and family in opened.asides:
            opened.asides[family].want(heads)
            self._timer.plan()

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Attach other filters to the sockets of a link; OSError."""
        opened = self._links.get(link)
        if opened is None:
            return
        for aside in opened.asides.values():
            aside.is_flooded = packet_filter is not None
            if aside.is_flooded:
                aside.stop()
        try:
            for port in opened.ports.values():
                port.set_packet_filter(packet_filter)
        except OSError:
            for port in opened.ports.values():
                with contextlib.suppress(OSError):
                    port.set_packet_filter(opened.packet_filter)
            raise
        opened.packet_filter = packet_filter

    async def close(self) -> None:
        """Close every port."""
        self._timer.stop()
        for link in list(self._links):
            await self.close_link(link)

    def _open_port(self, opened: _Link, link: str, family: Family) -> Port:
        port = self._opener(link, family)
        try:
            for group in opened.groups:
                if family_of(group) is family:
                    _join(port, group)
            if opened.packet_filter is not None:
                port.set_packet_filter(opened.packet_filter)
            asyncio.get_running_loop().add_reader(port.fileno(), opened.wake)
        except OSError:
            port.close()
            raise
        opened.ports[family] = port
        if isinstance(port, AsidePort):
            aside = opened.asides.setdefault(family, Aside(opened.wake))
            aside.port, aside.taken = port, {}
        return port

    def _reopened(self, opened: _Link, outgoing: Outgoing) -> Port:
        try:
            return self._open_port(opened, outgoing.link, outgoing.family)
        except OSError as exc:
            text = f"IPv{outgoing.family} does not work on {outgoing.link}: {exc.strerror or exc}"
            raise OSError(exc.errno, text) from exc


def _close(port: Port) -> None:
    asyncio.get_running_loop().remove_reader(port.fileno())
    port.close()


def _join(port: Port, group: Address) -> None:
    try:
        port.join(group)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise


def _read(opened: _Link, port: Port, aside: Aside | None, limit: int, into: list[Datagram]) -> int:
    """Read at most ``limit`` packets and return how many; fewer when nothing is left."""
    first = aside.port.read_aside(limit, into) if aside is not None and aside.port is not None else 0
    opened.reads += first
    for count in range(first, limit):
        try:
            datagram = port.receive()
        except OSError:
            # Nothing is waiting; or the link went down: its monitor tells, and the socket works when it is back.
            return count
        opened.reads += 1
        if datagram is not None:
            into.append(datagram)
    return limit
