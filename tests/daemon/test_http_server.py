"""The daemon's HTTP server, asked by a real client: metrics, health, status, events, and what it refuses."""

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pycarp.config.model import HttpConfig
from pycarp.core.events import AddressesHeld, LoopStalled, StateChange
from pycarp.core.state import Reason, State
from pycarp.daemon import http_server
from pycarp.daemon.control_messages import CheckStatus, Reply, Request, StatusReply
from pycarp.daemon.event_history import EventHistory
from pycarp.daemon.http_server import HttpServer
from pycarp.daemon.metrics import HOSTS_A_TURN
from pycarp.daemon.state_timeline import StateTimeline
from pycarp.daemon.tallies import Tallies
from pycarp.errors import UsageError
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.control import cause_of, host_of, peer_of, status_of

KEY = HostKey("fxp0", 1)
TIMELINE = StateTimeline(time.monotonic)
log = logging.getLogger("pycarp.state")


class Served:
    """A server, what it answers from, and a client of it."""

    def __init__(self, client: aiohttp.ClientSession, tallies: Tallies) -> None:
        self.client = client
        self.tallies = tallies
        self.status = status_of(host_of("web"))
        self.asked = 0

    async def now(self) -> StatusReply:
        self.asked += 1
        return self.status

    async def carry_out(self, request: Request) -> Reply:
        """Refuse: these tests only look."""
        raise UsageError(f"nobody may ask for {request}")

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(f"http://carp{path}") as response:
            return response.status, await response.text()

    async def status_of_stream(self) -> int:
        """Return whether one more may follow, as 200 or 503."""
        async with self.client.get("http://carp/api/live") as response:
            return response.status

    async def metrics(self) -> dict[tuple[str, frozenset[str]], float]:
        """Return every sample by its name and the values of its labels."""
        _status, text = await self.get("/metrics")
        families = text_string_to_metric_families(text)
        return {
            (each.name, frozenset(each.labels.values())): each.value for family in families for each in family.samples
        }


