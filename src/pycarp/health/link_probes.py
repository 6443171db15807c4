"""Probes of what the kernel knows: whether an interface is up, and whether there is a route. Linux.

Each asks in a thread of its own, because the kernel answers late while another process changes links in bulk.
"""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address, ip_network

from pycarp.core.host_settings import LINK_NAME_MAX
from pycarp.errors import ConfigError
from pycarp.health.blocking import BlockingCall
from pycarp.health.health_check import Answer, Finding, Probe
from pycarp.health.probes import reason_of
from pycarp.system.addresses.link_addresses import present
from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.route_messages import link_state
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.system.rtnetlink.routes import Network, NextHop, next_hop_for, next_hops_to
from pycarp.vocabulary import Address

DEFAULT = "default"
"""The default route of IPv4; that of IPv6 is ``::/0``."""


def interface(name: str, *, address: Address | str | None = None) -> Probe:
    """Return a probe that passes while an interface is up, has a carrier and, if one is given, has an address.

    Raises ConfigError unless ``name`` can be that of an interface, and ``address`` is one.
    """
    link, wanted = interface_named("interface", name), None if address is None else address_in("address", address)
    return _asking(partial(_look_at_interface, link, wanted))


def route(destination: Address | Network | str = DEFAULT, *, through: str = "") -> Probe:
    """Return a probe that passes while there is a route.

    For a network, such as ``"198.51.100.0/24"``, ``"default"`` for IPv4 or ``"::/0"``, it is a route to exactly this
    network; for an address it is the route that a packet would take. With ``through`` it leaves by this interface. A
    route whose interface is down or has no carrier does not count. Raises ConfigError for any other destination.
    """
    to = destination_in("route", destination)
    link = interface_named("through", through) if through else ""
    return _asking(partial(_look_at_route, to, link))


def interface_named(key: str, name: object) -> str:
    """Return the name of an interface; raises ConfigError for what cannot be one."""
    is_text = isinstance(name, str) and name.isprintable() and not set(name) & set("/ ")
    if not isinstance(name, str) or not is_text or not 1 <= len(name.encode()) <= LINK_NAME_MAX:
        raise ConfigError(
            f"{key} {name!r} is no name of an interface; write one of at most {LINK_NAME_MAX} octets: eth0"
        )
    return name


def address_in(key: str, value: object) -> Address:
    """Return an address; raises ConfigError for what is none."""
    try:
        return ip_address(str(value))
    except ValueError:
        raise ConfigError(f'{key} {value!r} is no address; write one such as "192.0.2.1" or "2001:db8::1"') from None


def destination_in(key: str, value: object) -> Address | Network:
    """Return where a route is to lead; raises ConfigError for what is neither an address nor a network."""
    text = "0.0.0.0/0" if value == DEFAULT else str(value)
    try:
        return ip_network(text) if "/" in text else ip_address(text)
    except ValueError:
        way_out = 'write "default", "::/0", a network such as "198.51.100.0/24" or an address such as "198.51.100.7"'
        raise ConfigError(f"{key} {value!r} is no destination; {way_out}") from None


def _asking(question: Callable[[RouteSocket], Finding]) -> Probe:
    def ask() -> Finding:
        with RouteSocket() as kernel:
            return question(kernel)

    asking = BlockingCall(ask)

    async def look() -> Finding:
        try:
            return await asking.result()
        except OSError as exc:
            return Finding(Answer.UNKNOWN, f"the kernel does not answer: {reason_of(exc)}")

    return look


def _look_at_interface(name: str, wanted: Address | None, kernel: RouteSocket) -> Finding:
    message = kernel.read_one(link_requests.reading_by_name(name))
    if message is None:
        return Finding(Answer.FAIL, f"interface {name} does not exist")
    state = link_state(message)
    if not state.is_up:
        return Finding(Answer.FAIL, f"interface {name} is administratively down")
    if not state.is_running:
        return Finding(Answer.FAIL, f"interface {name} has no carrier")
    if wanted is None:
        return Finding(Answer.OK, f"interface {name} is up")
    found = [each for each in present(kernel, state.index) if each.interface.ip == wanted]
    if not found:
        return Finding(Answer.FAIL, f"interface {name} has no address {wanted}")
    if not any(each.is_usable for each in found):
        return Finding(Answer.FAIL, f"interface {name} cannot use {wanted}, which may be a duplicate")
    return Finding(Answer.OK, f"interface {name} is up and has {wanted}")


def _look_at_route(to: Address | Network, link: str, kernel: RouteSocket) -> Finding:
    if isinstance(to, Network):
        shown = "default route" if to.prefixlen == 0 else f"route to {to}"
        hops: Sequence[NextHop] = next_hops_to(kernel, to)
    else:
        shown, hop = f"route for {to}", next_hop_for(kernel, to)
        hops = [hop] if hop else []
    if not hops:
        return Finding(Answer.FAIL, f"there is no {shown}")
    through = [each for each in hops if not link or _name_of(each) == link]
    if not through:
        return Finding(Answer.FAIL, f"the {shown} is through {_name_of(hops[0])}, not through {link}")
    alive = next((each for each in through if _is_running(kernel, each)), None)
    if alive is None:
        return Finding(Answer.FAIL, f"the {shown} is through {_name_of(through[0])}, which is down")
    by = f"via {alive.gateway} " if alive.gateway else ""
    return Finding(Answer.OK, f"the {shown} is {by}through {_name_of(alive)}")


def _is_running(kernel: RouteSocket, hop: NextHop) -> bool:
    # The flag of the route itself (RTNH_F_LINKDOWN) follows up to a second later.
    message = kernel.read_one(link_requests.reading_by_index(hop.link_index))
    return message is not None and link_state(message).is_running


def _name_of(hop: NextHop) -> str:
    try:
        return socket.if_indextoname(hop.link_index)
    except OSError:
        return "an interface that is gone"
