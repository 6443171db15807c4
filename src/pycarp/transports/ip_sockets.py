"""IP sockets of protocol 112 in both families: the kernel resolves MAC addresses, routes, and reports group members.

IPv4 sockets send and receive whole packets. IPv6 sockets send and receive the payload; the fields of the header travel
beside it as ancillary data (RFC 3542), and the kernel chooses the source if none is given.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address

from pycarp.system.rtnetlink import socket_filter
from pycarp.transports import filters
from pycarp.vocabulary import ANY_ADDRESS, CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Address, Datagram, Family, Outgoing
from pycarp.wire import envelope, ip

READ_LENGTH = 2048
"""The most octets read of a packet; an advertisement has 90 with its headers."""

_QUEUE_OCTETS = 384 * 1024
"""The size of a receive queue, which the kernel doubles: about the packets that are read before timers expire."""

_SO_RCVBUFFORCE = 33

_AF = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_IPV6_AUTOFLOWLABEL = 70
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_ANCILLARY_LENGTH = 256
_PACKET_INFO = struct.Struct("16sI")
_INT = struct.Struct("i")


def sending_socket(family: Family) -> socket.socket:
    """Return a socket that sends on any link, with TTL 255, and receives nothing; it never waits. Raises OSError.

    While it is open, the kernel sends no ICMP errors for unicast advertisements to this host.
    """
    sock = socket.socket(_AF[family], socket.SOCK_RAW, CARP_PROTOCOL)
    try:
        sock.setblocking(False)
        socket_filter.attach(sock, filters.NOTHING)
        if family is Family.IPV4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        else:
            _prepare_ipv6(sock)
        _receive_for_all(sock, family, is_on=False)
    except OSError:
        sock.close()
        raise
    return sock


def receiving_socket(family: Family, link: str, index: int) -> socket.socket:
    """Return a socket that sends to groups on one link and receives the packets of that link; raises OSError."""
    sock = sending_socket(family)
    try:
        enlarge_queue(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        if family is Family.IPV4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _ipv4_request(index, ANY_ADDRESS[family]))
        _receive_for_all(sock, family, is_on=True)
        # Detached last, so that no packet of another link is ever queued.
        socket_filter.detach(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _receive_for_all(sock: socket.socket, family: Family, *, is_on: bool) -> None:
    """Let a socket receive for groups that another socket has joined, or only for its own.

    Otherwise the kernel copies each advertisement for the socket of every link, only to drop the copy there: with forty
    links an eighth of what it takes to receive.
    """
    level, option = {
        Family.IPV4: (socket.IPPROTO_IP, _IP_MULTICAST_ALL),
        Family.IPV6: (socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL),
    }[family]
    # Kernels before 4.20 do not know it for IPv6.
    with contextlib.suppress(OSError):
        sock.setsockopt(level, option, int(is_on))


def enlarge_queue(sock: socket.socket) -> None:
    """Enlarge a socket's receive queue, as far as the machine allows."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_OCTETS)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_OCTETS)


def join(sock: socket.socket, index: int, group: Address) -> None:
    """Join a group on the link of that index; the kernel reports it to switches (IGMP, MLD). Raises OSError."""
    if group.version == 4:
        request = _ipv4_request(index, group)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.packed + _INT.pack(index))


@contextlib.contextmanager
def membership(link: str) -> Iterator[None]:
    """Be a member of both CARP groups on a link, so that switches that snoop forward them here; sends no advertisement.

    A family that the link does not have is left out.
    """
    with contextlib.ExitStack() as stack:
        for family, group in CARP_GROUPS.items():
            with contextlib.suppress(OSError):
                join(
                    stack.enter_context(socket.socket(_AF[family], socket.SOCK_DGRAM)),
                    socket.if_nametoindex(link),
                    group,
                )
        yield


def send(sock: socket.socket, index: int, outgoing: Outgoing) -> None:
    """Send an advertisement on the link of that index; raises OSError.

    The kernel replaces an identification of zero and an unspecified source.
    """
    if outgoing.family is Family.IPV4:
        sock.sendto(envelope.packet_of(outgoing, identification=0), (str(outgoing.destination), 0))
        return
    # Only a link-local or multicast destination is bound to the link; any other follows its route.
    scope = index if is_link_scoped(outgoing.destination) else 0
    beside = [
        (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PACKET_INFO.pack(outgoing.source.packed, scope)),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(outgoing.tos)),
    ]
    sock.sendmsg([outgoing.payload], beside, 0, (str(outgoing.destination), 0, 0, scope))


def receive(sock: socket.socket, link: str, family: Family) -> Datagram | None:
    """Return the next datagram, None for a broken one; raises BlockingIOError if none waits, and OSError."""
    if family is Family.IPV4:
        return envelope.datagram_of_packet(sock.recv(READ_LENGTH), link=link)
    payload, beside, _flags, sender = sock.recvmsg(READ_LENGTH, _ANCILLARY_LENGTH)
    fields = {kind: octets for _level, kind, octets in beside}
    if socket.IPV6_PKTINFO not in fields or socket.IPV6_HOPLIMIT not in fields:
        return None
    destination, _index = _PACKET_INFO.unpack(fields[socket.IPV6_PKTINFO])
    (hop_limit,) = _INT.unpack(fields[socket.IPV6_HOPLIMIT])
    return Datagram(link, family, IPv6Address(sender[0]), ip.ipv6_address(destination), hop_limit, payload)


def _prepare_ipv6(sock: socket.socket) -> None:
    for option, value in (
        (socket.IPV6_UNICAST_HOPS, CARP_TTL),
        (socket.IPV6_MULTICAST_HOPS, CARP_TTL),
        (socket.IPV6_MULTICAST_LOOP, 0),
        (socket.IPV6_RECVHOPLIMIT, 1),
        (socket.IPV6_RECVPKTINFO, 1),
        (_IPV6_AUTOFLOWLABEL, 0),
        # Most dialects compute it over the 36 octets alone; the kernel would include a pseudo-header.
        (socket.IPV6_CHECKSUM, -1),
    ):
        sock.setsockopt(socket.IPPROTO_IPV6, option, value)


def _ipv4_request(index: int, group: Address) -> bytes:
    return struct.pack("4s4si", group.packed, ANY_ADDRESS[Family.IPV4].packed, index)


def is_link_scoped(address: Address) -> bool:
    """Return whether an address is valid only together with a link."""
    return address.is_link_local or address.is_multicast
