"""An index of the prepared hosts: by key, by the name of the device, and by link."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pycarp.system.addresses.shared_addresses import SharedAddresses
from pycarp.vocabulary import HostKey


class HostIndex(Mapping[HostKey, SharedAddresses]):
    """The prepared hosts by key; only the thread of the addresses writes it, any thread may read it."""

    def __init__(self) -> None:
        self._hosts: dict[HostKey, SharedAddresses] = {}
        self._by_device: dict[str, HostKey] = {}
        self._on_link: dict[str, dict[HostKey, SharedAddresses]] = {}
        self._previous: dict[str, str] = {}

    def __getitem__(self, key: HostKey) -> SharedAddresses:
        return self._hosts[key]

    def get(self, key: HostKey, default: Any = None) -> Any:
        """Return a host, quicker than every mapping does."""
        return self._hosts.get(key, default)

    def __iter__(self) -> Iterator[HostKey]:
        return iter(list(self._hosts))

    def __len__(self) -> int:
        return len(self._hosts)

    def put(self, host: SharedAddresses) -> None:
        """Add a host, or replace the one with the same key."""
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
        """Return the host whose device has, or should have, this name."""
        return self._by_device.get(name)

    def on(self, link: str) -> Collection[SharedAddresses]:
        """Return the hosts of the link that was called ``link`` when they were added."""
        return list(self._on_link.get(link, {}).values())

    def on_link_called(self, name: str) -> Collection[SharedAddresses]:
        """Return the hosts of the link that is called ``name`` now."""
        return self.on(self._previous.get(name, name))

    def rename_link(self, link: str, name: str) -> None:
        """Record that the link once called ``link`` is now called ``name``."""
        self._previous = {now: previous for now, previous in self._previous.items() if previous != link}
        if name != link:
            self._previous[name] = link
