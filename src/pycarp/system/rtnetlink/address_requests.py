"""Encoded rtnetlink requests about addresses; each is encoded once and cached.

Source: ``linux/rtnetlink.h``, ``linux/if_addr.h``.
"""

import socket
import struct
from functools import lru_cache

from pycarp.system.rtnetlink.route_encoding import ACK, CREATE, DUMP, REPLACE, attribute, number, request
from pycarp.system.rtnetlink.route_messages import (
    ADDRESS,
    AF_UNSPEC,
    DELETED_ADDRESS,
    FOREVER_S,
    IFA_ADDRESS,
    IFA_CACHEINFO,
    IFA_FLAGS,
    IFA_LOCAL,
    IFA_PROTO,
    NEW_ADDRESS,
    AddressState,
)
from pycarp.vocabulary import CARP_PROTOCOL, InterfaceAddress

_READ_ADDRESSES = 22
_NETLINK_HEADER_OCTETS = 16
_LIFETIMES = struct.Struct("=IIII")
_NODAD, _NO_PREFIX_ROUTE, _JOINS_GROUP = 0x2, 0x200, 0x400
_ENOUGH = 4096


@lru_cache(_ENOUGH)
def adding(index: int, address: InterfaceAddress, *, lifetime_s: int | None = None, has_route: bool = True) -> bytes:
    """Return the request that adds a shared address to a link, or sets the lifetime of one that is present.

    An IPv6 address skips duplicate address detection, which takes a second, while the previous MASTER drops the address
    now. It is deprecated from the start: Linux would begin the host's own connections from its newest address, and
    they would break when that is dropped. Incoming connections are not affected. Source: RFC 6724, 5, rule 3.
    With ``has_route`` the kernel adds the route to the address's network. IFA_PROTO marks the address as CARP's.

    The kernel removes the address after ``lifetime_s`` seconds unless it is renewed: at most 0.02 s early, and up to a
    second late, because the kernel checks at most once a second while other addresses are renewed.
    Source: check_lifetime in ``net/ipv4/devinet.c``, addrconf_verify_rtnl in ``net/ipv6/addrconf.c``.
    """
    flags = _flags(address, has_route=has_route)
    return _lasting(ACK | CREATE | REPLACE, index, address, flags, lifetime_s)


@lru_cache(_ENOUGH)
def renewing(index: int, address: InterfaceAddress, lifetime_s: int, *, has_route: bool = True) -> bytes:
    """Return the request that renews a present address for ``lifetime_s`` seconds from now; not acknowledged.

    It never adds an absent address. The kernel would add one even without NLM_F_CREATE (inet_rtm_newaddr,
    inet6_rtm_newaddr), but it refuses to add a unicast address with IFA_F_MCAUTOJOIN, which this request sets.
    """
    flags = _flags(address, has_route=has_route) | _JOINS_GROUP
    return _lasting(REPLACE, index, address, flags, lifetime_s)


@lru_cache(_ENOUGH)
def deleting(index: int, address: InterfaceAddress) -> bytes:
    """Return the request that removes an address from a link."""
    return request(DELETED_ADDRESS, ACK, _body(index, address))


def restoring(lost: AddressState) -> bytes:
    """Return the request that adds a lost address again: the kernel's description of it is also the request."""
    return request(NEW_ADDRESS, ACK | CREATE | REPLACE, lost.octets[_NETLINK_HEADER_OCTETS:])


@lru_cache(_ENOUGH)
def reading(index: int) -> bytes:
    """Return the request that reads the addresses of a link in both families."""
    return request(_READ_ADDRESSES, DUMP, ADDRESS.pack(AF_UNSPEC, 0, 0, 0, index))


def _flags(address: InterfaceAddress, *, has_route: bool) -> int:
    return (0 if has_route else _NO_PREFIX_ROUTE) | (_NODAD if address.version == 6 else 0)


def _lasting(how: int, index: int, address: InterfaceAddress, flags: int, lifetime_s: int | None) -> bytes:
    valid_s = FOREVER_S if lifetime_s is None else lifetime_s
    preferred_s = 0 if address.version == 6 else valid_s
    attributes = (
        attribute(IFA_FLAGS, number(flags)),
        attribute(IFA_PROTO, bytes([CARP_PROTOCOL])),
        attribute(IFA_CACHEINFO, _LIFETIMES.pack(preferred_s, valid_s, 0, 0)),
    )
    return request(NEW_ADDRESS, how, _body(index, address) + b"".join(attributes))


def _body(index: int, address: InterfaceAddress) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    header = ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
    return header + attribute(IFA_LOCAL, address.packed) + attribute(IFA_ADDRESS, address.packed)
