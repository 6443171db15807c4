"""What a daemon never takes: addresses that the machine had before it came."""

from collections.abc import Callable, Iterable

from pycarp.aio.node import Node
from pycarp.core.host_config import HostConfig
from pycarp.errors import ConfigError
from pycarp.system.interfaces import interfaces
from pycarp.vocabulary import Interface, LinkFacts


class OwnAddresses:
    """Refuses to share an address of this machine: it would leave with the first hand-over, and its routes with it.

    ``links`` returns the network devices with their addresses.
    """

    def __init__(self, node: Node, links: Callable[[], Iterable[LinkFacts]] = interfaces) -> None:
        self._node = node
        self._links = links

    def refuse(self, configs: Iterable[HostConfig]) -> None:
        """Raise ConfigError, a line for each address of these hosts that is the machine's own.

        What a running host shares is not; a ``neutral`` host finds its addresses here, and leaves them.
        """
        self._refuse((config, each) for config in configs if not config.neutral for each in config.shared)

    def refuse_more(self, config: HostConfig, address: Interface) -> None:
        """Raise ConfigError likewise for an address that a host is to share as well."""
        self._refuse([(config, address)])

    def _refuse(self, wanted: Iterable[tuple[HostConfig, Interface]]) -> None:
        shared = {each.ip for host in self._node.hosts for each in host.config.shared}
        links = tuple(self._links())
        lines = []
        for config, address in wanted:
            where = None if address.ip in shared else _where(address, config.interface, links)
            if where is not None:
                way_out = f"share another, or remove it first: ip address del {address} dev {where}"
                lines.append(f"{config.name}: {address.ip} is this machine's own address, on {where}; {way_out}")
        if lines:
            raise ConfigError("\n".join(lines))


def _where(address: Interface, interface: str, links: Iterable[LinkFacts]) -> str | None:
    """Return the device that has an address; a link-local one may be on any other link than its own."""
    for facts in links:
        if address.ip in [each.ip for each in facts.addresses]:
            name = facts.name.partition(":")[0]
            if name == interface or not address.ip.is_link_local:
                return name
    return None
