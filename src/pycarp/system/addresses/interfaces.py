"""Facts about the network devices of this machine at one moment: by netlink on Linux, else through netifaces."""

import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Collection
from ipaddress import ip_interface

import netifaces
from msgspec.structs import replace

from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.route_messages import IFF_UP, address_index, address_label, address_state, link_essence
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import InterfaceAddress, LinkFacts, MacAddress

_SIOCGIFFLAGS = 0x8913
_SIOCGIFHWADDR = 0x8927
_IFF_LOOPBACK, _IFF_POINTOPOINT, _IFF_NOARP, _IFF_MULTICAST = 0x8, 0x10, 0x80, 0x1000
_ETHERNET = 1
_INTERFACE_REQUEST = struct.Struct("16sH22x")
_EVERY_ADDRESS = struct.pack("=IHHIIBBBBI", 24, 22, 0x301, 0, 0, 0, 0, 0, 0, 0)
"""RTM_GETADDR with NLM_F_REQUEST and NLM_F_DUMP. Source: ``linux/rtnetlink.h``, ``linux/netlink.h``."""
_MAC_OCTETS = 6
_MAC_LENGTH = len("00:00:00:00:00:00")


def interfaces() -> tuple[LinkFacts, ...]:
    """Return name, MAC and addresses of every network device.

    Each counts as up: the carrier is a monitor's concern. Devices that vanish meanwhile are left out.
    """
    if sys.platform == "linux":
        # netifaces lists all addresses of the machine once per device, and holds the GIL meanwhile.
        with contextlib.suppress(OSError, AttributeError):
            return _listed()
    found = [facts for name in netifaces.interfaces() if (facts := _facts(name))]
    known = {facts.name for facts in found}
    # netifaces omits devices without any address, such as a tunnel that is down.
    bare = [LinkFacts(name=name, is_up=True) for _index, name in socket.if_nameindex() if name not in known]
    return (*found, *bare)


def _listed() -> tuple[LinkFacts, ...]:
    """Return the facts of all devices from two dumps of the kernel; raises OSError."""
    with RouteSocket() as route:
        links = {each.link_index: each for each in map(link_essence, route.read(link_requests.reading_all()))}
        addresses = route.read(_EVERY_ADDRESS)
    found: dict[str, list[InterfaceAddress]] = {each.name: [] for each in links.values()}
    macs = {each.name: each.mac for each in links.values()}
    for message in addresses:
        link = links.get(address_index(message))
        if link is not None:
            # An address may have a label of its own, such as eth0:0.
            name = address_label(message) or link.name
            macs.setdefault(name, link.mac)
            found.setdefault(name, []).append(address_state(message).interface)
    return tuple(
        LinkFacts(name=name, is_up=True, mac=_mac(macs[name]), addresses=tuple(its)) for name, its in found.items()
    )


def _mac(octets: bytes) -> MacAddress | None:
    return MacAddress(octets) if len(octets) == _MAC_OCTETS else None


def own_interfaces() -> tuple[LinkFacts, ...]:
    """Return the facts without the addresses that pycarp added; Linux before 5.18 cannot distinguish them."""
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
    """Return True if a device is administratively up, whatever its carrier; False if it is absent. Linux."""
    flags, _kind = _flags_and_kind(link) or (0, 0)
    return bool(flags & IFF_UP)


def why_unfit(link: str, *, needs_multicast: bool = True) -> str:
    """Return why no host can work on a device; empty if one can, or if the device is absent. Linux.

    Advertisements need multicast unless a host has unicast peers; clients need ARP on Ethernet to find its addresses.
    """
    found = _flags_and_kind(link)
    if found is None:
        return ""
    flags, kind = found
    if flags & _IFF_LOOPBACK:
        return f"interface {link} is the loopback, on which there is no other host"
    if flags & _IFF_POINTOPOINT:
        return f"interface {link} is point-to-point: there is no segment whose hosts could share an address"
    if kind != _ETHERNET:
        return f"interface {link} is not Ethernet (type {kind}), so no client finds a shared address by ARP"
    if flags & _IFF_NOARP:
        return f"interface {link} uses no ARP, so no client finds a shared address"
    if needs_multicast and not flags & _IFF_MULTICAST:
        way_out = f"name the peers, or ip link set {link} multicast on"
        return f"interface {link} has no multicast, so no advertisement arrives; {way_out}"
    return ""


def _flags_and_kind(link: str) -> tuple[int, int] | None:
    """Return the flags of a device and its kind of hardware, None when it does not exist."""
    request = _INTERFACE_REQUEST.pack(link.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            flags, kind = (fcntl.ioctl(sock, number, request) for number in (_SIOCGIFFLAGS, _SIOCGIFHWADDR))
        except OSError:
            return None
    return _INTERFACE_REQUEST.unpack(flags)[1], _INTERFACE_REQUEST.unpack(kind)[1]


def _facts(name: str) -> LinkFacts | None:
    try:
        by_family = netifaces.ifaddresses(name)
    except ValueError:
        # netifaces reports an absent device by ValueError; on a host of containers devices come and go all the time.
        return None
    hardware = [entry.get("addr", "") for entry in by_family.get(netifaces.AF_LINK, ())]
    macs = [MacAddress.parse(text) for text in hardware if len(text) == _MAC_LENGTH]
    return LinkFacts(name=name, is_up=True, mac=macs[0] if macs else None, addresses=_addresses(by_family))


def _addresses(by_family: dict[int, list[dict[str, str]]]) -> tuple[InterfaceAddress, ...]:
    ipv4 = [f"{entry['addr']}/{_mask(entry)}" for entry in by_family.get(netifaces.AF_INET, ()) if "addr" in entry]
    ipv6 = [_ipv6(entry) for entry in by_family.get(netifaces.AF_INET6, ()) if "addr" in entry]
    return tuple(ip_interface(text) for text in (*ipv4, *ipv6))


def _ipv6(entry: dict[str, str]) -> str:
    """Return ``fe80::1/64`` of an address ``fe80::1%eth0`` and a mask ``ffff:ffff:ffff:ffff::/64``."""
    length = _mask(entry, "/128").rpartition("/")[2]
    return f"{entry['addr'].partition('%')[0]}/{length}"


def _mask(entry: dict[str, str], without: str = "255.255.255.255") -> str:
    return entry.get("netmask") or entry.get("mask") or without
