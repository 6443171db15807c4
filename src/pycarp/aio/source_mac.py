"""Chooses the source MAC address of advertisements: the dialect's, or the link's if the link has the addresses."""

from msgspec.structs import replace

from pycarp.actuators.actuator import Actuator
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import HostKey, MacAddress, MacMode, Outgoing


class SourceMacs:
    """Knows the hosts whose addresses answer from the MAC address of their link.

    Their advertisements leave from that address as well: a switch with port security drops frames from any other MAC
    address, and then each host becomes MASTER. Receivers ignore the source MAC address. ``replaced`` are the links and
    MAC addresses for which there is anything to choose.
    """

    def __init__(self, actuator: Actuator) -> None:
        self._actuator = actuator
        self._hosts: dict[HostKey, tuple[str, MacAddress]] = {}
        self.replaced: frozenset[tuple[str, MacAddress | None]] = frozenset()

    def note(self, config: HostConfig) -> None:
        """Note a host that has been prepared."""
        if uses_link_mac(self._actuator, config):
            self._hosts[config.key] = (config.interface, config.dialect.source_mac(config.vhid))
            self.replaced = frozenset(self._hosts.values())

    def forget(self, key: HostKey) -> None:
        """Forget a host."""
        if self._hosts.pop(key, None) is not None:
            self.replaced = frozenset(self._hosts.values())

    def applied(self, outgoing: Outgoing) -> Outgoing:
        """Return an advertisement with the source MAC address from which it is sent."""
        if self.replaced and (outgoing.link, outgoing.source_mac) in self.replaced:
            return replace(outgoing, source_mac=None)
        return outgoing


def uses_link_mac(actuator: Actuator, config: HostConfig) -> bool:
    """Return whether the MAC address of the link answers for a prepared host's addresses, as far as is known."""
    mode = actuator.mac_mode(config.key)
    return (config.mac_mode if mode is None else mode) is MacMode.INTERFACE
