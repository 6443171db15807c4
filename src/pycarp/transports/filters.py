"""What the kernel is told to keep away from a socket: the classic BPF of ``SO_ATTACH_FILTER`` (``man 7 socket``)."""

import ctypes
import socket
import struct

from pycarp.vocabulary import CARP_PROTOCOL, Family
from pycarp.wire import ethernet

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_LOAD_HALF, _LOAD_OCTET, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x28, 0x30, 0x15, 0x35, 0x06
_ACCEPT = 0x40000

_PACKET_TYPE = 0xFFFF_F000 + 4
"""SKF_AD_OFF + SKF_AD_PKTTYPE: to whom the kernel thinks that a frame went."""

_PACKET_OTHERHOST = 3
"""This host, broadcast and multicast are less."""

_TYPE_AND_PROTOCOL_AT = {Family.IPV4: (ethernet.ETHERTYPE_IPV4, 23), Family.IPV6: (ethernet.ETHERTYPE_IPV6, 20)}

Program = tuple[tuple[int, int, int, int], ...]


def carp_frames(family: Family) -> Program:
    """Return the filter that passes frames of protocol 112 to groups and to this host, and nothing else.

    The next header of IPv6 is that of the fixed header; no CARP sends extension headers.
    """
    ethertype, protocol_at = _TYPE_AND_PROTOCOL_AT[family]
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_EQUAL, 0, 5, ethertype),
        (_LOAD_OCTET, 0, 0, protocol_at),
        (_JUMP_EQUAL, 0, 3, CARP_PROTOCOL),
        (_LOAD_OCTET, 0, 0, _PACKET_TYPE),
        (_JUMP_AT_LEAST, 1, 0, _PACKET_OTHERHOST),
        (_RETURN, 0, 0, _ACCEPT),
        (_RETURN, 0, 0, 0),
    )


NOTHING: Program = ((_RETURN, 0, 0, 0),)
"""The filter of a socket that only sends."""


def attach(sock: socket.socket, program: Program) -> None:
    """Let the kernel filter what a socket receives from now on; raises OSError."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def detach(sock: socket.socket) -> None:
    """Let everything through from now on; raises OSError."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
