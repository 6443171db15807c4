"""The ownership index: which hosts may hold an address, and which host wants it on which link.

With it a notification of the kernel is recognised quickly as one about a shared address.
"""

from collections.abc import Iterable

from pycarp.system.rtnetlink.route_messages import AddressKey, Place, key_of
from pycarp.vocabulary import HostKey, InterfaceAddress


class OwnershipIndex:
    """The owners of shared addresses; only the thread of the addresses writes it, any thread may read it."""

    def __init__(self) -> None:
        self._holders: dict[Place, HostKey] = {}
        self._sharers: dict[bytes, frozenset[HostKey]] = {}
        self._shared: dict[HostKey, frozenset[InterfaceAddress]] = {}

    def share(self, key: HostKey, addresses: Iterable[InterfaceAddress]) -> frozenset[InterfaceAddress]:
        """Add addresses that a host may hold; return those that are new."""
        before = self._shared.get(key, frozenset())
        new = frozenset(addresses) - before
        self._shared[key] = before | new
        for address in new:
            packed = address.packed
            self._sharers[packed] = self._sharers.get(packed, frozenset()) | {key}
        return new

    def unshare(self, key: HostKey, addresses: Iterable[InterfaceAddress]) -> None:
        """Remove addresses from those that a host may hold."""
        left = self._shared.get(key, frozenset()) - frozenset(addresses)
        gone = self._shared.get(key, frozenset()) - left
        self._shared[key] = left
        for address in gone:
            if address.packed not in {each.packed for each in left}:
                self._forget_sharer(key, address)

    def shared_by(self, key: HostKey) -> frozenset[InterfaceAddress]:
        """Return the addresses that a host may hold."""
        return self._shared.get(key, frozenset())

    def is_shared(self, key: AddressKey) -> bool:
        """Return True if any host may hold the address."""
        return key.packed in self._sharers

    def hold(self, key: HostKey, index: int, addresses: Iterable[InterfaceAddress]) -> None:
        """Record that a host wants addresses on the link of this index."""
        for address in addresses:
            self._holders[Place(index, address.packed)] = key

    def let_go(self, index: int, addresses: Iterable[InterfaceAddress]) -> None:
        """Record that no host wants these addresses on the link any longer."""
        for address in addresses:
            self._holders.pop(Place(index, address.packed), None)

    def holder(self, place: Place) -> HostKey | None:
        """Return the host that wants this address on this link, None if none does."""
        return self._holders.get(place)

    def sharers(self, place: Place) -> frozenset[HostKey]:
        """Return the hosts that may hold an address, on whatever link."""
        return self._sharers.get(place.packed, frozenset())

    def forget(self, key: HostKey) -> None:
        """Remove a host with all its addresses."""
        for address in self._shared.pop(key, frozenset()):
            self._forget_sharer(key, address)
        for place in [place for place, holder in self._holders.items() if holder == key]:
            del self._holders[place]

    def _forget_sharer(self, key: HostKey, address: InterfaceAddress) -> None:
        left = self._sharers.get(address.packed, frozenset()) - {key}
        if left:
            self._sharers[address.packed] = left
        else:
            self._sharers.pop(address.packed, None)


def keys_of(addresses: Iterable[InterfaceAddress]) -> frozenset[AddressKey]:
    """Return the identities of addresses on a link."""
    return frozenset(key_of(each) for each in addresses)
