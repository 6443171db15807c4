"""The connections to the control socket: a bounded number, each with bounded time and memory.

The event loop runs other work in between: each turn accepts one connection and answers one request.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from pycarp.aio.log_records import logger
from pycarp.daemon.callers import Caller
from pycarp.daemon.control_messages import LINE_LIMIT, RefusedReply, Reply, Request, decode_request, encode
from pycarp.daemon.streams import Stream
from pycarp.errors import CarpError, ConfigError, UsageError

REQUEST_S = 10.0
"""How long a request may take to arrive, and how long a connection may be idle, in seconds."""

ANSWER_S = 5.0
"""How long a caller may take to read an answer, in seconds."""

CONNECTIONS_MOST = 64
READERS_MOST = 16
"""The most connections of callers who may only read."""

STREAMS_MOST = 32
"""The most connections with a stream, which are not closed to make room for others."""

READER_LINE_LIMIT = 1 << 12
_CHUNK_OCTETS = 1 << 16
_PAUSE_S = 0.1
_LEAST_PACE_S = 0.01

T = TypeVar("T")


class _Connection(msgspec.Struct, eq=False):
    sock: socket.socket
    caller: Caller
    is_answering: bool = False
    is_stream: bool = False
    received: bytearray = msgspec.field(default_factory=bytearray)
    task: asyncio.Task[None] | None = None

    @property
    def limit(self) -> int:
        return LINE_LIMIT if self.caller.is_administrator else READER_LINE_LIMIT


class Connections:
    """Accepts callers and passes requests to ``answer``; if there are too many, closes the one that is idle longest."""

    def __init__(
        self,
        answer: Callable[[Request], Awaitable[Reply | Stream]],
        *,
        readers: int | None,
        request_s: float = REQUEST_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._answer = answer
        self._readers = readers
        self._request_s = request_s
        self._answer_s = answer_s
        # Ordered by the time of their last request.
        self._open: dict[_Connection, None] = {}
        self._turn = asyncio.Lock()
        self._one_reader = asyncio.Lock()

    async def accept(self, listening: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        # Not loop.sock_accept: one that is cancelled in the turn in which it accepts loses the socket, unclosed.
        loop.add_reader(listening, arrived.set)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                try:
                    sock, _address = listening.accept()
                except BlockingIOError:
                    continue
                except OSError:
                    # No descriptors are left, or the caller has hung up already.
                    self._close_idlest(lambda each: True)
                    # Without this the loop would wake up again and again for the caller that waits.
                    loop.remove_reader(listening)
                    await asyncio.sleep(_PAUSE_S)
                    loop.add_reader(listening, arrived.set)
                    continue
                self._begin(sock)
                # Many waiting callers must not delay the loop's other work.
                await asyncio.sleep(0)
        finally:
            loop.remove_reader(listening)

    async def close(self) -> None:
        """Close all connections."""
        tasks = [each.task for each in self._open if each.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            connection = _Connection(sock, Caller.of(sock, self._readers))
        except OSError:
            sock.close()
            return
        self._make_room_for(connection)
        self._open[connection] = None
        connection.task = asyncio.get_running_loop().create_task(self._converse(connection))

    def _make_room_for(self, connection: _Connection) -> None:
        readers = [each for each in self._open if not each.caller.is_administrator]
        if not connection.caller.is_administrator and len(readers) >= READERS_MOST:
            self._close_idlest(lambda each: not each.caller.is_administrator)
        elif len(self._open) >= CONNECTIONS_MOST:
            self._close_idlest(lambda each: True)

    def _close_idlest(self, may_go: Callable[[_Connection], bool]) -> None:
        for each in self._open:
            if may_go(each) and not (each.is_answering or each.is_stream) and each.task is not None:
                del self._open[each]
                each.task.cancel()
                return

    async def _converse(self, connection: _Connection) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError):
                while line := await self._line(connection):
                    self._open.pop(connection, None)
                    self._open[connection] = None
                    reply = await self._reply(connection, line)
                    if isinstance(reply, Stream):
                        return await self._stream(connection, reply)
                    await self._send(connection, reply)
        finally:
            self._open.pop(connection, None)
            connection.sock.close()

    async def _line(self, connection: _Connection) -> bytes:
        """Return the next request; None if the caller has gone, is idle, or was refused."""
        received = connection.received
        try:
            async with asyncio.timeout(self._request_s):
                while (end := received.find(b"\n")) < 0:
                    if len(received) >= connection.limit:
                        await self._refuse(connection, f"a request has at most {connection.limit} octets")
                        return b""
                    chunk = await asyncio.get_running_loop().sock_recv(connection.sock, _CHUNK_OCTETS)
                    if not chunk:
                        return b""
                    received += chunk
                    await asyncio.sleep(0)
        except TimeoutError:
            if received:
                await self._refuse(connection, f"no whole request came within {self._request_s:g} s")
            return b""
        line = bytes(received[: end + 1])
        del received[: end + 1]
        return line

    async def _stream(self, connection: _Connection, stream: Stream) -> None:
        """Send a stream until it ends, or the caller says anything more, or hangs up."""
        if sum(each.is_stream for each in self._open) >= STREAMS_MOST:
            await self._send(connection, RefusedReply(f"{STREAMS_MOST} callers follow something already"))
            return
        connection.is_stream = True
        gone = asyncio.create_task(asyncio.get_running_loop().sock_recv(connection.sock, 1))
        sending = asyncio.create_task(self._sent(connection, stream))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            sending.cancel()
            await asyncio.wait({gone, sending})
            for each in (gone, sending):
                if not each.cancelled():
                    # The caller has gone: nothing else is wrong.
                    each.exception()

    async def _sent(self, connection: _Connection, stream: Stream) -> None:
        """Send a stream to its end, and why it ended if that was a CarpError."""

        async def run() -> None:
            # A caller that has gone cannot be sent anything.
            with contextlib.suppress(OSError):
                await stream.run(lambda reply: self._send(connection, reply))

        refusal = await _or_refused(run)
        if refusal is not None:
            await self._send(connection, refusal)

    async def _refuse(self, connection: _Connection, why: str) -> None:
        logger.debug("carp: on the control socket, user %d: %s", connection.caller.uid, why)
        await self._send(connection, RefusedReply(why, is_usage=True))

    async def _send(self, connection: _Connection, reply: Reply) -> None:
        async with asyncio.timeout(self._answer_s):
            await asyncio.get_running_loop().sock_sendall(connection.sock, encode(reply))

    async def _reply(self, connection: _Connection, line: bytes) -> Reply | Stream:
        connection.is_answering = True
        try:
            async with self._turn:
                # One request per turn of the loop, whatever number waits.
                await asyncio.sleep(0)
            if connection.caller.is_administrator:
                return await self._answered(connection.caller, line)
            # Readers are answered one after the other, and use half of the loop's time at most.
            async with self._one_reader:
                loop = asyncio.get_running_loop()
                began_s = loop.time()
                reply = await self._answered(connection.caller, line)
                await asyncio.sleep(max(loop.time() - began_s, _LEAST_PACE_S))
                return reply
        finally:
            connection.is_answering = False

    async def _answered(self, caller: Caller, line: bytes) -> Reply | Stream:
        async def answer() -> Reply | Stream:
            request = decode_request(line)
            caller.refuse_unless_allowed(request)
            return await self._answer(request)

        return await _or_refused(answer)


async def _or_refused(answer: Callable[[], Awaitable[T]]) -> T | RefusedReply:
    """Return the answer; a CarpError becomes a refusal."""
    try:
        return await answer()
    except CarpError as exc:
        return RefusedReply(str(exc), isinstance(exc, ConfigError | UsageError))
    except Exception as bug:  # noqa: BLE001  whatever it is, the daemon goes on
        context = {"message": "a request on the control socket failed", "exception": bug}
        asyncio.get_running_loop().call_exception_handler(context)
        return RefusedReply("the daemon failed at this; its log has the error")
