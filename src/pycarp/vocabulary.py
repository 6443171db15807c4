"""The types that every layer shares: host keys, families, MAC addresses, datagrams, link facts.

Time inside pycarp is an ``int`` of nanoseconds. One unit of advskew is 1/256 s, exactly 3 906 250 ns, so nothing is
ever rounded.
"""

from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import NamedTuple, TypeAlias

import msgspec

NS_PER_S = 1_000_000_000
NS_PER_SKEW = NS_PER_S // 256

CARP_PROTOCOL = 112
"""IP protocol number of CARP, shared with VRRP."""

CARP_TTL = 255
"""The TTL that every system sends and nearly every one requires: it shows that the packet crossed no router."""

Address: TypeAlias = IPv4Address | IPv6Address
InterfaceAddress: TypeAlias = IPv4Interface | IPv6Interface
"""An address with its prefix length, in the sense of the ``ipaddress`` module; not a network device."""


class Family(IntEnum):
    """An address family, numbered like the version field of its IP header."""

    IPV4 = 4
    IPV6 = 6


class MacMode(StrEnum):
    """Whose MAC address answers for the shared addresses on this machine."""

    VIRTUAL = "virtual"
    """``00:00:5e:00:01:VHID``, on a separate device: clients never have to learn another address."""

    INTERFACE = "interface"
    """The interface's own: for hypervisors that forbid foreign ones, and for a vhid shared with ucarp."""

    AUTO = "auto"
    """The virtual one, unless a probe shows that frames from foreign MAC addresses do not come back."""


CARP_GROUPS: dict[Family, Address] = {
    Family.IPV4: IPv4Address("224.0.0.18"),
    Family.IPV6: IPv6Address("ff02::12"),
}
"""The multicast group of each family; VRRP uses the same."""

ANY_ADDRESS: dict[Family, Address] = {Family.IPV4: IPv4Address("0.0.0.0"), Family.IPV6: IPv6Address("::")}


class HostKey(NamedTuple):
    """What identifies a virtual host on this machine: its link and its vhid."""

    link: str
    vhid: int

    def __str__(self) -> str:
        return f"{self.vhid}@{self.link}"


class MacAddress(msgspec.Struct, frozen=True):
    """A 48-bit hardware address.

    Raises ValueError when ``octets`` is not exactly six octets long.
    """

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 6:
            raise ValueError(f"a MAC address has 6 octets, not {len(self.octets)}")

    @classmethod
    def parse(cls, text: str) -> "MacAddress":
        """Return the address written as ``00:00:5e:00:01:2a``; ValueError if it is none."""
        return cls(bytes.fromhex(text.replace(":", "")))

    def __str__(self) -> str:
        return self.octets.hex(":")


class Datagram(NamedTuple):
    """A received IP datagram of protocol 112, stripped of its headers; ``waited_ns`` is how long ago it arrived."""

    link: str
    family: Family
    source: Address
    destination: Address
    ttl: int
    payload: bytes
    waited_ns: int = 0


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An advertisement ready to be sent; change one by ``msgspec.structs.replace``.

    A transport uses the fields that it controls: ``raw`` leaves the MAC addresses and the identification to the kernel.
    ``destination`` is a group, or one peer. ``source_mac`` None stands for the link's own address, ``destination_mac``
    None for the one that belongs to the destination, ``identification`` None for "let the transport choose".
    """

    link: str
    family: Family
    source: Address
    destination: Address
    tos: int
    identification: int | None
    source_mac: MacAddress | None
    payload: bytes
    destination_mac: MacAddress | None = None


class LinkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a network device: its name, carrier, MAC and own addresses.

    ``is_certain`` is False for a device that is up but does not report its carrier. ``addresses`` are in the order of
    preference for a source; the shared addresses may be among them. ``index`` is the number of the device: another
    number means that it was deleted and created again, 0 that the number is unknown. ``renamed_to`` is its present name
    if it was renamed since it was known as ``name``. ``exists`` is False for a deleted device.
    """

    name: str
    is_up: bool
    is_certain: bool = True
    mac: MacAddress | None = None
    addresses: tuple[InterfaceAddress, ...] = ()
    index: int = 0
    renamed_to: str = ""
    exists: bool = True

    @property
    def present_name(self) -> str:
        """The present name of the device."""
        return self.renamed_to or self.name


def family_of(address: Address | InterfaceAddress) -> Family:
    """Return the family of an ``ipaddress`` object."""
    return Family.IPV4 if address.version == 4 else Family.IPV6
