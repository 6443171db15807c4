"""The shared addresses of one host on this machine: on its device with the virtual MAC, or on the link itself.

All methods block and belong to the thread of the socket, but for ``renewal`` and ``will``, which read only what is
replaced as a whole.
"""

import contextlib
import errno
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Interface
from typing import NamedTuple

from pycarp.errors import ActuatorError
from pycarp.system.addresses.link_addresses import (
    add,
    before_own,
    delete,
    index_of,
    is_there,
    present,
    remove,
    without_route,
)
from pycarp.system.addresses.link_routes import restorations
from pycarp.system.addresses.ownership_index import OwnershipIndex, keys_of
from pycarp.system.addresses.shared_device import SharedDevice
from pycarp.system.guardian.clean_up_steps import CleanUpStep, Request, SysctlWrite
from pycarp.system.recovery.null_journal import Records
from pycarp.system.recovery.resources import Shared
from pycarp.system.rtnetlink import address_requests
from pycarp.system.rtnetlink.route_messages import AddressKey, AddressState, key_of
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import HostKey, Interface

_BRIDGE_S = 1
"""How long an address may stay with another prefix length if this process dies in that moment."""


_MOST_ROUTES = 64
"""So many routes of a link without own addresses the guardian puts back."""


class DesiredState(NamedTuple):
    """What a host wants to be there now: which addresses, on the link of which index, and which without a route.

    ``routes`` are requests that put back what the kernel takes away with the last IPv4 address of the link.
    ``is_certain`` is False while, or after, a call failed to bring it about.
    """

    link_index: int = 0
    held: frozenset[Interface] = frozenset()
    routeless: frozenset[Interface] = frozenset()
    routes: tuple[bytes, ...] = ()
    is_certain: bool = True


