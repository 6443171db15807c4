"""The daemon's HTTP server: a page, metrics, health, status and events, to look at. Off unless configured.

Whatever callers do, an advertisement does not wait: what is answered is computed four times a second at most, and
connections, streams, and what a slow reader leaves unread are bounded.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from asyncio import BaseProtocol
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError

from pycarp import __version__
from pycarp.aio.log_records import logger
from pycarp.config.model import HttpConfig
from pycarp.daemon import metrics
from pycarp.daemon.control_messages import (
    EventRecord,
    EventsRequest,
    HostStatus,
    OutlookStatus,
    Reply,
    Request,
    StatusReply,
)
from pycarp.daemon.dead_sockets import answers
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.http_actions import BODY_OCTETS_MOST, HttpActions
from pycarp.daemon.http_name_check import refusal, refused_name
from pycarp.daemon.live_feed import LiveFeed
from pycarp.daemon.page_files import PageFile, page_files
from pycarp.daemon.state_timeline import StateTimeline
from pycarp.daemon.streams import Stream
from pycarp.daemon.tallies import Tallies
from pycarp.daemon.wellness import what_is_wrong
from pycarp.tasks import start_task

FRESH_S = 0.25
"""An answer may be so old."""

CONNECTIONS_MOST = 1024
STREAMS_MOST = 600
WRITE_S = 5.0
"""How long a reader may take for what it is sent."""

IDLE_S = 15.0
REQUEST_S = 10.0
"""How long a caller may take for its first request."""

_REFUSED_EVERY_S = 60.0
_TRIM_S = 1.0
_AGAIN_S = 5.0
_SOCKET_MODE = 0o660

# Python lacks these constants. Source: linux/in.h, linux/in6.h.
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78

_PIECE_OCTETS = 16 << 10
"""What is written at once of an answer that is long."""

_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What each answer says: a browser loads nothing from elsewhere for it, and shows it in no frame of others."""

_NO_AGE = b'"age_s":0.0}'
"""What the JSON of a status ends with when it is new."""

_METRICS = "text/plain; version=0.0.4; charset=utf-8"


