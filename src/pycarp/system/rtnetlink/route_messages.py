"""Decodes rtnetlink messages, and no more of each than needed: hundreds a second may arrive, and most repeat others.

Source: ``linux/rtnetlink.h``, ``linux/if_link.h``, ``linux/if_addr.h``.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

import msgspec

from pycarp.system.rtnetlink.route_encoding import ATTRIBUTE, HEADER, attribute
from pycarp.vocabulary import CARP_PROTOCOL, InterfaceAddress, MacAddress

NEW_LINK, DELETED_LINK, NEW_ADDRESS, DELETED_ADDRESS = 16, 17, 20, 21
IFF_UP, _IFF_RUNNING = 0x1, 0x40
IFA_F_SECONDARY, IFA_F_DEPRECATED = 0x1, 0x20
_IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x8, 0x40

LINK = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBI")
_LINK_ATTRIBUTES = HEADER.size + LINK.size
_TYPE_MASK = 0x3FFF
AF_UNSPEC, _AF_INET, _AF_INET6 = 0, 2, 10
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_LINK_NETNSID = 1, 3, 4, 5, 18, 37
_IFLA_OPERSTATE, _OPERSTATE_UNKNOWN = 16, 0
_ESSENTIAL = frozenset({_IFLA_IFNAME, _IFLA_OPERSTATE, _IFLA_MTU, _IFLA_ADDRESS})
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_MACVLAN_MODE = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS, IFA_PROTO = 1, 2, 6, 8, 11
_IFA_LABEL = 3
_CACHE_INFORMATION = struct.Struct("=IIII")
FOREVER_S = 2**32 - 1


Essence = tuple[bytes, dict[int, bytes]]
"""The header fields and attributes of an address, without its lifetime."""


class Message(NamedTuple):
    """One message with its header; ``number`` is the sequence number of the request that it answers."""

    kind: int
    flags: int
    number: int
    octets: bytes


class AddressKey(NamedTuple):
    """The identity of an address on a link."""

    packed: bytes
    prefix_length: int


class Place(NamedTuple):
    """An address on the link of an index, whatever its prefix length."""

    link_index: int
    packed: bytes


class LinkEssence(NamedTuple):
    """The fields of a link that matter in a notification; many notifications repeat all of them."""

    link_index: int
    name: str
    flags: int
    operational_state: bytes
    mtu: int
    mac: bytes

    @property
    def is_up(self) -> bool:
        """True if the link is administratively up."""
        return bool(self.flags & IFF_UP)


class LinkHead(NamedTuple):
    """What is found at the beginning of a notification about a link."""

    link_index: int
    name: str
    flags: int

    @property
    def is_up(self) -> bool:
        """True if the link is administratively up."""
        return bool(self.flags & IFF_UP)


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """A link as the kernel describes it; ``below`` is the index of the link below it in this namespace, else 0.

    ``is_up`` is the administrative state; ``is_running`` means that the link can carry frames as well. Without
    ``has_operational_state`` the driver does not report whether it can.
    """

    index: int
    name: str
    is_up: bool
    mac: MacAddress | None
    mtu: int
    below: int
    kind: str
    macvlan_mode: int
    is_running: bool
    has_operational_state: bool


class AddressState(msgspec.Struct, frozen=True, kw_only=True):
    """An address as the kernel describes it; ``octets`` are the whole message.

    ``protocol`` says who added it, 0 if the kernel does not know; ``lifetime_s`` is what is left of its lifetime, None
    for ever. Source: IFA_PROTO in ``linux/if_addr.h``, since 5.18.
    """

    index: int
    key: AddressKey
    flags: int
    octets: bytes
    protocol: int = 0
    lifetime_s: int | None = None

    @property
    def is_of_carp(self) -> bool:
        """True if a pycarp added the address; always False on kernels before 5.18."""
        return self.protocol == CARP_PROTOCOL

    @property
    def is_secondary(self) -> bool:
        """True if the kernel removes the address with the first one of its network; IPv4 only."""
        return len(self.key.packed) == 4 and bool(self.flags & IFA_F_SECONDARY)

    @property
    def is_usable(self) -> bool:
        """True unless duplicate address detection goes on or has failed."""
        return not self.flags & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED)

    @property
    def interface(self) -> InterfaceAddress:
        """The address with its prefix length."""
        packed, prefix_length = self.key
        if len(packed) == 4:
            return IPv4Interface((packed, prefix_length))
        return IPv6Interface((packed, prefix_length))

    def is_in_network_of(self, other: AddressKey) -> bool:
        """Return True if the address belongs to the network of another address."""
        host_bits = 8 * len(other.packed) - other.prefix_length
        ours, theirs = (int.from_bytes(each, "big") >> host_bits for each in (self.key.packed, other.packed))
        return len(self.key.packed) == len(other.packed) and ours == theirs


def key_of(address: InterfaceAddress) -> AddressKey:
    """Return the identity of an address on a link."""
    return AddressKey(address.packed, address.network.prefixlen)


def messages(octets: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram; ends before one that is cut off."""
    start = 0
    while start + HEADER.size <= len(octets):
        length, kind, flags, number, _port = HEADER.unpack_from(octets, start)
        if not HEADER.size <= length <= len(octets) - start:
            return
        yield Message(kind, flags, number, octets[start : start + length])
        start += (length + 3) & ~3