class SharedAddresses:
    """Holds and drops the addresses of a host; ``device`` None stands for the link itself.

    ``link`` is what the link is called now, and ``key.link`` what it was called when the host was adopted.
    """

    def __init__(
        self,
        route: RouteSocket,
        key: HostKey,
        book: OwnershipIndex,
        journal: Records,
        device: SharedDevice | None = None,
    ) -> None:
        self.key = key
        self.device = device
        self.link = key.link
        self._below_index = 0
        self._route = route
        self._book = book
        self._journal = journal
        self._desired = DesiredState()
        self._renewal: tuple[object, bytes] = (None, b"")
        self._is_removed = False

    @property
    def place(self) -> str:
        """The name of the link on which the addresses are."""
        return self.device.name if self.device else self.link

    def below(self) -> int:
        """Return the index of the link, 0 if there is none.

        It is the same one for as long as it exists: a rename may be known by what follows from it before it is told.
        """
        if not (self._below_index and is_there(self._below_index)):
            self._below_index = index_of(self.link)
        return self._below_index

    def share(self, addresses: Collection[Interface]) -> None:
        """Record addresses that the host may hold; raises ActuatorError."""
        if not set(addresses) <= self._book.shared_by(self.key):
            for each in sorted(self._book.share(self.key, addresses), key=str):
                self._journal.record(Shared(self.place, str(each)))

    def set_shared(self, addresses: Collection[Interface]) -> None:
        """Record these addresses, and strike out all others that the host does not hold."""
        with contextlib.suppress(OSError, ActuatorError):
            # Whoever holds them records them as well, and says so when that fails.
            self.share(addresses)
        left = self._book.shared_by(self.key) - set(addresses) - self._desired.held
        for each in sorted(left, key=str):
            self._journal.strike(Shared(self.place, str(each)))
        self._book.unshare(self.key, left)

    def try_out(self, addresses: Sequence[Interface]) -> None:
        """Put addresses that are not there on the device or link, and take them off again; AddressError if refused."""
        index = self._desired.link_index
        there = self._keys_on(index)
        tried = [each for each in addresses if key_of(each) not in there]
        if not index or not tried:
            return
        versions = {each.version for each in self._desired.held}
        try:
            if self.device is not None:
                self.device.open({each.version for each in tried})
            add(self._route, index, tried, tried, lifetime_s=1)
        finally:
            delete(self._route, index, tried)
            if self.device is not None and 6 not in versions:
                self.device.shut()

    def hold(self, addresses: Sequence[Interface], lifetime_s: int | None) -> None:
        """Put the addresses there that are not, and let all stay for so long; raises OSError or ActuatorError."""
        self.share(addresses)
        try:
            self._hold(addresses, lifetime_s)
        except OSError as exc:
            if exc.errno != errno.ENODEV or self.device is None:
                raise
            # It went away since it was last seen; if it does so once more, the caller will come again.
            self._hold(addresses, lifetime_s)

    def drop(self, addresses: Sequence[Interface], leaving_soon: Collection[AddressKey]) -> None:
        """Take the addresses off the device and the link; well if they, or the whole link, are not there.

        ``leaving_soon`` are other addresses of the link that will be dropped next. A device that is not there is made
        again if that is possible. Raises OSError.
        """
        before = self._desired
        left = before.held - set(addresses)
        self._book.let_go(before.link_index, addresses)
        self._desired = before._replace(held=left, is_certain=False)
        if self.device is not None:
            self._drop_from_device(self.device, addresses, left)
        below = self.below()
        if below:
            remove(self._route, below, self._taken(below, addresses), leaving_soon)
        self._desired = self._desired._replace(is_certain=True)
        if self.device is not None:
            self.restore_device()

    def on_link(self) -> list[AddressState]:
        """Return the addresses of the link itself, whoever has put them there; raises OSError."""
        return present(self._route, self.below())

    def follow_own(self, on_link: Sequence[AddressState]) -> None:
        """Put held addresses behind the machine's own, and give a route to those only that need one; raises OSError.

        ``on_link`` is what is on the link now. Own addresses that came or went change both.
        """
        desired = self._desired
        if not desired.held or not desired.is_certain:
            return
        found = present(self._route, desired.link_index) if self.device else on_link
        there = {each.key: each for each in found}
        routeless = without_route(desired.held, on_link, self._book)
        late = before_own(desired.held, on_link, self._book)
        moving = [each for each in (routeless ^ desired.routeless) | late if key_of(each) in there]
        if not moving:
            return
        self._desired = desired._replace(routeless=routeless, is_certain=False)
        self._put_anew(moving, {each: there[key_of(each)].lifetime_s for each in moving})
        self._desired = self._desired._replace(is_certain=True)

    def renewal(self, addresses: Sequence[Interface], lifetime_s: int) -> bytes:
        """Return the requests that let those of the addresses that are held stay for so long from now."""
        desired = self._desired
        asked = (desired, tuple(addresses), lifetime_s)
        if self._renewal[0] != asked:
            requests = (
                address_requests.renewing(desired.link_index, each, lifetime_s, has_route=each not in desired.routeless)
                for each in addresses
                if each in desired.held
            )
            self._renewal = (asked, b"".join(requests))
        return self._renewal[1]

    def clean_up_plan(self, addresses: Sequence[Interface]) -> tuple[CleanUpStep, ...]:
        """Return what somebody else has to do to drop the addresses; of a device that is made anew it is another."""
        device = self.device
        if device is None:
            index = self._desired.link_index or self.below()
            deleting = (address_requests.deleting(index, each) for each in addresses)
            return tuple(map(Request, (*deleting, *self._desired.routes))) if index else ()
        if not device.index:
            return ()
        requests = [Request(address_requests.deleting(device.index, each)) for each in addresses if each.version == 4]
        path, text = device.shutting
        shut = SysctlWrite(f"/proc/sys/{path}", text)
        return (*requests, shut) if any(each.version == 6 for each in addresses) else tuple(requests)

    def differences(self) -> list[str]:
        """Return in sentences what is not as it should be; a device has its name and its MAC back thereafter.

        A device that an administrator set down has no differences: the kernel took the IPv6 addresses off it.
        """
        desired = self._desired
        said = self.device.mend() if self.device else []
        is_up = self.device is None or self.device.reads_as_up()
        return said + (self._differences(desired) if is_up and desired.is_certain else [])

    def missing(self, there: Collection[tuple[int, AddressKey]]) -> frozenset[Interface]:
        """Return the addresses that are to be there and are not among those of all links, by index."""
        desired = self._desired
        return frozenset(each for each in desired.held if (desired.link_index, key_of(each)) not in there)

    def restore_device(self) -> None:
        """Make the device anew if it is not there and its link is; that it cannot be made shows when it is needed."""
        if self.device is not None:
            with contextlib.suppress(OSError, ActuatorError):
                self.device.ensure()

    def set_up(self, *, is_up: bool) -> None:
        """Set the device up or down; well if there is none."""
        if self.device is not None:
            with contextlib.suppress(OSError):
                self.device.set_up(is_up=is_up)

    def follow_link(self) -> None:
        """Follow what became of the link below the device: it may be there again, or have another MTU."""
        if self.device is None or self._is_removed:
            return
        with contextlib.suppress(OSError, ActuatorError):
            # While it has an index, its absence is yet to be seen, and told.
            if self.device.index:
                self.device.follow_mtu()
            else:
                self.device.ensure()

    def rename_link(self, name: str) -> None:
        """Follow the link, which is called ``name`` now; raises ActuatorError."""
        before, self.link = self.place, name
        if self.device is not None:
            self.device.rename_link(name)
            return
        for each in sorted(self._book.shared_by(self.key), key=str):
            self._journal.record(Shared(self.place, str(each)))
            self._journal.strike(Shared(before, str(each)))

    def remove(self) -> None:
        """Remove the device, and strike everything out of the journal; raises OSError or ActuatorError."""
        if self.device is not None:
            self.device.remove()
        self._is_removed = True
        for each in sorted(self._book.shared_by(self.key), key=str):
            self._journal.strike(Shared(self.place, str(each)))
        self._book.forget(self.key)
        self._desired = DesiredState()

    def _hold(self, addresses: Sequence[Interface], lifetime_s: int | None) -> None:
        index = self.device.ensure() if self.device else self.below()
        if not index:
            raise OSError(errno.ENODEV, f"interface {self.link} does not exist")
        own = present(self._route, self.below()) if self.device else present(self._route, index)
        routeless = without_route(addresses, own, self._book)
        held = self._desired.held | set(addresses)
        routeless |= self._desired.routeless - set(addresses)
        routes = self._endangered_routes(index, own)
        self._desired = DesiredState(index, held, routeless, routes, is_certain=False)
        self._book.hold(self.key, index, addresses)
        if self.device is not None:
            self.device.open({each.version for each in addresses})
            wanted = keys_of(addresses)
            if any(each.key in wanted for each in own):
                remove(self._route, self.below(), addresses)
        add(self._route, index, addresses, routeless, lifetime_s)
        self._desired = self._desired._replace(is_certain=True)
        if lifetime_s is not None:
            # Encoded here and not in the event loop.
            self.renewal(addresses, lifetime_s)

    def _drop_from_device(
        self, device: SharedDevice, addresses: Sequence[Interface], left: frozenset[Interface]
    ) -> None:
        if device.index and index_of(device.name) != device.index:
            device.mend()
        if not device.index:
            return
        if left:
            remove(self._route, device.index, addresses)
        else:
            delete(self._route, device.index, [each for each in addresses if each.version == 4])
        if not any(each.version == 6 for each in left):
            device.shut()

    def _endangered_routes(self, index: int, found: Sequence[AddressState]) -> tuple[bytes, ...]:
        """Return requests that put back the routes of the link, if it has no IPv4 address but shared ones."""
        ipv4 = [each for each in found if len(each.key.packed) == 4]
        if self.device is not None or any(not self._book.is_shared(each.key) for each in ipv4):
            return ()
        return self._desired.routes if ipv4 else tuple(restorations(self._route, index)[:_MOST_ROUTES])

    def _put_anew(self, moving: Sequence[Interface], lifetimes_s: Mapping[Interface, int | None]) -> None:
        """Take IPv4 addresses off and put them on again; of IPv6 the kernel changes the route in place.

        Meanwhile each is there with another prefix length: it goes on answering, and the link has an address, without
        which it would lose all its routes. Source: fib_inetaddr_event in ``net/ipv4/fib_frontend.c``.
        """
        index, routeless = self._desired.link_index, self._desired.routeless
        four = [each for each in moving if isinstance(each, IPv4Interface)]
        bridges = [IPv4Interface(each.ip) for each in four if each.network.prefixlen < each.max_prefixlen]
        add(self._route, index, bridges, bridges, _BRIDGE_S)
        try:
            remove(self._route, index, four)
            for each in moving:
                add(self._route, index, [each], routeless, lifetimes_s[each])
        finally:
            delete(self._route, index, bridges)

    def _taken(self, index: int, addresses: Sequence[Interface]) -> Sequence[Interface]:
        """Return those addresses of a link that were shared here, or that another pycarp has put there."""
        shared = self._book.shared_by(self.key)
        if shared.issuperset(addresses):
            return addresses
        left = {each.key for each in present(self._route, index) if each.is_of_carp}
        return [each for each in addresses if each in shared or key_of(each) in left]

    def _keys_on(self, index: int) -> set[AddressKey]:
        return {each.key for each in present(self._route, index)} if index else set()

    def _differences(self, desired: DesiredState) -> list[str]:
        below = self._keys_on(self.below())
        there, strange = (self._keys_on(self.device.index), below) if self.device else (below, set())
        missing = (each for each in desired.held if key_of(each) not in there)
        shared = self._book.shared_by(self.key)
        extra = (each for each in shared - desired.held if key_of(each) in there)
        strayed = (each for each in shared if key_of(each) in strange)
        return [
            *(f"{each} was removed from {self.place}" for each in missing),
            *(f"{each} was added to {self.place}" for each in extra),
            *(f"{each} was added to {self.link}" for each in strayed),
        ]
