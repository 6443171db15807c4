"""AF_PACKET: whole Ethernet frames, so that advertisements leave from the virtual MAC as on the BSDs.

A filter in the kernel passes only protocol 112 to groups and to this host. Advertisements to a peer go through an IP
socket, because the kernel resolves the peer's MAC address, or that of the router on the way.
"""

import asyncio
import contextlib
import errno
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from pycarp.core.flood import PacketFilter
from pycarp.system.capabilities import refusal_of_socket
from pycarp.system.frame_sockets import SOL_PACKET, close_aside, receive_for
from pycarp.system.rtnetlink import socket_filter
from pycarp.transports import filters, ip_sockets
from pycarp.transports.calm_ring import CalmRing
from pycarp.transports.sockets import SocketTransport
from pycarp.vocabulary import CARP_GROUPS, Address, Datagram, Family, MacAddress, Outgoing
from pycarp.wire import envelope, ethernet

_MAC_LENGTH = 6
_VHID_AT = 1
_PACKET_IGNORE_OUTGOING = 23
_ETHERTYPE = {Family.IPV4: ethernet.ETHERTYPE_IPV4, Family.IPV6: ethernet.ETHERTYPE_IPV6}


def refusal() -> str | None:
    """Return None if this process can use the transport, else the reason why it cannot."""
    if not hasattr(socket, "AF_PACKET"):
        return "AF_PACKET exists on Linux only"
    return refusal_of_socket(socket.AF_PACKET, socket.SOCK_RAW, 0, close=close_aside)


def packet_transport(*, source_mac: str = "virtual") -> SocketTransport:
    """Return a transport of Ethernet frames.

    ``source_mac`` is ``virtual`` (that of the dialect, so that switches learn where the virtual MAC is) or ``real``
    (that of the link, for hypervisors that forbid any other; receivers ignore it).
    """
    is_real = source_mac == "real"
    return SocketTransport(lambda link, family: _PacketPort(link, family, real_mac=is_real), uses_link_mac=is_real)


class _PacketPort:
    """The sockets of one family on one link; multicast leaves as frames, unicast as IP packets."""

    def __init__(self, link: str, family: Family, *, real_mac: bool) -> None:
        self._link = link
        self._family = family
        self._group = CARP_GROUPS[family]
        self._real_mac = real_mac
        self._index = socket.if_nametoindex(link)
        self._headers = _Headers()
        self._ring: CalmRing | None = None
        self._link_mac: MacAddress | None = None
        with contextlib.ExitStack() as stack:
            self._frames = stack.enter_context(_frame_socket(family))
            self._packets = stack.enter_context(ip_sockets.sending_socket(family))
            self.join(CARP_GROUPS[family])
            # Bound last, so that nothing unfiltered is ever queued.
            self._frames.bind((link, _ETHERTYPE[family]))
            self._sockets = stack.pop_all()

    def fileno(self) -> int:
        return self._frames.fileno()

    def receive(self) -> Datagram | None:
        return envelope.datagram_of(self._frames.recv(ip_sockets.READ_LENGTH), link=self._link)

    def send(self, outgoing: Outgoing) -> None:
        # Identity first: is_multicast takes longer than the rest of this method.
        if outgoing.destination is self._group or outgoing.destination.is_multicast:
            mac = outgoing.source_mac
            if mac is None or self._real_mac:
                mac = self._mac()
            self._frames.send(self._headers.of(outgoing, mac) + outgoing.payload)
        else:
            ip_sockets.send(self._packets, self._index, outgoing)

    def join(self, group: Address) -> None:
        receive_for(self._frames, self._index, ethernet.group_mac(group))
        # A frame socket sends no IGMP or MLD report, which a snooping switch needs.
        ip_sockets.join(self._packets, self._index, group)

    def set_aside(self, heads: Mapping[int, bytes]) -> None:
        if self._ring is None and heads:
            self._ring = self._sockets.enter_context(contextlib.closing(self._new_ring()))
        if self._ring is not None:
            self._ring.take(heads)

    def watch_aside(self, wake: Callable[[], None] | None) -> None:
        if self._ring is None:
            return
        loop = asyncio.get_running_loop()
        if wake is None:
            loop.remove_reader(self._ring.fileno())
        else:
            loop.add_reader(self._ring.fileno(), wake)

    def read_aside(self, limit: int, into: list[Datagram]) -> int:
        return 0 if self._ring is None else self._ring.read(limit, into)

    def has_aside(self, more_than: int = 0) -> bool:
        return self._ring is not None and self._ring.is_waiting(more_than)

    def _new_ring(self) -> CalmRing:
        place, program = (self._link, _ETHERTYPE[self._family]), filters.carp_frames(self._family)
        return CalmRing(
            self._frames,
            self._link,
            self._family,
            bind=lambda sock: sock.bind(place),
            attach=lambda sock: socket_filter.attach(sock, program),
        )

    def set_packet_filter(self, packet_filter: PacketFilter | None) -> None:
        socket_filter.attach(self._frames, filters.carp_frames(self._family, packet_filter))

    def close(self) -> None:
        self._sockets.close()

    def _mac(self) -> MacAddress:
        """Return the present MAC address of the link, which may change; raises OSError if the link was deleted."""
        octets = self._frames.getsockname()[4]
        if len(octets) != _MAC_LENGTH:
            raise OSError(errno.ENODEV, "the interface is gone")
        if self._link_mac is None or self._link_mac.octets != octets:
            self._link_mac = MacAddress(octets)
        return self._link_mac


class _Headers:
    """The frame headers of each vhid, kept because they are the same in every advertisement of a host.

    Packets that must not be fragmented may all have the same identification (RFC 6864).
    """

    def __init__(self) -> None:
        self._known: dict[int, _Header] = {}

    def of(self, outgoing: Outgoing, source_mac: MacAddress) -> bytes:
        """Return the headers that precede the payload."""
        payload = outgoing.payload
        vhid = payload[_VHID_AT]
        known = self._known.get(vhid)
        # Tuples are compared by identity first, which is several times as quick: a host keeps the same objects.
        made_of = (
            source_mac,
            outgoing.source,
            outgoing.destination,
            outgoing.destination_mac,
            outgoing.tos,
            outgoing.identification,
            len(payload),
        )
        if known is None or known.made_of != made_of:
            frame = envelope.frame_of(
                replace(outgoing, source_mac=source_mac), link_mac=source_mac, identification=secrets.randbits(16)
            )
            known = self._known[vhid] = _Header(frame[: -len(payload)], made_of)
        return known.octets


class _Header(NamedTuple):
    """The octets of a header, and what they were made of."""

    octets: bytes
    made_of: tuple[object, ...]


def _frame_socket(family: Family) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        ip_sockets.enlarge_queue(sock)
        socket_filter.attach(sock, filters.carp_frames(family))
        sock.setsockopt(SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except OSError:
        sock.close()
        raise
    return sock
