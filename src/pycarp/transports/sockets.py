"""What the socket transports share: some sockets a link, watched by the event loop, drained without waiting."""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from pycarp.errors import TransportError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.vocabulary import Address, Datagram, Outgoing

READ_LENGTH = 2048
"""Octets read of a packet; an advertisement has 90 with its headers."""

READ_TURN = 16
"""Packets read of one socket before the next has its turn: a flood on one link must not silence another."""


class Ear(NamedTuple):
    """A socket that is listened to; ``read`` takes one packet off it and returns None for what is none of CARP."""

    sock: socket.socket
    read: Callable[[socket.socket], Datagram | None]


class LinkSockets(Protocol):
    """The sockets of one link."""

    @property
    def ears(self) -> Sequence[Ear]:
        """What is listened to."""

    def send(self, outgoing: Outgoing) -> None:
        """Send at once or raise OSError."""

    def join(self, group: Address) -> None:
        """Become a member of a group; OSError."""

    def close(self) -> None:
        """Close everything."""


class SocketTransport:
    """The sockets of any number of links; ``opener`` makes those of one, or raises OSError."""

    def __init__(self, opener: Callable[[str], LinkSockets]) -> None:
        self._opener = opener
        self._links: dict[str, LinkSockets] = {}

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open the sockets of a link and let the running loop watch them."""
        if link in self._links:
            raise TransportError(f"link {link} is open already")
        try:
            opened = self._opener(link)
        except PermissionError as exc:
            raise TransportError(f"cannot open a socket on {link}: {NO_PERMISSION}") from exc
        except OSError as exc:
            raise TransportError(f"cannot open a socket on {link}: {exc.strerror or exc}") from exc
        self._links[link] = opened
        for ear in opened.ears:
            asyncio.get_running_loop().add_reader(ear.sock, wake)

    async def join(self, link: str, group: Address) -> None:
        """Become a member of a group; a membership that is there already is well."""
        if link not in self._links:
            raise TransportError(f"link {link} is not open")
        try:
            self._links[link].join(group)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise TransportError(f"cannot join {group} on {link}: {exc.strerror}") from exc

    async def close_link(self, link: str) -> None:
        """Close the sockets of a link."""
        opened = self._links.pop(link, None)
        if opened is not None:
            for ear in opened.ears:
                asyncio.get_running_loop().remove_reader(ear.sock)
            opened.close()

    def send(self, outgoing: Outgoing) -> None:
        """Send at once; OSError when the kernel does not take it."""
        opened = self._links.get(outgoing.link)
        if opened is None:
            raise OSError(f"link {outgoing.link} is not open")
        opened.send(outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Read the sockets in turn, until all are empty or ``limit`` packets have been read."""
        datagrams: list[Datagram] = []
        waiting = list(chain.from_iterable(opened.ears for opened in self._links.values()))
        left = limit
        while waiting and left > 0:
            ear = waiting.pop(0)
            count = _read(ear, min(left, READ_TURN), datagrams)
            left -= count
            if count == READ_TURN:
                waiting.append(ear)
        return datagrams

    async def close(self) -> None:
        """Close every socket."""
        for link in list(self._links):
            await self.close_link(link)


def _read(ear: Ear, limit: int, into: list[Datagram]) -> int:
    """Read at most ``limit`` packets and return how many there were."""
    for count in range(limit):
        try:
            datagram = ear.read(ear.sock)
        except BlockingIOError:
            return count
        except OSError:
            # The link went down; its monitor tells, and the socket works again when it is back.
            return count
        if datagram is not None:
            into.append(datagram)
    return limit
