"""AF_PACKET: whole Ethernet frames, so that advertisements leave from the virtual MAC as on the BSDs.

A filter in the kernel keeps everything away but packets of protocol 112 to a group or to this host. Source of the
filter language: the classic BPF of ``SO_ATTACH_FILTER``, ``man 7 socket``, with the packet type of ``linux/filter.h``.

Advertisements to a unicast peer leave through a raw IP socket instead: the kernel knows the peer's MAC address, or that
of the router to it, and no receiver cares for the source MAC (carp.md 1.4).
"""

import contextlib
import ctypes
import errno
import secrets
import socket
import struct
from collections.abc import Iterable

from pycarp.system.capabilities import refusal_of_socket
from pycarp.transports.sockets import READ_LENGTH, Ear, SocketTransport
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, Address, Datagram, Family, MacAddress, Outgoing
from pycarp.wire import envelope, ethernet

_MAC_LENGTH = 6
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_MR_MULTICAST = 0
_PACKET_IGNORE_OUTGOING = 23
_SO_ATTACH_FILTER = 26

_LOAD_OCTET, _JUMP_EQUAL, _RETURN = 0x30, 0x15, 0x06
_ACCEPT = 0x40000
_PACKET_TYPE = 0xFFFF_F000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_PACKET_OTHERHOST = 3

_ETHERTYPES = {Family.IPV4: ethernet.ETHERTYPE_IPV4, Family.IPV6: ethernet.ETHERTYPE_IPV6}
_PROTOCOL_AT = {Family.IPV4: 23, Family.IPV6: 20}
_SOCKET_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


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
    return SocketTransport(lambda link: PacketSockets(link, has_real_mac=source_mac == "real"))


class PacketSockets:
    """Two packet sockets, one a family: bound to one type of frame, none sees what belongs to another VLAN."""

    def __init__(self, link: str, *, has_real_mac: bool) -> None:
        self._link = link
        self._index = socket.if_nametoindex(link)
        self._has_real_mac = has_real_mac
        self._reporter: socket.socket | None = None
        self._unicast: dict[Family, socket.socket] = {}
        with contextlib.ExitStack() as stack:
            self._sockets = {family: stack.enter_context(_open(link, family)) for family in Family}
            stack.pop_all()
        for family in Family:
            with contextlib.suppress(OSError):  # IPv6 may be switched off here
                self._unicast[family] = _open_unicast(link, family)
        with contextlib.suppress(OSError):
            self._reporter = _report_membership(self._index)

    @property
    def ears(self) -> list[Ear]:
        """Both sockets."""
        return [Ear(sock, self._read) for sock in self._sockets.values()]

    def send(self, outgoing: Outgoing) -> None:
        """Send a frame to a group, or a packet to a peer."""
        if outgoing.destination.is_multicast:
            sock = self._sockets[outgoing.family]
            sock.send(self._frame(outgoing, _mac_of(sock)))
        else:
            if outgoing.family not in self._unicast:
                raise OSError(errno.EAFNOSUPPORT, f"no IPv{outgoing.family} on {self._link}")
            packet = envelope.packet_of(outgoing, identification=secrets.randbits(16))
            self._unicast[outgoing.family].sendto(packet, destination_of(outgoing, self._index))

    def join(self, group: Address) -> None:
        """Let the device hear a group."""
        _join(self._sockets[Family.IPV4 if group.version == 4 else Family.IPV6], self._link, group)

    def close(self) -> None:
        """Close everything."""
        for sock in (*self._sockets.values(), *self._unicast.values()):
            sock.close()
        if self._reporter is not None:
            self._reporter.close()

    def _frame(self, outgoing: Outgoing, link_mac: MacAddress) -> bytes:
        frame = envelope.frame_of(outgoing, link_mac=link_mac, identification=secrets.randbits(16))
        return frame[:6] + link_mac.octets + frame[12:] if self._has_real_mac else frame

    def _read(self, sock: socket.socket) -> Datagram | None:
        return envelope.datagram_of(sock.recv(READ_LENGTH), link=self._link)


def destination_of(outgoing: Outgoing, index: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the socket address of where an advertisement goes; IPv6 addresses of a link carry its ``index``."""
    to = outgoing.destination
    if to.version == 4:
        return str(to), 0
    is_of_link = to.is_link_local or to.is_multicast
    return str(to), 0, 0, index if is_of_link else 0


def _open(link: str, family: Family) -> socket.socket:
    """Return a bound socket; it is bound last, so that nothing unfiltered is ever queued."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        _attach_filter(sock, _filter(_PROTOCOL_AT[family]))
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        _join(sock, link, CARP_GROUPS[family])
        sock.bind((link, _ETHERTYPES[family]))
    except OSError:
        sock.close()
        raise
    return sock


def _open_unicast(link: str, family: Family) -> socket.socket:
    """Return a socket that takes whole IP packets and never receives any."""
    sock = socket.socket(_SOCKET_FAMILIES[family], socket.SOCK_RAW, socket.IPPROTO_RAW)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    except OSError:
        sock.close()
        raise
    return sock


def _report_membership(index: int) -> socket.socket:
    """Let the kernel report the IPv6 group while the socket is open: switches snoop who asked for it."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        request = struct.pack("16si", CARP_GROUPS[Family.IPV6].packed, index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    except OSError:
        sock.close()
        raise
    return sock


def _join(sock: socket.socket, link: str, group: Address) -> None:
    mac = ethernet.group_mac(group).octets
    membership = struct.pack("iHH8s", socket.if_nametoindex(link), _PACKET_MR_MULTICAST, len(mac), mac)
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)


def _filter(protocol_at: int) -> tuple[tuple[int, int, int, int], ...]:
    """Return the program that passes protocol 112, but not what is meant for other hosts."""
    return (
        (_LOAD_OCTET, 0, 0, protocol_at),
        (_JUMP_EQUAL, 0, 3, CARP_PROTOCOL),
        (_LOAD_OCTET, 0, 0, _PACKET_TYPE),
        (_JUMP_EQUAL, 1, 0, _PACKET_OTHERHOST),
        (_RETURN, 0, 0, _ACCEPT),
        (_RETURN, 0, 0, 0),
    )


def _attach_filter(sock: socket.socket, program: Iterable[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def _mac_of(sock: socket.socket) -> MacAddress:
    """Return the MAC of the link now; a link that was deleted has none any more."""
    octets = sock.getsockname()[4]
    if len(octets) != _MAC_LENGTH:
        raise OSError(errno.ENODEV, "the interface is gone")
    return MacAddress(octets)
