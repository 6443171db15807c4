"""What every grammar is turned into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import HostKey, Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The virtual hosts of one machine; what a configuration does not say is empty.

    ``sysctls`` are full names and values, in their order; ``external_change_limit`` is that of ``Settings``. ``notes``
    are for people: what was passed over, and where. ``own`` are the machine's own addresses by interface, where the
    configuration speaks of them; only a simulation needs them. ``places`` are line and column of each host, from 1;
    ``secret_files`` the files that hold the passwords of hosts, and ``secret_variables`` the variables that do, where
    they do not stand in the configuration itself.
    """

    hosts: tuple[HostConfig, ...]
    hostname: str = ""
    sysctls: tuple[tuple[str, int], ...] = ()
    transport: str = ""
    actuator: str = ""
    monitor: str = ""
    external_change_limit: int | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    own: Mapping[str, tuple[Interface, ...]] = field(default_factory=dict, compare=False)
    places: Mapping[HostKey, tuple[int, int]] = field(default_factory=dict, compare=False)
    secret_files: Mapping[HostKey, Path] = field(default_factory=dict, compare=False)
    secret_variables: Mapping[HostKey, str] = field(default_factory=dict, compare=False)
