"""Requests about addresses as octets, ready for the kernel; each is encoded once.

pyroute2 takes a good part of a second to import, so this module is imported only where it is used.
"""

import socket
import struct
from functools import lru_cache
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from pycarp.system.route_messages import AddressState
from pycarp.vocabulary import CARP_PROTOCOL, Interface

_NODAD, _NO_PREFIX_ROUTE, _JOINS_GROUP = 0x2, 0x200, 0x400
_FOREVER_S = 2**32 - 1
_ENOUGH = 4096
_HEADER = struct.Struct("=IHHII")
_AF_UNSPEC = 0


@lru_cache(_ENOUGH)
def adding(index: int, address: Interface, *, lifetime_s: int | None = None, has_route: bool = True) -> bytes:
    """Return the request that puts a shared address on a link; what is there already gets the new lifetime.

    IPv6 without duplicate address detection: that would take a second, and whoever has it leaves it now. And
    deprecated from the start: Linux would begin the machine's own conversations from its newest address, and they
    would end when that leaves. Those that others begin are not touched. Source: RFC 6724, 5, rule 3.
    ``has_route`` lets the kernel add the route to the address's network. IFA_PROTO says that it is CARP's.

    After ``lifetime_s`` seconds the kernel removes it, unless it was prolonged: never earlier (but for 0.02 s), and up
    to a second later, because it looks once a second at the most while other addresses are renewed. Source:
    check_lifetime in ``net/ipv4/devinet.c``, addrconf_verify_rtnl in ``net/ipv6/addrconf.c``.
    """
    flags = _flags(address, has_route=has_route)
    return _request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, index, address, flags, lifetime_s)


@lru_cache(_ENOUGH)
def prolonging(index: int, address: Interface, lifetime_s: int, *, has_route: bool = True) -> bytes:
    """Return the request that lets an address which is there stay for so many seconds from now; unacknowledged.

    It never adds one that is gone. Without NLM_F_CREATE the kernel would do so all the same (inet_rtm_newaddr,
    inet6_rtm_newaddr): but it refuses to add an address that wants its multicast group to be joined, and is none.
    """
    flags = _flags(address, has_route=has_route) | _JOINS_GROUP
    return _request(RTM_NEWADDR, NLM_F_REPLACE, index, address, flags, lifetime_s)


@lru_cache(_ENOUGH)
def deleting(index: int, address: Interface) -> bytes:
    """Return the request that takes an address off a link."""
    return _encoded(RTM_DELADDR, NLM_F_ACK, _message(index, address, []))


def restoring(lost: AddressState) -> bytes:
    """Return the request that puts an address back as it was: what the kernel told of it is what it wants to hear."""
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    return _HEADER.pack(len(lost.octets), RTM_NEWADDR, flags, 0, 0) + lost.octets[_HEADER.size :]


@lru_cache(_ENOUGH)
def reading(index: int) -> bytes:
    """Return the request that reads the addresses of a link in both families."""
    message = ifaddrmsg()
    message["family"] = _AF_UNSPEC
    message["index"] = index
    return _encoded(RTM_GETADDR, NLM_F_DUMP, message)


def _flags(address: Interface, *, has_route: bool) -> int:
    return (0 if has_route else _NO_PREFIX_ROUTE) | (_NODAD if address.version == 6 else 0)


def _request(kind: int, how: int, index: int, address: Interface, flags: int, lifetime_s: int | None) -> bytes:
    valid_s = _FOREVER_S if lifetime_s is None else lifetime_s
    preferred_s = 0 if address.version == 6 else valid_s
    attributes = [
        ["IFA_FLAGS", flags],
        ["IFA_PROTO", CARP_PROTOCOL],
        ["IFA_CACHEINFO", {"ifa_preferred": preferred_s, "ifa_valid": valid_s}],
    ]
    return _encoded(kind, how, _message(index, address, attributes))


def _message(index: int, address: Interface, attributes: list[Any]) -> Any:
    message = ifaddrmsg()
    message["family"] = socket.AF_INET if address.version == 4 else socket.AF_INET6
    message["prefixlen"] = address.network.prefixlen
    message["index"] = index
    message["attrs"] = [["IFA_LOCAL", str(address.ip)], ["IFA_ADDRESS", str(address.ip)], *attributes]
    return message


def _encoded(kind: int, how: int, message: Any) -> bytes:
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | how
    message["header"]["sequence_number"] = 0
    message.encode()
    return bytes(message.data)
