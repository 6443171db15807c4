"""The configuration of a virtual host: validated once, immutable afterwards."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import TYPE_CHECKING, Any

from pycarp.auth.key import Passphrase
from pycarp.core.checks import check_flag, check_line, check_range, listed
from pycarp.dialects.base import AddressMac, Dialect
from pycarp.dialects.compatibility import incompatibilities
from pycarp.dialects.rules import DEAD_RATIO
from pycarp.dialects.universal import UNIVERSAL
from pycarp.errors import ConfigError
from pycarp.vocabulary import CARP_GROUPS, Address, Family, HostKey, Interface, MacAddress, MacMode, family_of

LINK_NAME_MAX = 15
"""Octets in the name of a network device on Linux and the BSDs."""

DEFAULT_GROUPS = ("carp",)
"""The interface groups of every carp interface. Source: OpenBSD, carp.md 6.4."""

_DEVICE_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_.-]{{0,{LINK_NAME_MAX - 1}}}")

_CALM_ADVSKEW = 13
"""With advbase 0 the smallest advskew that gives at least 50 ms, which a machine at work keeps."""

_OF_THE_KERNEL = frozenset({"all", "default"})
"""Names that Linux gives to settings of all devices, and to no device."""

_CARP_MACS = bytes((0x00, 0x00, 0x5E, 0x00, 0x01))
"""How all virtual MAC addresses begin. Source: carp.md 1.4."""

_DAY_S = 24 * 3600
_BROADCAST = IPv4Address("255.255.255.255")
_SCOPE = re.compile(r"%[^/]*")
"""``%eth0`` of a link-local address. It is cut off: the interface is known, and peers name theirs differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """One virtual host: a vhid on an interface, the addresses that it shares, and its priority for them.

    ``addresses`` are the shared addresses with their prefix lengths; they are signed, so every host of the vhid must
    have the same ones. ``advbase`` is whole seconds (1-255), ``advskew`` counts 1/256 s (0-254); the host with the
    smaller sum, which is not 0, is preferred. ``preempt`` lets a BACKUP take over from a slower MASTER. ``name`` is for
    people; it defaults to ``vhid@interface``.

    Few hosts need the rest. ``peers`` are the addresses of the other hosts; a family with peers sends its
    advertisements to them instead of to the group. ``multicast_group`` replaces the IPv4 group 224.0.0.18.
    ``broadcasts`` sends to the Ethernet broadcast address. ``dead_ratio`` (1-255) is how many intervals a MASTER may be
    silent. ``lladdr`` is the MAC address that an administrator gave the peers' carp interface. ``groups`` are the
    interface groups by whose names the host can be demoted. ``neutral`` does not drop the addresses at the start;
    ``ignores_link`` takes part even while the link is down. ``mac_mode`` says whose MAC address answers; None stands
    for ``auto``, or ``interface`` where the dialect's systems answer so. ``announce_every_s`` (0-86400) is the time
    between repeated announcements of a MASTER, 0 for none; None stands for the dialect's. ``peer_dialects`` names the
    systems that share the vhid.

    Addresses, peers and the multicast group may be given as text or ``ipaddress`` objects, the passphrase as text or
    octets; the attributes have the types that are annotated.

    Raises ConfigError, with the value, the bound and the way out, for every value that the dialect does not allow or
    that cannot work with ``peer_dialects``.
    """

    interface: str
    vhid: int
    passphrase: Passphrase = field(repr=False)
    addresses: tuple[Interface, ...]
    advbase: int = 1
    advskew: int = 0
    preempt: bool = False
    dialect: Dialect = UNIVERSAL
    name: str = ""
    peers: tuple[Address, ...] = ()
    multicast_group: IPv4Address | None = None
    broadcasts: bool = False
    dead_ratio: int = DEAD_RATIO
    lladdr: MacAddress | None = None
    groups: tuple[str, ...] = DEFAULT_GROUPS
    neutral: bool = False
    ignores_link: bool = False
    mac_mode: MacMode | None = None
    announce_every_s: int | None = None
    peer_dialects: tuple[Dialect, ...] = ()
    key: HostKey = field(init=False, repr=False, compare=False)
    """What identifies the host on this machine."""
    ips: frozenset[Address] = field(init=False, repr=False, compare=False)
    """The shared addresses without their prefix lengths."""
    families: tuple[Family, ...] = field(init=False, repr=False, compare=False)
    """The families of the shared addresses; each gets its own advertisement and its own timer."""
    destinations: Mapping[Family, tuple[Address, ...]] = field(init=False, repr=False, compare=False)
    """Where advertisements go: to the peers of the family, or to its group if it has none."""
    effective_announce_every_s: int = field(init=False, repr=False, compare=False)
    """``announce_every_s``, or the dialect's."""
    effective_mac_mode: MacMode = field(init=False, repr=False, compare=False)
    """``mac_mode``, or the dialect's; ``interface`` with peers, because BSDs send to peers from their own MAC."""
    master_down_ns: int = field(init=False, repr=False, compare=False)
    """How long a BACKUP waits for the next advertisement."""
    tolerated_ns: int = field(init=False, repr=False, compare=False)
    """The longest interval that a MASTER may advertise; a BACKUP takes over from a slower one at once."""

    if TYPE_CHECKING:
        # What may be given; the generated constructor has the types of the attributes.
        def __init__(
            self,
            *,
            interface: str,
            vhid: int,
            passphrase: Passphrase | str | bytes,
            addresses: Iterable[Address | Interface | str],
            advbase: int = ...,
            advskew: int = ...,
            preempt: bool = ...,
            dialect: Dialect = ...,
            name: str = ...,
            peers: Iterable[Address | str] = ...,
            multicast_group: Address | str | None = ...,
            broadcasts: bool = ...,
            dead_ratio: int = ...,
            lladdr: MacAddress | None = ...,
            groups: Iterable[str] = ...,
            neutral: bool = ...,
            ignores_link: bool = ...,
            mac_mode: MacMode | None = ...,
            announce_every_s: int | None = ...,
            peer_dialects: Iterable[Dialect] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_kinds(self)
        limits = self.dialect.limits
        check_range("vhid", self.vhid, 1, 255)
        check_range("advbase", self.advbase, limits.advbase_min, 255)
        check_range("advskew", self.advskew, 0, limits.advskew_max)
        _check_interval(self)
        _check_link_name(self.interface)
        # A value that exists is legal and in its final types; frozen dataclasses are normalised this way.
        passphrase: Any = self.passphrase
        if not isinstance(passphrase, Passphrase):
            object.__setattr__(self, "passphrase", Passphrase(passphrase))
        addresses = tuple(_parse_interface(each) for each in listed("addresses", self.addresses) or ())
        peers = tuple(_parse_address("peer", each) for each in listed("peers", self.peers) or ())
        object.__setattr__(self, "groups", listed("groups", self.groups))
        object.__setattr__(self, "key", HostKey(self.interface, self.vhid))
        object.__setattr__(self, "addresses", addresses)
        object.__setattr__(self, "ips", frozenset(each.ip for each in addresses))
        object.__setattr__(self, "families", tuple(sorted({family_of(each) for each in addresses})))
        object.__setattr__(self, "peers", peers)
        if self.multicast_group is not None:
            group = _parse_address("multicast group", self.multicast_group)
            object.__setattr__(self, "multicast_group", group)
        by_family = {family: tuple(each for each in peers if each.version == family) for family in Family}
        to = {family: of_family or (self.group_of(family),) for family, of_family in by_family.items()}
        object.__setattr__(self, "destinations", to)
        object.__setattr__(self, "effective_mac_mode", _effective_mac_mode(self))
        timing = (self.advbase, self.advskew, self.dead_ratio)
        object.__setattr__(self, "master_down_ns", self.dialect.master_down_ns(*timing))
        object.__setattr__(self, "tolerated_ns", self.dialect.tolerated_ns(*timing))
        every_s = self.dialect.announce_every_s if self.announce_every_s is None else self.announce_every_s
        check_range("announce_every_s", every_s, 0, _DAY_S)
        object.__setattr__(self, "effective_announce_every_s", every_s)
        if not self.name:
            object.__setattr__(self, "name", str(self.key))
        _check_addresses(self.addresses, self.dialect)
        _check_peers(self)
        _check_group(self)
        _check_key(self.passphrase, self.dialect)
        _check_dead_ratio(self)
        _check_lladdr(self)
        _check_peer_dialects(self)

    @property
    def device(self) -> str:
        """The name of the device that carries the virtual MAC: the host's own if a device can have it."""
        can_be = _DEVICE_NAME.fullmatch(self.name) and self.name not in _OF_THE_KERNEL
        return self.name if can_be else f"carp{self.vhid}"

    @property
    def clients_may_be_misled(self) -> bool:
        """Whether the virtual MAC answers although a FreeBSD peer never sends from it. Source: carp.md 14.

        After that peer has taken over, switches send the frames of clients to this host until their tables expire.
        """
        return bool(self.peers) and self.effective_mac_mode is MacMode.VIRTUAL

    def has_peers_in(self, family: Family) -> bool:
        """Return True if the advertisements of a family go to peers, False if they go to the group."""
        return not self.destinations[family][0].is_multicast

    def group_of(self, family: Family) -> Address:
        """Return the multicast group that the host listens to; it also sends to the group unless it has peers."""
        if family is Family.IPV4 and isinstance(self.multicast_group, IPv4Address):
            return self.multicast_group
        return CARP_GROUPS[family]


def _effective_mac_mode(config: HostConfig) -> MacMode:
    """Return whose MAC address answers. Source: carp.md 7, and 14 for the case of peers."""
    mode = None if config.mac_mode is None else MacMode(config.mac_mode)
    if mode not in (None, MacMode.AUTO):
        return mode
    if config.peers or (mode is None and config.dialect.address_mac is AddressMac.REAL):
        return MacMode.INTERFACE
    return MacMode.AUTO


def _check_kinds(config: HostConfig) -> None:
    """Raise ConfigError for a value of a wrong type."""
    for name in ("preempt", "broadcasts", "neutral", "ignores_link"):
        check_flag(name, getattr(config, name))
    for dialect in (config.dialect, *(listed("peer_dialects", config.peer_dialects) or ())):
        if not isinstance(dialect, Dialect):
            raise ConfigError(f"dialect {dialect!r} is not a Dialect; pass one of pycarp.dialects, such as UNIVERSAL")
    for group in listed("groups", config.groups) or ():
        check_line("group", group)
    check_line("name", config.name)
    if not isinstance(config.interface, str):
        raise ConfigError(f"interface {config.interface!r} is not the name of an interface")
    if not isinstance(config.passphrase, Passphrase | str | bytes):
        raise ConfigError("passphrase is neither text nor octets; an empty one is ''")
    if config.mac_mode is not None and config.mac_mode not in tuple(MacMode):
        raise ConfigError(f"mac_mode {config.mac_mode!r} is none of {', '.join(MacMode)}")
    if not isinstance(config.lladdr, MacAddress | None):
        raise ConfigError(f"lladdr {config.lladdr!r} is no MacAddress; pass vocabulary.MacAddress.parse(...)")


def _check_interval(config: HostConfig) -> None:
    """Refuse an interval of nothing, as which OpenBSD takes 1/256 s: a pair of such hosts never comes to rest."""
    if not config.advbase and not config.advskew:
        raise ConfigError(
            "advbase 0 with advskew 0 is an interval of 0/256 s, and the shortest is 1/256 s; "
            f"write advskew {_CALM_ADVSKEW} or more, or advbase 1"
        )


def interval_warning(config: HostConfig) -> str:
    """Return why advertisements follow each other too fast for a calm pair, and the way out; empty if they do not."""
    if config.advbase or config.advskew >= _CALM_ADVSKEW:
        return ""
    return (
        f"advbase 0 advskew {config.advskew} is an interval of {config.advskew * 1000 / 256:.0f} ms: a machine that is "
        f"busy for a moment misses the next advertisements, and the pair changes its MASTER though nothing is wrong; "
        f"use advskew {_CALM_ADVSKEW} ({_CALM_ADVSKEW * 1000 // 256} ms) or more, or advbase 1"
    )


def device_in_the_way(config: HostConfig, mac: MacAddress | None) -> str:
    """Return why the device of that name, with this MAC address, keeps a host from making its own; empty if none."""
    if config.effective_mac_mode is MacMode.INTERFACE or (mac is not None and mac.octets.startswith(_CARP_MACS)):
        return ""
    return (
        f"there is an interface {config.device} already, so that the host's device cannot be called so; "
        f'give the host another name, or set mac_mode = "interface"'
    )


def device_note(config: HostConfig) -> str:
    """Return what the device of a host is called when it cannot have the host's name; empty if it can, or has none."""
    is_named = config.name not in (str(config.key), config.device)
    if config.effective_mac_mode is MacMode.INTERFACE or not is_named:
        return ""
    return f"no device can be called {config.name!r}; that of vhid {config.vhid} is called {config.device}"


def _check_link_name(name: str) -> None:
    if not name or len(name.encode()) > LINK_NAME_MAX or "/" in name or any(c.isspace() for c in name):
        raise ConfigError(f"interface name {name!r} is not 1-{LINK_NAME_MAX} octets without blanks and slashes")


def _parse_interface(address: Address | Interface | str) -> Interface:
    try:
        return ip_interface(_SCOPE.sub("", str(address)))
    except ValueError as exc:
        raise ConfigError(f"shared address {address!r} is not an IP address with an optional /prefix") from exc


def _parse_address(what: str, address: Address | str) -> Address:
    try:
        return ip_address(_SCOPE.sub("", str(address)))
    except ValueError as exc:
        raise ConfigError(f"{what} {address!r} is not an IP address") from exc


def _check_addresses(addresses: tuple[Interface, ...], dialect: Dialect) -> None:
    if not addresses:
        raise ConfigError("a virtual host needs at least one shared address")
    limit = dialect.limits.addresses
    if limit is not None and len(addresses) > limit:
        raise ConfigError(
            f"{len(addresses)} shared addresses are too many for dialect {dialect.name}, which signs exactly {limit}"
        )
    for address in addresses:
        if family_of(address) not in dialect.limits.families:
            raise ConfigError(f"shared address {address} is IPv6; dialect {dialect.name} knows IPv4 only")
        if why := _why_not_shared(address):
            raise ConfigError(f"shared address {address} {why}")


def _why_not_shared(address: Interface) -> str:
    """Return why hosts cannot share an address, and the way out; empty if they can."""
    ip, network = address.ip, address.network
    if ip.is_multicast or ip.is_unspecified or ip == _BROADCAST:
        return "is not an address that a host can have; share one of the segment's subnet"
    if ip.is_loopback:
        return "is a loopback address, which stays in its machine; share one of the segment's subnet"
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return f"is an IPv4 address written as IPv6; share {ip.ipv4_mapped}"
    if network.prefixlen == 0:
        return "has prefix length 0, so that everybody would be on its link; write the length of the segment's subnet"
    if network.prefixlen >= ip.max_prefixlen - 1:
        return ""
    if ip == network.network_address:
        return f"is the address of the network {network} itself; share one of its hosts, or write /{ip.max_prefixlen}"
    if isinstance(ip, IPv4Address) and ip == network.broadcast_address:
        return f"is the broadcast address of {network}; share one of its hosts, or write /{ip.max_prefixlen}"
    return ""


def _check_peers(config: HostConfig) -> None:
    limits = config.dialect.limits
    for family in Family:
        peers = config.destinations[family] if config.has_peers_in(family) else ()
        if peers and family not in limits.peer_families:
            raise ConfigError(
                f"peer {peers[0]}: dialect {config.dialect.name} knows no unicast peers with IPv{family}; "
                "remove it or use another dialect"
            )
        if limits.peers is not None and len(peers) > limits.peers:
            raise ConfigError(
                f"{len(peers)} peers are too many for dialect {config.dialect.name}, which sends to {limits.peers}"
            )
        for peer in peers:
            _check_peer(peer, config)


def _check_peer(peer: Address, config: HostConfig) -> None:
    if peer.is_multicast or peer.is_unspecified or peer == _BROADCAST:
        raise ConfigError(f"peer {peer} is not an address that a host can have")
    if peer in [each.ip for each in config.addresses]:
        raise ConfigError(f"peer {peer} is a shared address; name the peer's own")
    if family_of(peer) not in config.families:
        raise ConfigError(
            f"peer {peer}: no IPv{peer.version} address is shared, so nothing would be sent to it; "
            f"advertisements travel in the family of the shared addresses"
        )


def _check_group(config: HostConfig) -> None:
    group: Any = config.multicast_group
    if group is None:
        return
    if not config.dialect.limits.has_own_group:
        raise ConfigError(f"multicast group {group}: dialect {config.dialect.name} knows 224.0.0.18 only")
    if not isinstance(group, IPv4Address) or not group.is_multicast:
        raise ConfigError(f"multicast group {group} is outside 224.0.0.0-239.255.255.255")


def _check_key(secret: Passphrase, dialect: Dialect) -> None:
    if len(secret) > dialect.limits.key_octets:
        raise ConfigError(
            f"key of {len(secret)} octets is too long: dialect {dialect.name} takes {dialect.limits.key_octets}"
        )


def _check_dead_ratio(config: HostConfig) -> None:
    check_range("dead ratio", config.dead_ratio, 1, 255)
    if config.dead_ratio != DEAD_RATIO and not config.dialect.limits.has_dead_ratio:
        raise ConfigError(f"dead ratio {config.dead_ratio}: dialect {config.dialect.name} waits for {DEAD_RATIO} only")


def _check_lladdr(config: HostConfig) -> None:
    if config.lladdr is not None and not config.dialect.signs_lladdr:
        raise ConfigError(f"lladdr {config.lladdr}: dialect {config.dialect.name} does not sign it; remove it")


def _check_peer_dialects(config: HostConfig) -> None:
    for theirs in config.peer_dialects:
        found = [
            *incompatibilities(config.dialect, theirs, tuple(each.ip for each in config.addresses)),
            *_setting_conflicts(config, theirs),
        ]
        for conflict in found:
            raise ConfigError(f"{config.name} cannot share its addresses with {theirs.name}: {conflict}")


def _setting_conflicts(config: HostConfig, theirs: Dialect) -> Iterator[str]:
    """Yield the settings that another dialect does not support, as text. Source: carp.md 3.4, 3.5, 7.2."""
    if len(config.passphrase) > theirs.limits.key_octets:
        yield f"its key has at most {theirs.limits.key_octets} octets, and this one {len(config.passphrase)}"
    if config.lladdr is not None and not theirs.signs_lladdr:
        yield f"it does not sign the link-layer address {config.lladdr}"
    if config.multicast_group is not None and not theirs.limits.has_own_group:
        yield f"it knows the group 224.0.0.18 only, not {config.multicast_group}"
    for family in config.families:
        if config.has_peers_in(family) and family not in theirs.limits.peer_families:
            yield f"it knows no unicast peers with IPv{family}"
