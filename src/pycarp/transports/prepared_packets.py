"""Prepares advertisements for the guardian, a process that has neither our sockets nor our keys."""

import contextlib
import fcntl
import socket
import struct

from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.ip_sockets import is_link_scoped
from pycarp.vocabulary import CARP_PROTOCOL, CARP_TTL, Family, MacAddress, Outgoing
from pycarp.wire import envelope

_NO_CHECKSUM = -1
_SIOCGIFHWADDR = 0x8927
_INTERFACE_REQUEST = struct.Struct("16s2x6s16x")
_INT = struct.Struct("i")
_PACKET_INFO = struct.Struct("16sI")


def prepared_packet_of(outgoing: Outgoing, index: int) -> PreparedPacket:
    """Return an advertisement as a frame if it is for a group, else as a packet; raises OSError if the link is gone.

    ``index`` is that of the link, whose name may change before the packet is sent.
    """
    if outgoing.destination.is_multicast:
        return _frame(outgoing, index)
    return _packet(outgoing) if outgoing.family is Family.IPV4 else _payload(outgoing, index)


def present_index(link: str, known: int) -> int:
    """Return the index of a link: the known one while it exists, because the link may have another name by now.

    Raises OSError if there is neither.
    """
    if known:
        with contextlib.suppress(OSError):
            socket.if_indextoname(known)
            return known
    return socket.if_nametoindex(link)


def _frame(outgoing: Outgoing, index: int) -> PreparedPacket:
    # The kernel is asked only where the answer matters: hundreds of hosts become MASTER at once.
    link_mac = outgoing.source_mac or _mac_of(socket.if_indextoname(index))
    return PreparedPacket(
        family=socket.AF_PACKET,
        kind=socket.SOCK_RAW,
        protocol=0,
        options=(),
        address=(index, 0),
        octets=envelope.frame_of(outgoing, link_mac=link_mac, identification=0),
    )


def _mac_of(name: str) -> MacAddress:
    """Return the MAC address of a link of this thread's network namespace, whatever is mounted on ``/sys``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFHWADDR, _INTERFACE_REQUEST.pack(name.encode(), b""))
    return MacAddress(_INTERFACE_REQUEST.unpack(answer)[1])


def _packet(outgoing: Outgoing) -> PreparedPacket:
    return PreparedPacket(
        family=socket.AF_INET,
        kind=socket.SOCK_RAW,
        protocol=CARP_PROTOCOL,
        options=((socket.IPPROTO_IP, socket.IP_HDRINCL, _INT.pack(1)),),
        address=(str(outgoing.destination), 0),
        octets=envelope.packet_of(outgoing, identification=0),
    )


def _payload(outgoing: Outgoing, index: int) -> PreparedPacket:
    """Return the payload of an IPv6 packet; the kernel makes the header from the options."""
    scope = index if is_link_scoped(outgoing.destination) else 0
    options = (
        (socket.IPV6_UNICAST_HOPS, _INT.pack(CARP_TTL)),
        (socket.IPV6_CHECKSUM, _INT.pack(_NO_CHECKSUM)),
        (socket.IPV6_TCLASS, _INT.pack(outgoing.tos)),
        (socket.IPV6_PKTINFO, _PACKET_INFO.pack(outgoing.source.packed, scope)),
    )
    return PreparedPacket(
        family=socket.AF_INET6,
        kind=socket.SOCK_RAW,
        protocol=CARP_PROTOCOL,
        options=tuple((socket.IPPROTO_IPV6, name, value) for name, value in options),
        address=(str(outgoing.destination), 0, 0, scope),
        octets=outgoing.payload,
    )
