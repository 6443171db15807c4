"""How the kernel is told, many times a second, that addresses stay for longer: with one call, and without an echo.

The kernel notifies everybody of each of these changes, us included. So the socket has a number (``nlmsg_pid``) that is
known in advance, and the sockets that listen have the kernel drop what bears it. Source: ``rtmsg_ifa`` in
``net/ipv4/devinet.c``; of IPv6 addresses ``inet6_ifa_notify`` does not tell who changed them.
"""

import errno
import os
import socket
import struct
from collections.abc import Sequence

from pycarp.system.rtnetlink.route_messages import NEW_ADDRESS
from pycarp.system.rtnetlink.socket_filter import Program, attach

_NETLINK_ROUTE = 0
_NUMBERS = 0x0C00_0000
"""Far above what the kernel chooses: the process id, or a number with the highest bit set."""

_AT_ONCE = 256
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_TYPE_AT, _NUMBER_AT = 4, 12
_ACCEPT = 0x40000
_NOTHING: Program = ((_RETURN, 0, 0, 0),)


class Renewals:
    """A socket for requests that want no answer and get none; for one thread, because the kernel's locks may wait."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        try:
            # Errors are answered even if nobody asked for that.
            attach(self._socket, _NOTHING)
            _bind(self._socket)
        except OSError:
            self._socket.close()
            raise

    def send(self, requests: Sequence[bytes]) -> None:
        """Send requests, some hundred with a call; raises OSError."""
        for start in range(0, len(requests), _AT_ONCE):
            self._socket.send(b"".join(requests[start : start + _AT_ONCE]))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def without_own_renewals() -> Program:
    """Return the filter that passes every notification but those of addresses that ``Renewals`` has renewed."""
    return (
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        (_JUMP_EQUAL, 0, 3, _as_loaded(struct.pack("=I", _own_number()))),
        (_LOAD_HALF, 0, 0, _TYPE_AT),
        (_JUMP_EQUAL, 0, 1, _as_loaded(struct.pack("=H", NEW_ADDRESS))),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _ACCEPT),
    )


def _bind(sock: socket.socket) -> None:
    try:
        sock.bind((_own_number(), 0))
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        # Another node of this process, or a process of that id in a container: then its echo is heard, and ignored.
        sock.bind((0, 0))


def _own_number() -> int:
    return _NUMBERS | os.getpid()


def _as_loaded(octets: bytes) -> int:
    """Return a number as a filter sees it that the kernel keeps in the order of the processor."""
    return int.from_bytes(octets, "big")
