"""Encoded rtnetlink requests about links. Source: ``linux/rtnetlink.h``, ``linux/if_link.h``."""

from collections.abc import Mapping
from socket import AF_INET

from pycarp.system.rtnetlink.route_encoding import ACK, CREATE, DUMP, EXCLUSIVE, attribute, number, request, text
from pycarp.system.rtnetlink.route_messages import DELETED_LINK, IFF_UP, LINK, NEW_LINK
from pycarp.vocabulary import MacAddress

_READ_LINK = 18
_ADDRESS, _NAME, _MTU, _BELOW, _INFO, _AF_SPEC, _GROUP = 1, 3, 4, 5, 18, 26, 27
_INET_CONF = 1
_INFO_KIND, _INFO_DATA, _MACVLAN_MODE = 1, 2, 1

RP_FILTER, ARP_IGNORE, PROMOTE_SECONDARIES = 8, 19, 20
"""The numbers of IPv4 sysctls. Source: ``linux/ip.h``."""

BRIDGE_MODE = 4
"""MACVLAN_MODE_BRIDGE: frames from a peer, whose source is the same virtual MAC, still reach the link below."""


def reading_all() -> bytes:
    """Return the request that reads all links."""
    return _encoded(_READ_LINK, DUMP, 0)


def reading_by_name(name: str) -> bytes:
    """Return the request that reads the link of a name."""
    return _encoded(_READ_LINK, 0, 0, attribute(_NAME, text(name)))


def reading_by_index(index: int) -> bytes:
    """Return the request that reads the link of an index."""
    return _encoded(_READ_LINK, 0, index)


def making_macvlan(name: str, below: int, mac: MacAddress) -> bytes:
    """Return the request that makes a macvlan in bridge mode, administratively down, on the link of index ``below``."""
    mode = attribute(_MACVLAN_MODE, number(BRIDGE_MODE))
    info = attribute(_INFO_KIND, text("macvlan")) + attribute(_INFO_DATA, mode)
    where = attribute(_NAME, text(name)) + attribute(_BELOW, number(below))
    attributes = where + attribute(_ADDRESS, mac.octets) + attribute(_INFO, info)
    return _encoded(NEW_LINK, ACK | CREATE | EXCLUSIVE, 0, attributes)


def setting_up(index: int, *, is_up: bool = True) -> bytes:
    """Return the request that sets a link administratively up, or down."""
    return _encoded(NEW_LINK, ACK, index, is_up=is_up)


def setting_ipv4(index: int, sysctls: Mapping[int, int]) -> bytes:
    """Return the request that sets IPv4 sysctls of a link by their numbers.

    It does what writing each below ``/proc/sys/net/ipv4/conf`` does, for those that are only read where they apply.
    """
    values = b"".join(attribute(kind, number(value)) for kind, value in sysctls.items())
    of_ipv4 = attribute(AF_INET, attribute(_INET_CONF, values))
    return _encoded(NEW_LINK, ACK, index, attribute(_AF_SPEC, of_ipv4))


def renaming(index: int, name: str) -> bytes:
    """Return the request that gives a link another name."""
    return _encoded(NEW_LINK, ACK, index, attribute(_NAME, text(name)))


def setting_mac(index: int, mac: MacAddress) -> bytes:
    """Return the request that gives a link another MAC address."""
    return _encoded(NEW_LINK, ACK, index, attribute(_ADDRESS, mac.octets))


def setting_mtu(index: int, mtu: int) -> bytes:
    """Return the request that gives a link another MTU."""
    return _encoded(NEW_LINK, ACK, index, attribute(_MTU, number(mtu)))


def deleting(index: int) -> bytes:
    """Return the request that deletes a link."""
    return _encoded(DELETED_LINK, ACK, index)


def putting_into_group(index: int, group: int) -> bytes:
    """Return the request that makes a link a member of a group of links."""
    return _encoded(NEW_LINK, ACK, index, attribute(_GROUP, number(group)))


def deleting_group(group: int) -> bytes:
    """Return the request that deletes all links of a group."""
    return _encoded(DELETED_LINK, ACK, 0, attribute(_GROUP, number(group)))


def _encoded(kind: int, how: int, index: int, attributes: bytes = b"", *, is_up: bool | None = None) -> bytes:
    flags, change = (IFF_UP if is_up else 0), (0 if is_up is None else IFF_UP)
    return request(kind, how, LINK.pack(0, 0, index, flags, change) + attributes)