def _is_no_garbage(record: logging.LogRecord) -> bool:
    """Return False for a malformed request: the sender has an answer, and must not fill the log."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_errors = logging.getLogger("pycarp.http")
_errors.addFilter(_is_no_garbage)


@dataclass(slots=True)
class _Computed:
    """The status at a time of the monotonic clock, in seconds, and what was made of it for the first who asked."""

    at_s: float
    status: StatusReply
    metrics: bytes | None = None
    wrong: list[str] | None = None
    json: bytes | None = None

    @property
    def age_s(self) -> float:
        return round(time.monotonic() - self.at_s, 6)


class HttpServer:
    """Answers from ``status``, which may be awaited often, and from the history of events.

    ``carry_out`` answers what the token lets callers ask for, as on the control socket. ``readers`` is the number of
    the group whose members may use a socket of the file system. ``present_name`` returns what an interface is called
    now, ``outlook`` what can happen next to a host.
    """

    def __init__(
        self,
        status: Callable[[], Awaitable[StatusReply]],
        tallies: Tallies,
        history: EventHistory,
        timeline: StateTimeline,
        *,
        carry_out: Callable[[Request], Awaitable[Reply | Stream]],
        readers: int | None = None,
        present_name: Callable[[str], str] = str,
        outlook: Callable[[HostStatus], list[OutlookStatus]] = lambda _host: [],
    ) -> None:
        self._status = status
        self._present_name = present_name
        self._tallies = tallies
        self._history = history
        self._readers = readers
        self._actions = HttpActions(carry_out)
        self._feed = LiveFeed(
            self._now, history, timeline, outlook=outlook, may_act=lambda: self._actions.token is not None
        )
        self._names: frozenset[str] = frozenset()
        self._refused_at_s: float | None = None
        self._turn = asyncio.Lock()
        self._last: _Computed | None = None
        self._asking = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._streams: set[BaseProtocol] = set()
        self._requested: set[BaseProtocol] = set()
        self._arrival = asyncio.Event()
        self._listening: list[asyncio.Server] = []

    @contextlib.asynccontextmanager
    async def serving(self, config: HttpConfig) -> AsyncIterator[None]:
        """Serve while the context lasts; where it cannot listen it says so, and tries again: CARP goes on."""
        self.take(config)
        app = web.Application(client_max_size=BODY_OCTETS_MOST, middlewares=[self._note])
        app.on_response_prepare.append(_add_headers)
        for path, file in page_files().items():
            app.router.add_get(path, _answer_with(file))
        app.router.add_get("/api/live", self._live)
        app.router.add_post("/api/control", self._actions.answer)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/api/status", self._status_of_all)
        app.router.add_get("/api/events", self._events)
        runner = web.AppRunner(app, access_log=None, logger=_errors, keepalive_timeout=IDLE_S, shutdown_timeout=0.01)
        await runner.setup()
        try:
            tasks = [start_task(self._listen_at_last(runner, place)) for place in config.listen]
            tasks.append(start_task(self._trim(runner)))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await self._feed.close()
                for listening in self._listening:
                    listening.close()
                # Those who take over wait for the end of the daemon, and not for its readers.
                for each in self._connections(runner):
                    if each.transport is not None:
                        each.transport.abort()
        finally:
            await runner.cleanup()

    def take(self, config: HttpConfig) -> None:
        """Let callers use the names of a configuration, and change things with its token, and with no others."""
        self._actions.token = config.token
        self._names = frozenset(config.names)

    async def _listen_at_last(self, runner: web.AppRunner, place: str) -> None:
        """Listen at a place, and try again while that is not possible; one line says so, another that it is."""
        has_complained = False
        while True:
            try:
                await self._listen(runner, place)
            except OSError as exc:
                if not has_complained:
                    why = exc.strerror or exc
                    logger.error("carp: cannot listen for HTTP on %s: %s; trying again", place, why)
                has_complained = True
                await asyncio.sleep(_AGAIN_S)
            else:
                logger.info("carp: HTTP on %s", place)
                if self._actions.token is not None and not _is_of_this_machine(place):
                    text = "carp: HTTP on %s: the token crosses the network in the clear; use TLS or ssh before it"
                    logger.warning(text, place)
                return

    async def _listen(self, runner: web.AppRunner, place: str) -> None:
        if place.startswith("unix:"):
            path = Path(place.removeprefix("unix:"))
            _remove_stale(path)
            # Bound here, because asyncio would remove the socket of another running process.
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.bind(str(path))
                _let_read(path, self._readers)
            except OSError:
                sock.close()
                raise
        else:
            sock = _bound(place)
        server = runner.server
        assert server is not None

        def accept() -> BaseProtocol:
            self._arrival.set()
            return server()

        try:
            self._listening.append(await asyncio.get_running_loop().create_server(accept, sock=sock))
        except OSError:
            sock.close()
            raise

    async def _computed(self) -> _Computed:
        """Return the status, which is computed four times a second at most, and what was made of it."""
        async with self._asking:
            if self._last is None or time.monotonic() - self._last.at_s > FRESH_S:
                self._last = _Computed(time.monotonic(), await self._status())
            return self._last

    async def _now(self) -> StatusReply:
        computed = await self._computed()
        return msgspec.structs.replace(computed.status, age_s=computed.age_s)

    async def _metrics(self, _request: web.Request) -> web.Response:
        computed = await self._computed()
        async with self._writing:
            if computed.metrics is None:
                tallies = self._tallies.copy(present_name=self._present_name)
                computed.metrics = await metrics.text_of(computed.status, tallies, version=__version__)
        return web.Response(body=computed.metrics, headers={"Content-Type": _METRICS})

    async def _health(self, _request: web.Request) -> web.Response:
        computed = await self._computed()
        if computed.wrong is None:
            found = [(host.name, what_is_wrong(host)) for host in computed.status.hosts]
            computed.wrong = [f"{name}: {what}\n" for name, what in found if what]
        return web.Response(text="".join(computed.wrong or ["ok\n"]), status=503 if computed.wrong else 200)

    async def _status_of_all(self, _request: web.Request) -> web.Response:
        computed = await self._computed()
        if computed.json is None:
            computed.json = msgspec.json.encode(computed.status).removesuffix(_NO_AGE)
        body = b'%s"age_s":%f}' % (computed.json, computed.age_s)
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send events as they happen; the browser's ``Last-Event-ID``, or ``?after=``, says where to go on."""
        after = request.headers.get("Last-Event-ID", request.query.get("after", "0"))
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            return web.Response(text=f"after {after[:40]!r} is not the number of an event\n", status=400)
        asked = EventsRequest(host=request.query.get("host"), after=int(after), follow=True)
        stream = self._history.stream(asked)
        return await self._streamed(request, lambda send: stream.run(lambda reply: send(_message_of(reply))))

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Send what the page shows, and what changes of it."""
        return await self._streamed(request, self._feed.follow)

    async def _streamed(
        self, request: web.Request, run: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]
    ) -> web.StreamResponse:
        """Send a stream until the caller hangs up, or reads too slowly."""
        if len(self._streams) >= STREAMS_MOST:
            return web.Response(text=f"{STREAMS_MOST} callers follow already\n", status=503)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        assert request.protocol is not None
        self._streams.add(request.protocol)
        try:
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                await run(lambda message: self._send(response, message))
        except TimeoutError:
            # What was written already would be waited for as long as the caller likes.
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._streams.discard(request.protocol)
        return response

    async def _send(self, response: web.StreamResponse, message: bytes) -> None:
        """Send a message; senders take turns with each other, and with the rest of the daemon."""
        for begin in range(0, len(message), _PIECE_OCTETS):
            async with self._turn:
                await asyncio.sleep(0)
            async with asyncio.timeout(WRITE_S):
                await response.write(message[begin : begin + _PIECE_OCTETS])

    @web.middleware
    async def _note(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Note that a whole request came on a connection, and let each have a turn of the loop of its own."""
        if request.protocol is not None:
            self._requested.add(request.protocol)
        async with self._turn:
            await asyncio.sleep(0)
        name = None if _is_local(request) else refused_name(_names_in(request), self._names)
        if name is not None:
            return self._refused(request, name)
        return await handler(request)

    def _refused(self, request: web.Request, name: str) -> web.Response:
        """Answer a request by a name that is not the daemon's; once a minute the log says so."""
        why = refusal(name)
        now_s = time.monotonic()
        if self._refused_at_s is None or now_s > self._refused_at_s + _REFUSED_EVERY_S:
            self._refused_at_s = now_s
            logger.warning("carp: HTTP: refused %s: %s", request.remote, why)
        return web.Response(text=f"{why}\n", status=web.HTTPMisdirectedRequest.status_code)

    def _connections(self, runner: web.AppRunner) -> list[web.RequestHandler]:
        return [] if runner.server is None else list(runner.server.connections)

    async def _trim(self, runner: web.AppRunner) -> None:
        """Close connections on which no whole request comes, and the oldest where there are too many.

        The daemon keeps its descriptors, and those who follow events keep their streams. While there is no connection
        this waits for one, and costs nothing.
        """
        loop = asyncio.get_running_loop()
        since_s: dict[BaseProtocol, float] = {}
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            await asyncio.sleep(_TRIM_S)
            connections = self._connections(runner)
            if connections:
                self._arrival.set()
            self._requested.intersection_update(connections)
            since_s = {each: since_s.get(each, loop.time()) for each in connections}
            silent = [
                each for each in connections if each not in self._requested and loop.time() - since_s[each] > REQUEST_S
            ]
            others = [each for each in connections if each not in self._streams]
            excess = others[: max(len(connections) - CONNECTIONS_MOST, 0)]
            for each in {*silent, *excess}:
                each.force_close()
                if each.transport is not None:
                    each.transport.close()


