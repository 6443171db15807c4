"""Renews the lifetimes of addresses, many times a second: with one system call, and without notifications to ourselves.

The kernel notifies every listener of each renewal, this process included. So the sending socket has a port number
(``nlmsg_pid``) known in advance, and the filter of our listening sockets drops the notifications that carry it.
Source: ``rtmsg_ifa`` in ``net/ipv4/devinet.c``; notifications about IPv6 addresses do not say who changed them
(``inet6_ifa_notify``).
"""

import errno
import os
import socket
import struct
from collections.abc import Sequence

from pycarp.system.rtnetlink.route_messages import NEW_ADDRESS
from pycarp.system.rtnetlink.route_socket import NETLINK_ROUTE
from pycarp.system.rtnetlink.socket_filter import ACCEPT, JUMP_EQUAL, LOAD_HALF, LOAD_WORD, RETURN, Program, attach

_NUMBERS = 0x0C00_0000
"""Outside the numbers that the kernel chooses: process ids, and numbers with the highest bit set."""

_AT_ONCE = 256
_TYPE_AT, _NUMBER_AT = 4, 12
_NOTHING: Program = ((RETURN, 0, 0, 0),)


class Renewals:
    """A socket for requests without answers; it may block on the kernel's locks, so it belongs to a worker thread."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        try:
            # The kernel answers errors even without NLM_F_ACK.
            attach(self._socket, _NOTHING)
            _bind(self._socket)
        except OSError:
            self._socket.close()
            raise

    def send(self, requests: Sequence[bytes]) -> None:
        """Send requests, up to 256 per system call; raises OSError."""
        for start in range(0, len(requests), _AT_ONCE):
            self._socket.send(b"".join(requests[start : start + _AT_ONCE]))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def without_own_renewals() -> Program:
    """Return a filter that drops the notifications about renewals by ``Renewals`` of this process."""
    return (
        (LOAD_WORD, 0, 0, _NUMBER_AT),
        (JUMP_EQUAL, 0, 3, _as_loaded(struct.pack("=I", _own_number()))),
        (LOAD_HALF, 0, 0, _TYPE_AT),
        (JUMP_EQUAL, 0, 1, _as_loaded(struct.pack("=H", NEW_ADDRESS))),
        (RETURN, 0, 0, 0),
        (RETURN, 0, 0, ACCEPT),
    )


def _bind(sock: socket.socket) -> None:
    try:
        sock.bind((_own_number(), 0))
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        # Another node of this process, or a process with this id in a container, has it: then our own notifications
        # arrive, and are ignored as repetitions.
        sock.bind((0, 0))


def _own_number() -> int:
    return _NUMBERS | os.getpid()


def _as_loaded(octets: bytes) -> int:
    """Return a number of the processor's byte order as a filter loads it: big-endian."""
    return int.from_bytes(octets, "big")
