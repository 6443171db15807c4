"""Prepares advertisements for the guardian, a process that has neither our sockets nor our keys."""

import contextlib
import fcntl
import socket
import struct
import time

from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.ip_sockets import is_link_scoped
from pycarp.vocabulary import CARP_PROTOCOL, CARP_TTL, Family, MacAddress, Outgoing
from pycarp.wire import envelope

_LOOK_AGAIN_S = 0.05
_NO_CHECKSUM = -1
_SIOCGIFHWADDR = 0x8927
_INTERFACE_REQUEST = struct.Struct("16s2x6s16x")
_INT = struct.Struct("i")
_PACKET_INFO = struct.Struct("16sI")


class PresentLink:
    """Index and MAC address of a link, read at most once in 0.05 s: hundreds of hosts become MASTER at once."""

    def __init__(self) -> None:
        self._index = 0
        self._mac: MacAddress | None = None
        self._until_s = 0.0

    def index(self, link: str, known: int) -> int:
        """Return what ``present_index`` returns; raises OSError as that does."""
        if time.monotonic() >= self._until_s:
            self._mac, self._until_s = None, 0.0
            self._index = present_index(link, known)
            self._until_s = time.monotonic() + _LOOK_AGAIN_S
        return self._index

    def mac(self) -> MacAddress:
        """Return the MAC address of the link whose index was returned; raises OSError if the link is gone."""
        if self._mac is None:
            self._mac = _mac_of(socket.if_indextoname(self._index))
        return self._mac


def prepared_packet_of(outgoing: Outgoing, index: int, present: PresentLink | None = None) -> PreparedPacket:
    """Return an advertisement as a frame if it is for a group, else as a packet; raises OSError if the link is gone.

    ``index`` is that of the link, whose name may change before the packet is sent; ``present`` is where it was read.
    """
    if outgoing.destination.is_multicast:
        return _frame(outgoing, index, present)
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


def _frame(outgoing: Outgoing, index: int, present: PresentLink | None) -> PreparedPacket:
    # The kernel is asked only where the answer matters.
    link_mac = outgoing.source_mac or (present.mac() if present else _mac_of(socket.if_indextoname(index)))
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
