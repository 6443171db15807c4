"""Requests about links as octets, ready for the kernel.

pyroute2 takes a good part of a second to import, so this module is imported only where it is used.
"""

from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from pycarp.system.route_messages import IFF_UP
from pycarp.vocabulary import MacAddress

BRIDGE_MODE = 4
"""MACVLAN_MODE_BRIDGE: frames from a peer, whose source is the same virtual MAC, still reach the link below."""


def reading_by_name(name: str) -> bytes:
    """Return the request that reads one link."""
    return _encoded(RTM_GETLINK, 0, 0, [["IFLA_IFNAME", name]])


def reading_by_index(index: int) -> bytes:
    """Return the request that reads one link."""
    return _encoded(RTM_GETLINK, 0, index, [])


def making_macvlan(name: str, below: int, mac: MacAddress) -> bytes:
    """Return the request that makes a macvlan in bridge mode on the link of index ``below``; it is down."""
    kind = {"attrs": [["IFLA_INFO_KIND", "macvlan"], ["IFLA_INFO_DATA", {"attrs": [["IFLA_MACVLAN_MODE", "bridge"]]}]]}
    attributes = [["IFLA_IFNAME", name], ["IFLA_LINK", below], ["IFLA_ADDRESS", str(mac)], ["IFLA_LINKINFO", kind]]
    return _encoded(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0, attributes)


def setting_up(index: int, *, is_up: bool = True) -> bytes:
    """Return the request that sets a link administratively up, or down."""
    return _encoded(RTM_NEWLINK, NLM_F_ACK, index, [], is_up=is_up)


def renaming(index: int, name: str) -> bytes:
    """Return the request that gives a link another name."""
    return _encoded(RTM_NEWLINK, NLM_F_ACK, index, [["IFLA_IFNAME", name]])


def setting_mac(index: int, mac: MacAddress) -> bytes:
    """Return the request that gives a link another MAC address."""
    return _encoded(RTM_NEWLINK, NLM_F_ACK, index, [["IFLA_ADDRESS", str(mac)]])


def setting_mtu(index: int, mtu: int) -> bytes:
    """Return the request that gives a link another MTU."""
    return _encoded(RTM_NEWLINK, NLM_F_ACK, index, [["IFLA_MTU", mtu]])


def deleting(index: int) -> bytes:
    """Return the request that deletes a link."""
    return _encoded(RTM_DELLINK, NLM_F_ACK, index, [])


def putting_into_group(index: int, group: int) -> bytes:
    """Return the request that makes a link a member of a group of links."""
    return _encoded(RTM_NEWLINK, NLM_F_ACK, index, [["IFLA_GROUP", group]])


def deleting_group(group: int) -> bytes:
    """Return the request that deletes all links of a group."""
    return _encoded(RTM_DELLINK, NLM_F_ACK, 0, [["IFLA_GROUP", group]])


def _encoded(kind: int, how: int, index: int, attributes: list[Any], *, is_up: bool | None = None) -> bytes:
    message: Any = ifinfmsg()
    message["index"] = index
    message["flags"] = IFF_UP if is_up else 0
    message["change"] = 0 if is_up is None else IFF_UP
    message["attrs"] = attributes
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | how
    message["header"]["sequence_number"] = 0
    message.encode()
    return bytes(message.data)
