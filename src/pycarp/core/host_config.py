"""What a virtual host is told: validated once, immutable afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_interface

from pycarp.auth.key import Passphrase
from pycarp.dialects.base import Dialect
from pycarp.dialects.universal import UNIVERSAL
from pycarp.errors import ConfigError
from pycarp.vocabulary import Address, HostKey, Interface

LINK_NAME_MAX = 15
"""Octets in the name of a network device on Linux and the BSDs."""

_BROADCAST = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """One virtual host: a vhid on an interface, the addresses it shares, and how eagerly it wants them.

    ``addresses`` are the shared addresses with their prefix lengths, as text or ``ipaddress`` objects; they are
    signed, so every host of the vhid must have the same ones. ``advbase`` is whole seconds (1-255), ``advskew`` counts
    1/256 s (0-254); the smaller sum wins. ``preempt`` lets a BACKUP take over from a slower MASTER. ``name`` is what
    people call the host; it defaults to ``vhid@interface``.

    Raises ConfigError with the value, the bound and the way out.
    """

    interface: str
    vhid: int
    passphrase: Passphrase | str | bytes = field(repr=False)
    addresses: tuple[Address | Interface | str, ...] | Iterable[Address | Interface | str]
    advbase: int = 1
    advskew: int = 0
    preempt: bool = False
    dialect: Dialect = UNIVERSAL
    name: str = ""

    def __post_init__(self) -> None:
        _check_range("vhid", self.vhid, 1, 255)
        _check_range("advbase", self.advbase, 1, 255)
        _check_range("advskew", self.advskew, 0, self.dialect.limits.advskew_max)
        _check_link_name(self.interface)
        # A value that exists is legal and in its final types; frozen dataclasses are normalised this way.
        if not isinstance(self.passphrase, Passphrase):
            object.__setattr__(self, "passphrase", Passphrase(self.passphrase))
        object.__setattr__(self, "addresses", tuple(_parse_address(each) for each in self.addresses))
        _check_addresses(self.shared, self.dialect)
        if not self.name:
            object.__setattr__(self, "name", str(self.key))

    @property
    def key(self) -> HostKey:
        """What identifies the host on this machine."""
        return HostKey(self.interface, self.vhid)

    @property
    def shared(self) -> tuple[Interface, ...]:
        """The shared addresses, all as ``ipaddress`` interface objects."""
        return tuple(each for each in self.addresses if isinstance(each, IPv4Interface | IPv6Interface))

    @property
    def secret(self) -> Passphrase:
        """The passphrase in its wrapped form."""
        assert isinstance(self.passphrase, Passphrase)
        return self.passphrase


def _check_range(name: str, value: int, low: int, high: int) -> None:
    # A bool is an int to Python, and a float would break only when the first advertisement is packed.
    if type(value) is not int:
        raise ConfigError(f"{name} {value!r} is not a whole number")
    if not low <= value <= high:
        raise ConfigError(f"{name} {value} is outside {low}-{high}")


def _check_link_name(name: str) -> None:
    if not name or len(name.encode()) > LINK_NAME_MAX or "/" in name or any(c.isspace() for c in name):
        raise ConfigError(f"interface name {name!r} is not 1-{LINK_NAME_MAX} octets without blanks and slashes")


def _parse_address(address: Address | Interface | str) -> Interface:
    try:
        return ip_interface(address)
    except ValueError as exc:
        raise ConfigError(f"shared address {address!r} is not an IP address with an optional /prefix") from exc


def _check_addresses(addresses: tuple[Interface, ...], dialect: Dialect) -> None:
    if not addresses:
        raise ConfigError("a virtual host needs at least one shared address")
    limit = dialect.limits.addresses
    if limit is not None and len(addresses) > limit:
        raise ConfigError(
            f"{len(addresses)} shared addresses are too many for dialect {dialect.name}, which signs exactly {limit}"
        )
    for address in addresses:
        if address.version == 6:
            raise ConfigError(f"shared address {address} is IPv6; this version shares IPv4 addresses only")
        if address.ip.is_multicast or address.ip.is_unspecified or address.ip == _BROADCAST:
            raise ConfigError(f"shared address {address.ip} is not an address that a host can have")
