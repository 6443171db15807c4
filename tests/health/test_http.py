"""The probe of web servers: status, body, TLS, and servers that close, stall or speak something else."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Check, Finding, Probe, http, look, probe_of
from tests.support.certificates import write_certificate

GOOD = b"HTTP/1.1 200 OK\r\nServer: test\r\n\r\nall is well"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer_of(probe: Probe) -> Answer:
    return (await look(Check(name="web", probe=probe, timeout_s=10))).answer


@contextlib.asynccontextmanager
async def server(
    response: bytes, *, tls: ssl.SSLContext | None = None, asked: list[bytes] | None = None
) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(request)
            writer.write(response)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as made:
        yield made.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("response", "settings", "answer"),
    [
        (GOOD, {}, Answer.OK),
        (GOOD, {"body": "is well"}, Answer.OK),
        (GOOD, {"body": b"Server"}, Answer.FAIL),
        (GOOD, {"statuses": {204}}, Answer.FAIL),
        (b"HTTP/1.0 302 Found\r\n\r\n", {}, Answer.OK),
        (b"HTTP/1.0 503 Busy\r\n\r\n", {}, Answer.FAIL),
        (b"HTTP/1.0 503 Busy\r\n\r\n", {"statuses": {503}}, Answer.OK),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n5\r\n well\r\n0\r\n\r\n",
            {"body": "is well"},
            Answer.OK,
        ),
        (CHUNKED + b"f" * 40 + b"\r\n", {}, Answer.FAIL),
        (CHUNKED + b"x\r\n", {"body": "x"}, Answer.FAIL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nall", {"body": "all"}, Answer.OK),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, {"statuses": {200}}, Answer.OK),
        (b"HTTP/1.1 204 No Content\r\n\r\n", {}, Answer.OK),
        (b"HTTP/1.1 200", {}, Answer.OK),
        (b"HTTP/1.1", {}, Answer.FAIL),
        (b"", {}, Answer.FAIL),
        (b"SSH-2.0-OpenSSH\r\n", {}, Answer.FAIL),
        (b"HTTP/1.0 2000 ?\r\n\r\n", {}, Answer.FAIL),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 200_000 + b"end", {"body": "end"}, Answer.FAIL),
    ],
)
async def test_status_and_body_decide(response: bytes, settings: dict[str, Any], answer: Answer) -> None:
    async with server(response) as port:
        assert await answer_of(http(f"http://127.0.0.1:{port}/", **settings)) is answer


async def test_the_request_has_path_query_and_host() -> None:
    asked: list[bytes] = []
    async with server(GOOD, asked=asked) as port:
        await http(f"http://user@127.0.0.1:{port}/health?deep=1")()

    assert asked[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
async def test_a_response_that_is_whole_is_enough_though_the_connection_stays(response: bytes) -> None:
    closed = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for octet in response:
            writer.write(bytes([octet]))
            await writer.drain()
        with contextlib.suppress(OSError):
            await reader.read()
            await reader.read()
        writer.close()
        closed.set()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as made:
        port = made.sockets[0].getsockname()[1]
        assert await answer_of(http(f"http://127.0.0.1:{port}/")) is Answer.OK
        await closed.wait()


async def test_nobody_listens() -> None:
    async with server(GOOD) as port:
        pass
    assert await http(f"http://127.0.0.1:{port}")() == Finding(
        Answer.FAIL, f"no connection to http://127.0.0.1:{port}: Connection refused"
    )


async def test_a_server_that_stalls_is_left_when_the_check_is_cancelled() -> None:
    connected, left = asyncio.Event(), asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.write(b"HTTP/1.0 200")
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        left.set()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as made:
        port = made.sockets[0].getsockname()[1]
        task = asyncio.ensure_future(http(f"http://127.0.0.1:{port}/")())
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await left.wait()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem")


@pytest.mark.parametrize(("is_trusted", "answer"), [(True, Answer.OK), (False, Answer.FAIL)])
async def test_tls_verifies_the_certificate(certificate: Path, *, is_trusted: bool, answer: Answer) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate) if is_trusted else None

    async with server(GOOD, tls=serving) as port:
        assert await answer_of(http(f"https://localhost:{port}/", context=trusting)) is answer


async def test_a_table_says_whom_to_trust_or_that_it_does_not_matter(certificate: Path) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)

    async with server(GOOD, tls=serving) as port:
        table = {"http": f"https://localhost:{port}/"}
        found = [
            await answer_of(probe_of({**table, **more}))
            for more in ({}, {"ca_file": str(certificate)}, {"verify": False})
        ]

    assert found == [Answer.FAIL, Answer.OK, Answer.OK]
    with pytest.raises(ConfigError, match="verify = false says everybody; leave one of them out"):
        probe_of({**table, "ca_file": str(certificate), "verify": False})


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://x/", "http://", "http://a:99999/", "http://a/b c", "http://ä/", 7]
)
def test_another_url_is_refused(url: Any) -> None:
    with pytest.raises(ConfigError, match="is no http"):
        http(url)
