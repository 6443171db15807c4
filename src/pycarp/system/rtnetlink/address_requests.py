"""Requests about addresses as octets, ready for the kernel; each is encoded once.

Source: ``linux/rtnetlink.h``, ``linux/if_addr.h``.
"""

import socket
import struct
from functools import lru_cache

from pycarp.system.rtnetlink.route_encoding import ACK, CREATE, DUMP, REPLACE, attribute, number, request
from pycarp.system.rtnetlink.route_messages import DELETED_ADDRESS, NEW_ADDRESS, AddressState
from pycarp.vocabulary import CARP_PROTOCOL, Interface

_READ_ADDRESSES = 22
_NETLINK_HEADER_OCTETS = 16
_ADDRESS = struct.Struct("=BBBBI")
_LIFETIMES = struct.Struct("=IIII")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS, _IFA_PROTO = 1, 2, 6, 8, 11
_NODAD, _NO_PREFIX_ROUTE, _JOINS_GROUP = 0x2, 0x200, 0x400
_FOREVER_S = 2**32 - 1
_ENOUGH = 4096
_AF_UNSPEC = 0


@lru_cache(_ENOUGH)
def adding(index: int, address: Interface, *, lifetime_s: int | None = None, has_route: bool = True) -> bytes:
    """Return the request that puts a shared address on a link; what is there already gets the new lifetime.

    IPv6 without duplicate address detection: that would take a second, and whoever has it leaves it now. And
    deprecated from the start: Linux would begin the machine's own conversations from its newest address, and they
    would end when that leaves. Those that others begin are not touched. Source: RFC 6724, 5, rule 3.
    ``has_route`` lets the kernel add the route to the address's network. IFA_PROTO says that it is CARP's.

    After ``lifetime_s`` seconds the kernel removes it, unless it was renewed: never earlier (but for 0.02 s), and up
    to a second later, because it looks once a second at the most while other addresses are renewed. Source:
    check_lifetime in ``net/ipv4/devinet.c``, addrconf_verify_rtnl in ``net/ipv6/addrconf.c``.
    """
    flags = _flags(address, has_route=has_route)
    return _lasting(ACK | CREATE | REPLACE, index, address, flags, lifetime_s)


@lru_cache(_ENOUGH)
def renewing(index: int, address: Interface, lifetime_s: int, *, has_route: bool = True) -> bytes:
    """Return the request that lets an address which is there stay for so many seconds from now; unacknowledged.

    It never adds one that is gone. Without NLM_F_CREATE the kernel would do so all the same (inet_rtm_newaddr,
    inet6_rtm_newaddr): but it refuses to add an address that wants its multicast group to be joined, and is none.
    """
    flags = _flags(address, has_route=has_route) | _JOINS_GROUP
    return _lasting(REPLACE, index, address, flags, lifetime_s)


@lru_cache(_ENOUGH)
def deleting(index: int, address: Interface) -> bytes:
    """Return the request that takes an address off a link."""
    return request(DELETED_ADDRESS, ACK, _body(index, address))


def restoring(lost: AddressState) -> bytes:
    """Return the request that puts an address back as it was: what the kernel told of it is what it wants to hear."""
    return request(NEW_ADDRESS, ACK | CREATE | REPLACE, lost.octets[_NETLINK_HEADER_OCTETS:])


@lru_cache(_ENOUGH)
def reading(index: int) -> bytes:
    """Return the request that reads the addresses of a link in both families."""
    return request(_READ_ADDRESSES, DUMP, _ADDRESS.pack(_AF_UNSPEC, 0, 0, 0, index))


def _flags(address: Interface, *, has_route: bool) -> int:
    return (0 if has_route else _NO_PREFIX_ROUTE) | (_NODAD if address.version == 6 else 0)


def _lasting(how: int, index: int, address: Interface, flags: int, lifetime_s: int | None) -> bytes:
    valid_s = _FOREVER_S if lifetime_s is None else lifetime_s
    preferred_s = 0 if address.version == 6 else valid_s
    attributes = (
        attribute(_IFA_FLAGS, number(flags)),
        attribute(_IFA_PROTO, bytes([CARP_PROTOCOL])),
        attribute(_IFA_CACHEINFO, _LIFETIMES.pack(preferred_s, valid_s, 0, 0)),
    )
    return request(NEW_ADDRESS, how, _body(index, address) + b"".join(attributes))


def _body(index: int, address: Interface) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    header = _ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
    return header + attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)
