"""Raw IP sockets of protocol 112: the kernel adds the Ethernet header, so the source MAC is the link's own."""

import socket
import struct

from pycarp.system.capabilities import refusal_of_socket
from pycarp.transports.sockets import SocketTransport
from pycarp.vocabulary import ANY_ADDRESS, CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Address, Datagram, Family, Outgoing
from pycarp.wire import envelope, ip


def refusal() -> str | None:
    """Return None when this process can use the transport, else why not."""
    if not hasattr(socket, "SO_BINDTODEVICE"):
        return "binding a socket to a device is possible on Linux only"
    return refusal_of_socket(socket.AF_INET, socket.SOCK_RAW, CARP_PROTOCOL)


def raw_transport() -> SocketTransport:
    """Return a transport of IP packets."""
    return SocketTransport(opener=_open, encoder=_encode, decoder=_decode, sender=_send, joiner=_join)


def _open(link: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, CARP_PROTOCOL)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, CARP_TTL)
        group = CARP_GROUPS[Family.IPV4]
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _request(link, group))
        _join(sock, link, group)
    except OSError:
        sock.close()
        raise
    return sock


def _join(sock: socket.socket, link: str, group: Address) -> None:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _request(link, group))


def _request(link: str, group: Address) -> bytes:
    return struct.pack("4s4si", group.packed, ANY_ADDRESS[Family.IPV4].packed, socket.if_nametoindex(link))


def _encode(outgoing: Outgoing, _sock: socket.socket) -> bytes:
    """Return the IP packet; the kernel fills an identification of zero and a source of zero."""
    assert outgoing.source.version == 4
    assert outgoing.destination.version == 4
    return ip.encode_ipv4(
        source=outgoing.source,
        destination=outgoing.destination,
        tos=outgoing.tos,
        identification=outgoing.identification or 0,
        payload=outgoing.payload,
    )


def _decode(octets: bytes, link: str) -> Datagram | None:
    """Return the datagram if it went to a group: kernels show CARP no other without a unicast peer."""
    datagram = envelope.datagram_of_packet(octets, link=link)
    return datagram if datagram is not None and datagram.destination.is_multicast else None


def _send(sock: socket.socket, octets: bytes, outgoing: Outgoing) -> None:
    sock.sendto(octets, (str(outgoing.destination), 0))
