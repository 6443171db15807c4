"""Prepares advertisements for the guardian, a process that has neither our sockets nor our keys."""

import socket
import struct
from pathlib import Path

from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports.ip_sockets import is_link_scoped
from pycarp.vocabulary import CARP_PROTOCOL, CARP_TTL, Family, MacAddress, Outgoing
from pycarp.wire import envelope

_NO_CHECKSUM = -1
_INT = struct.Struct("i")
_PACKET_INFO = struct.Struct("16sI")


def prepared_packet_of(outgoing: Outgoing) -> PreparedPacket:
    """Return an advertisement as a frame if it is for a group, else as a packet; raises OSError if the link is gone."""
    if outgoing.destination.is_multicast:
        return _frame(outgoing)
    return _packet(outgoing) if outgoing.family is Family.IPV4 else _payload(outgoing)


def _frame(outgoing: Outgoing) -> PreparedPacket:
    link_mac = MacAddress.parse(Path(f"/sys/class/net/{outgoing.link}/address").read_text().strip())
    return PreparedPacket(
        family=socket.AF_PACKET,
        kind=socket.SOCK_RAW,
        protocol=0,
        options=(),
        address=(outgoing.link, 0),
        octets=envelope.frame_of(outgoing, link_mac=link_mac, identification=0),
    )


def _packet(outgoing: Outgoing) -> PreparedPacket:
    return PreparedPacket(
        family=socket.AF_INET,
        kind=socket.SOCK_RAW,
        protocol=CARP_PROTOCOL,
        options=((socket.IPPROTO_IP, socket.IP_HDRINCL, _INT.pack(1)),),
        address=(str(outgoing.destination), 0),
        octets=envelope.packet_of(outgoing, identification=0),
    )


def _payload(outgoing: Outgoing) -> PreparedPacket:
    """Return the payload of an IPv6 packet; the kernel makes the header from the options."""
    scope = socket.if_nametoindex(outgoing.link) if is_link_scoped(outgoing.destination) else 0
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