@contextlib.asynccontextmanager
async def served(folder: Path, *, is_listening: bool = True) -> AsyncIterator[Served]:
    path = folder / "http"
    tallies, history = Tallies(), EventHistory()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path), limit=0)) as client:
        found = Served(client, tallies)
        with history.recording():
            async with HttpServer(found.now, tallies, history, TIMELINE, carry_out=found.carry_out).serving(
                HttpConfig(listen=(f"unix:{path}",))
            ):
                if is_listening:
                    await until(lambda: answers(path))
                yield found


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110  the kernel's
            await asyncio.sleep(0.01)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(str(path)) == 0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_metrics_say_the_state_of_each_host_and_what_was_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        check = CheckStatus(name="nginx", passes=False, answer="fail", detail="", by=None, s_ago=1)
        server.status = status_of(host_of("web", checks=[check], demotion=[cause_of("check nginx", 240)], rejected=7))
        master = StateChange(
            key=KEY, at_ns=NS_PER_S, old=State.BACKUP, new=State.MASTER, reason=Reason.MASTER_SILENT, epoch=2
        )
        server.tallies.take(master)
        server.tallies.take(AddressesHeld(key=KEY, at_ns=NS_PER_S + 3_000_000, epoch=2))
        server.tallies.take(LoopStalled(key=KEY, at_ns=5, late_ns=NS_PER_S // 2))
        server.tallies.take(LoopStalled(key=HostKey("fxp0", 2), at_ns=5, late_ns=NS_PER_S // 2))

        samples = await server.metrics()

    def of(name: str, *labels: str) -> float:
        return samples[f"pycarp_{name}", frozenset(labels)]

    web = ("web", "1", "fxp0")
    assert (of("host_state", *web, "MASTER"), of("host_state", *web, "BACKUP")) == (1, 0)
    assert of("host_transitions_total", *web, "MASTER", "master-silent") == 1
    assert (of("host_demotion", *web), of("host_rejected_total", *web)) == (240, 7)
    assert of("check_passes", *web, "nginx") == 0
    assert (of("stalls_total"), of("stalled_seconds_total")) == (1, 0.5)
    assert (of("takeover_seconds_bucket", "0.0025"), of("takeover_seconds_bucket", "0.005")) == (0, 1)
    assert of("takeover_seconds_sum") == pytest.approx(0.003)


def test_what_was_counted_is_shown_for_an_interface_as_it_is_called_now() -> None:
    tallies = Tallies()
    for epoch in (1, 2):
        tallies.take(
            StateChange(key=KEY, at_ns=0, old=State.BACKUP, new=State.MASTER, reason=Reason.FORCED, epoch=epoch)
        )

    copied = tallies.copy(present_name={KEY.link: "lan0"}.__getitem__)

    assert dict(copied.transitions) == {(HostKey("lan0", KEY.vhid), State.MASTER, "forced"): 2}


async def test_health_is_bad_while_a_host_is_not_as_its_administrators_want_it(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        assert await server.get("/healthz") == (200, "ok\n")

    async with served(tmp_path) as server:
        server.status = status_of(host_of("web"), host_of("dns", demotion=[cause_of("check dns", 240)]))
        assert await server.get("/healthz") == (503, "dns: is demoted: check dns\n")


async def test_the_status_is_that_of_the_command_and_computed_once_for_many(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answers = await asyncio.gather(*(server.get("/api/status") for _ in range(50)))

        assert {status for status, _text in answers} == {200}
        assert json.loads(answers[0][1])["hosts"][0]["name"] == "web"
        assert server.asked == 1


async def test_events_are_sent_as_they_happen_and_go_on_after_a_number(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        log.info("carp: first")
        async with server.client.get("http://carp/api/events", headers={"Last-Event-ID": "0"}) as response:
            log.info("carp: second")
            found: list[str] = []
            async for line in response.content:
                found += [json.loads(line[6:])["text"]] if line.startswith(b"data: ") else []
                if "second" in found:
                    break
            assert found[-2:] == ["first", "second"]
            assert response.content_type == "text/event-stream"


@pytest.mark.parametrize("after", ["x", "-1", "9" * 40, "%F0%9F%98%80"])
async def test_what_is_no_number_of_an_event_is_refused(tmp_path: Path, after: str) -> None:
    async with served(tmp_path) as server:
        status, text = await server.get(f"/api/events?after={after}")

    assert status == 400
    assert "is not the number of an event" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_changed(tmp_path: Path, method: str) -> None:
    async with served(tmp_path) as server, server.client.request(method, "http://carp/api/status") as response:
        assert response.status == 405


async def test_a_socket_that_an_earlier_daemon_left_is_replaced_and_a_file_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path):
        pass
    async with served(tmp_path) as server:
        assert (await server.get("/healthz"))[0] == 200
    (tmp_path / "http").unlink(missing_ok=True)
    (tmp_path / "http").write_text("precious")

    async with served(tmp_path, is_listening=False):
        await until(lambda: "cannot listen for HTTP on unix:" in caplog.text)
    assert (tmp_path / "http").read_text() == "precious"


async def test_the_socket_of_a_daemon_that_lives_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as server:
        async with served(tmp_path, is_listening=False):
            await until(lambda: "in use" in caplog.text)

        assert (await server.get("/healthz"))[0] == 200
        assert (tmp_path / "http").stat().st_mode & 0o777 == 0o660


async def test_a_socket_whose_queue_is_full_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        busy.bind(str(tmp_path / "http"))
        busy.listen(0)
        while True:
            caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            caller.setblocking(False)
            if caller.connect_ex(str(tmp_path / "http")):
                break
        async with served(tmp_path, is_listening=False):
            await until(lambda: "cannot listen for HTTP" in caplog.text)

    assert "in use" in caplog.text


@pytest.mark.parametrize("address", ["192.0.2.77", "[2001:db8::77]"])
async def test_an_address_that_the_machine_does_not_have_yet_is_listened_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    caplog.set_level(logging.INFO, "pycarp")
    async with served(tmp_path) as server:
        http = HttpServer(server.now, server.tallies, EventHistory(), TIMELINE, carry_out=server.carry_out)
        place = f"{address}:{free_port()}"
        async with http.serving(HttpConfig(listen=(place,))):
            await until(lambda: f"carp: HTTP on {place}" in caplog.text)


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_a_port_that_is_taken_is_told_and_served_once_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    caplog.set_level(logging.INFO, "pycarp")
    monkeypatch.setattr(http_server, "_AGAIN_S", 0.05)
    family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
    async with served(tmp_path) as server, aiohttp.ClientSession() as client:
        port = free_port()
        http = HttpServer(server.now, server.tallies, EventHistory(), TIMELINE, carry_out=server.carry_out)
        with socket.socket(family, socket.SOCK_STREAM) as taken:
            taken.bind((address.strip("[]"), port))
            taken.listen()
            serving = http.serving(HttpConfig(listen=(f"{address}:{port}",)))
            await serving.__aenter__()
            await until(lambda: "already in use" in caplog.text)
        try:
            await until(lambda: f"carp: HTTP on {address}:{port}" in caplog.text)
            async with client.get(f"http://{address}:{port}/healthz") as response:
                assert response.status == 200
        finally:
            await serving.__aexit__(None, None, None)


async def test_garbage_is_answered_and_disturbs_neither_others_nor_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as server:
        for octets in (
            b"\0" * 100,
            b"GET / HTTP/1.1\r\n" + b"x: y" * 5000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20000 + b"\r\n",
            b"GET /healthz HTTP/9.9\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        ):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "http"))
            writer.write(octets)
            writer.write_eof()
            assert b"200 OK" not in await asyncio.wait_for(reader.read(), 5)
            writer.close()

        assert (await server.get("/healthz"))[0] == 200
        assert not [each for each in caplog.records if each.levelno >= logging.INFO and "HTTP on" not in each.msg]


async def test_an_error_of_the_server_itself_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as server:
        del server.status
        status, _text = await server.get("/api/status")

    assert status == 500
    assert [each.levelname for each in caplog.records if each.exc_info] == ["ERROR"]


async def test_a_connection_on_which_no_whole_request_comes_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "REQUEST_S", 0.05)
    monkeypatch.setattr(http_server, "_TRIM_S", 0.02)
    async with served(tmp_path) as server:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "http"))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: ")

        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert (await server.get("/healthz"))[0] == 200


async def test_of_too_many_connections_those_go_that_follow_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS_MOST", 5)
    monkeypatch.setattr(http_server, "_TRIM_S", 0.02)
    async with served(tmp_path) as server, server.client.get("http://carp/api/live") as follower:
        crowd = [await asyncio.open_unix_connection(str(tmp_path / "http")) for _number in range(8)]
        await asyncio.wait_for(crowd[0][0].read(), 5)

        assert (await follower.content.readline()).startswith(b"event: everything")
        assert not crowd[-1][0].at_eof()
        for _reader, writer in crowd:
            writer.close()


async def test_a_follower_that_reads_nothing_is_left_and_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_server, "WRITE_S", 0.2)
    async with served(tmp_path) as server:
        server.status = status_of(*(host_of(f"web{number}", vhid=number, location="x" * 9000) for number in range(255)))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "http"), limit=1024)
        writer.write(b"GET /api/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        monkeypatch.setattr(http_server, "STREAMS_MOST", 1)
        while (await server.status_of_stream()) == 503:  # noqa: ASYNC110  the server's
            await asyncio.sleep(0.05)

        read = 0
        with contextlib.suppress(ConnectionError):
            while octets := await asyncio.wait_for(reader.read(1 << 20), 5):
                read += len(octets)
        writer.close()
    assert read < 1 << 20
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []


async def test_followers_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "STREAMS_MOST", 1)
    async with served(tmp_path) as server, server.client.get("http://carp/api/live") as first:
        assert first.status == 200
        assert (await server.get("/api/events"))[0] == 503


async def test_browsers_are_told_to_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with served(tmp_path) as server, server.client.get("http://carp/") as page:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        tag = page.headers["ETag"]
        async with server.client.get("http://carp/", headers={"If-None-Match": tag}) as again:
            assert again.status == 304


async def test_the_metrics_of_many_hosts_leave_turns_to_all_else_and_keep_families_together(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        hosts = [host_of(f"web{number}", vhid=number, heard=[peer_of("192.0.2.2")]) for number in range(1, 256)]
        server.status = status_of(*hosts)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        _status, text = await server.get("/metrics")
        counting.cancel()

    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert text.count('pycarp_host_state{host="web') == 3 * 255
    assert text.count("pycarp_peer_heard_seconds_ago{") == 255
    assert turns > 255 / HOSTS_A_TURN