def _is_local(request: web.Request) -> bool:
    """Return whether a request came by a socket of the file system, which no page of a browser can reach."""
    sock = None if request.transport is None else request.transport.get_extra_info("socket")
    return sock is not None and sock.family == socket.AF_UNIX


def _names_in(request: web.Request) -> list[str]:
    return [*request.headers.getall("Host", []), urlsplit(request.raw_path).netloc]


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _message_of(reply: Reply) -> bytes:
    if isinstance(reply, EventRecord):
        return b"id: %d\ndata: %s\n\n" % (reply.seq, msgspec.json.encode(reply))
    return b": alive\n\n"


def _answer_with(file: PageFile) -> Callable[[web.Request], Awaitable[web.Response]]:
    headers = {"Cache-Control": "no-cache", "ETag": file.tag}

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, headers={**headers, "Content-Type": file.type})

    return answer


def _is_of_this_machine(place: str) -> bool:
    return place.startswith("unix:") or ip_address(place.rpartition(":")[0].strip("[]")).is_loopback


def _bound(place: str) -> socket.socket:
    """Return a socket for an address and a port; the machine may get the address later. Raises OSError."""
    host, _colon, port = place.rpartition(":")
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    ((family, kind, protocol, _name, address), *_rest) = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=numeric
    )
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket that an earlier daemon left; one that answers, and anything else, stays, and binding fails."""
    if path.is_socket() and not path.is_symlink() and not answers(path):
        path.unlink(missing_ok=True)


def _let_read(path: Path, readers: int | None) -> None:
    """Allow root, the daemon's user and the group of readers to connect, and nobody else."""
    path.chmod(_SOCKET_MODE)
    if readers is not None:
        with contextlib.suppress(OSError):
            os.chown(path, -1, readers)
