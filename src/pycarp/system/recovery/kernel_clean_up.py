"""The kernel's side of a clean-up: reads and removes devices and addresses that a dead daemon left.

Importing pyroute2 takes a good part of a second, so this module is imported only where it is used.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from ipaddress import IPv4Interface, ip_interface
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pycarp.system.addresses import sysctl_files
from pycarp.system.capabilities import knows_address_protocols
from pycarp.system.recovery.resources import Device
from pycarp.system.rtnetlink.route_messages import FOREVER_S, IFA_F_SECONDARY
from pycarp.vocabulary import CARP_PROTOCOL, InterfaceAddress

_GONE = (errno.ENODEV, errno.EADDRNOTAVAIL)


class KernelCleanUp:
    """A netlink socket; an async context manager. Errors of the kernel surface as OSError."""

    def __init__(self) -> None:
        self._route: Any = None

    async def __aenter__(self) -> Self:
        self._route = AsyncIPRoute()
        await self._route.setup_endpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._route.close()

    async def difference(self, device: Device) -> str | None:
        """Return how a device differs from its record; None if it does not, or no device has this name."""
        link = await self._link(ifname=device.name)
        if link is None:
            return None
        kind = _kind(link)
        if kind != "macvlan":
            return f"it is no macvlan but of kind {kind}"
        mac = str(link.get_attr("IFLA_ADDRESS"))
        if mac != device.mac.lower():
            return f"its MAC address is {mac} and not {device.mac}"
        below = await self._name_below(link)
        return None if below == device.link else f"it is on {below or 'another link'} and not on {device.link}"

    async def exists(self, name: str) -> bool:
        """Return True if a device of any kind has this name."""
        return await self._link(ifname=name) is not None

    async def delete_device(self, name: str) -> None:
        """Delete a device with its addresses; no-op if it is absent."""
        link = await self._link(ifname=name)
        if link is not None:
            await self._ask("link", "del", index=link["index"])

    async def stranger(self, link: str, address: InterfaceAddress) -> str | None:
        """Return why an address on a link is not pycarp's; None if it is pycarp's, or absent.

        A kernel without IFA_PROTO does not know who added an address; it counts as pycarp's then.
        Source: ``linux/if_addr.h``, since 5.18.
        """
        found = await self._find(link, address)
        if found is None:
            return None
        protocol = found.get_attr("IFA_PROTO")
        if protocol == CARP_PROTOCOL or (protocol is None and not knows_address_protocols()):
            return None
        return "somebody else has put it there"

    async def has(self, link: str, address: InterfaceAddress) -> bool:
        """Return True if the link has this address with this prefix length."""
        return await self._find(link, address) is not None

    async def delete_address(self, link: str, address: InterfaceAddress) -> None:
        """Remove an address from a link; no-op if it is absent.

        With the first IPv4 address of a network the kernel removes the other addresses of that network, and with the
        last address of a link all its routes, unless ``promote_secondaries`` is set. So it is set for that moment;
        where it cannot be set, the other addresses are added again. Source: ``ip-sysctl`` of the kernel's
        documentation; ``fib_inetaddr_event`` in the kernel.
        """
        found = await self._find(link, address)
        if found is None:
            return
        index = found["index"]
        neighbours = [] if found["flags"] & IFA_F_SECONDARY else await self._of_network(index, address)
        with _promoting(link) if neighbours else contextlib.nullcontext():
            await self._ask("addr", "del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
        left = {_interface(each) for each in await self._addresses(index)} if neighbours else set()
        for each in neighbours:
            if _interface(each) not in left:
                await self._ask("addr", "replace", index=index, **_as_it_was(each))

    async def _of_network(self, index: int, address: InterfaceAddress) -> list[Any]:
        """Return the other IPv4 addresses of the same network, in the kernel's order."""
        if not isinstance(address, IPv4Interface):
            return []
        present = ((_interface(each), each) for each in await self._addresses(index))
        return [each for interface, each in present if interface.network == address.network and interface != address]

    async def _find(self, link: str, address: InterfaceAddress) -> Any | None:
        found = await self._link(ifname=link)
        if found is None:
            return None
        present = await self._addresses(found["index"])
        return next((each for each in present if _interface(each) == address), None)

    async def _addresses(self, index: int) -> list[Any]:
        try:
            found = [each async for each in await self._route.get_addr(index=index)]
        except NetlinkError as exc:
            raise OSError(exc.code, os.strerror(exc.code)) from exc
        return [each for each in found if each["index"] == index]

    async def _name_below(self, link: Any) -> str | None:
        if link.get_attr("IFLA_LINK") is None or link.get_attr("IFLA_LINK_NETNSID") is not None:
            return None
        below = await self._link(index=link.get_attr("IFLA_LINK"))
        return below and str(below.get_attr("IFLA_IFNAME"))

    async def _link(self, **which: Any) -> Any | None:
        try:
            found = await self._route.link("get", **which)
        except NetlinkError as exc:
            if exc.code == errno.ENODEV:
                return None
            raise OSError(exc.code, os.strerror(exc.code)) from exc
        return found[0] if found else None

    async def _ask(self, what: str, verb: str, **how: Any) -> None:
        try:
            await getattr(self._route, what)(verb, **how)
        except NetlinkError as exc:
            if verb != "del" or exc.code not in _GONE:
                raise OSError(exc.code, os.strerror(exc.code)) from exc


@contextlib.contextmanager
def _promoting(link: str) -> Iterator[None]:
    """Set ``promote_secondaries`` of a link, where ``/proc/sys`` is writable, and restore it afterwards."""
    path = f"net/ipv4/conf/{link}/promote_secondaries"
    before = sysctl_files.read(path)
    with contextlib.suppress(OSError):
        sysctl_files.write(path, "1")
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                sysctl_files.write(path, before)


def _kind(link: Any) -> str:
    information = link.get_attr("IFLA_LINKINFO")
    return str(information.get_attr("IFLA_INFO_KIND")) if information else "unknown"


def _interface(address: Any) -> InterfaceAddress:
    return ip_interface(f"{address.get_attr('IFA_LOCAL') or address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}")


def _as_it_was(address: Any) -> dict[str, Any]:
    """Return the arguments that add an equal address."""
    how: dict[str, Any] = {
        "address": address.get_attr("IFA_LOCAL"),
        "prefixlen": address["prefixlen"],
        "scope": address["scope"],
        "flags": int(address.get_attr("IFA_FLAGS") or 0) & ~IFA_F_SECONDARY,
    }
    named = {"broadcast": "IFA_BROADCAST", "label": "IFA_LABEL", "proto": "IFA_PROTO", "rt_priority": "IFA_RT_PRIORITY"}
    found = {name: address.get_attr(attribute) for name, attribute in named.items()}
    how |= {name: value for name, value in found.items() if value is not None}
    lifetime = address.get_attr("IFA_CACHEINFO")
    if lifetime and lifetime["ifa_valid"] != FOREVER_S:
        how |= {"preferred_lft": lifetime["ifa_preferred"], "valid_lft": lifetime["ifa_valid"]}
    return how
