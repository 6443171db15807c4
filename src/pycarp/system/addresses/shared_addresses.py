"""The shared addresses of one host on this machine: on its device with the virtual MAC, or on the link itself.

All methods block and belong to the thread of the socket, except ``renewal`` and ``clean_up_plan``: these read only
values that are replaced as a whole.
"""

import contextlib
import errno
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Interface
from typing import NamedTuple

from pycarp.errors import ActuatorError
from pycarp.system.addresses import sysctl_files
from pycarp.system.addresses.link_addresses import (
    AddressError,
    add,
    before_own,
    delete,
    index_of,
    is_there,
    present,
    remove,
    without_route,
)
from pycarp.system.addresses.link_routes import destination, restorations
from pycarp.system.addresses.ownership_index import OwnershipIndex, keys_of
from pycarp.system.addresses.recent_addresses import RecentAddresses
from pycarp.system.addresses.shared_device import SharedDevice
from pycarp.system.guardian.clean_up_steps import CleanUpStep, Request, SysctlWrite
from pycarp.system.recovery.null_journal import Records
from pycarp.system.recovery.resources import Route, Shared
from pycarp.system.rtnetlink import address_requests
from pycarp.system.rtnetlink.route_messages import AddressKey, AddressState, key_of
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import HostKey, InterfaceAddress

_BRIDGE_S = 1
"""The lifetime of a temporary address with another prefix length, in case this process dies at that moment."""


_MOST_ROUTES = 64
"""The number of routes of a link without own addresses that the guardian restores."""


class DesiredState(NamedTuple):
    """The desired state of a host: the held addresses, the index of their link, and those without a route.

    ``routes`` are requests that restore the routes that the kernel removes with the last IPv4 address of the link.
    ``is_certain`` is False while a call is making the change, and after that call failed.
    """

    link_index: int = 0
    held: frozenset[InterfaceAddress] = frozenset()
    routeless: frozenset[InterfaceAddress] = frozenset()
    routes: tuple[bytes, ...] = ()
    is_certain: bool = True


