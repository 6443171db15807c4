"""The hosts whose addresses are on this machine, found by their key, by the name of their device, and by their link."""

from collections.abc import Iterable, Iterator, Mapping

from pycarp.system.addresses.shared_addresses import SharedAddresses
from pycarp.vocabulary import HostKey


class HostIndex(Mapping[HostKey, SharedAddresses]):
    """Written by the thread of the addresses; read by everybody."""

    def __init__(self) -> None:
        self._hosts: dict[HostKey, SharedAddresses] = {}
        self._by_device: dict[str, HostKey] = {}
        self._on_link: dict[str, dict[HostKey, SharedAddresses]] = {}
        self._previous: dict[str, str] = {}

    def __getitem__(self, key: HostKey) -> SharedAddresses:
        return self._hosts[key]

    def __iter__(self) -> Iterator[HostKey]:
        return iter(list(self._hosts))

    def __len__(self) -> int:
        return len(self._hosts)

    def put(self, host: SharedAddresses) -> None:
        """Add a host, in the place of what there was of its key."""
        self.remove(host.key)
        self._hosts[host.key] = host
        self._on_link.setdefault(host.key.link, {})[host.key] = host
        if host.device is not None:
            self._by_device[host.device.name] = host.key

    def remove(self, key: HostKey) -> None:
        """Remove a host; no-op if it is absent."""
        host = self._hosts.pop(key, None)
        if host is None:
            return
        del self._on_link[key.link][key]
        if host.device is not None:
            self._by_device.pop(host.device.name, None)

    def with_device(self, name: str) -> HostKey | None:
        """Return the host whose device is to have this name."""
        return self._by_device.get(name)

    def on(self, link: str) -> Iterable[SharedAddresses]:
        """Return the hosts of a link that was known as ``link`` when they came."""
        return list(self._on_link.get(link, {}).values())

    def on_link_called(self, name: str) -> Iterable[SharedAddresses]:
        """Return the hosts of the link that has this name now."""
        return self.on(self._previous.get(name, name))

    def rename_link(self, link: str, name: str) -> None:
        """Note that a link that was known as ``link`` is called ``name`` now."""
        self._previous = {now: previous for now, previous in self._previous.items() if previous != link}
        if name != link:
            self._previous[name] = link
