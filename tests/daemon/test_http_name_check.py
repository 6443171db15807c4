"""Requests by a name that is not the daemon's, as a rebound name of somebody else's page sends them: octet by octet."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pycarp.config.http_token import HttpToken
from pycarp.config.model import HttpConfig
from pycarp.daemon.control_messages import Reply, Request, StatusReply
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.http_server import HttpServer
from pycarp.daemon.state_timeline import StateTimeline
from pycarp.daemon.tallies import Tallies
from pycarp.errors import UsageError
from tests.support.control import host_of, status_of

LISTED = "carp.example.net"
SECRETIVE = ("/", "/page/page.js", "/metrics", "/healthz", "/api/status", "/api/events", "/api/live", "/none")


class Served:
    """A server on a port of the loopback, and on a socket of the file system."""

    def __init__(self, server: HttpServer, port: int, path: Path) -> None:
        self.server = server
        self._port = port
        self._path = path

    async def ask(self, octets: bytes, *, by_path: bool = False) -> bytes:
        """Send octets, and return the beginning of the answer."""
        opening = asyncio.open_unix_connection(self._path) if by_path else asyncio.open_connection("::1", self._port)
        reader, writer = await opening
        writer.write(octets)
        answer = await asyncio.wait_for(reader.read(4096), 5)
        writer.close()
        return answer

    async def status_by(self, *hosts: str, path: str = "/healthz") -> int:
        """Return the status of the answer to a request with these Host headers."""
        lines = "".join(f"Host: {each}\r\n" for each in hosts)
        answer = await self.ask(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return int(answer.split()[1])


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async def status() -> StatusReply:
        return status_of(host_of("web"))

    async def carry_out(request: Request) -> Reply:
        raise UsageError(f"nobody may ask for {request}")

    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "http"
    timeline = StateTimeline(asyncio.get_running_loop().time)
    server = HttpServer(status, Tallies(), EventHistory(), timeline, carry_out=carry_out)
    async with server.serving(HttpConfig(listen=(f"[::1]:{port}", f"unix:{path}"), names=(LISTED,))):
        async with asyncio.timeout(5):
            for place in ((socket.AF_INET6, ("::1", port)), (socket.AF_UNIX, str(path))):
                while not _answers(*place):  # noqa: ASYNC110  the kernel's
                    await asyncio.sleep(0.01)
        yield Served(server, port, path)


def _answers(family: int, place: object) -> bool:
    with socket.socket(family) as sock, contextlib.suppress(OSError):
        sock.connect(place)  # type: ignore[arg-type]
        return True
    return False


@pytest.mark.parametrize("path", SECRETIVE)
async def test_a_rebound_name_is_answered_nothing_and_told_the_setting(served: Served, path: str) -> None:
    answer = await served.ask(f"GET {path} HTTP/1.1\r\nHost: evil.example:9711\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
    assert b'[http] names = ["evil.example"]' in answer
    assert b"web" not in answer


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:9711",
        "192.0.2.1",
        "203.0.113.7:80",
        "[::1]:9711",
        "[2001:db8::1]",
        "localhost",
        "LocalHost:9711",
        "localhost.:9711",
        "carp.localhost:9711",
        LISTED,
        f"{LISTED.upper()}:9711",
        f"{LISTED}.",
    ],
)
async def test_an_address_the_loopback_and_a_listed_name_are_answered(served: Served, host: str) -> None:
    assert await served.status_by(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"{LISTED}.evil.example",
        f"evil-{LISTED}",
        f"a.{LISTED}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.1",
        "2130706433",
        "[evil.example]",
        "xn--carp-9na.example",
    ],
)
async def test_names_that_only_look_like_these_are_refused(served: Served, host: str) -> None:
    assert await served.status_by(host) == 421


async def test_a_caller_without_a_name_is_no_browser_and_is_answered(served: Served) -> None:
    assert (await served.ask(b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200")


async def test_two_names_do_not_help(served: Served) -> None:
    assert await served.status_by("127.0.0.1", "evil.example") in (400, 421)
    assert await served.status_by("evil.example", "127.0.0.1") in (400, 421)


async def test_the_name_in_the_target_of_a_request_counts_too(served: Served) -> None:
    answer = await served.ask(b"GET http://evil.example/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 421")


async def test_a_socket_of_the_file_system_takes_any_name(served: Served) -> None:
    answer = await served.ask(b"GET /healthz HTTP/1.1\r\nHost: carp\r\n\r\n", by_path=True)

    assert answer.startswith(b"HTTP/1.1 200")


async def test_names_may_change_while_the_daemon_runs(served: Served) -> None:
    served.server.take(HttpConfig(listen=(), names=("other.example",)))

    assert (await served.status_by("other.example"), await served.status_by(LISTED)) == (200, 421)


async def test_the_log_says_once_a_minute_which_name_was_refused(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pycarp")
    for _number in range(3):
        await served.status_by("scraped.example:9711")

    (only,) = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
    assert '[http] names = ["scraped.example"]' in only


async def test_a_long_or_strange_name_is_neither_logged_nor_answered_whole(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await served.ask(b"GET / HTTP/1.1\r\nHost: " + b"\xc3\xa4\xff" + b"x" * 5000 + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 421")
    assert answer.isascii()
    assert len(answer) < 2000
    assert all(each.getMessage().isascii() and len(each.getMessage()) < 400 for each in caplog.records)


async def test_an_origin_without_a_name_never_asks_the_dns(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> str:
        raise AssertionError("the event loop waits for the DNS")

    monkeypatch.setattr(socket, "getfqdn", never)
    served.server.take(HttpConfig(listen=(), token=HttpToken(b"0123456789abcdef")))

    answer = await served.ask(b"POST /api/control HTTP/1.0\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n")

    assert answer.split()[1] == b"403"
