"""The common part of the socket transports: one port per link and family, watched by the event loop."""

import asyncio
import contextlib
import errno
import select
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from pycarp.core.flood import PacketFilter
from pycarp.errors import TransportError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.aside import PART, Aside, AsidePort, AsideTimer
from pycarp.transports.fair_reader import FairReader
from pycarp.transports.prepared_packets import PresentLink, prepared_packet_of
from pycarp.vocabulary import Address, Datagram, Family, Outgoing, family_of

READ_ALL = 1024
"""Who reads so many datagrams at a time wants to know all before a decision."""

_GONE = (errno.ENODEV, errno.ENXIO)
"""The errors of a socket whose link was deleted, also if a new link has the same name."""


class Port(Protocol):
    """The sockets of one family on one link; every method may raise OSError."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a packet arrives."""

    def receive(self) -> Datagram | None:
        """Return the next datagram, None for a packet that is not CARP; raises BlockingIOError if none waits."""

    def send(self, outgoing: Outgoing) -> None:
        """Send at once."""

    def join(self, group: Address) -> None:
        """Join a group; raises EADDRINUSE if it is joined already."""

    def set_packet_filter(self, packet_filter: PacketFilter | None) -> None:
        """Set the kernel's packet filter; None for the usual one."""

    def close(self) -> None:
        """Close the sockets."""


class _Link(msgspec.Struct, kw_only=True, eq=False):
    wake: Callable[[], None]
    index: int = 0
    ports: dict[Family, Port] = msgspec.field(default_factory=dict)
    groups: set[Address] = msgspec.field(default_factory=set)
    asides: dict[Family, Aside] = msgspec.field(default_factory=dict)
    packet_filter: PacketFilter | None = None
    reads: int = 0
    present: PresentLink = msgspec.field(default_factory=PresentLink)


def _why(exc: OSError) -> str:
    """Return why a socket could not join its group; for the kernel's limit of groups, which setting it is."""
    why = str(exc.strerror or exc)
    hint = "; more multicast groups may be joined with: sysctl -w net.ipv4.igmp_max_memberships=100"
    return why + (hint if exc.errno == errno.ENOBUFS else "")


