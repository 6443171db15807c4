"""The members of a cluster, made from their number or from existing settings."""

import string
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_interface
from typing import Protocol, TypeAlias

import msgspec

from pycarp.core.host_config import DEFAULT_GROUPS, HostConfig
from pycarp.dialects.dialect import Dialect
from pycarp.dialects.universal import UNIVERSAL
from pycarp.errors import ConfigError
from pycarp.vocabulary import Address, InterfaceAddress, LinkFacts

NAMES = string.ascii_lowercase
MEMBERS_MAX = len(NAMES)

_WIDEST_STEP = 100
_SKEW_SPAN = 240
_OWN_FIRST = 101


class HasHosts(Protocol):
    """The settings of a machine, such as ``pycarp.config.NodeConfig``."""

    @property
    def hosts(self) -> tuple[HostConfig, ...]:
        """The virtual hosts of the machine."""


Machine: TypeAlias = HostConfig | Sequence[HostConfig] | HasHosts


class MemberSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One member to start: its name, its virtual hosts, and the links that these need."""

    name: str
    hosts: tuple[HostConfig, ...]
    links: tuple[LinkFacts, ...]


def specs_of(machines: Sequence[Machine], own: Sequence[str] | None) -> tuple[MemberSpec, ...]:
    """Return the spec of each member; ``own`` are the own addresses, by default 192.0.2.101/24 and so on.

    Raises ConfigError if the number of machines or of own addresses is wrong.
    """
    if not 1 <= len(machines) <= MEMBERS_MAX:
        raise ConfigError(f"a cluster of {len(machines)} members is outside 1-{MEMBERS_MAX}")
    if own is not None and len(own) != len(machines):
        raise ConfigError(f"{len(own)} own addresses for {len(machines)} members; give one each")
    specs = []
    for index, machine in enumerate(machines):
        hosts = _hosts_of(machine)
        first, second = own_addresses(index)
        addresses = (ip_interface(own[index]) if own else first, second)
        links = (LinkFacts(name=name, is_up=True, addresses=addresses) for name in {each.interface for each in hosts})
        specs.append(MemberSpec(name=NAMES[index], hosts=hosts, links=tuple(links)))
    return tuple(specs)


def hosts_of_members(
    count: int,
    *,
    advskews: Sequence[int] | None = None,
    vhids: Sequence[int] = (1,),
    addresses: Iterable[str] | Mapping[int, Iterable[str]] | None = None,
    interface: str = "eth0",
    passphrase: str = "secret",  # noqa: S107  the segment is in this process
    advbase: int = 1,
    preempt: bool = False,
    dialect: Dialect = UNIVERSAL,
    groups: Sequence[str] | Mapping[int, Sequence[str]] | None = None,
    peers: bool = False,
) -> list[list[HostConfig]]:
    """Return the settings of ``count`` machines that share every vhid.

    Without ``advskews`` the first machine has advskew 0, with advbase 0 one above 0, and each next one a larger
    advskew. Without ``addresses`` the first vhid has 192.0.2.10/24, the next 192.0.2.11/24 and so on. With several
    vhids ``addresses`` are given by vhid; ``groups`` may be. With ``peers`` each machine sends to the default own
    addresses of the others.
    """
    first = 0 if advbase else 1
    step = min(_WIDEST_STEP, _SKEW_SPAN // max(count - 1 + first, 1))
    skews = [(first + index) * step for index in range(count)] if advskews is None else list(advskews)
    if len(skews) != count:
        raise ConfigError(f"{len(skews)} advskews for {count} members; give one each")
    shared = _shared(vhids, addresses)
    return [
        [
            HostConfig(
                interface=interface,
                vhid=vhid,
                passphrase=passphrase,
                addresses=shared[vhid],
                advbase=advbase,
                advskew=skew,
                preempt=preempt,
                dialect=dialect,
                groups=_groups(vhid, groups),
                peers=_peers(index, count, shared[vhid]) if peers else (),
            )
            for vhid in vhids
        ]
        for index, skew in enumerate(skews)
    ]


def own_addresses(index: int) -> tuple[InterfaceAddress, InterfaceAddress]:
    """Return the default own addresses of a member."""
    return ip_interface(f"192.0.2.{_OWN_FIRST + index}/24"), ip_interface(f"fe80::{_OWN_FIRST + index}/64")


def _groups(vhid: int, groups: Sequence[str] | Mapping[int, Sequence[str]] | None) -> tuple[str, ...]:
    if groups is None:
        return DEFAULT_GROUPS
    return tuple(groups.get(vhid, DEFAULT_GROUPS) if isinstance(groups, Mapping) else groups)


def _peers(index: int, count: int, shared: Iterable[str]) -> list[Address]:
    families = {ip_interface(each).version for each in shared}
    others = (own_addresses(other) for other in range(count) if other != index)
    return [each.ip for own in others for each in own if each.version in families]


def _shared(
    vhids: Sequence[int], addresses: Iterable[str] | Mapping[int, Iterable[str]] | None
) -> dict[int, tuple[str, ...]]:
    if addresses is None:
        return {vhid: (f"192.0.2.{10 + index}/24",) for index, vhid in enumerate(vhids)}
    if isinstance(addresses, Mapping):
        missing = [vhid for vhid in vhids if vhid not in addresses]
        if missing:
            raise ConfigError(f"no addresses for vhid {missing[0]}; there are some for {sorted(addresses)}")
        return {vhid: tuple(addresses[vhid]) for vhid in vhids}
    if len(vhids) != 1:
        raise ConfigError(f"{len(vhids)} vhids need their addresses by vhid: addresses={{1: [...], 2: [...]}}")
    return {vhids[0]: tuple(addresses)}


def _hosts_of(machine: Machine) -> tuple[HostConfig, ...]:
    if isinstance(machine, HostConfig):
        return (machine,)
    hosts = tuple(machine) if isinstance(machine, Sequence) else machine.hosts
    if not hosts:
        raise ConfigError("a member needs at least one virtual host")
    return hosts
