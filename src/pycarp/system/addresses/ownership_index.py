"""Which addresses are whose: enough to see at a glance whether a notification speaks of what we know."""

from collections.abc import Iterable

from pycarp.system.rtnetlink.route_messages import AddressKey, Place, key_of
from pycarp.vocabulary import HostKey, Interface


class OwnershipIndex:
    """Written by the thread of the addresses, one host at a time; read by everybody."""

    def __init__(self) -> None:
        self._holders: dict[Place, HostKey] = {}
        self._sharers: dict[bytes, frozenset[HostKey]] = {}
        self._shared: dict[HostKey, frozenset[Interface]] = {}

    def share(self, key: HostKey, addresses: Iterable[Interface]) -> frozenset[Interface]:
        """Note that a host may hold these addresses, too; return those that are new."""
        before = self._shared.get(key, frozenset())
        new = frozenset(addresses) - before
        self._shared[key] = before | new
        for address in new:
            packed = address.packed
            self._sharers[packed] = self._sharers.get(packed, frozenset()) | {key}
        return new

    def unshare(self, key: HostKey, addresses: Iterable[Interface]) -> None:
        """Note that a host holds these addresses no more, whatever becomes of it."""
        left = self._shared.get(key, frozenset()) - frozenset(addresses)
        gone = self._shared.get(key, frozenset()) - left
        self._shared[key] = left
        for address in gone:
            if address.packed not in {each.packed for each in left}:
                self._forget_sharer(key, address)

    def shared_by(self, key: HostKey) -> frozenset[Interface]:
        """Return the addresses that a host may hold."""
        return self._shared.get(key, frozenset())

    def is_shared(self, key: AddressKey) -> bool:
        """Say whether an address may be a host's."""
        return key.packed in self._sharers

    def hold(self, key: HostKey, index: int, addresses: Iterable[Interface]) -> None:
        """Note that a host wants addresses on a link."""
        for address in addresses:
            self._holders[Place(index, address.packed)] = key

    def let_go(self, index: int, addresses: Iterable[Interface]) -> None:
        """Note that nobody wants addresses on a link."""
        for address in addresses:
            self._holders.pop(Place(index, address.packed), None)

    def holder(self, place: Place) -> HostKey | None:
        """Return the host that wants this address on this link."""
        return self._holders.get(place)

    def sharers(self, place: Place) -> frozenset[HostKey]:
        """Return the hosts that may hold an address, wherever it is."""
        return self._sharers.get(place.packed, frozenset())

    def forget(self, key: HostKey) -> None:
        """Forget a host."""
        for address in self._shared.pop(key, frozenset()):
            self._forget_sharer(key, address)
        for place in [place for place, holder in self._holders.items() if holder == key]:
            del self._holders[place]

    def _forget_sharer(self, key: HostKey, address: Interface) -> None:
        left = self._sharers.get(address.packed, frozenset()) - {key}
        if left:
            self._sharers[address.packed] = left
        else:
            self._sharers.pop(address.packed, None)


def keys_of(addresses: Iterable[Interface]) -> frozenset[AddressKey]:
    """Return what the kernel knows addresses by."""
    return frozenset(key_of(each) for each in addresses)
