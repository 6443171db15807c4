"""From which MAC address advertisements leave: the dialect's, or the link's own where the addresses are on the link."""

from dataclasses import replace

from pycarp.actuators.base import Actuator
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import HostKey, MacAddress, MacMode, Outgoing


class SourceMacs:
    """Knows the hosts whose addresses answer from the MAC address of their link.

    Their advertisements leave from that one as well: a switch that forbids foreign MAC addresses on a port drops frames
    from any other, and then each host is MASTER. No receiver looks at it.
    """

    def __init__(self, actuator: Actuator) -> None:
        self._actuator = actuator
        self._hosts: dict[HostKey, tuple[str, MacAddress]] = {}
        self._replaced: frozenset[tuple[str, MacAddress | None]] = frozenset()

    def note(self, config: HostConfig) -> None:
        """Note a host that has been prepared."""
        if uses_link_mac(self._actuator, config):
            self._hosts[config.key] = (config.interface, config.dialect.source_mac(config.vhid))
            self._replaced = frozenset(self._hosts.values())

    def forget(self, key: HostKey) -> None:
        """Forget a host."""
        if self._hosts.pop(key, None) is not None:
            self._replaced = frozenset(self._hosts.values())

    def applied(self, outgoing: Outgoing) -> Outgoing:
        """Return an advertisement as it is to leave."""
        if (outgoing.link, outgoing.source_mac) in self._replaced:
            return replace(outgoing, source_mac=None)
        return outgoing


def uses_link_mac(actuator: Actuator, config: HostConfig) -> bool:
    """Say whether the addresses of an prepared host answer from the MAC address of its link, as far as is known."""
    # Those that are no subclass of Actuator may not know it.
    ask = getattr(actuator, "mac_mode", None)
    mode: MacMode | None = ask(config.key) if ask is not None else None
    return (config.mac if mode is None else mode) is MacMode.INTERFACE
