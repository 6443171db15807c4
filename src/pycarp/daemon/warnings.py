"""What an operator should look at: logged once, and shown by ``pycarp status`` as long as the host is here."""

from pycarp.aio.log_records import logger
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import HostKey, MacMode


def contradiction(transport: str, config: HostConfig) -> str | None:
    """Return what is wrong with a transport that was asked for by name, for a host whose addresses are on its link.

    None if its advertisements leave from the MAC address of the link all the same, or the dialect wants it so.
    """
    is_wanted = config.mac_mode is None and config.effective_mac_mode is MacMode.INTERFACE
    if transport != "packet" or is_wanted or config.peers:
        return None
    return (
        f"transport packet sends from {config.dialect.source_mac(config.vhid)}, though the addresses are on "
        f"{config.interface} itself: where a switch drops foreign MAC addresses, each host becomes MASTER; "
        f'use transport = "auto" or "packet-real-mac"'
    )


class Warnings:
    """The warnings about each host."""

    def __init__(self) -> None:
        self._by_host: dict[HostKey, list[str]] = {}

    def tell(self, key: HostKey, text: str) -> None:
        """Warn of a host, unless that has been said of it."""
        given = self._by_host.setdefault(key, [])
        if text not in given:
            given.append(text)
            logger.warning("carp: %s: %s", key, text)

    def take_back(self, key: HostKey, text: str) -> None:
        """Warn of something no longer; no-op if it was not warned of."""
        given = self._by_host.get(key, [])
        if text in given:
            given.remove(text)

    def about(self, key: HostKey) -> list[str]:
        """Return the warnings about a host."""
        return list(self._by_host.get(key, ()))

    def forget(self, key: HostKey) -> None:
        """Forget a host that has left."""
        self._by_host.pop(key, None)
