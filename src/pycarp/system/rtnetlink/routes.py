"""Reads routes from the Linux kernel: those to a network, and the one that a packet would take. Blocking.

Source: ``linux/rtnetlink.h``, ``net/ipv4/route.c``.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from pycarp.system.rtnetlink.route_encoding import DUMP, HEADER, attribute, request
from pycarp.system.rtnetlink.route_messages import Message, attributes
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import Address

Network: TypeAlias = IPv4Network | IPv6Network

_NEW_ROUTE, _GET_ROUTE = 24, 26
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=HBBi")
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_VIA = 1, 4, 5, 9, 18
_UNICAST, _LOCAL = 1, 2
_TABLE_LOCAL = 255

_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
"""What the kernel answers where there is no route, or one that is unreachable, prohibited or a black hole."""


class NextHop(msgspec.Struct, frozen=True):
    """One way that a route takes; ``gateway`` is None on the segment itself."""

    link_index: int
    gateway: Address | None


def next_hops_to(route: RouteSocket, network: Network) -> list[NextHop]:
    """Return the next hops of all routes to exactly this network, in any table; raises OSError.

    The kernel lists all routes of the family for it, so it takes long where there are very many.
    """
    family = _family(network.version)
    found = route.read(request(_GET_ROUTE, DUMP, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)))
    return [hop for each in found if _destination(each) == network for hop in _next_hops(each)]


def next_hop_for(route: RouteSocket, address: Address) -> NextHop | None:
    """Return the next hop that a packet to an address would take, None if there is none; raises OSError.

    For an address of this machine that is the loopback.
    """
    length = address.max_prefixlen
    body = _ROUTE.pack(_family(address.version), length, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, address.packed)
    try:
        found = route.read_one(request(_GET_ROUTE, 0, body))
    except OSError as exc:
        if exc.errno in _NO_ROUTE:
            return None
        raise
    return next(iter(_next_hops(found)), None) if found else None


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _destination(message: Message) -> Network | None:
    """Return where a route leads; None for one that this machine itself is the end of."""
    if message.kind != _NEW_ROUTE:
        return None
    family, length, _src, _tos, table, _protocol, _scope, _kind, _flags = _ROUTE.unpack_from(
        message.octets, HEADER.size
    )
    if table == _TABLE_LOCAL or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    octets = dict(attributes(message.octets, HEADER.size + _ROUTE.size)).get(_RTA_DST)
    return ip_network((octets or bytes(4 if family == socket.AF_INET else 16), length))


def _next_hops(message: Message) -> Iterator[NextHop]:
    """Yield the next hops of a route; none of one that refuses what it is for."""
    *_fields, kind, _flags = _ROUTE.unpack_from(message.octets, HEADER.size)
    if kind not in (_UNICAST, _LOCAL):
        return
    found = dict(attributes(message.octets, HEADER.size + _ROUTE.size))
    if _RTA_MULTIPATH not in found:
        yield _next_hop(_number(found.get(_RTA_OIF)), found)
        return
    paths, start = found[_RTA_MULTIPATH], 0
    while start + _NEXT_HOP.size <= len(paths):
        length, _flags, _weight, index = _NEXT_HOP.unpack_from(paths, start)
        if length < _NEXT_HOP.size:
            return
        yield _next_hop(index, dict(attributes(paths[start : start + length], _NEXT_HOP.size)))
        start += (length + 3) & ~3


def _next_hop(index: int, found: dict[int, bytes]) -> NextHop:
    # An IPv4 route may have an IPv6 gateway; two octets before it are its family.
    octets = found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
    return NextHop(index, ip_address(octets) if octets else None)


def _number(octets: bytes | None) -> int:
    return int(struct.unpack("=I", octets)[0]) if octets else 0
