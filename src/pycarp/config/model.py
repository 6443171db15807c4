"""The configuration that every grammar is parsed into."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pycarp.config.http_token import HttpToken
from pycarp.core.host_config import HostConfig
from pycarp.placement.share import SyncGroupConfig
from pycarp.vocabulary import HostKey, InterfaceAddress

if TYPE_CHECKING:  # A configuration without them, as most are, does not need what runs them.
    from pycarp.failback import FailbackPolicy
    from pycarp.health import Check
    from pycarp.hooks import Hook

T = TypeVar("T")

Where = tuple[str, int]
"""A table of TOML: its name, and its index among the tables of that name, from 0."""

IN_HOSTS = ("check", "hook", "failback")
"""The tables of services that may be inside a host, in TOML."""

BESIDE_HOSTS = (*IN_HOSTS, "sync_group", "http")
"""The tables of services that may be beside the hosts, in TOML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(Generic[T]):
    """A check, a hook or the like, and the host that it belongs to; None stands for every host of the machine.

    Two are equal if their ``table`` is, which is what the configuration says. ``place`` is line and column, from 1.
    """

    host: HostKey | None
    item: T = field(compare=False)
    table: Mapping[str, Any]
    place: tuple[int, int] = field(default=(1, 1), compare=False)

    @property
    def name(self) -> str:
        """Its name; empty for one without a name."""
        return str(getattr(self.item, "name", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Where the daemon serves HTTP: ``ADDRESS:PORT``, ``[ADDRESS]:PORT`` or ``unix:/PATH``.

    Callers may use every address, and of names those of the loopback and ``names``, as ``parse_name`` returns them.
    With a ``token``, that of ``token_file``, they may change things. Both may change while the daemon runs.
    """

    listen: tuple[str, ...]
    names: tuple[str, ...] = field(default=(), compare=False)
    token: HttpToken | None = field(default=None, compare=False)
    token_file: Path | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The virtual hosts of one machine; what a configuration does not say is empty.

    ``sysctls`` are full names and values, in their order; ``external_change_limit`` is that of ``Settings``. ``notes``
    are for people: what was passed over, and where. ``own`` are the machine's own addresses by interface, where the
    configuration speaks of them; only a simulation needs them. ``places`` are line and column of each host, from 1;
    ``secret_files`` are the files that hold the passwords of hosts, and ``secret_variables`` the variables that do,
    where they do not stand in the configuration itself. What is ``Attached`` is that of all hosts, in
    its order; of failbacks that of a host goes before that of every host.
    """

    hosts: tuple[HostConfig, ...]
    hostname: str = ""
    sysctls: tuple[tuple[str, int], ...] = ()
    transport: str = ""
    actuator: str = ""
    monitor: str = ""
    external_change_limit: int | None = None
    http: HttpConfig | None = None
    checks: "tuple[Attached[Check], ...]" = ()
    hooks: "tuple[Attached[Hook], ...]" = ()
    failbacks: "tuple[Attached[FailbackPolicy], ...]" = ()
    sync_groups: tuple[Attached[SyncGroupConfig], ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    own: Mapping[str, tuple[InterfaceAddress, ...]] = field(default_factory=dict, compare=False)
    places: Mapping[HostKey, tuple[int, int]] = field(default_factory=dict, compare=False)
    secret_files: Mapping[HostKey, Path] = field(default_factory=dict, compare=False)
    secret_variables: Mapping[HostKey, str] = field(default_factory=dict, compare=False)

    @property
    def secrets(self) -> tuple[Path, ...]:
        """The files that hold secrets, beside the configuration itself."""
        token = self.http.token_file if self.http is not None else None
        return (*dict.fromkeys(self.secret_files.values()), *([] if token is None else [token]))
