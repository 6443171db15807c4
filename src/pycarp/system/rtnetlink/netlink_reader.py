"""Reads links from the Linux kernel, and reports which of them changed."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import Self

from pycarp.system.addresses.link_addresses import present
from pycarp.system.rtnetlink import link_requests
from pycarp.system.rtnetlink.notifications import news
from pycarp.system.rtnetlink.route_messages import (
    DELETED_LINK,
    IFA_F_DEPRECATED,
    NEW_LINK,
    AddressState,
    Message,
    address_index,
    link_head,
    link_state,
)
from pycarp.system.rtnetlink.route_socket import RouteSocket
from pycarp.system.rtnetlink.worker import Worker
from pycarp.vocabulary import InterfaceAddress, LinkFacts


class Netlink:
    """Reads links; an async context manager. Errors of the kernel surface as OSError.

    It works in a thread of its own, because a request waits while another process changes links in bulk.
    """

    def __init__(self) -> None:
        self._worker = Worker("pycarp-links")
        self._route: RouteSocket | None = None

    async def __aenter__(self) -> Self:
        self._route = await self._worker.run(RouteSocket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._route is not None:
            await self._worker.run(self._route.close)
        self._worker.close()

    async def link_facts(self, link: str, index: int = 0) -> LinkFacts | None:
        """Return the facts of a link, None when it does not exist.

        The link with this index is meant as long as it exists, even after a rename; otherwise the one with this name.
        """
        assert self._route is not None, "it is to be entered first"
        return await self._worker.run(partial(_link_facts, self._route, link, index))


def _link_facts(route: RouteSocket, link: str, index: int) -> LinkFacts | None:
    message = route.read_one(link_requests.reading_by_index(index)) if index else None
    if message is None:
        message = route.read_one(link_requests.reading_by_name(link))
    if message is None:
        return None
    state = link_state(message)
    return LinkFacts(
        name=link,
        is_up=state.is_running,
        is_certain=state.has_operational_state,
        mac=state.mac,
        addresses=_by_preference(present(route, state.index)),
        index=state.index,
        renamed_to="" if state.name == link else state.name,
    )


def _by_preference(present: list[AddressState]) -> tuple[InterfaceAddress, ...]:
    """Return the usable addresses by preference as a source: IPv6 link-locals first, deprecated ones last.

    Tentative addresses, and those that failed duplicate address detection, are not usable.
    Source: carp.md 1.3, a link-local address.
    """
    usable = [each for each in present if each.is_usable]
    usable.sort(key=lambda each: bool(each.flags & IFA_F_DEPRECATED))
    interfaces = [each.interface for each in usable]
    return tuple(sorted(interfaces, key=lambda each: each.version == 6 and not each.ip.is_link_local))


def _any(_index: int, _name: str) -> bool:
    return True


async def changed_links(is_watched: Callable[[int, str], bool] = _any) -> AsyncIterator[str | None]:
    """Yield the name of a link whenever it or its addresses changed; None at the start, and for a link that is gone.

    After a rename the new name is yielded first, then the previous one. A renewed lifetime is not a change.
    Links for which ``is_watched`` returns False, by index and by name, are passed over, hardly looking at them.
    Raises OSError when notifications were lost.
    """

    def is_relevant(message: Message) -> bool:
        if message.kind in (NEW_LINK, DELETED_LINK):
            head = link_head(message)
            return is_watched(head.link_index, head.name)
        index = address_index(message)
        return is_watched(index, "") or is_watched(index, _name_of(index) or "")

    names: dict[int, str] = {}
    async for message in news(is_relevant):
        if message is None:
            # The socket is bound, so every later change brings a message.
            names = await asyncio.to_thread(_names)
            yield None
        elif message.kind in (NEW_LINK, DELETED_LINK):
            index, name, _flags = link_head(message)
            yield name or None
            before = names.get(index, name)
            names[index] = name
            if before != name:
                yield before
        else:
            yield _name_of(address_index(message))


def _names() -> dict[int, str]:
    """Return the names of all links by index; it blocks while the kernel changes links in bulk.

    Not by ``socket.if_nameindex``, which keeps the interpreter's lock meanwhile: half a second with thousands of links.
    """
    with RouteSocket() as route:
        heads = map(link_head, route.read(link_requests.reading_all()))
        return {head.link_index: head.name for head in heads}


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None
