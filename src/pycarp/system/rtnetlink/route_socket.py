"""A blocking netlink socket for encoded requests; it belongs to one thread."""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Self

from pycarp.system.rtnetlink.route_encoding import ACK, HEADER
from pycarp.system.rtnetlink.route_messages import Message, messages

NETLINK_ROUTE = 0
_SOL_NETLINK, _CAP_ACK, _GET_STRICT_CHECK = 270, 10, 12
_ERROR, _DONE = 2, 3
_DUMP_INTERRUPTED = 0x10
_REQUESTS_AT_ONCE = 256
"""If all fail, more errors than this might not fit into the socket's queue."""
_LONGEST_OCTETS = 1 << 17
_RESULT = struct.Struct("=16xi")


class Buffer:
    """Reads datagrams of netlink; to allocate the octets of the longest for each takes longer than to read it."""

    def __init__(self) -> None:
        self._octets = bytearray(_LONGEST_OCTETS)
        self._view = memoryview(self._octets)

    def read(self, sock: socket.socket) -> bytes:
        """Return the next datagram of a socket; raises OSError."""
        return bytes(self._view[: sock.recv_into(self._octets)])

    async def wait(self, sock: socket.socket) -> bytes:
        """Wait for the next datagram of a socket that does not block, and return it; raises OSError."""
        return bytes(self._view[: await asyncio.get_running_loop().sock_recv_into(sock, self._octets)])


class RouteSocket:
    """Sends requests and waits for the answers. Errors of the kernel are OSError, or error numbers in ``ask``."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._buffer = Buffer()
        for option in (_CAP_ACK, _GET_STRICT_CHECK):
            # Kernels before 4.20 lack them: then the answers are longer and must be filtered here.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        """Send requests, each of one message; return the error number of each, 0 for success.

        Only the last of those sent together asks for an acknowledgement: the kernel reports every failure anyway, and
        carries out all before it acknowledges the last.
        """
        errors: list[int] = []
        for start in range(0, len(requests), _REQUESTS_AT_ONCE):
            some = requests[start : start + _REQUESTS_AT_ONCE]
            last = len(some) - 1
            numbered = [_numbered(each, number, acknowledges=number == last) for number, each in enumerate(some)]
            self._socket.send(b"".join(numbered))
            errors += self._errors(len(some))
        return errors

    def demand(self, request: bytes) -> None:
        """Send one request with NLM_F_ACK; raises OSError when the kernel refuses it."""
        (error,) = self.ask([request])
        if error:
            raise OSError(error, os.strerror(error))

    def read(self, request: bytes) -> list[Message]:
        """Return the answers to a dump request; repeat it if the kernel's table changed meanwhile."""
        while True:
            self._socket.send(request)
            found = list(self._answers())
            if not any(each.flags & _DUMP_INTERRUPTED for each in found):
                return [each for each in found if each.kind not in (_ERROR, _DONE)]

    def read_one(self, request: bytes) -> Message | None:
        """Return the answer to a request for one object, None when it does not exist."""
        self._socket.send(request)
        message = next(messages(self._buffer.read(self._socket)))
        if message.kind != _ERROR:
            return message
        error = _error(message)
        if error in (errno.ENODEV, 0):
            return None
        raise OSError(error, os.strerror(error))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _errors(self, count: int) -> list[int]:
        """Return the error numbers of requests that were sent with the numbers from 0."""
        errors, is_over = [0] * count, False
        while not is_over:
            for message in messages(self._buffer.read(self._socket)):
                if message.kind == _ERROR:
                    errors[message.number] = _error(message)
                    is_over = message.number == count - 1
        return errors

    def _answers(self) -> Iterator[Message]:
        while True:
            for message in messages(self._buffer.read(self._socket)):
                yield message
                if message.kind in (_ERROR, _DONE):
                    error = _error(message)
                    if error:
                        raise OSError(error, os.strerror(error))
                    return


def _numbered(request: bytes, number: int, *, acknowledges: bool) -> bytes:
    """Return a request with a sequence number, which asks for an acknowledgement or does not."""
    length, kind, flags, _number, port = HEADER.unpack_from(request)
    flags = flags | ACK if acknowledges else flags & ~ACK
    return HEADER.pack(length, kind, flags, number, port) + request[HEADER.size :]


def _error(message: Message) -> int:
    """Return the error number in an acknowledgement or at the end of a dump."""
    result: int = _RESULT.unpack_from(message.octets)[0]
    return -result
