"""Facts about the network devices of this machine, read once through netifaces."""

import contextlib
import fcntl
import socket
import struct
from collections.abc import Collection
from dataclasses import replace
from ipaddress import ip_interface

import netifaces

from pycarp.system.route_messages import address_state
from pycarp.system.route_socket import RouteSocket
from pycarp.vocabulary import Interface, LinkFacts, MacAddress

_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_INTERFACE_REQUEST = struct.Struct("16sH22x")
_EVERY_ADDRESS = struct.pack("=IHHIIBBBBI", 24, 22, 0x301, 0, 0, 0, 0, 0, 0, 0)
"""RTM_GETADDR with NLM_F_REQUEST and NLM_F_DUMP. Source: ``linux/rtnetlink.h``, ``linux/netlink.h``."""
_MAC_LENGTH = len("00:00:00:00:00:00")


def interfaces() -> tuple[LinkFacts, ...]:
    """Return name, MAC and own addresses of every network device.

    Whether a device carries is the business of a monitor; here each counts as up. Those that go meanwhile are left out.
    """
    return tuple(found for name in netifaces.interfaces() if (found := _facts(name)))


def own_interfaces() -> tuple[LinkFacts, ...]:
    """Return them without the addresses that pycarp has put there; Linux before 5.18 cannot tell these."""
    found = interfaces()
    with contextlib.suppress(OSError, AttributeError), RouteSocket() as route:
        states = [address_state(each) for each in route.read(_EVERY_ADDRESS)]
        shared = {(socket.if_indextoname(each.index), each.key.packed) for each in states if each.is_of_carp}
        return tuple(_without(facts, shared) for facts in found)
    return found


def _without(facts: LinkFacts, shared: Collection[tuple[str, bytes]]) -> LinkFacts:
    name = facts.name.partition(":")[0]
    return replace(facts, addresses=tuple(each for each in facts.addresses if (name, each.packed) not in shared))


def is_administratively_up(link: str) -> bool:
    """Say whether somebody has set a device up, whatever its carrier; a device that does not exist is not. Linux."""
    request = _INTERFACE_REQUEST.pack(link.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
        except OSError:
            return False
    _name, flags = _INTERFACE_REQUEST.unpack(answer)
    return bool(flags & _IFF_UP)


def _facts(name: str) -> LinkFacts | None:
    try:
        by_family = netifaces.ifaddresses(name)
    except ValueError:
        # So it says that there is no such device: on a host of containers they come and go all the time.
        return None
    hardware = [entry.get("addr", "") for entry in by_family.get(netifaces.AF_LINK, ())]
    macs = [MacAddress.parse(text) for text in hardware if len(text) == _MAC_LENGTH]
    return LinkFacts(name=name, is_up=True, mac=macs[0] if macs else None, addresses=_addresses(by_family))


def _addresses(by_family: dict[int, list[dict[str, str]]]) -> tuple[Interface, ...]:
    ipv4 = [f"{entry['addr']}/{_mask(entry)}" for entry in by_family.get(netifaces.AF_INET, ()) if "addr" in entry]
    ipv6 = [_ipv6(entry) for entry in by_family.get(netifaces.AF_INET6, ()) if "addr" in entry]
    return tuple(ip_interface(text) for text in (*ipv4, *ipv6))


def _ipv6(entry: dict[str, str]) -> str:
    """Return ``fe80::1/64`` of an address ``fe80::1%eth0`` and a mask ``ffff:ffff:ffff:ffff::/64``."""
    length = _mask(entry, "/128").rpartition("/")[2]
    return f"{entry['addr'].partition('%')[0]}/{length}"


def _mask(entry: dict[str, str], without: str = "255.255.255.255") -> str:
    return entry.get("netmask") or entry.get("mask") or without
