"""The configuration of a virtual host: validated once, immutable afterwards."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Never, Self

from pycarp.auth.key import Passphrase
from pycarp.core.host_settings import CALM_ADVSKEW, LINK_NAME_MAX, settings_of
from pycarp.dialects.dialect import AddressMac, Dialect
from pycarp.dialects.rules import DEAD_RATIO
from pycarp.dialects.universal import UNIVERSAL
from pycarp.vocabulary import CARP_GROUPS, Address, Family, HostKey, InterfaceAddress, MacAddress, MacMode, family_of

DEFAULT_GROUPS = ("carp",)
"""The interface groups of every carp interface. Source: OpenBSD, carp.md 6.4."""

_DEVICE_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_.-]{{0,{LINK_NAME_MAX - 1}}}")

_OF_THE_KERNEL = frozenset({"all", "default"})
"""Names that Linux gives to settings of all devices, and to no device."""

_CARP_MACS = bytes((0x00, 0x00, 0x5E, 0x00, 0x01))
"""How all virtual MAC addresses begin. Source: carp.md 1.4."""


@dataclass(frozen=True, slots=True, init=False)
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

    Raises SettingProblems, with all that is wrong: what the dialect does not allow, and what cannot work with
    ``peer_dialects``. Each problem has the value, the bound and the way out.
    """

    interface: str
    vhid: int
    passphrase: Passphrase = field(repr=False)
    addresses: tuple[InterfaceAddress, ...]
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

    def __init__(
        self,
        *,
        interface: str,
        vhid: int,
        passphrase: Passphrase | str | bytes,
        addresses: Iterable[Address | InterfaceAddress | str],
        advbase: int = advbase,
        advskew: int = advskew,
        preempt: bool = preempt,
        dialect: Dialect = dialect,
        name: str = name,
        peers: Iterable[Address | str] = peers,
        multicast_group: Address | str | None = multicast_group,
        broadcasts: bool = broadcasts,
        dead_ratio: int = dead_ratio,
        lladdr: MacAddress | None = lladdr,
        groups: Iterable[str] = groups,
        neutral: bool = neutral,
        ignores_link: bool = ignores_link,
        mac_mode: MacMode | None = mac_mode,
        announce_every_s: int | None = announce_every_s,
        peer_dialects: Iterable[Dialect] = peer_dialects,
        **unknown: Never,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "unknown")}
        self._fill(settings_of(given, unknown))

    @classmethod
    def parse(
        cls,
        *,
        interface: str,
        vhid: int | str,
        passphrase: Passphrase | str | bytes,
        addresses: str | Iterable[Address | InterfaceAddress | str],
        advbase: int | str = advbase,
        advskew: int | str = advskew,
        preempt: bool | str = preempt,
        dialect: Dialect | str = dialect,
        name: str = name,
        peers: str | Iterable[Address | str] = peers,
        multicast_group: Address | str | None = multicast_group,
        broadcasts: bool | str = broadcasts,
        dead_ratio: int | str = dead_ratio,
        lladdr: MacAddress | str | None = lladdr,
        groups: str | Iterable[str] = groups,
        neutral: bool | str = neutral,
        ignores_link: bool | str = ignores_link,
        mac_mode: MacMode | str | None = mac_mode,
        announce_every_s: int | str | None = announce_every_s,
        peer_dialects: str | Iterable[Dialect | str] = peer_dialects,
        **unknown: object,
    ) -> Self:
        """Return the host whose settings are given as text, such as values of the environment or of a form.

        Lists are text with commas or blanks, or iterables of text. Dialects and MAC modes are given by their names,
        flags as yes or no, seconds as a number or a duration such as "1min". What is not text is taken as by the
        constructor. Raises SettingProblems, with all that is wrong.
        """
        given = {name: value for name, value in locals().items() if name not in ("cls", "unknown")}
        made = cls.__new__(cls)
        made._fill(settings_of(given, unknown, may_be_text=True))
        return made

    def _fill(self, settings: Mapping[str, Any]) -> None:
        """Set the attributes, once: a value that exists is legal and in its final types."""
        put = partial(object.__setattr__, self)
        for setting, value in settings.items():
            put(setting, value)
        put("key", HostKey(self.interface, self.vhid))
        put("name", self.name or str(self.key))
        put("ips", frozenset(each.ip for each in self.addresses))
        put("families", tuple(sorted({family_of(each) for each in self.addresses})))
        by_family = {family: tuple(each for each in self.peers if each.version == family) for family in Family}
        put("destinations", {family: peers or (self.group_of(family),) for family, peers in by_family.items()})
        put("effective_mac_mode", _effective_mac_mode(self))
        every_s = self.announce_every_s
        put("effective_announce_every_s", self.dialect.announce_every_s if every_s is None else every_s)
        timing = (self.advbase, self.advskew, self.dead_ratio)
        put("master_down_ns", self.dialect.master_down_ns(*timing))
        put("tolerated_ns", self.dialect.tolerated_ns(*timing))

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
    mode = config.mac_mode
    if mode not in (None, MacMode.AUTO):
        return mode
    if config.peers or (mode is None and config.dialect.address_mac is AddressMac.REAL):
        return MacMode.INTERFACE
    return MacMode.AUTO


def interval_warning(config: HostConfig) -> str:
    """Return why advertisements follow each other too fast for a calm pair, and the way out; empty if they do not."""
    if config.advbase or config.advskew >= CALM_ADVSKEW:
        return ""
    return (
        f"advbase 0 advskew {config.advskew} is an interval of {config.advskew * 1000 / 256:.0f} ms: a machine that is "
        f"busy for a moment misses the next advertisements, and the pair changes its MASTER though nothing is wrong; "
        f"use advskew {CALM_ADVSKEW} ({CALM_ADVSKEW * 1000 // 256} ms) or more, or advbase 1"
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
