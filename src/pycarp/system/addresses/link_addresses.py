"""Reads, adds and removes the addresses of a link; blocking, in the thread of the socket."""

import errno
import os
import socket
from collections.abc import Collection, Iterable, Sequence

from pycarp.system.addresses.link_routes import restorations
from pycarp.system.addresses.ownership_index import OwnershipIndex
from pycarp.system.capabilities import knows_address_protocols
from pycarp.system.rtnetlink import address_requests
from pycarp.system.rtnetlink.route_messages import AddressKey, AddressState, address_state, key_of
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import InterfaceAddress

_SHORT_S = 60
"""Longer than the lifetime of an address of CARP, and shorter than that of a DHCP lease."""

_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO)


class AddressError(OSError):
    """The kernel refused to add or to remove ``address``."""

    def __init__(self, number: int, address: InterfaceAddress) -> None:
        super().__init__(number, os.strerror(number))
        self.address = address


def index_of(link: str) -> int:
    """Return the index of a link in the thread's network namespace, 0 if no link has this name."""
    try:
        return socket.if_nametoindex(link)
    except OSError:
        return 0


def is_there(index: int) -> bool:
    """Return True if a link of the thread's network namespace has this index."""
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def present(route: RouteSocket, index: int) -> list[AddressState]:
    """Return the addresses of a link, in the order of Linux's preference; none if the link is absent."""
    try:
        found = [address_state(each) for each in route.read(address_requests.reading(index))]
    except OSError as exc:
        if exc.errno == errno.ENODEV:
            return []
        raise
    return [each for each in found if each.index == index]


def everywhere(route: RouteSocket) -> list[AddressState]:
    """Return the addresses of all links."""
    return [address_state(each) for each in route.read(address_requests.reading(0))]


def without_route(
    addresses: Iterable[InterfaceAddress], own: Sequence[AddressState], owners: OwnershipIndex
) -> frozenset[InterfaceAddress]:
    """Return the addresses that need no route, because an own address among ``own`` is in the same network."""
    keys = ((address, key_of(address)) for address in addresses)
    truly_own = _own(own, owners)
    return frozenset(address for address, key in keys if any(each.is_in_network_of(key) for each in truly_own))


def before_own(
    addresses: Iterable[InterfaceAddress], found: Sequence[AddressState], owners: OwnershipIndex
) -> frozenset[InterfaceAddress]:
    """Return the IPv4 addresses that the kernel lists, in ``found``, before one of the machine's own.

    Linux begins connections from the first suitable address. An own address that was added after a shared one of its
    network is secondary: it has no route, and the source of the shared one's route is the shared address.
    Source: inet_select_addr and inet_insert_ifa in ``net/ipv4/devinet.c``.
    """
    own = {id(each) for each in _own(found, owners) if not _may_be_of_carp(each)}
    places = {each.key: place for place, each in enumerate(found)}
    return frozenset(
        address
        for address in addresses
        if (place := places.get(key_of(address))) is not None
        and any(id(each) in own and _is_behind(found[place], each) for each in found[place + 1 :])
    )


def _own(found: Iterable[AddressState], owners: OwnershipIndex) -> list[AddressState]:
    return [each for each in found if not (each.is_of_carp or owners.is_shared(each.key))]


def _may_be_of_carp(state: AddressState) -> bool:
    """Return True if the kernel does not know who added an address and another pycarp may have.

    Taken for an own address, it would make two processes move their addresses behind each other's for ever.
    """
    return not knows_address_protocols() and state.lifetime_s is not None and state.lifetime_s < _SHORT_S


def _is_behind(shared: AddressState, own: AddressState) -> bool:
    """Return True if an own IPv4 address listed after the shared one is primary, or secondary to the shared one."""
    is_ipv4 = len(shared.key.packed) == len(own.key.packed) == 4
    return is_ipv4 and (not own.is_secondary or _may_take_along(shared, own))


def add(
    route: RouteSocket,
    index: int,
    addresses: Sequence[InterfaceAddress],
    routeless: Collection[InterfaceAddress],
    lifetime_s: int | None,
) -> None:
    """Add addresses to a link, and set the lifetime of those that are present.

    For those in ``routeless`` the kernel adds no route. Raises AddressError for the first one refused.
    """
    requests = [
        address_requests.adding(index, each, lifetime_s=lifetime_s, has_route=each not in routeless)
        for each in addresses
    ]
    _raise_first(addresses, route.ask(requests))


def delete(route: RouteSocket, index: int, addresses: Sequence[InterfaceAddress]) -> None:
    """Remove addresses from a link that has no others; absent ones are ignored. Raises AddressError."""
    errors = route.ask([address_requests.deleting(index, each) for each in addresses])
    _raise_first(addresses, [0 if error in _GONE else error for error in errors])


def remove(
    route: RouteSocket, index: int, leaving: Sequence[InterfaceAddress], leaving_soon: Collection[AddressKey] = ()
) -> None:
    """Remove addresses from a link, and restore what the kernel removes with them; absent ones are ignored.

    Unless ``promote_secondaries`` is set, the kernel removes with the first address of a network all others of that
    network: those of another virtual host and the machine's own, with or without a route. They are added again, except
    ``leaving_soon``; and so are the routes that the kernel removes with the last IPv4 address.
    Source: ``ip-sysctl`` of the kernel's documentation. Raises AddressError.
    """
    keys = {key_of(each): each for each in leaving}
    before = present(route, index)
    going = sorted((each for each in before if each.key in keys), key=lambda each: not each.is_secondary)
    if not going:
        return
    routes = restorations(route, index) if _leaves_none(going, before) else []
    try:
        delete(route, index, [keys[each.key] for each in going])
    finally:
        # A route that depends on a removed address is refused; that is right.
        route.ask(routes)
        stays = [each for each in before if each.key not in keys and each.key not in leaving_soon]
        if any(_may_take_along(one, another) for one in going for another in stays):
            _put_back(route, index, stays)


def _leaves_none(going: Iterable[AddressState], before: Iterable[AddressState]) -> bool:
    """Return True if ``going`` are the last IPv4 addresses of the link."""
    ipv4 = {each.key for each in before if len(each.key.packed) == 4}
    return bool(ipv4) and ipv4 <= {each.key for each in going}


def _may_take_along(one: AddressState, another: AddressState) -> bool:
    same_length = one.key.prefix_length == another.key.prefix_length
    is_pair = another.is_secondary and not one.is_secondary and len(one.key.packed) == 4
    return is_pair and same_length and another.is_in_network_of(one.key)


def _put_back(route: RouteSocket, index: int, wanted: list[AddressState]) -> None:
    after = {each.key for each in present(route, index)}
    for error in route.ask([address_requests.restoring(each) for each in wanted if each.key not in after]):
        if error and error not in _GONE:
            raise OSError(error, os.strerror(error))


def _raise_first(addresses: Sequence[InterfaceAddress], errors: Sequence[int]) -> None:
    for address, error in zip(addresses, errors, strict=True):
        if error:
            raise AddressError(error, address)
