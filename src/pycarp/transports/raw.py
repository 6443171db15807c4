"""Raw IP sockets of protocol 112: the kernel adds the Ethernet header, so the source MAC is the link's own."""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv6Address

from pycarp.system.capabilities import refusal_of_socket
from pycarp.transports.packet import destination_of
from pycarp.transports.sockets import READ_LENGTH, Ear, SocketTransport
from pycarp.vocabulary import ANY_ADDRESS, CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Address, Datagram, Family, Outgoing
from pycarp.wire import envelope

_HOP_LIMIT = struct.Struct("i")
_PACKET_INFO = struct.Struct("16si")
_ANCILLARY_SPACE = socket.CMSG_SPACE(_HOP_LIMIT.size) + socket.CMSG_SPACE(20)


def refusal() -> str | None:
    """Return None when this process can use the transport, else why not."""
    if not hasattr(socket, "SO_BINDTODEVICE"):
        return "binding a socket to a device is possible on Linux only"
    return refusal_of_socket(socket.AF_INET, socket.SOCK_RAW, CARP_PROTOCOL)


def raw_transport() -> SocketTransport:
    """Return a transport of IP packets."""
    return SocketTransport(RawSockets)


class RawSockets:
    """One socket a family. Without IPv6 on this machine there is only the other, and sending IPv6 is an OSError."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._index = socket.if_nametoindex(link)
        self._ipv4 = _open(link, socket.AF_INET, _set_up_ipv4)
        self._ipv6: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._ipv6 = _open(link, socket.AF_INET6, _set_up_ipv6)

    @property
    def ears(self) -> list[Ear]:
        """The sockets that are there."""
        ears = [Ear(self._ipv4, self._read_ipv4)]
        return ears if self._ipv6 is None else [*ears, Ear(self._ipv6, self._read_ipv6)]

    def send(self, outgoing: Outgoing) -> None:
        """Send a packet; the kernel fills an IPv4 identification of zero, and a source that is not known."""
        if outgoing.family is Family.IPV4:
            self._ipv4.sendto(envelope.packet_of(outgoing, identification=0), destination_of(outgoing, self._index))
        elif self._ipv6 is None:
            raise OSError(errno.EAFNOSUPPORT, f"no IPv6 on {self._link}")
        else:
            source = _PACKET_INFO.pack(outgoing.source.packed, self._index)
            ancillary = [
                (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, source),
                (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _HOP_LIMIT.pack(outgoing.tos)),
            ]
            self._ipv6.sendmsg([outgoing.payload], ancillary, 0, destination_of(outgoing, self._index))

    def join(self, group: Address) -> None:
        """Become a member of a group."""
        if group.version == 4:
            _join_ipv4(self._ipv4, self._link, group)
        elif self._ipv6 is not None:
            _join_ipv6(self._ipv6, self._link, group)

    def close(self) -> None:
        """Close everything."""
        self._ipv4.close()
        if self._ipv6 is not None:
            self._ipv6.close()

    def _read_ipv4(self, sock: socket.socket) -> Datagram | None:
        return envelope.datagram_of_packet(sock.recv(READ_LENGTH), link=self._link)

    def _read_ipv6(self, sock: socket.socket) -> Datagram | None:
        """Take a payload: the kernel has taken the header off, and says beside it what was in there."""
        payload, ancillary, _flags, source = sock.recvmsg(READ_LENGTH, _ANCILLARY_SPACE)
        said = {kind: data for level, kind, data in ancillary if level == socket.IPPROTO_IPV6}
        if socket.IPV6_HOPLIMIT not in said or socket.IPV6_PKTINFO not in said:
            return None
        return Datagram(
            link=self._link,
            family=Family.IPV6,
            source=IPv6Address(source[0].partition("%")[0]),
            destination=IPv6Address(said[socket.IPV6_PKTINFO][:16]),
            ttl=_HOP_LIMIT.unpack(said[socket.IPV6_HOPLIMIT][: _HOP_LIMIT.size])[0],
            payload=payload,
        )


def _open(link: str, family: int, set_up: Callable[[socket.socket, str], None]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_RAW, CARP_PROTOCOL)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        set_up(sock, link)
    except OSError:
        sock.close()
        raise
    return sock


def _set_up_ipv4(sock: socket.socket, link: str) -> None:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, CARP_TTL)
    group = CARP_GROUPS[Family.IPV4]
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _membership(link, group))
    _join_ipv4(sock, link, group)


def _set_up_ipv6(sock: socket.socket, link: str) -> None:
    for option in (socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVPKTINFO):
        sock.setsockopt(socket.IPPROTO_IPV6, option, 1)
    for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
        sock.setsockopt(socket.IPPROTO_IPV6, option, CARP_TTL)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(link))
    _join_ipv6(sock, link, CARP_GROUPS[Family.IPV6])


def _join_ipv4(sock: socket.socket, link: str, group: Address) -> None:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(link, group))


def _join_ipv6(sock: socket.socket, link: str, group: Address) -> None:
    request = struct.pack("16si", group.packed, socket.if_nametoindex(link))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


def _membership(link: str, group: Address) -> bytes:
    return struct.pack("4s4si", group.packed, ANY_ADDRESS[Family.IPV4].packed, socket.if_nametoindex(link))
