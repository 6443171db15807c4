"""What is examined: interfaces of this machine, and the virtual hosts that are to work on them."""

from collections.abc import Iterable

import msgspec

from pycarp.core.host_config import HostConfig
from pycarp.core.state import State
from pycarp.daemon.control_messages import Alarm
from pycarp.vocabulary import Address, Family, InterfaceAddress, MacMode, family_of


class ExaminedHost(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual host: ``has_device`` is whether its addresses are on a device of its own, which has its name.

    ``state`` and ``alarms`` are those of the daemon that runs it here, if one does. ``advbase`` None is unknown.
    """

    name: str
    interface: str
    vhid: int
    addresses: tuple[InterfaceAddress, ...]
    has_device: bool = True
    peers: tuple[Address, ...] = ()
    advbase: int | None = None
    state: State | None = None
    alarms: tuple[Alarm, ...] = ()

    @classmethod
    def of(cls, config: HostConfig) -> "ExaminedHost":
        """Return what matters of a configuration."""
        return cls(
            name=config.name,
            interface=config.interface,
            vhid=config.vhid,
            addresses=config.addresses,
            has_device=config.effective_mac_mode is not MacMode.INTERFACE,
            peers=config.peers,
            advbase=config.advbase,
        )


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An interface and its hosts; ``own`` are the addresses that the machine has there without them."""

    interface: str
    hosts: tuple[ExaminedHost, ...] = ()
    own: tuple[InterfaceAddress, ...] = ()

    @property
    def families(self) -> tuple[Family, ...]:
        """The families in which is advertised; both where no host is known."""
        shared = {family_of(each) for host in self.hosts for each in host.addresses}
        return tuple(family for family in Family if family in shared or not self.hosts)

    @property
    def shared(self) -> tuple[Address, ...]:
        """The shared addresses of all hosts."""
        return tuple(dict.fromkeys(each.ip for host in self.hosts for each in host.addresses))

    @property
    def peers(self) -> tuple[Address, ...]:
        """The addresses of the other hosts, where advertisements go to them instead of to a group."""
        return tuple(dict.fromkeys(peer for host in self.hosts for peer in host.peers))

    @property
    def has_devices(self) -> bool:
        """Whether a host has a device of its own; taken for granted where no host is known."""
        return any(each.has_device for each in self.hosts) or not self.hosts


def subjects_of(
    hosts: Iterable[ExaminedHost], interfaces: Iterable[str], own: dict[str, tuple[InterfaceAddress, ...]]
) -> tuple[Subject, ...]:
    """Return a subject for each interface that is named or has hosts."""
    known = tuple(hosts)
    names = dict.fromkeys([*interfaces, *(each.interface for each in known)])
    return tuple(
        Subject(
            interface=name,
            hosts=tuple(each for each in known if each.interface == name),
            own=own.get(name, ()),
        )
        for name in names
    )
