"""What callers with the token may do over HTTP: drain hosts, end that, and hand them over.

A foreign page cannot do it through the browser of an operator: the token is in a header, which a form cannot
send, and which a script of another origin may not; and requests from elsewhere are refused whatever they carry.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from pycarp.aio.log_records import logger
from pycarp.config.http_token import HttpToken
from pycarp.daemon.control_messages import (
    DrainRequest,
    HandoverRequest,
    RefusedReply,
    Reply,
    Request,
    UndrainRequest,
)
from pycarp.daemon.maintenance_bounds import MOST_S, TIMEOUT_MOST_S
from pycarp.daemon.streams import Stream
from pycarp.errors import CarpError

BODY_OCTETS_MOST = 4096
BODY_S = 5.0
"""How long the body of a request may take."""

AT_ONCE_MOST = 8
TIMEOUT_LEAST_S = 0.05
HOST_MOST = 200

FAILURES_AT_ONCE = 5
FAILURE_EVERY_S = 10.0
"""A source may send so many wrong tokens at once, and in the long run one in so long; then it has to wait."""

SOURCES_MOST = 1024
LOGGED_EVERY_S = 60.0

Action: TypeAlias = DrainRequest | UndrainRequest | HandoverRequest

_actions: msgspec.json.Decoder[Action] = msgspec.json.Decoder(Action)


@dataclass(slots=True)
class _Allowance:
    """How many wrong tokens a source may still send at ``at_s``, and when that was last logged."""

    tokens: float
    at_s: float
    logged_at_s: float | None = None


class FailureLimit:
    """Counts wrong tokens by source, so that nobody can try many; sources are forgotten when there are too many."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._sources: OrderedDict[str, _Allowance] = OrderedDict()

    def wait_s(self, source: str) -> float:
        """Return how long a source has to wait before its token is looked at, in seconds; 0 for not at all."""
        tokens = self._of(source).tokens
        return 0.0 if tokens >= 1 else (1 - tokens) * FAILURE_EVERY_S

    def count(self, source: str) -> bool:
        """Count a wrong token; return whether to log it."""
        allowance = self._of(source)
        allowance.tokens -= 1
        self._sources[source] = allowance
        self._sources.move_to_end(source)
        if len(self._sources) > SOURCES_MOST:
            self._sources.popitem(last=False)
        now_s = self._now_s()
        if allowance.logged_at_s is not None and now_s < allowance.logged_at_s + LOGGED_EVERY_S:
            return False
        allowance.logged_at_s = now_s
        return True

    def _of(self, source: str) -> _Allowance:
        now_s = self._now_s()
        allowance = self._sources.get(source, _Allowance(FAILURES_AT_ONCE, now_s))
        allowance.tokens = min(allowance.tokens + (now_s - allowance.at_s) / FAILURE_EVERY_S, FAILURES_AT_ONCE)
        allowance.at_s = now_s
        return allowance


class HttpActions:
    """Carries out what callers ask for with the ``token``, which may be set at any time; without one nothing.

    ``carry_out`` answers a request as on the control socket.
    """

    def __init__(self, carry_out: Callable[[Request], Awaitable[Reply | Stream]]) -> None:
        self.token: HttpToken | None = None
        self._carry_out = carry_out
        self._failures = FailureLimit(asyncio.get_running_loop().time)
        self._running = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request with the reply of the control socket, or a refusal that says why not."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self._running >= AT_ONCE_MOST:
            return _refused(503, f"{AT_ONCE_MOST} requests are being carried out already; ask again in a moment")
        self._running += 1
        try:
            return await self._carried_out(request)
        finally:
            self._running -= 1

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Return why a caller may not do anything, None if it may."""
        if self.token is None:
            return _refused(403, "nothing can be changed over HTTP here: [http] has no token_file")
        if not _is_from_here(request):
            return _refused(403, "this request is from a page of another origin")
        if request.content_type != "application/json":
            return _refused(415, "the body has to be application/json")
        source = _source(request)
        if wait_s := self._failures.wait_s(source):
            headers = {"Retry-After": str(int(wait_s) + 1)}
            return _refused(429, f"too many wrong tokens; try again in {int(wait_s) + 1} s", headers)
        kind, _blank, said = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.token.matches(said.strip()):
            return None
        if said and self._failures.count(source):
            logger.warning("carp: HTTP: a wrong token from %s", source)
        headers = {"WWW-Authenticate": "Bearer"}
        return _refused(401, "wrong token" if said else "no token; send it as Authorization: Bearer TOKEN", headers)

    async def _carried_out(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_S):
                action = _actions.decode(await request.read())
        except TimeoutError:
            return _refused(408, f"no whole body came within {BODY_S:g} s")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            return _refused(400, f"not a request: {exc}")
        if problem := _out_of_bounds(action):
            return _refused(400, problem)
        what = type(action).__name__.removesuffix("Request").lower()
        logger.info("carp: HTTP: %s asks for: %s %s", _source(request), what, action.host or "every host")
        try:
            reply = await self._carry_out(action)
        except CarpError as exc:
            return _refused(409, str(exc))
        assert not isinstance(reply, Stream)
        return _answered(200, reply)


def _is_from_here(request: web.Request) -> bool:
    """Return whether a request is from our own page, or from no page at all.

    Browsers say so themselves (Sec-Fetch-Site) if the page came over TLS or from this machine; otherwise they say
    where the page is from (Origin).
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    # Not request.host: without the header it asks the DNS for the machine's name, and the loop waits.
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host")


def _source(request: web.Request) -> str:
    """Return who asks; of IPv6 the /64, in which one machine may have any address."""
    remote = request.remote or ""
    try:
        address = ip_address(remote)
    except ValueError:
        return "a socket of the file system"
    return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else remote


def _out_of_bounds(action: Action) -> str:
    """Return what is wrong with the values of a request, empty if nothing."""
    if action.host is not None and not (action.host.isprintable() and len(action.host) <= HOST_MOST):
        return f"host {action.host[:HOST_MOST]!r} is no name of a host"
    timeout_s = 1.0 if isinstance(action, UndrainRequest) else action.timeout_s
    if not TIMEOUT_LEAST_S <= timeout_s <= TIMEOUT_MOST_S:
        return f"timeout_s {timeout_s:g} is outside {TIMEOUT_LEAST_S:g}-{TIMEOUT_MOST_S:g}"
    for_s = action.for_s if isinstance(action, DrainRequest) else None
    if for_s is not None and not 1 <= for_s <= MOST_S:
        return f"for_s {for_s:g} is outside 1-{MOST_S}"
    return ""


def _refused(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return _answered(status, RefusedReply(why), headers)


def _answered(status: int, reply: Reply, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(reply),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