class SocketTransport:
    """Two ports per link; ``opener`` returns one that has joined its family's group, and raises OSError.

    ``uses_link_mac`` is True if every frame leaves from the link's own MAC address. A port is missing while the machine
    or the link has no IPv6, or after the link was deleted and created again; each send through a missing port tries to
    open it.
    """

    def __init__(self, opener: Callable[[str, Family], Port], *, uses_link_mac: bool = False) -> None:
        self._opener = opener
        self._uses_link_mac = uses_link_mac
        self._links: dict[str, _Link] = {}
        self._fair_reader = FairReader()
        self._poll = select.poll()
        self._watched: dict[int, tuple[_Link, Family]] = {}
        self._timer = AsideTimer(lambda: [each for link in self._links.values() for each in link.asides.values()])

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open the ports of a link, and watch them in the running loop."""
        if link in self._links:
            raise TransportError(f"link {link} is open already")
        opened = _Link(wake=wake)
        try:
            self._open_port(opened, link, Family.IPV4)
        except PermissionError as exc:
            raise TransportError(f"cannot open a socket on {link}: {NO_PERMISSION}") from exc
        except OSError as exc:
            raise TransportError(f"cannot open a socket on {link}: {_why(exc)}") from exc
        self._links[link] = opened
        try:
            self._open_port(opened, link, Family.IPV6)
        except OSError:
            # Not an error here: sending IPv6 raises one, and IPv4 works.
            return

    async def join(self, link: str, group: Address) -> None:
        """Join a group; no-op if it is joined already."""
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
        if opened is not None:
            await self._close_ports(opened.ports.values())

    def send(self, outgoing: Outgoing) -> None:
        """Send at once; raises OSError if the kernel refuses."""
        opened = self._links.get(outgoing.link)
        if opened is None:
            raise OSError(f"link {outgoing.link} is not open")
        port = opened.ports.get(outgoing.family) or self._reopened(opened, outgoing)
        try:
            port.send(outgoing)
        except OSError as exc:
            if exc.errno not in _GONE:
                raise
            self._close_port(opened.ports.pop(outgoing.family))
            self._reopened(opened, outgoing).send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket:
        """Return a frame, or a packet to a peer; raises OSError if the link is gone."""
        opened = self._links.get(outgoing.link)
        present = opened.present if opened else PresentLink()
        index = present.index(outgoing.link, opened.index if opened else 0)
        outgoing = replace(outgoing, source_mac=None) if self._uses_link_mac else outgoing
        return prepared_packet_of(outgoing, index, present)

    def drain(self, limit: int) -> list[Datagram]:
        """Read what was set aside, then the ports that have packets, each with its share of the limit.

        One system call finds them: reading a port without packets takes ten times as long as asking about one more.
        Packets that were set aside do not count: they are read in parts, but all of them with a limit of at least
        ``READ_ALL``. The other packets of a port are younger, and wait until it has none set aside.
        """
        datagrams: list[Datagram] = []
        left, behind, is_flood = (sys.maxsize if limit >= READ_ALL else PART), [], False
        ready = [self._watched[descriptor] for descriptor, _events in self._poll.poll(0)]
        for link in self._links.values():
            for family, aside in link.asides.items():
                if aside.port is None or not aside.port.has_aside():
                    continue
                is_flood = aside.stop_in_flood() or is_flood
                count = aside.port.read_aside(min(left, READ_ALL), datagrams)
                link.reads += count
                left -= count
                if aside.port.has_aside():
                    behind.append((link, family))
        if is_flood:
            self._timer.renew()
        readers = [partial(_read, link, link.ports[family]) for link, family in ready if (link, family) not in behind]
        if readers:
            datagrams += self._fair_reader.read(readers, limit)
        return datagrams

    def packets_read(self) -> dict[str, int]:
        """Return how many packets were read on each link, in both families."""
        return {name: link.reads for name, link in self._links.items()}

    def set_aside(self, link: str, family: Family, heads: Mapping[int, bytes]) -> None:
        """Set the advertisements that may wait; see ``SettingAside``."""
        opened = self._links.get(link)
        if opened is not None and family in opened.asides:
            opened.asides[family].want(heads)
            self._timer.plan()

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Set the packet filter of a link; if the kernel refuses, restore the previous one and raise OSError."""
        opened = self._links.get(link)
        if opened is None:
            return
        for aside in opened.asides.values():
            aside.is_flooded = packet_filter is not None
            if aside.is_flooded:
                aside.watch()
        self._timer.renew()
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
        links, self._links = self._links, {}
        await self._close_ports(port for opened in links.values() for port in opened.ports.values())

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
        self._poll.register(port.fileno(), select.POLLIN)
        self._watched[port.fileno()] = opened, family
        opened.ports[family] = port
        with contextlib.suppress(OSError):
            opened.index = socket.if_nametoindex(link)
        if isinstance(port, AsidePort):
            opened.asides.setdefault(family, Aside(opened.wake)).use(port)
        return port

    async def _close_ports(self, ports: Iterable[Port]) -> None:
        """Close ports in threads: the kernel takes 10 to 20 ms for each frame socket (``synchronize_net``)."""
        closing: list[Port] = []
        for port in ports:
            self._forget_port(port, partial(closing.append, port))

        async def close() -> None:
            await self._timer.changed()
            await asyncio.gather(*(asyncio.to_thread(port.close) for port in closing))

        # Also if the caller is cancelled.
        await asyncio.shield(close())

    def _close_port(self, port: Port) -> None:
        self._forget_port(port, port.close)

    def _forget_port(self, port: Port, close: Callable[[], None]) -> None:
        """Watch a port no longer, and then close it with this function: now, or when the kernel has changed it."""
        descriptor = port.fileno()
        asyncio.get_running_loop().remove_reader(descriptor)
        self._poll.unregister(descriptor)
        opened, family = self._watched.pop(descriptor)
        if isinstance(port, AsidePort):
            opened.asides[family].close(port, close)
        else:
            close()

    def _reopened(self, opened: _Link, outgoing: Outgoing) -> Port:
        try:
            return self._open_port(opened, outgoing.link, outgoing.family)
        except OSError as exc:
            text = f"IPv{outgoing.family} does not work on {outgoing.link}: {exc.strerror or exc}"
            raise OSError(exc.errno, text) from exc


def _join(port: Port, group: Address) -> None:
    try:
        port.join(group)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise


def _read(opened: _Link, port: Port, limit: int, into: list[Datagram]) -> int:
    """Read at most ``limit`` packets and return how many were read; fewer if no more wait."""
    for count in range(limit):
        try:
            datagram = port.receive()
        except OSError:
            # No packet waits, or the link is down: the monitor reports that, and the socket works again later.
            return count
        opened.reads += 1
        if datagram is not None:
            into.append(datagram)
    return limit
