"""From advertisements to Ethernet frames and back: what a packet socket sends and receives."""

from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_PROTOCOL, Datagram, Family, MacAddress, Outgoing
from pycarp.wire import ethernet, ip

_IPV4_TYPE = ethernet.ETHERTYPE_IPV4.to_bytes(2, "big")
_GROUP_BIT = 0x01


def frame_of(outgoing: Outgoing, *, link_mac: MacAddress, identification: int) -> bytes:
    """Return the Ethernet frame of an IPv4 advertisement to its multicast group.

    ``link_mac`` and ``identification`` fill what ``outgoing`` leaves open.
    """
    assert outgoing.source.version == 4
    assert outgoing.destination.version == 4
    packet = ip.encode_ipv4(
        source=outgoing.source,
        destination=outgoing.destination,
        tos=outgoing.tos,
        identification=identification if outgoing.identification is None else outgoing.identification,
        payload=outgoing.payload,
    )
    return ethernet.encode(
        ethernet.Frame(
            destination=ethernet.group_mac(outgoing.destination),
            source=outgoing.source_mac or link_mac,
            ethertype=ethernet.ETHERTYPE_IPV4,
            payload=packet,
        )
    )


def datagram_of(frame: bytes, *, link: str) -> Datagram | None:
    """Return the datagram of protocol 112 in a frame to a group or to everybody; None for any other frame.

    Kernels never show CARP a broken IPv4 packet, nor one in a frame to a single host unless a unicast peer is
    configured. Source: measured, carp.md section 13.
    """
    # Every packet of the segment comes this way, so no frame is taken apart further than it must be.
    if frame[12:14] != _IPV4_TYPE or not frame[0] & _GROUP_BIT:
        return None
    return datagram_of_packet(frame[ethernet.HEADER_LENGTH :], link=link)


def datagram_of_packet(octets: bytes, *, link: str) -> Datagram | None:
    """Return the datagram of protocol 112 in an IPv4 packet; None for any other, and for a broken one."""
    try:
        packet = ip.decode_ipv4(octets)
    except DecodeError:
        return None
    if packet.protocol != CARP_PROTOCOL:
        return None
    return Datagram(
        link=link,
        family=Family.IPV4,
        source=packet.source,
        destination=packet.destination,
        ttl=packet.ttl,
        payload=packet.payload,
    )
