"""What every grammar is turned into."""

from dataclasses import dataclass, field

from pycarp.core.host_config import HostConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The virtual hosts of one machine; what a configuration does not say is empty.

    ``sysctls`` are full names and values, in their order; ``contest_limit`` is that of ``Settings``. ``notes`` are for
    people: what was passed over, and where.
    """

    hosts: tuple[HostConfig, ...]
    hostname: str = ""
    sysctls: tuple[tuple[str, int], ...] = ()
    transport: str = ""
    actuator: str = ""
    contest_limit: int | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
