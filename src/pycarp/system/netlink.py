"""What is known of links, from the Linux kernel through pyroute2, and which of them changed.

pyroute2 takes a good part of a second to import, so this module is imported only where it is used.
"""

import errno
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_interface
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pycarp.system.notifications import news
from pycarp.system.route_messages import DELETED_LINK, NEW_LINK, address_index, link_state
from pycarp.vocabulary import Interface, LinkFacts, MacAddress

_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x8, 0x20, 0x40


class Netlink:
    """A netlink socket for requests; an async context manager. Errors of the kernel surface as OSError."""

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

    async def link_facts(self, link: str) -> LinkFacts | None:
        """Return what is known of a link, None when it does not exist."""
        try:
            found = await self._route.link("get", ifname=link)
        except NetlinkError as exc:
            if exc.code == errno.ENODEV:
                return None
            raise _as_os_error(exc) from exc
        return await self._facts(found[0]) if found else None

    async def _facts(self, link: Any) -> LinkFacts:
        mac = link.get_attr("IFLA_ADDRESS")
        return LinkFacts(
            name=link.get_attr("IFLA_IFNAME"),
            is_up=link["flags"] & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING,
            is_certain=link.get_attr("IFLA_OPERSTATE") != "UNKNOWN",
            mac=MacAddress.parse(mac) if mac else None,
            addresses=_by_preference(await self._addresses(link["index"])),
            index=link["index"],
        )

    async def _addresses(self, index: int) -> list[Any]:
        try:
            found = [each async for each in await self._route.get_addr(index=index)]
        except NetlinkError as exc:
            raise _as_os_error(exc) from exc
        return [each for each in found if each["index"] == index]


def _interface(address: Any) -> Interface:
    return ip_interface(f"{address.get_attr('IFA_LOCAL') or address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}")


def _by_preference(present: list[Any]) -> tuple[Interface, ...]:
    """Return addresses in the order of preference for a source: IPv6 link-locals before others, deprecated ones last.

    What is not known to be ours alone (tentative) cannot be used yet. Source: carp.md 1.3, a link-local address.
    """
    usable = [each for each in present if not _flags(each) & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED)]
    usable.sort(key=lambda each: bool(_flags(each) & _IFA_F_DEPRECATED))
    interfaces = [_interface(each) for each in usable]
    return tuple(sorted(interfaces, key=lambda each: each.version == 6 and not each.ip.is_link_local))


def _flags(address: Any) -> int:
    return int(address.get_attr("IFA_FLAGS") or address["flags"])


def _as_os_error(exc: NetlinkError) -> OSError:
    return OSError(exc.code, str(exc.args[-1]))


async def changed_links() -> AsyncIterator[str | None]:
    """Yield the name of a link whenever it or its addresses changed; None at the start, and for one that is gone.

    That an address stays for longer is no change. Raises OSError when notifications were lost.
    """
    async for message in news():
        if message is None:
            yield None
        elif message.kind in (NEW_LINK, DELETED_LINK):
            yield link_state(message).name or None
        else:
            yield _name_of(address_index(message))


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None