def link_index(message: Message) -> int:
    """Return the index of the link in a message; 0 if the message is about a port of a bridge."""
    family, _type, index, _flags, _change = LINK.unpack_from(message.octets, HEADER.size)
    return int(index) if family == AF_UNSPEC else 0


def link_state(message: Message) -> LinkState:
    """Return the link that a message describes."""
    _family, _type, index, flags, _change = LINK.unpack_from(message.octets, HEADER.size)
    found = dict(attributes(message.octets, HEADER.size + LINK.size))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b""), 0))
    data = dict(attributes(info.get(_IFLA_INFO_DATA, b""), 0)) if _IFLA_INFO_DATA in info else {}
    mac = found.get(_IFLA_ADDRESS, b"")
    below = 0 if _IFLA_LINK_NETNSID in found else _number(found.get(_IFLA_LINK))
    return LinkState(
        index=index,
        name=_text(found.get(_IFLA_IFNAME)),
        is_up=bool(flags & IFF_UP),
        mac=MacAddress(mac) if len(mac) == 6 else None,
        mtu=_number(found.get(_IFLA_MTU)),
        below=below,
        kind=_text(info.get(_IFLA_INFO_KIND)),
        macvlan_mode=_number(data.get(_IFLA_MACVLAN_MODE)),
        is_running=flags & (IFF_UP | _IFF_RUNNING) == IFF_UP | _IFF_RUNNING,
        has_operational_state=_number(found.get(_IFLA_OPERSTATE)) != _OPERSTATE_UNKNOWN,
    )


def link_head(message: Message) -> LinkHead:
    """Return index, name and flags of a link; a tenth of the work of ``link_essence``, as the name comes first."""
    octets = message.octets
    _family, _type, index, flags, _change = LINK.unpack_from(octets, HEADER.size)
    if len(octets) >= _LINK_ATTRIBUTES + ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(octets, _LINK_ATTRIBUTES)
        if kind == _IFLA_IFNAME:
            return LinkHead(index, _text(octets[_LINK_ATTRIBUTES + ATTRIBUTE.size : _LINK_ATTRIBUTES + length]), flags)
    return LinkHead(index, link_essence(message).name, flags)


def link_has_mac(message: Message, mac: MacAddress) -> bool:
    """Return True if a link has a MAC address, by a notification about it; no attribute is decoded."""
    return attribute(_IFLA_ADDRESS, mac.octets) in message.octets


