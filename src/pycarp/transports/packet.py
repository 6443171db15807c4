"""AF_PACKET: whole Ethernet frames, so that advertisements leave from the virtual MAC as on the BSDs.

A filter in the kernel keeps everything away but IPv4 packets of protocol 112 in frames to a group. Source of the filter
language: the classic BPF of ``SO_ATTACH_FILTER``, ``man 7 socket``.
"""

import ctypes
import errno
import secrets
import socket
import struct
from collections.abc import Iterable

from pycarp.system.capabilities import refusal_of_socket
from pycarp.transports.sockets import SocketTransport
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, Address, Datagram, Family, MacAddress, Outgoing
from pycarp.wire import envelope, ethernet

_MAC_LENGTH = 6
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_MR_MULTICAST = 0
_PACKET_IGNORE_OUTGOING = 23
_SO_ATTACH_FILTER = 26

_LOAD_HALF, _LOAD_OCTET, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x28, 0x30, 0x15, 0x45, 0x06
_ACCEPT = 0x40000

_FILTER = (
    (_LOAD_HALF, 0, 0, 12),  # the Ethernet type
    (_JUMP_EQUAL, 0, 5, ethernet.ETHERTYPE_IPV4),
    (_LOAD_OCTET, 0, 0, 23),  # the IPv4 protocol
    (_JUMP_EQUAL, 0, 3, CARP_PROTOCOL),
    (_LOAD_OCTET, 0, 0, 0),  # the first octet of the destination MAC
    (_JUMP_SET, 0, 1, 0x01),  # its group bit
    (_RETURN, 0, 0, _ACCEPT),
    (_RETURN, 0, 0, 0),
)


def refusal() -> str | None:
    """Return None when this process can use the transport, else why not."""
    if not hasattr(socket, "AF_PACKET"):
        return "AF_PACKET exists on Linux only"
    return refusal_of_socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def packet_transport(*, source_mac: str = "virtual") -> SocketTransport:
    """Return a transport of Ethernet frames.

    ``source_mac`` is ``virtual`` (what the dialect says, so that switches learn where the virtual MAC is) or
    ``real`` (the link's own, for hypervisors that forbid others; no receiver cares).
    """

    def encode(outgoing: Outgoing, sock: socket.socket) -> bytes:
        return _encode(outgoing, sock, real_mac=source_mac == "real")

    return SocketTransport(opener=_open, encoder=encode, decoder=_decode, sender=_send, joiner=_join)


def _open(link: str) -> socket.socket:
    """Return a bound socket; it is bound last, so that nothing unfiltered is ever queued."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        _attach_filter(sock, _FILTER)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        _join(sock, link, CARP_GROUPS[Family.IPV4])
        sock.bind((link, ethernet.ETHERTYPE_IPV4))
    except OSError:
        sock.close()
        raise
    return sock


def _join(sock: socket.socket, link: str, group: Address) -> None:
    mac = ethernet.group_mac(group).octets
    membership = struct.pack("iHH8s", socket.if_nametoindex(link), _PACKET_MR_MULTICAST, len(mac), mac)
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)


def _attach_filter(sock: socket.socket, program: Iterable[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def _encode(outgoing: Outgoing, sock: socket.socket, *, real_mac: bool) -> bytes:
    link_mac = _mac_of(sock)
    frame = envelope.frame_of(outgoing, link_mac=link_mac, identification=secrets.randbits(16))
    if real_mac:
        return frame[:6] + link_mac.octets + frame[12:]
    return frame


def _mac_of(sock: socket.socket) -> MacAddress:
    """Return the MAC of the link now; a link that was deleted has none any more."""
    octets = sock.getsockname()[4]
    if len(octets) != _MAC_LENGTH:
        raise OSError(errno.ENODEV, "the interface is gone")
    return MacAddress(octets)


def _decode(octets: bytes, link: str) -> Datagram | None:
    return envelope.datagram_of(octets, link=link)


def _send(sock: socket.socket, octets: bytes, _outgoing: Outgoing) -> None:
    sock.send(octets)