class SharedAddresses:
    """Holds and drops the addresses of a host; without a ``device`` they are on the link itself.

    ``link`` is the present name of the link, ``key.link`` its name when the host was prepared. All hosts of a thread
    share ``recent``, so that those that hold at once read a link once.
    """

    def __init__(
        self,
        route: RouteSocket,
        key: HostKey,
        owners: OwnershipIndex,
        journal: Records,
        device: SharedDevice | None = None,
        recent: RecentAddresses | None = None,
    ) -> None:
        self.key = key
        self.device = device
        self.link = key.link
        self._below_index = 0
        self._route = route
        self._recent = recent
        self._asked_at_s: float | None = None
        self._owners = owners
        self._journal = journal
        self._desired = DesiredState()
        self._renewal: tuple[object, bytes] = (None, b"")
        self._plan: tuple[object, tuple[CleanUpStep, ...]] = (None, ())
        self._is_removed = False
        self._recorded_routes: tuple[Route, ...] = ()

    @property
    def place(self) -> str:
        """The name of the link on which the addresses are."""
        return self.device.name if self.device else self.link

    def below(self) -> int:
        """Return the index of the link, 0 if the link is absent.

        The index is kept as long as that link exists, because a rename takes effect before its notification arrives.
        """
        if not (self._below_index and is_there(self._below_index)):
            self._below_index = index_of(self.link)
        return self._below_index

    def share(self, addresses: Collection[InterfaceAddress]) -> None:
        """Record addresses that the host may hold in the journal and the index; raises ActuatorError."""
        if not set(addresses) <= self._owners.shared_by(self.key):
            for each in sorted(self._owners.share(self.key, addresses), key=str):
                self._journal.record(Shared(self.place, str(each)))

    def set_shared(self, addresses: Collection[InterfaceAddress]) -> None:
        """Record these addresses, and strike out those that the host no longer shares and does not hold."""
        with contextlib.suppress(OSError, ActuatorError):
            # hold() records them as well, and raises when that fails.
            self.share(addresses)
        left = self._owners.shared_by(self.key) - set(addresses) - self._desired.held
        for each in sorted(left, key=str):
            self._journal.strike(Shared(self.place, str(each)))
        self._owners.unshare(self.key, left)

    def try_out(self, addresses: Sequence[InterfaceAddress]) -> None:
        """Raise AddressError or ActuatorError for an address that the kernel refuses.

        A host that holds addresses adds the absent ones and removes them at once. Another one must not have them for
        a moment, because its machine would answer for them: it looks at what the kernel would say.
        """
        if not self._desired.held:
            self._foresee([each for each in addresses if each.version == 6])
            return
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

    def _foresee(self, addresses: Sequence[InterfaceAddress]) -> None:
        """Raise what the kernel will say against IPv6 addresses; it refuses no IPv4 address that a host can have."""
        if not addresses or not self.below():
            return
        is_off = sysctl_files.read(f"net/ipv6/conf/{self.place}/disable_ipv6")
        if is_off is None:
            raise ActuatorError(f"cannot add {addresses[0]} to {self.place}: this kernel, or this link, has no IPv6")
        if self.device is None and is_off != "0":
            raise AddressError(errno.EACCES, addresses[0])

    def hold(
        self, addresses: Sequence[InterfaceAddress], lifetime_s: int | None, *, asked_at_s: float | None = None
    ) -> None:
        """Add the addresses, and set the lifetime of all, None for ever; raises OSError or ActuatorError.

        ``asked_at_s`` is when that was asked for, None for now: what was read of the link since then is good enough.
        """
        self.share(addresses)
        self._asked_at_s = asked_at_s
        try:
            self._hold(addresses, lifetime_s)
        except OSError as exc:
            if exc.errno != errno.ENODEV or self.device is None:
                raise
            # The device was deleted meanwhile. If that happens again, the caller retries.
            self._forget_readings()
            self._hold(addresses, lifetime_s)

    def drop(
        self,
        addresses: Sequence[InterfaceAddress],
        leaving_soon: Collection[AddressKey],
        *,
        asked_at_s: float | None = None,
    ) -> None:
        """Remove the addresses from the device and the link; no-op if they or the link are absent.

        ``leaving_soon`` are other addresses of the link that will be dropped next. A missing device is made again if
        possible. ``asked_at_s`` is as for ``hold``. Raises OSError.
        """
        before = self._desired
        left = before.held - set(addresses)
        self._owners.let_go(before.link_index, addresses)
        self._desired = before._replace(held=left, is_certain=False)
        if self.device is not None:
            self._drop_from_device(self.device, addresses, left)
        below = self.below()
        # What this host did not add itself, a dead process may have left: one reading of the link serves all hosts.
        is_foreign = self.device is not None or (before.is_certain and not before.held)
        self._asked_at_s = asked_at_s if is_foreign else None
        if below and self._are_on(below, addresses):
            self._forget_readings()
            remove(self._route, below, self._taken(below, addresses), leaving_soon)
        self._desired = self._desired._replace(is_certain=True)
        if not left:
            self._record_routes(())
        if self.device is not None:
            self.restore_device()

    def on_link(self) -> list[AddressState]:
        """Return the addresses of the link itself, whoever added them; raises OSError."""
        self._forget_readings()
        return present(self._route, self.below())

    def follow_own(self, on_link: Sequence[AddressState]) -> None:
        """Move held addresses behind the machine's own, and add or remove their routes as needed; raises OSError.

        Call it when own addresses were added or removed; ``on_link`` are the present addresses of the link.
        """
        desired = self._desired
        if not desired.held or not desired.is_certain:
            return
        found = present(self._route, desired.link_index) if self.device else on_link
        there = {each.key: each for each in found}
        routeless = without_route(desired.held, on_link, self._owners)
        late = before_own(desired.held, on_link, self._owners)
        moving = [each for each in (routeless ^ desired.routeless) | late if key_of(each) in there]
        if not moving:
            return
        self._desired = desired._replace(routeless=routeless, is_certain=False)
        self._move_to_end(moving, {each: there[key_of(each)].lifetime_s for each in moving})
        self._desired = self._desired._replace(is_certain=True)

    def renewal(self, addresses: Sequence[InterfaceAddress], lifetime_s: int) -> bytes:
        """Return the requests that renew the held ones among the addresses for ``lifetime_s`` seconds from now."""
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

    def clean_up_plan(self, addresses: Sequence[InterfaceAddress]) -> tuple[CleanUpStep, ...]:
        """Return the steps with which the guardian drops the addresses; they change when the device is made again."""
        device = self.device
        if device is None:
            index = self._desired.link_index or self.below()
            deleting = (address_requests.deleting(index, each) for each in addresses)
            return tuple(map(Request, (*deleting, *self._desired.routes))) if index else ()
        if not device.index:
            return ()
        asked = (device.index, device.name, tuple(addresses))
        if self._plan[0] != asked:
            # Kept, because it is asked for before and after each hold.
            requests = [
                Request(address_requests.deleting(device.index, each)) for each in addresses if each.version == 4
            ]
            path, text = device.shutting
            shut = SysctlWrite(f"/proc/sys/{path}", text)
            has_ipv6 = any(each.version == 6 for each in addresses)
            self._plan = (asked, (*requests, shut) if has_ipv6 else tuple(requests))
        return self._plan[1]

    def differences(self) -> list[str]:
        """Return a sentence for each difference from the desired state; repair the name and MAC of the device.

        A device that an administrator set down counts as unchanged: the kernel removed its IPv6 addresses.
        """
        desired = self._desired
        said = self.device.mend() if self.device else []
        is_up = self.device is None or self.device.reads_as_up()
        return said + (self._differences(desired) if is_up and desired.is_certain else [])

    def missing(self, there: Collection[tuple[int, AddressKey]]) -> frozenset[InterfaceAddress]:
        """Return the desired addresses that are not in ``there``, the addresses of all links by index."""
        desired = self._desired
        return frozenset(each for each in desired.held if (desired.link_index, key_of(each)) not in there)

    def restore_device(self) -> None:
        """Make the device again if it is missing and its link exists; ignore errors, which ``hold`` raises later."""
        if self.device is not None:
            with contextlib.suppress(OSError, ActuatorError):
                self.device.ensure()

    def set_up(self, *, is_up: bool) -> None:
        """Set the device up or down; no-op without a device."""
        if self.device is not None:
            with contextlib.suppress(OSError):
                self.device.set_up(is_up=is_up)

    def follow_link(self) -> None:
        """React to a change of the link below the device: make the device again, or follow the MTU."""
        if self.device is None or self._is_removed:
            return
        with contextlib.suppress(OSError, ActuatorError):
            # While the device has an index, differences() has yet to report that it is missing.
            if self.device.index:
                self.device.follow_mtu()
            else:
                self.device.ensure()

    def rename_link(self, name: str) -> None:
        """Follow a rename of the link to ``name``; raises ActuatorError."""
        before, self.link = self.place, name
        self._record_routes(self._desired.routes if self._desired.held else ())
        if self.device is not None:
            self.device.rename_link(name)
            return
        for each in sorted(self._owners.shared_by(self.key), key=str):
            self._journal.record(Shared(self.place, str(each)))
            self._journal.strike(Shared(before, str(each)))

    def remove(self) -> None:
        """Remove the addresses and the device, and strike all out of the journal; raises OSError or ActuatorError."""
        if self._desired.held and self.device is None:
            self.drop(tuple(self._desired.held), ())
        if self.device is not None:
            self.device.remove()
        self._is_removed = True
        for each in sorted(self._owners.shared_by(self.key), key=str):
            self._journal.strike(Shared(self.place, str(each)))
        self._record_routes(())
        self._owners.forget(self.key)
        self._desired = DesiredState()

    def _hold(self, addresses: Sequence[InterfaceAddress], lifetime_s: int | None) -> None:
        index = self.device.ensure() if self.device else self.below()
        if not index:
            raise OSError(errno.ENODEV, f"interface {self.link} does not exist")
        own = self._recently_on(self.below() if self.device else index)
        routeless = without_route(addresses, own, self._owners)
        held = self._desired.held | set(addresses)
        routeless |= self._desired.routeless - set(addresses)
        routes = self._endangered_routes(index, own)
        self._record_routes(routes if held else ())
        self._desired = DesiredState(index, held, routeless, routes, is_certain=False)
        self._owners.hold(self.key, index, addresses)
        if self.device is not None:
            self.device.open({each.version for each in addresses})
            wanted = keys_of(addresses)
            if any(each.key in wanted for each in own):
                remove(self._route, self.below(), addresses)
        add(self._route, index, addresses, routeless, lifetime_s)
        self._desired = self._desired._replace(is_certain=True)
        if lifetime_s is not None:
            # Encode the renewal here in the thread, not in the event loop.
            self.renewal(addresses, lifetime_s)

    def _drop_from_device(
        self, device: SharedDevice, addresses: Sequence[InterfaceAddress], left: frozenset[InterfaceAddress]
    ) -> None:
        if device.index and index_of(device.name) != device.index:
            device.mend()
        if not device.index or device.takes_as_empty():
            return
        if left:
            remove(self._route, device.index, addresses)
        else:
            delete(self._route, device.index, [each for each in addresses if each.version == 4])
        if not any(each.version == 6 for each in left):
            device.shut()

    def _endangered_routes(self, index: int, found: Sequence[AddressState]) -> tuple[bytes, ...]:
        """Return requests that restore the routes of the link, if all its IPv4 addresses are shared."""
        ipv4 = [each for each in found if len(each.key.packed) == 4]
        if self.device is not None or any(not self._owners.is_shared(each.key) for each in ipv4):
            return ()
        known = self._desired.routes if ipv4 else ()
        return known or tuple(restorations(self._route, index)[:_MOST_ROUTES])

    def _record_routes(self, requests: Sequence[bytes]) -> None:
        """Record the endangered routes for a later start, and strike out those that are endangered no longer."""
        routes = tuple(Route(self.link, destination(each), each.hex()) for each in requests)
        if routes == self._recorded_routes:
            return
        # Not fatal: routes are no reason not to take over. On a full disk the guardian restores them nevertheless.
        with contextlib.suppress(OSError, ActuatorError):
            for each in routes:
                self._journal.record(each)
            for each in self._recorded_routes:
                if each not in routes:
                    self._journal.strike(each)
        self._recorded_routes = routes

    def _move_to_end(
        self, moving: Sequence[InterfaceAddress], lifetimes_s: Mapping[InterfaceAddress, int | None]
    ) -> None:
        """Remove IPv4 addresses and add them again; for IPv6 the kernel changes the route in place.

        Meanwhile each is present with prefix length 32: the machine still answers for it, and the link has an address,
        without which it would lose all its routes. Source: fib_inetaddr_event in ``net/ipv4/fib_frontend.c``.
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

    def _taken(self, index: int, addresses: Sequence[InterfaceAddress]) -> Sequence[InterfaceAddress]:
        """Return those addresses of a link that this host may hold, or that another pycarp added."""
        shared = self._owners.shared_by(self.key)
        if shared.issuperset(addresses):
            return addresses
        left = {each.key for each in present(self._route, index) if each.is_of_carp}
        return [each for each in addresses if each in shared or key_of(each) in left]

    def _recently_on(self, index: int) -> list[AddressState]:
        if self._recent is None or self._asked_at_s is None:
            return present(self._route, index)
        return self._recent.of(index, self._asked_at_s)

    def _are_on(self, index: int, addresses: Sequence[InterfaceAddress]) -> bool:
        """Return True if any of the addresses may be on a link."""
        if self._recent is None or self._asked_at_s is None:
            return True
        wanted = keys_of(addresses)
        return any(each.key in wanted for each in self._recently_on(index))

    def _forget_readings(self) -> None:
        if self._recent is not None:
            self._recent.forget()

    def _keys_on(self, index: int) -> set[AddressKey]:
        return {each.key for each in present(self._route, index)} if index else set()

    def _differences(self, desired: DesiredState) -> list[str]:
        below = self._keys_on(self.below())
        there, strange = (self._keys_on(self.device.index), below) if self.device else (below, set())
        missing = (each for each in desired.held if key_of(each) not in there)
        shared = self._owners.shared_by(self.key)
        extra = (each for each in shared - desired.held if key_of(each) in there)
        strayed = (each for each in shared if key_of(each) in strange)
        return [
            *(f"{each} was removed from {self.place}" for each in missing),
            *(f"{each} was added to {self.place}" for each in extra),
            *(f"{each} was added to {self.link}" for each in strayed),
        ]
