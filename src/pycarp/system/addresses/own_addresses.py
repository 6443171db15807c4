"""Refuses to share the machine's own addresses: the first hand-over would remove them from the machine."""

from collections.abc import Callable, Iterable, Iterator

from pycarp.core.host_config import HostConfig
from pycarp.errors import ConfigError
from pycarp.system.rtnetlink import address_requests, link_requests
from pycarp.system.rtnetlink.route_messages import (
    AddressKey,
    AddressState,
    LinkState,
    address_state,
    key_of,
    link_state,
)
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.vocabulary import InterfaceAddress
from pycarp.wire.ethernet import virtual_mac

_EVERY_LINK = 0


def refuse(route: RouteSocket, configs: Iterable[HostConfig], is_shared: Callable[[AddressKey], bool]) -> None:
    """Raise ConfigError, with a line for each address of these hosts that the machine has itself, on whatever link.

    Prefix lengths do not matter. An address is not the machine's own if ``is_shared`` says so, if the kernel says that
    pycarp added it, or if it is on the host's device, left by a predecessor. A link-local address may be on other links
    than the host's. A ``neutral`` host does not manage addresses, so none is refused. Raises OSError.
    """
    wanted = [
        (config, address)
        for config in configs
        if not config.neutral
        for address in config.addresses
        if not is_shared(key_of(address))
    ]
    lines = list(_refusals(route, wanted)) if wanted else []
    if lines:
        raise ConfigError("\n".join(lines))


def _refusals(route: RouteSocket, wanted: list[tuple[HostConfig, InterfaceAddress]]) -> Iterator[str]:
    asked = {address.packed for _config, address in wanted}
    own: dict[bytes, list[AddressState]] = {}
    for found in map(address_state, route.read(address_requests.reading(_EVERY_LINK))):
        if found.key.packed in asked and not found.is_of_carp:
            own.setdefault(found.key.packed, []).append(found)
    for config, address in wanted:
        for found in own.get(address.packed, ()):
            message = route.read_one(link_requests.reading_by_index(found.index))
            link = link_state(message) if message else None
            if link is not None and _is_in_the_way(config, address, link):
                way_out = f"share another, or remove it first: ip address del {found.interface} dev {link.name}"
                yield f"{config.name}: {address.ip} is this machine's own address, on {link.name}; {way_out}"
                break


def _is_in_the_way(config: HostConfig, address: InterfaceAddress, link: LinkState) -> bool:
    if link.kind == "macvlan" and (link.name, link.mac) == (config.device, virtual_mac(config.vhid)):
        return False
    return link.name == config.interface or not address.ip.is_link_local
