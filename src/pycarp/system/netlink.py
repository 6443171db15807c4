"""What we ask of the Linux kernel through pyroute2: addresses, link facts, notifications.

pyroute2 takes a good part of a second to import, so this module is imported only where it is used.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_interface
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pycarp.vocabulary import Interface, LinkFacts, MacAddress

_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_IFA_F_SECONDARY, _IFA_F_NODAD = 0x1, 0x2
_IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x8, 0x20, 0x40

_SHARED_IPV6 = {"flags": _IFA_F_NODAD, "preferred_lft": 0, "valid_lft": 2**32 - 1}


class Netlink:
    """A netlink socket for requests; an async context manager. Errors of the kernel surface as OSError."""

    def __init__(self) -> None:
        self._route: Any = None
        self._deleting = asyncio.Lock()
        self._leaving: dict[str, set[Interface]] = {}
        self._refused: dict[tuple[str, Interface], OSError] = {}

    async def __aenter__(self) -> Self:
        self._route = AsyncIPRoute()
        await self._route.setup_endpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._route.close()

    async def add_address(self, link: str, address: Interface) -> None:
        """Put an address on a link; well if it is there already.

        IPv6 without duplicate address detection: that would take a second, and whoever has it leaves it now. And
        deprecated from the start: Linux would begin the machine's own conversations from its newest address, and they
        would end when that leaves. Those that others begin are not touched. Source: RFC 6724, 5, rule 3.
        """
        await self._change("add", await self._index(link), address, well=errno.EEXIST)

    async def delete_address(self, link: str, address: Interface) -> None:
        """Take an address off a link; well if it, or the whole link, is not there.

        Unless ``promote_secondaries`` is set, the kernel removes with the first address of a network all others of that
        network, be they of another virtual host or the machine's own. Those are put back. Source: ``ip-sysctl`` of the
        kernel's documentation. Of deletions that wait for each other the first performs all, in an order in which
        little has to be put back: one after the other, hundreds would take a minute.
        """
        leaving = self._leaving.setdefault(link, set())
        leaving.add(address)
        try:
            async with self._deleting:
                if address in leaving:
                    await self._delete_all(link, leaving)
            if (link, address) in self._refused:
                raise self._refused[link, address]
        except OSError as exc:
            if exc.errno != errno.ENODEV:
                raise
        finally:
            # Also of one that was cancelled: it may be added again at once, and must not go then.
            leaving.discard(address)
            self._refused.pop((link, address), None)

    async def _delete_all(self, link: str, leaving: set[Interface]) -> None:
        """Delete what leaves a link until nothing does any more; more may be asked for, or no more, meanwhile."""
        index = await self._index(link)
        read_for: set[Interface] = set()
        present: dict[Interface, Any] = {}
        while leaving:
            if not leaving <= read_for:
                read_for = set(leaving)
                present = await self._present(index)
            address = _least_missed(present, leaving)
            try:
                present = await self._delete(index, address, present, leaving)
            except OSError as exc:
                self._refused[link, address] = exc
                present = await self._present(index)
            leaving.discard(address)
            read_for.discard(address)

    async def _delete(
        self, index: int, address: Interface, present: dict[Interface, Any], leaving: set[Interface]
    ) -> dict[Interface, Any]:
        """Delete an address if it is there, and put back what goes with it and should stay; return what is left."""
        found = present.pop(address, None)
        if found is None:
            return present
        await self._change("del", index, address, well=errno.EADDRNOTAVAIL)
        if (
            address.version == 6
            or found["flags"] & _IFA_F_SECONDARY
            or address.network not in (each.network for each in present)
        ):
            return present
        after = await self._present(index)
        for each, lost in present.items():
            if each not in after and each not in leaving:
                await self._put_back(index, lost)
        return await self._present(index)

    async def _present(self, index: int) -> dict[Interface, Any]:
        return {_interface(each): each for each in await self._addresses(index)}

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
        )

    async def _addresses(self, index: int) -> list[Any]:
        try:
            found = [each async for each in await self._route.get_addr(index=index)]
        except NetlinkError as exc:
            raise _as_os_error(exc) from exc
        return [each for each in found if each["index"] == index]

    async def _put_back(self, index: int, lost: Any) -> None:
        attributes: dict[str, Any] = {
            "address": lost.get_attr("IFA_LOCAL"),
            "prefixlen": lost["prefixlen"],
            "scope": lost["scope"],
        }
        for name, attribute in (("broadcast", "IFA_BROADCAST"), ("label", "IFA_LABEL")):
            if lost.get_attr(attribute) is not None:
                attributes[name] = lost.get_attr(attribute)
        try:
            await self._route.addr("replace", index=index, **attributes)
        except NetlinkError as exc:
            raise _as_os_error(exc) from exc

    async def _change(self, verb: str, index: int, address: Interface, *, well: int) -> None:
        how = _SHARED_IPV6 if verb == "add" and address.version == 6 else {}
        prefix = address.network.prefixlen
        try:
            await self._route.addr(verb, index=index, address=str(address.ip), prefixlen=prefix, **how)
        except NetlinkError as exc:
            if exc.code != well:
                raise _as_os_error(exc) from exc

    async def _index(self, link: str) -> int:
        found = await self._route.link_lookup(ifname=link)
        if not found:
            raise OSError(errno.ENODEV, f"interface {link} does not exist")
        return int(found[0])


def _interface(address: Any) -> Interface:
    return ip_interface(f"{address.get_attr('IFA_LOCAL') or address.get_attr('IFA_ADDRESS')}/{address['prefixlen']}")


def _least_missed(present: dict[Interface, Any], leaving: set[Interface]) -> Interface:
    """Return one of the addresses that leave, of several one that takes no others along."""
    for each, attributes in present.items():
        if attributes["flags"] & _IFA_F_SECONDARY and each in leaving:
            return each
    return next(iter(leaving))


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
    """Yield the name of a link whenever it or its addresses changed; None at the start, and for one that is gone."""
    route: Any = AsyncIPRoute()
    await route.setup_endpoint()
    await route.bind(groups=_GROUPS)
    try:
        yield None
        while True:  # get() ends after each batch of notifications
            async for message in route.get():
                yield message.get_attr("IFLA_IFNAME") or _name_of(message["index"])
    finally:
        route.close()


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None