def link_mtu(message: Message) -> int:
    """Return the MTU of a link, 0 if the message does not say it; stops reading when it is found."""
    octets, start = message.octets, _LINK_ATTRIBUTES
    while start <= len(octets) - ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(octets, start)
        if kind == _IFLA_MTU:
            return _number(octets[start + ATTRIBUTE.size : start + length])
        if length < ATTRIBUTE.size:
            break
        start += (length + 3) & ~3
    return 0


def link_essence(message: Message) -> LinkEssence:
    """Return the essential fields of a link; stops reading when all are found."""
    octets = message.octets
    _family, _type, index, flags, _change = LINK.unpack_from(octets, HEADER.size)
    found: dict[int, bytes] = {}
    # As ``attributes`` does, without a generator: thousands of notifications arrive while hundreds of hosts start.
    start, last = _LINK_ATTRIBUTES, len(octets) - ATTRIBUTE.size
    while start <= last and len(found) < len(_ESSENTIAL):
        length, kind = ATTRIBUTE.unpack_from(octets, start)
        if length < ATTRIBUTE.size:
            break
        if kind in _ESSENTIAL:
            found[kind] = octets[start + ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3
    return LinkEssence(
        link_index=index,
        name=_text(found.get(_IFLA_IFNAME)),
        flags=flags & (IFF_UP | _IFF_RUNNING),
        operational_state=found.get(_IFLA_OPERSTATE, b""),
        mtu=_number(found.get(_IFLA_MTU)),
        mac=found.get(_IFLA_ADDRESS, b""),
    )


def address_place(message: Message) -> Place:
    """Return the address in a message, and the index of its link."""
    return Place(address_index(message), _packed(dict(attributes(message.octets, HEADER.size + ADDRESS.size))))


def address_index(message: Message) -> int:
    """Return the index of the link of the address in a message."""
    index: int = ADDRESS.unpack_from(message.octets, HEADER.size)[4]
    return index


def address_label(message: Message) -> str:
    """Return the label of an IPv4 address, by default the name of its link; empty for IPv6."""
    return _text(dict(attributes(message.octets, HEADER.size + ADDRESS.size)).get(_IFA_LABEL))


def address_state(message: Message) -> AddressState:
    """Return the address that a message describes."""
    _family, prefix_length, flags, _scope, index = ADDRESS.unpack_from(message.octets, HEADER.size)
    found = dict(attributes(message.octets, HEADER.size + ADDRESS.size))
    return AddressState(
        index=index,
        key=AddressKey(_packed(found), prefix_length),
        flags=_number(found.get(IFA_FLAGS)) or flags,
        octets=message.octets,
        protocol=_number(found.get(IFA_PROTO)),
        lifetime_s=_lifetime_s(found.get(IFA_CACHEINFO)),
    )


def address_essence(message: Message) -> tuple[Place, Essence]:
    """Return the address in a message, and all its fields except the lifetime."""
    start = HEADER.size + ADDRESS.size
    found = dict(attributes(message.octets, start))
    place = Place(address_index(message), _packed(found))
    found.pop(IFA_CACHEINFO, None)
    return place, (message.octets[HEADER.size : start], found)


def _lifetime_s(octets: bytes | None) -> int | None:
    if octets is None:
        return None
    valid_s: int = _CACHE_INFORMATION.unpack_from(octets)[1]
    return None if valid_s == FOREVER_S else valid_s


def _packed(attributes: dict[int, bytes]) -> bytes:
    return attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS, b"")


def attributes(octets: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the type and value of each attribute from ``start`` on; ends before a malformed one."""
    while start + ATTRIBUTE.size <= len(octets):
        length, kind = ATTRIBUTE.unpack_from(octets, start)
        if length < ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, octets[start + ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3


def _number(octets: bytes | None) -> int:
    return int.from_bytes(octets, "little" if struct.pack("=H", 1)[0] else "big", signed=False) if octets else 0


def _text(octets: bytes | None) -> str:
    return octets.rstrip(b"\0").decode(errors="replace") if octets else ""
