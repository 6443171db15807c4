"""The IPv4 routes of a link: the kernel takes them away together with the last IPv4 address, though others made them.

A link may well have routes and no address of its own; then a shared address would take them along when it leaves.
Source: fib_inetaddr_event and fib_disable_ip in ``net/ipv4/fib_frontend.c``, ``linux/rtnetlink.h``.
"""

import socket
import struct

from pycarp.system.rtnetlink.route_messages import Message, attributes
from pycarp.system.rtnetlink.route_socket import RouteSocket

_NEW_ROUTE, _GET_ROUTE = 24, 26
_REQUEST, _ACK, _DUMP, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_LINK_ATTRIBUTE = struct.Struct("=HHI")
_RTA_OIF = 4
_PROTOCOL_KERNEL, _TABLE_LOCAL = 2, 255
_ON_LINK = 0x4
"""RTNH_F_ONLINK: of the flags that the kernel tells, the only one that it may be told."""


def restorations(route: RouteSocket, index: int) -> list[bytes]:
    """Return requests that put back the routes of a link but for the kernel's own, those first that others need.

    Each wants to be acknowledged, and fails where its route is there. Raises OSError.
    """
    found = [each for each in route.read(_reading(index)) if _is_of(each, index)]
    return [_restoring(each) for each in sorted(found, key=_scope, reverse=True)]


def _reading(index: int) -> bytes:
    length = _HEADER.size + _ROUTE.size + _LINK_ATTRIBUTE.size
    header = _HEADER.pack(length, _GET_ROUTE, _REQUEST | _DUMP, 0, 0)
    wanted = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    return header + wanted + _LINK_ATTRIBUTE.pack(_LINK_ATTRIBUTE.size, _RTA_OIF, index)


def _is_of(message: Message, index: int) -> bool:
    """Say whether a route goes by a link; kernels before 4.20 tell of all routes."""
    _family, _dst, _src, _tos, table, protocol, _scope, _type, _flags = _ROUTE.unpack_from(message.octets, _HEADER.size)
    found = dict(attributes(message.octets, _HEADER.size + _ROUTE.size)).get(_RTA_OIF)
    is_its_own = protocol == _PROTOCOL_KERNEL or table == _TABLE_LOCAL
    return message.kind == _NEW_ROUTE and not is_its_own and found == struct.pack("=I", index)


def _scope(message: Message) -> int:
    return message.octets[_HEADER.size + 6]


def _restoring(message: Message) -> bytes:
    """Return the request for a route: what the kernel told of it is what it wants to hear, but for the flags."""
    start = _HEADER.size
    fields = list(_ROUTE.unpack_from(message.octets, start))
    fields[-1] &= _ON_LINK
    header = _HEADER.pack(len(message.octets), _NEW_ROUTE, _REQUEST | _ACK | _EXCLUSIVE | _CREATE, 0, 0)
    return header + _ROUTE.pack(*fields) + message.octets[start + _ROUTE.size :]
