"""Encodes rtnetlink requests. Source: ``linux/netlink.h``, ``linux/rtnetlink.h``."""

import struct

REQUEST, ACK, REPLACE, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
"""The flags of a request: NLM_F_REQUEST, NLM_F_ACK, and so on."""

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")


def request(kind: int, flags: int, body: bytes) -> bytes:
    """Return a request of a kind (``RTM_*``); NLM_F_REQUEST need not be given."""
    return HEADER.pack(HEADER.size + len(body), kind, REQUEST | flags, 0, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded to a multiple of four octets."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def number(value: int) -> bytes:
    """Return the value of a 32-bit attribute."""
    return struct.pack("=I", value)


def text(value: str) -> bytes:
    """Return the value of a text attribute."""
    return value.encode() + b"\0"
