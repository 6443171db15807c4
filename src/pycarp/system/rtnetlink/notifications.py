"""The kernel's notifications about links and addresses, without repetitions."""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Callable

from pycarp.system.addresses.renewals import without_own_renewals
from pycarp.system.rtnetlink.route_messages import (
    DELETED_ADDRESS,
    DELETED_LINK,
    NEW_ADDRESS,
    NEW_LINK,
    Essence,
    LinkEssence,
    Message,
    address_essence,
    address_index,
    link_essence,
    link_index,
    messages,
)
from pycarp.system.rtnetlink.route_socket import NETLINK_ROUTE, Buffer
from pycarp.system.rtnetlink.socket_filter import attach

_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
_SO_RCVBUFFORCE = 33
_QUEUE_OCTETS = 1 << 21
_AT_ONCE = 100
_PAUSE_S = 0.003
"""Hundreds of devices that are made bring thousands of notifications: to wake up for each takes longer than to read it.
"""


class Notifications:
    """A socket that receives every change in its network namespace, except this process's own renewals."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._taken_at_s = -math.inf
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_ROUTE
        )
        try:
            # Forced, because some hundred addresses at once exceed the limit for ordinary sockets.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_OCTETS)
            attach(self._socket, without_own_renewals())
            self._socket.bind((0, _GROUPS))
        except OSError:
            self._socket.close()
            raise

    async def take(self) -> list[Message]:
        """Wait for notifications and return those that have arrived; raises OSError when some were lost.

        The first one is returned at once, those that follow closely together.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._taken_at_s + _PAUSE_S:
            await asyncio.sleep(_PAUSE_S)
        found = list(messages(await self._buffer.wait(self._socket)))
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                found += messages(self._buffer.read(self._socket))
        self._taken_at_s = loop.time()
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Novelty:
    """Keeps the last message about each address and link, to recognise those that repeat it.

    A renewed lifetime of an address is not new, nor is one more device on a link.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[bytes, Essence]] = {}
        """By the index of the link, then by the address."""
        self._links: dict[int, LinkEssence] = {}

    def is_in(self, message: Message) -> bool:
        """Return True if a message says anything new; it counts as known from then on."""
        if message.kind in (NEW_LINK, DELETED_LINK):
            return self._is_in_link(message)
        if message.kind not in (NEW_ADDRESS, DELETED_ADDRESS):
            return True
        (index, packed), essence = address_essence(message)
        known = self._known.setdefault(index, {})
        if message.kind == DELETED_ADDRESS:
            known.pop(packed, None)
            return True
        is_new = known.get(packed) != essence
        known[packed] = essence
        return is_new

    def pass_over(self, message: Message) -> None:
        """Forget what a message changes that nobody looks at: what changes back later is new."""
        if message.kind in (NEW_LINK, DELETED_LINK):
            self._links.pop(link_index(message), None)
        elif message.kind in (NEW_ADDRESS, DELETED_ADDRESS):
            self._known.pop(address_index(message), None)

    def _is_in_link(self, message: Message) -> bool:
        index = link_index(message)
        if message.kind == DELETED_LINK or not index:
            self._links.pop(index, None)
            return True
        essence = link_essence(message)
        is_new = self._links.get(index) != essence
        self._links[index] = essence
        return is_new


def _every(_message: Message) -> bool:
    return True


async def news(is_relevant: Callable[[Message], bool] = _every) -> AsyncIterator[Message | None]:
    """Yield None at the start, then each relevant message that is new; raises OSError when notifications were lost."""
    notifications = Notifications()
    novelty = Novelty()
    try:
        yield None
        while True:
            for message in await notifications.take():
                if not is_relevant(message):
                    novelty.pass_over(message)
                elif novelty.is_in(message):
                    yield message
    finally:
        notifications.close()
