"""What the socket transports share: one socket a link, watched by the event loop, drained without waiting."""

import asyncio
import errno
import socket
from collections.abc import Callable

from pycarp.errors import TransportError
from pycarp.system.capabilities import NO_PERMISSION
from pycarp.vocabulary import Address, Datagram, Outgoing

READ_LENGTH = 2048
"""Octets read of a packet; an advertisement has 70 with its Ethernet header."""


class SocketTransport:
    """One socket a link. ``opener`` makes it, ``encoder`` and ``decoder`` know what goes through it.

    ``decoder`` returns None for what is no datagram of CARP.
    """

    def __init__(
        self,
        *,
        opener: Callable[[str], socket.socket],
        encoder: Callable[[Outgoing, socket.socket], bytes],
        decoder: Callable[[bytes, str], Datagram | None],
        sender: Callable[[socket.socket, bytes, Outgoing], None],
        joiner: Callable[[socket.socket, str, Address], None],
    ) -> None:
        self._opener = opener
        self._encoder = encoder
        self._decoder = decoder
        self._sender = sender
        self._joiner = joiner
        self._sockets: dict[str, socket.socket] = {}

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open the socket of a link and let the running loop watch it."""
        if link in self._sockets:
            raise TransportError(f"link {link} is open already")
        try:
            sock = self._opener(link)
        except PermissionError as exc:
            raise TransportError(f"cannot open a socket on {link}: {NO_PERMISSION}") from exc
        except OSError as exc:
            raise TransportError(f"cannot open a socket on {link}: {exc.strerror or exc}") from exc
        self._sockets[link] = sock
        asyncio.get_running_loop().add_reader(sock, wake)

    async def join(self, link: str, group: Address) -> None:
        """Become a member of a group; a membership that is there already is well."""
        try:
            self._joiner(self._sockets[link], link, group)
        except KeyError as exc:
            raise TransportError(f"link {link} is not open") from exc
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise TransportError(f"cannot join {group} on {link}: {exc.strerror}") from exc

    async def close_link(self, link: str) -> None:
        """Close the socket of a link."""
        sock = self._sockets.pop(link, None)
        if sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def send(self, outgoing: Outgoing) -> None:
        """Send at once; OSError when the kernel does not take it."""
        sock = self._sockets.get(outgoing.link)
        if sock is None:
            raise OSError(f"link {outgoing.link} is not open")
        self._sender(sock, self._encoder(outgoing, sock), outgoing)

    def drain(self, limit: int) -> list[Datagram]:
        """Read every socket until it is empty or ``limit`` packets have been read in all."""
        datagrams: list[Datagram] = []
        for link, sock in self._sockets.items():
            for octets in _read_waiting(sock, limit - len(datagrams)):
                datagram = self._decoder(octets, link)
                if datagram is not None:
                    datagrams.append(datagram)
        return datagrams

    async def close(self) -> None:
        """Close every socket."""
        for link in list(self._sockets):
            await self.close_link(link)


def _read_waiting(sock: socket.socket, limit: int) -> list[bytes]:
    packets: list[bytes] = []
    while len(packets) < limit:
        try:
            packets.append(sock.recv(READ_LENGTH))
        except BlockingIOError:
            break
        except OSError:
            # The link went down; its monitor tells, and the socket works again when it is back.
            break
    return packets
