"""Converts advertisements to Ethernet frames and IP packets, and back, for packet and raw sockets."""

from ipaddress import IPv4Address, IPv6Address

from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_PROTOCOL, Datagram, Family, MacAddress, Outgoing
from pycarp.wire import ethernet, ip
from pycarp.wire.vrrp import AUTHENTICATION_HEADER

_FAMILY_OF_TYPE = {
    ethernet.ETHERTYPE_IPV4.to_bytes(2, "big"): Family.IPV4,
    ethernet.ETHERTYPE_IPV6.to_bytes(2, "big"): Family.IPV6,
}
_TYPE_OF_FAMILY = {Family.IPV4: ethernet.ETHERTYPE_IPV4, Family.IPV6: ethernet.ETHERTYPE_IPV6}
_GROUP_BIT = 0x01


def packet_of(outgoing: Outgoing, *, identification: int) -> bytes:
    """Return the IP packet of an advertisement; ``identification`` is for an IPv4 one without its own."""
    source, destination = outgoing.source, outgoing.destination
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        return ip.encode_ipv4(
            source=source,
            destination=destination,
            tos=outgoing.tos,
            identification=identification if outgoing.identification is None else outgoing.identification,
            payload=outgoing.payload,
        )
    assert isinstance(source, IPv6Address)
    assert isinstance(destination, IPv6Address)
    return ip.encode_ipv6(source=source, destination=destination, traffic_class=outgoing.tos, payload=outgoing.payload)


def frame_of(outgoing: Outgoing, *, link_mac: MacAddress, identification: int) -> bytes:
    """Return the Ethernet frame of an advertisement to a group, or to the MAC address that it names.

    ``link_mac`` and ``identification`` are used where ``outgoing`` has None.
    """
    assert outgoing.destination_mac is not None or outgoing.destination.is_multicast
    return ethernet.encode(
        ethernet.Frame(
            destination=outgoing.destination_mac or ethernet.group_mac(outgoing.destination),
            source=outgoing.source_mac or link_mac,
            ethertype=_TYPE_OF_FAMILY[outgoing.family],
            payload=packet_of(outgoing, identification=identification),
        )
    )


def datagram_of(frame: bytes, *, link: str) -> Datagram | None:
    """Return the datagram of protocol 112 in a frame, also behind an authentication header; None for any other.

    A frame to a single host must carry a packet to a single host, and one to a group a packet to a group: kernels pass
    nothing else to CARP. Source: measured, carp.md section 13.
    """
    # This runs for every packet of the segment, so it decodes no more of a frame than it must.
    if frame[12:14] not in _FAMILY_OF_TYPE:
        return None
    datagram = datagram_of_packet(frame[ethernet.HEADER_LENGTH :], link=link)
    if datagram is None or datagram.destination.is_multicast != bool(frame[0] & _GROUP_BIT):
        return None
    return datagram


def datagram_of_packet(octets: bytes, *, link: str) -> Datagram | None:
    """Return the datagram of protocol 112 in an IP packet; None for any other, and for a broken one."""
    try:
        if octets[:1] and octets[0] >> 4 == Family.IPV6:
            return _datagram_of_ipv6(octets, link)
        return _datagram_of_ipv4(octets, link)
    except DecodeError:
        return None


def _datagram_of_ipv4(octets: bytes, link: str) -> Datagram | None:
    packet = ip.decode_ipv4(octets)
    if packet.protocol != CARP_PROTOCOL and not _is_authenticated(packet):
        return None
    return Datagram(link, Family.IPV4, packet.source, packet.destination, packet.ttl, packet.payload)


def _is_authenticated(packet: ip.IPv4Packet) -> bool:
    """Return True if protocol 112 follows an authentication header: that is VRRP, and its payload keeps the header."""
    return packet.protocol == AUTHENTICATION_HEADER and packet.payload[:1] == bytes((CARP_PROTOCOL,))


def _datagram_of_ipv6(octets: bytes, link: str) -> Datagram | None:
    packet = ip.decode_ipv6(octets)
    if packet.next_header != CARP_PROTOCOL:
        return None
    return Datagram(link, Family.IPV6, packet.source, packet.destination, packet.hop_limit, packet.payload)
