"""The IPv4 routes of a link: the kernel removes them with the last IPv4 address of the link, whoever added them.

A link may have routes but no address of its own; the drop of its last shared address would remove those routes.
Source: fib_inetaddr_event and fib_disable_ip in ``net/ipv4/fib_frontend.c``, ``linux/rtnetlink.h``.
"""

import socket
import struct

from pycarp.system.rtnetlink.route_encoding import ACK, CREATE, DUMP, EXCLUSIVE, HEADER, REQUEST
from pycarp.system.rtnetlink.route_messages import Message, attributes
from pycarp.system.rtnetlink.route_socket import RouteSocket

_NEW_ROUTE, _GET_ROUTE = 24, 26
_ROUTE = struct.Struct("=BBBBBBBBI")
_LINK_ATTRIBUTE = struct.Struct("=HHI")
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_PROTOCOL_KERNEL, _TABLE_LOCAL = 2, 255
_ON_LINK = 0x4
"""RTNH_F_ONLINK: the only flag of a route that the kernel both reports and accepts."""


def restorations(route: RouteSocket, index: int) -> list[bytes]:
    """Return requests that add the routes of a link again, except the kernel's own.

    Routes that other routes depend on come first. Each request asks for an acknowledgement, and fails if its route is
    present. Raises OSError.
    """
    found = [each for each in route.read(_reading(index)) if _is_of(each, index)]
    return [_restoring(each) for each in sorted(found, key=_scope, reverse=True)]


def destination(request: bytes) -> str:
    """Return where the route of a request leads, for people."""
    _family, length, *_rest = _ROUTE.unpack_from(request, HEADER.size)
    found = dict(attributes(request, HEADER.size + _ROUTE.size))
    to = f"{socket.inet_ntoa(found[_RTA_DST])}/{length}" if _RTA_DST in found else "default"
    return f"{to} via {socket.inet_ntoa(found[_RTA_GATEWAY])}" if _RTA_GATEWAY in found else to


def is_for(request: bytes, index: int) -> bool:
    """Return True if octets are one request that adds an IPv4 route of the link of this index."""
    if len(request) < HEADER.size + _ROUTE.size:
        return False
    length, kind, *_rest = HEADER.unpack_from(request)
    family = _ROUTE.unpack_from(request, HEADER.size)[0]
    found = dict(attributes(request, HEADER.size + _ROUTE.size)).get(_RTA_OIF)
    is_one = (length, kind, family) == (len(request), _NEW_ROUTE, socket.AF_INET)
    return is_one and found == struct.pack("=I", index)


def _reading(index: int) -> bytes:
    length = HEADER.size + _ROUTE.size + _LINK_ATTRIBUTE.size
    header = HEADER.pack(length, _GET_ROUTE, REQUEST | DUMP, 0, 0)
    wanted = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    return header + wanted + _LINK_ATTRIBUTE.pack(_LINK_ATTRIBUTE.size, _RTA_OIF, index)


def _is_of(message: Message, index: int) -> bool:
    """Return True for a route over this link that the kernel did not add itself; old kernels report all routes."""
    _family, _dst, _src, _tos, table, protocol, _scope, _type, _flags = _ROUTE.unpack_from(message.octets, HEADER.size)
    found = dict(attributes(message.octets, HEADER.size + _ROUTE.size)).get(_RTA_OIF)
    is_its_own = protocol == _PROTOCOL_KERNEL or table == _TABLE_LOCAL
    return message.kind == _NEW_ROUTE and not is_its_own and found == struct.pack("=I", index)


def _scope(message: Message) -> int:
    return message.octets[HEADER.size + 6]


def _restoring(message: Message) -> bytes:
    """Return the request that adds a route: the kernel's description of it with the flags masked."""
    start = HEADER.size
    fields = list(_ROUTE.unpack_from(message.octets, start))
    fields[-1] &= _ON_LINK
    header = HEADER.pack(len(message.octets), _NEW_ROUTE, REQUEST | ACK | EXCLUSIVE | CREATE, 0, 0)
    return header + _ROUTE.pack(*fields) + message.octets[start + _ROUTE.size :]
