"""What can be changed over HTTP, by whom, and what is refused: asked by a real client."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pycarp.config.http_token import HttpToken
from pycarp.config.model import HttpConfig
from pycarp.daemon.control_messages import DoneReply, DrainRequest, HandoverReply, HandoverRequest, Reply, Request
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.http_actions import FAILURE_EVERY_S, FAILURES_AT_ONCE, SOURCES_MOST, FailureLimit
from pycarp.daemon.http_server import HttpServer
from pycarp.daemon.state_timeline import StateTimeline
from pycarp.daemon.tallies import Tallies
from pycarp.errors import ConfigError, HandOverError
from tests.support.control import host_of, status_of

TOKEN = "0123456789abcdef"
DRAIN = {"type": "drain", "host": "web"}


class Served:
    """A server whose changes a test sees, and a client of it."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.client = client
        self.asked: list[Request] = []
        self.reply: Reply = DoneReply()
        self.error: Exception | None = None

    async def carry_out(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return self.reply

    async def post(
        self, body: object = DRAIN, *, token: str | None = TOKEN, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.client.post("http://carp/api/control", json=body, headers={**sent, **(headers or {})}) as found:
            return found.status, await found.json()


@contextlib.asynccontextmanager
async def served(folder: Path, *, token: str | None = TOKEN) -> AsyncIterator[Served]:
    path = folder / "http"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client:
        found = Served(client)
        config = HttpConfig(listen=(f"unix:{path}",), token=None if token is None else HttpToken(token.encode()))

        async def status() -> Any:
            return status_of(host_of("web"))

        timeline = StateTimeline(time.monotonic)
        server = HttpServer(status, Tallies(), EventHistory(), timeline, carry_out=found.carry_out)
        async with server.serving(config):
            while not path.exists():  # noqa: ASYNC110  the kernel's
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            yield found


async def test_with_the_token_a_request_is_carried_out_as_on_the_control_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        server.reply = HandoverReply(host="web", master="192.0.2.2", took_s=0.01)

        answer = await server.post({"type": "handover", "host": "web", "timeout_s": 2})

    assert answer == (200, {"type": "handover", "host": "web", "master": "192.0.2.2", "took_s": 0.01})
    assert server.asked == [HandoverRequest(host="web", timeout_s=2)]


async def test_without_a_token_in_the_configuration_nothing_can_be_changed(tmp_path: Path) -> None:
    async with served(tmp_path, token=None) as server:
        status, answer = await server.post()

    assert (status, server.asked) == (403, [])
    assert "token_file" in answer["message"]


@pytest.mark.parametrize("token", [None, "0123456789abcdeF", "", "é" * 16])
async def test_without_the_right_token_nothing_is_changed(tmp_path: Path, token: str | None) -> None:
    async with served(tmp_path) as server:
        status, _answer = await server.post(token=token)

    assert (status, server.asked) == (401, [])


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://carp"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://carp:81"},
    ],
)
async def test_a_request_from_a_page_of_another_origin_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with served(tmp_path) as server:
        assert (await server.post(headers=headers))[0] == 403
        assert server.asked == []


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy"}, {"Origin": "http://carp"}]
)
async def test_a_request_of_our_own_page_is_carried_out(tmp_path: Path, headers: dict[str, str]) -> None:
    async with served(tmp_path) as server:
        assert (await server.post(headers=headers))[0] == 200


async def test_a_form_cannot_ask_for_anything(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        assert (await server.post(headers={"Content-Type": "text/plain"}))[0] == 415
        async with server.client.get("http://carp/api/control?type=drain") as answer:
            assert answer.status == 405
        assert server.asked == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"type": "sysctl", "name": "net.inet.carp.allow", "value": 0}, "not a request"),
        ({"type": "reload"}, "not a request"),
        ({"type": "drain", "host": "web", "power": 9}, "not a request"),
        ([], "not a request"),
        ({"type": "handover", "host": "web", "timeout_s": 1e9}, "timeout_s 1e+09 is outside 0.05-60"),
        ({"type": "drain", "host": "web", "for_s": -1}, "for_s -1 is outside 1-"),
        ({"type": "drain", "host": "web", "timeout_s": 0}, "timeout_s 0 is outside"),
        ({"type": "undrain", "host": "web\n2026 carp: forged"}, "is no name of a host"),
    ],
)
async def test_what_is_no_request_or_out_of_bounds_is_refused(tmp_path: Path, body: object, said: str) -> None:
    async with served(tmp_path) as server:
        status, answer = await server.post(body)

    assert (status, server.asked) == (400, [])
    assert said in answer["message"]


async def test_a_body_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as server,
        server.client.post(
            "http://carp/api/control",
            json={**DRAIN, "reason": "x" * 9999},
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as answer,
    ):
        assert answer.status == 413


async def test_a_refusal_of_the_daemon_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        server.error = HandOverError("nobody takes over")

        assert await server.post() == (409, {"type": "refused", "message": "nobody takes over", "is_usage": False})


async def test_after_some_wrong_tokens_the_right_one_has_to_wait_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as server:
        wrong = [(await server.post(token="wrong" * 4))[0] for _number in range(FAILURES_AT_ONCE + 2)]

        assert wrong == [*[401] * FAILURES_AT_ONCE, 429, 429]
        status, answer = await server.post()
        assert (status, server.asked) == (429, [])
        assert "too many wrong tokens" in answer["message"]
    assert [each for each in caplog.messages if "wrong token" in each] == [
        "carp: HTTP: a wrong token from a socket of the file system"
    ]
    assert TOKEN not in caplog.text


async def test_who_asked_for_what_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pycarp")
    async with served(tmp_path) as server:
        await server.post()

    assert "carp: HTTP: a socket of the file system asks for: drain web" in caplog.messages
    assert server.asked == [DrainRequest(host="web")]


def test_a_source_that_waited_may_try_again_and_others_need_not_wait() -> None:
    now_s = [0.0]
    limit = FailureLimit(lambda: now_s[0])
    for _number in range(FAILURES_AT_ONCE):
        limit.count("192.0.2.1")

    assert limit.wait_s("192.0.2.1") == FAILURE_EVERY_S
    assert limit.wait_s("192.0.2.2") == 0
    now_s[0] = FAILURE_EVERY_S
    assert limit.wait_s("192.0.2.1") == 0


def test_sources_do_not_fill_the_memory() -> None:
    limit = FailureLimit(lambda: 0.0)
    for number in range(SOURCES_MOST + 10):
        limit.count(str(number))

    assert len(limit._sources) == SOURCES_MOST


@pytest.mark.parametrize(
    ("token", "said"), [(b"short", "5 octets"), (b"x" * 300, "300 octets"), (b"with a blank " * 2, "visible")]
)
def test_a_token_that_is_easy_to_guess_or_cannot_be_sent_is_refused(token: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        HttpToken(token)


def test_a_token_shows_itself_to_nobody() -> None:
    token = HttpToken(TOKEN.encode())

    assert TOKEN not in f"{token!r} {token} {HttpConfig(listen=(), token=token)}"
    assert token.matches(TOKEN)
    assert not token.matches(TOKEN[:-1])
