"""The probe that asks DNS servers: dnsmasq, and servers that refuse, cut short, mumble or say nothing."""

import asyncio
import contextlib
import importlib.util
import socket
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.health import Answer, Finding, dns
from tests.support.probes import finding_of
from tests.support.system import require

NAME = "www.example.org"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def dnsmasq() -> Iterator[str]:
    """Run a real server."""
    require("dnsmasq", root=False)
    server = f"127.0.0.1:{free_port()}"
    records = (
        *("--host-record=www.example.org,192.0.2.10,2001:db8::10", "--cname=web.example.org,www.example.org"),
        *("--txt-record=example.org,v=spf1 -all", "--local=/example.org/", "--mx-host=example.org,mx.example.org"),
    )
    listening = ("--listen-address=127.0.0.1", f"--port={server.rpartition(':')[2]}", "--bind-interfaces")
    quiet = ("--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--keep-in-foreground", "--user=")
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(["dnsmasq", *listening, *quiet, *records], stderr=errors)
        try:
            found = asyncio.run(until_it_answers(server))
            errors.seek(0)
            assert found.answer is Answer.OK, (found, errors.read())
            yield server
        finally:
            process.terminate()
            process.wait()


async def until_it_answers(server: str) -> Finding:
    for _attempt in range(100):
        found = await finding_of(dns(NAME, server=server))
        if found.answer is Answer.OK:
            break
        await asyncio.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("name", "settings", "answer", "detail"),
    [
        (NAME, {}, Answer.OK, f"resolves {NAME} to 192.0.2.10"),
        (NAME, {"record": "AAAA"}, Answer.OK, f"resolves {NAME} to 2001:db8::10"),
        (f"{NAME}.", {"answer": "192.0.2.10"}, Answer.OK, f"resolves {NAME}. to 192.0.2.10"),
        (NAME, {"record": "AAAA", "answer": "2001:DB8:0::10"}, Answer.OK, f"resolves {NAME} to 2001:db8::10"),
        (NAME, {"answer": "192.0.2.11"}, Answer.FAIL, f"resolves {NAME} to 192.0.2.10, not to 192.0.2.11"),
        ("web.example.org", {}, Answer.OK, "resolves web.example.org to 192.0.2.10"),
        (
            "web.example.org",
            {"record": "CNAME", "answer": "WWW.example.org"},
            Answer.OK,
            "resolves web.example.org to www.example.org.",
        ),
        ("example.org", {"record": "TXT", "answer": "v=spf1 -all"}, Answer.OK, 'resolves example.org to "v=spf1 -all"'),
        (NAME, {"record": "MX"}, Answer.FAIL, f"has no MX of {NAME}"),
        ("none.example.org", {}, Answer.FAIL, "says that there is no none.example.org"),
        ("www.example.net", {}, Answer.FAIL, "answered REFUSED for www.example.net"),
    ],
)
async def test_a_server_resolves_a_name_or_not(
    dnsmasq: str, name: str, settings: dict[str, Any], answer: Answer, detail: str
) -> None:
    assert await finding_of(dns(name, server=dnsmasq, **settings)) == Finding(answer, f"{dnsmasq} {detail}")


async def test_a_closed_port_fails_at_once() -> None:
    server = f"127.0.0.1:{free_port()}"

    assert await finding_of(dns(NAME, server=server)) == Finding(
        Answer.FAIL, f"{server} did not answer: Connection refused"
    )


Reply = Callable[[bytes], list[bytes]]


@contextlib.asynccontextmanager
async def server_that(reply: Reply, in_stream: Reply | None = None) -> AsyncIterator[str]:
    """Answer each question with these octets, over UDP and TCP."""

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            for each in reply(data):
                self.transport.sendto(each, address)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        question = await reader.readexactly(length)
        for each in in_stream(question) if in_stream else []:
            writer.write(len(each).to_bytes(2, "big") + each)
        writer.close()

    transport, _protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Protocol, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        async with await asyncio.start_server(serve, "127.0.0.1", port):
            yield f"127.0.0.1:{port}"
    finally:
        transport.close()


def response(question: bytes, *, flags: int = 0x8180, address: bytes | None = bytes([192, 0, 2, 10])) -> bytes:
    """Return a response by hand, independent of the library that reads it. Source: RFC 1035, 4.1."""
    record = b"" if address is None else b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, len(address)) + address
    return question[:2] + struct.pack("!HHHHH", flags, 1, 1 if record else 0, 0, 0) + question[12:] + record


async def test_an_answer_that_is_cut_is_asked_for_again_in_a_stream() -> None:
    def cut(question: bytes) -> list[bytes]:
        return [response(question, flags=0x8380, address=None)]

    async with server_that(cut, lambda question: [response(question)]) as server:
        found = await finding_of(dns(NAME, server=server))

    assert found == Finding(Answer.OK, f"{server} resolves {NAME} to 192.0.2.10")


@pytest.mark.parametrize(
    ("in_stream", "why"),
    [
        (lambda _question: [], "the connection was closed before an answer"),
        (lambda _question: [b"mumble"], "it answered with something else than a response"),
    ],
)
async def test_a_stream_without_an_answer_fails(in_stream: Reply, why: str) -> None:
    async with server_that(lambda question: [response(question, flags=0x8380)], in_stream) as server:
        found = await finding_of(dns(NAME, server=server))

    assert found == Finding(Answer.FAIL, f"{server} did not answer: {why}")


async def test_what_is_no_answer_to_the_question_is_ignored() -> None:
    def mumble(question: bytes) -> list[bytes]:
        other_number = bytes([question[0] ^ 1]) + question[1:]
        other_question = question.replace(b"www", b"ftp")
        return [b"", b"x", question, question[:20], *map(response, (other_number, other_question)), response(question)]

    async with server_that(mumble) as server:
        found = await finding_of(dns(NAME, server=server))

    assert found == Finding(Answer.OK, f"{server} resolves {NAME} to 192.0.2.10")


async def test_a_server_that_says_nothing_fails_at_the_timeout() -> None:
    async with server_that(lambda _question: []) as server:
        found = await finding_of(dns(NAME, server=server), timeout_s=0.1)

    assert found == Finding(Answer.FAIL, f"{server} did not answer within 100ms")


async def test_a_server_that_fails_is_quoted() -> None:
    async with server_that(lambda question: [response(question, flags=0x8182, address=None)]) as server:
        found = await finding_of(dns(NAME, server=server))

    assert found == Finding(Answer.FAIL, f"{server} answered SERVFAIL for {NAME}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "a..b"}, "dns 'a..b' is no name; write one such as \"www.example.org\""),
        ({"name": "a" * 64}, "is no name"),
        ({"server": "ns.example.org"}, "server 'ns.example.org' is no address; write one such as"),
        ({"server": "192.0.2.53:0"}, "port 0 is outside 1-65535"),
        ({"server": "192.0.2.53:70000"}, "port 70000 is outside 1-65535"),
        ({"server": ""}, "is no address"),
        ({"record": "ANY"}, "record 'ANY' is none of A, AAAA"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_the_way_out(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dns(**{"name": NAME, "server": "192.0.2.53", **settings})


@pytest.mark.parametrize("server", ["192.0.2.53", "192.0.2.53:53", "2001:db8::53", "[2001:db8::53]:5353"])
def test_a_server_is_an_address_with_or_without_a_port(server: str) -> None:
    assert callable(dns(NAME, server=server))


def test_without_its_library_it_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(ConfigError, match=r"dns needs dnspython: pip install 'pycarp\[dns\]'"):
        dns(NAME, server="192.0.2.53")
