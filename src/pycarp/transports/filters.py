"""The packet filters of sockets, as classic BPF for ``SO_ATTACH_FILTER`` (``man 7 socket``)."""

from pycarp.core.flood import PacketFilter
from pycarp.system.rtnetlink.socket_filter import Program
from pycarp.vocabulary import CARP_PROTOCOL, Family
from pycarp.wire import ethernet
from pycarp.wire.vrrp import AUTHENTICATION_HEADER

_LOAD_WORD, _LOAD_HALF, _LOAD_OCTET, _LOAD_WORD_BEHIND, _LOAD_HEADER_LENGTH = 0x20, 0x28, 0x30, 0x40, 0xB1
_LOAD_OCTET_BEHIND = 0x50
_JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x15, 0x35, 0x54, 0x06
_ACCEPT = 0x40000

_PACKET_TYPE = 0xFFFF_F000 + 4
"""SKF_AD_OFF + SKF_AD_PKTTYPE: the kernel's class of a frame's destination."""

_RANDOM = 0xFFFF_F000 + 56
"""SKF_AD_OFF + SKF_AD_RANDOM: 32 random bits."""

_PACKET_OTHERHOST = 3
"""The class of frames to other hosts; those to this host, broadcast and multicast are smaller."""

_TYPE_AND_PROTOCOL_AT = {Family.IPV4: (ethernet.ETHERTYPE_IPV4, 23), Family.IPV6: (ethernet.ETHERTYPE_IPV6, 20)}
_IPV6_HEADER_LENGTH = 40
_DIGEST_AT = 16

_PASS, _DROP = (_RETURN, 0, 0, _ACCEPT), (_RETURN, 0, 0, 0)

_PROTOCOL_OF_IPV4: Program = (
    (_JUMP_EQUAL, 6, 0, CARP_PROTOCOL),
    (_JUMP_EQUAL, 1, 0, AUTHENTICATION_HEADER),
    _DROP,
    (_LOAD_HEADER_LENGTH, 0, 0, ethernet.HEADER_LENGTH),
    (_LOAD_OCTET_BEHIND, 0, 0, ethernet.HEADER_LENGTH),
    (_JUMP_EQUAL, 1, 0, CARP_PROTOCOL),
    _DROP,
)
"""With the protocol loaded: continues after these instructions if it is CARP, else drops."""

_PROTOCOL_OF_IPV6: Program = ((_JUMP_EQUAL, 1, 0, CARP_PROTOCOL), _DROP)


def carp_frames(family: Family, packet_filter: PacketFilter | None = None) -> Program:
    """Return the filter that passes frames of protocol 112 to groups and to this host, and nothing else.

    Over IPv4, protocol 112 may follow an authentication header, as in VRRP: a host reports a router that uses its id.
    Over IPv6 only the fixed header is read; no CARP sends extension headers. A ``packet_filter`` passes only some of
    these frames.
    """
    ethertype, protocol_at = _TYPE_AND_PROTOCOL_AT[family]
    return (
        # The EtherType, then the protocol of the IP header.
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_EQUAL, 1, 0, ethertype),
        _DROP,
        (_LOAD_OCTET, 0, 0, protocol_at),
        *(_PROTOCOL_OF_IPV4 if family is Family.IPV4 else _PROTOCOL_OF_IPV6),
        # A promiscuous interface, or one with further MAC addresses, passes frames to other hosts as well.
        (_LOAD_OCTET, 0, 0, _PACKET_TYPE),
        (_JUMP_AT_LEAST, 0, 1, _PACKET_OTHERHOST),
        _DROP,
        *(_filtered(packet_filter, _digest_in_packet(family, ethernet.HEADER_LENGTH)) if packet_filter else (_PASS,)),
    )


def filtered_packets(family: Family, packet_filter: PacketFilter) -> Program:
    """Return the filter of a raw socket, which sees IPv4 packets with their header and IPv6 packets without."""
    digest = _digest_in_packet(family, 0) if family is Family.IPV4 else ((_LOAD_WORD, 0, 0, _DIGEST_AT),)
    return _filtered(packet_filter, digest)


def _digest_in_packet(family: Family, begins_at: int) -> Program:
    """Return the instructions that load the first 32 bits of the digest; they drop a packet that is too short."""
    if family is Family.IPV6:
        return ((_LOAD_WORD, 0, 0, begins_at + _IPV6_HEADER_LENGTH + _DIGEST_AT),)
    return (_LOAD_HEADER_LENGTH, 0, 0, begins_at), (_LOAD_WORD_BEHIND, 0, 0, begins_at + _DIGEST_AT)


def _filtered(packet_filter: PacketFilter, load_digest: Program) -> Program:
    # The sample comes first, so that it is of all packets and the number of dropped ones can be estimated from it.
    upcoming = [step for digest in packet_filter.upcoming for step in ((_JUMP_EQUAL, 0, 1, digest), _PASS)]
    again = (*_sampled(packet_filter.every_repeated), _DROP)
    repeated = [step for digest in packet_filter.repeated for step in ((_JUMP_EQUAL, 0, len(again), digest), *again)]
    return (*_sampled(packet_filter.every), *load_digest, *upcoming, *repeated, _DROP)


def _sampled(every: int) -> Program:
    """Return the instructions that pass one packet in ``every``, a power of two."""
    # Random, because a counter would let an attacker choose which of its packets pass.
    return (_LOAD_WORD, 0, 0, _RANDOM), (_AND, 0, 0, every - 1), (_JUMP_EQUAL, 0, 1, 0), _PASS


NOTHING: Program = ((_RETURN, 0, 0, 0),)
"""The filter of a socket that only sends."""
