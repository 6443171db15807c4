"""What every grammar is turned into."""

from dataclasses import dataclass

from pycarp.core.host_config import HostConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The virtual hosts of one machine; ``hostname`` is empty when the configuration does not say."""

    hosts: tuple[HostConfig, ...]
    hostname: str = ""
