"""The control socket: messages, permissions, refusals."""

import asyncio
import contextlib
import errno
import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pycarp.cli import cli
from pycarp.daemon import control_server
from pycarp.daemon.callers import Caller
from pycarp.daemon.connections import CONNECTIONS_MOST, STREAMS_MOST, Connections
from pycarp.daemon.control_client import Lines, default_path, open_stream, request
from pycarp.daemon.control_desk import ControlDesk
from pycarp.daemon.control_messages import (
    DoneReply,
    GroupRequest,
    HandoverRequest,
    IfconfigRequest,
    MastershipRequest,
    PlanRequest,
    RefusedReply,
    ReloadRequest,
    Reply,
    Request,
    StatusReply,
    StatusRequest,
    SysctlReply,
    SysctlRequest,
    decode_reply,
    decode_request,
    encode,
)
from pycarp.daemon.streams import Send, Stream
from pycarp.errors import ConfigError, ControlError, UsageError
from pycarp.system.files.trust import Peer
from tests.support.descriptors import open_descriptors
from tests.support.system import require

ANSWERED_S = 5.0


async def answer(message: Request) -> Reply:
    """Answer like a daemon with one switch and no hosts."""
    if isinstance(message, SysctlRequest):
        return SysctlReply(name=message.name, before=0, value=message.value or 0)
    if isinstance(message, IfconfigRequest):
        raise UsageError(f"no virtual host {message.host!r} here")
    return DoneReply()


async def ask(path: Path, message: Request, reply: type[Reply]) -> Reply:
    async with control_server.serve(path, answer):
        return await asyncio.to_thread(request, path, message, reply)


@pytest.mark.parametrize(
    "message",
    [
        StatusRequest(),
        IfconfigRequest(host="carp0", is_up=False),
        IfconfigRequest(host="carp0", state="master", advskew=3),
        SysctlRequest("net.inet.carp.log", 2),
        MastershipRequest("carp0", clean_up_s=0.5),
    ],
    ids=repr,
)
def test_a_request_survives_the_wire(message: Request) -> None:
    assert decode_request(encode(message)) == message


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"not json", b'{"type":"reboot"}', b'{"type":"status","x":1}', b"\xff\xfe"]
)
def test_a_line_that_is_no_request_is_refused_with_the_reason(line: bytes) -> None:
    with pytest.raises(ControlError, match="not a request"):
        decode_request(line)


@pytest.mark.parametrize("decode", [decode_request, decode_reply], ids=["request", "reply"])
def test_values_that_are_nested_deeply_are_refused_like_others(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(ControlError):
        decode(b'{"x":' * 100_000)


def test_a_daemon_that_hangs_up_is_an_error_that_says_so(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def hang_up() -> None:
            with listening.accept()[0] as connection:
                connection.recv(4096)

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        with pytest.raises(ControlError, match="hung up without an answer; its log may say why"):
            request(tmp_path / "s", StatusRequest(), StatusReply)
        hanging_up.join()


def test_a_daemon_that_refuses_a_stream_and_reads_no_more_is_quoted(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def refuse() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(encode(RefusedReply("too many ask", is_usage=False)))

        refusing = threading.Thread(target=refuse)
        refusing.start()
        with contextlib.closing(open_stream(tmp_path / "s", PlanRequest("x" * (8 << 20)))) as lines:
            select.select([lines], [], [], 5)
            assert lines.next() == RefusedReply("too many ask", is_usage=False)
        refusing.join()


def test_an_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(ControlError, match="not understood"):
        decode_reply(b"")


def test_a_request_is_answered(tmp_path: Path) -> None:
    reply = asyncio.run(ask(tmp_path / "s", SysctlRequest("net.inet.carp.log", 2), SysctlReply))

    assert reply == SysctlReply(name="net.inet.carp.log", before=0, value=2)


def test_a_refusal_becomes_the_clients_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no virtual host 'carp9' here"):
        asyncio.run(ask(tmp_path / "s", IfconfigRequest(host="carp9"), DoneReply))


def test_an_answer_of_another_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="DoneReply"):
        asyncio.run(ask(tmp_path / "s", StatusRequest(), StatusReply))


def test_the_socket_is_for_its_owner_only(tmp_path: Path) -> None:
    async def mode() -> int:
        async with control_server.serve(tmp_path / "s", answer):
            return stat.S_IMODE((tmp_path / "s").stat().st_mode)

    assert asyncio.run(mode()) == 0o600


def test_the_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    asyncio.run(ask(tmp_path / "s", StatusRequest(), DoneReply))

    assert not (tmp_path / "s").exists()


def test_a_second_daemon_on_the_same_socket_is_refused_by_the_pid_of_the_first(tmp_path: Path) -> None:
    async def serve_twice() -> None:
        async with (
            control_server.serve(tmp_path / "s", answer),
            control_server.serve(tmp_path / "s", answer, timeout_s=0),
        ):
            pass

    with pytest.raises(UsageError, match=f"another pycarp, pid {os.getpid()}, answers at"):
        asyncio.run(serve_twice())


def test_a_daemon_that_knows_of_no_locks_is_not_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as older:
        older.bind(str(tmp_path / "s"))
        older.listen()

        with pytest.raises(UsageError, match="another pycarp answers at"):
            asyncio.run(ask(tmp_path / "s", StatusRequest(), DoneReply))
        assert (tmp_path / "s").exists()


def test_a_daemon_with_no_time_to_answer_is_not_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(tmp_path / "s"))
        busy.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(str(tmp_path / "s"))

        with pytest.raises(UsageError, match="another pycarp answers at"):
            asyncio.run(ask(tmp_path / "s", StatusRequest(), DoneReply))


def test_one_that_leaves_in_time_makes_room(tmp_path: Path) -> None:
    async def take_turns() -> None:
        async with asyncio.TaskGroup() as group, control_server.serve(tmp_path / "s", answer):
            group.create_task(serve_for_a_moment())
            await asyncio.sleep(0.1)

    async def serve_for_a_moment() -> None:
        async with control_server.serve(tmp_path / "s", answer, timeout_s=5):
            assert (tmp_path / "s").is_socket()

    asyncio.run(take_turns())

    assert list(tmp_path.iterdir()) == []


def test_nobody_removes_a_socket_that_is_not_its_own(tmp_path: Path) -> None:
    async def be_replaced() -> None:
        async with control_server.serve(tmp_path / "s", answer):
            (tmp_path / "s").unlink()
            (tmp_path / "s").write_text("somebody else's")

    asyncio.run(be_replaced())

    assert (tmp_path / "s").read_text() == "somebody else's"


def test_a_file_in_the_place_of_the_socket_is_kept(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")

    with pytest.raises(UsageError, match="cannot make the control socket"):
        asyncio.run(ask(tmp_path / "s", StatusRequest(), DoneReply))

    assert (tmp_path / "s").read_text() == "precious"


def test_a_path_that_is_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than 107 octets"):
        asyncio.run(ask(tmp_path / ("x" * 100) / "s", StatusRequest(), DoneReply))


def said_by(desk: ControlDesk) -> str:
    try:
        asyncio.run(desk.answer(StatusRequest()))
    except ControlError as exc:
        return str(exc)
    return "ready"


def test_a_daemon_that_is_not_ready_says_that_it_is_starting() -> None:
    assert said_by(ControlDesk()) == f"this pycarp (pid {os.getpid()}) is starting; ask again in a moment"


def test_a_daemon_that_is_ready_answers() -> None:
    desk = ControlDesk()
    desk.open(answer)

    assert said_by(desk) == "ready"


def test_a_daemon_that_leaves_says_so() -> None:
    desk = ControlDesk()
    desk.open(answer)
    desk.shut()

    assert said_by(desk) == f"this pycarp (pid {os.getpid()}) is leaving"


def test_the_socket_of_a_crashed_daemon_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "s"))

    reply = asyncio.run(ask(tmp_path / "s", StatusRequest(), DoneReply))

    assert reply == DoneReply()


def test_nobody_answering_means_that_the_state_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="its state is unknown"):
        request(tmp_path / "nothing", StatusRequest(), StatusReply)


def test_a_connection_may_ask_several_times_and_garbage_does_not_end_it(tmp_path: Path) -> None:
    async def converse() -> list[Reply]:
        async with control_server.serve(tmp_path / "s", answer):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(b"garbage\n" + encode(StatusRequest()))
            replies = [decode_reply(await reader.readline()) for _ in range(2)]
            writer.close()
            await writer.wait_closed()
            return replies

    replies = asyncio.run(converse())

    assert [type(each).__name__ for each in replies] == ["RefusedReply", "DoneReply"]


# Callers who do not behave


REFUSED_S = 5.0


@contextlib.asynccontextmanager
async def serving(path: Path, *, request_s: float = 10, answer_s: float = 10) -> AsyncIterator[None]:
    """Answer, with a status that is longer than what the kernel keeps for a reader."""

    async def long_answer(message: Request) -> Reply:
        return SysctlReply(name="x" * 900_000, before=0, value=0) if isinstance(message, SysctlRequest) else DoneReply()

    async with control_server.serve(path, long_answer, request_s=request_s, answer_s=answer_s):
        yield


async def is_answered(path: Path) -> bool:
    return await asyncio.to_thread(request, path, StatusRequest(), DoneReply) == DoneReply()


async def refusal_of(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(REFUSED_S):
        reply = decode_reply(await reader.readline())
        assert await reader.read() == b""
    assert isinstance(reply, RefusedReply)
    return reply.message


async def test_half_a_request_is_refused_after_a_while(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", request_s=0.1):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"type":"sta')

        assert await refusal_of(reader) == "no whole request came within 0.1 s"
        writer.close()


async def test_one_that_says_nothing_is_let_go(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", request_s=0.1):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")

        async with asyncio.timeout(REFUSED_S):
            assert await reader.read() == b""
        writer.close()


async def test_a_request_without_end_is_refused_and_others_are_answered(tmp_path: Path) -> None:
    """It would go on for a gigabyte; what is kept of it is sixteen megabytes."""

    def send_for_ever() -> tuple[int, bytes]:
        sent = 0
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "s"))
            with contextlib.suppress(ConnectionError):
                while sent < 1 << 30:
                    sent += sock.send(b"x" * (1 << 16))
            return sent, sock.recv(1 << 16)

    async with serving(tmp_path / "s"):
        sent, answer = await asyncio.to_thread(send_for_ever)

        assert sent < 32 << 20
        assert decode_reply(answer) == RefusedReply("a request has at most 16777216 octets", is_usage=True)
        assert await is_answered(tmp_path / "s")


def test_the_client_reads_why_its_request_was_not_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a request has at most 16777216 octets"):
        asyncio.run(ask(tmp_path / "s", PlanRequest("x" * (18 << 20)), DoneReply))


async def test_who_does_not_read_his_answer_is_let_go(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", answer_s=0.1):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s", limit=1 << 12)
        writer.write(encode(SysctlRequest("x")))
        await asyncio.sleep(0.3)

        async with asyncio.timeout(REFUSED_S):
            assert len(await reader.read()) < 900_000
        assert await is_answered(tmp_path / "s")
        writer.close()


async def test_a_thousand_connections_cost_a_bounded_number_of_descriptors_and_no_answer(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        before = len(os.listdir("/proc/self/fd"))
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                while one.connect_ex(str(tmp_path / "s")) == errno.EAGAIN:  # noqa: ASYNC110  (the kernel's queue)
                    await asyncio.sleep(0.001)
            assert await is_answered(tmp_path / "s")

            assert len(os.listdir("/proc/self/fd")) - before - 1000 <= CONNECTIONS_MOST + 1


async def test_the_loop_turns_while_a_crowd_asks(tmp_path: Path) -> None:
    """What is to be done in 5 ms is done in time, whatever comes in on the socket."""
    longest_s = 0.0
    async with serving(tmp_path / "s"):
        pairs = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(50)]
        for _reader, writer in pairs:
            writer.write(encode(StatusRequest()) * 200)
        for _ in range(20):
            began_s = asyncio.get_running_loop().time()
            await asyncio.sleep(0.005)
            longest_s = max(longest_s, asyncio.get_running_loop().time() - began_s)
        for _reader, writer in pairs:
            writer.close()

    assert longest_s < 0.5


async def test_a_fault_of_the_daemon_is_an_answer_and_reaches_its_log(tmp_path: Path) -> None:
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(str(context["exception"])))

    async def fail(_message: Request) -> Reply:
        raise ZeroDivisionError("a bug")

    async with control_server.serve(tmp_path / "s", fail):
        with pytest.raises(ControlError, match="the daemon failed at this; its log has the error"):
            await asyncio.to_thread(request, tmp_path / "s", StatusRequest(), DoneReply)

    assert faults == ["a bug"]


def test_a_path_that_is_too_long_is_told_to_clients_as_well(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["status", "--control", "/x" * 60])

    assert done.exit_code == 2
    assert "has 120 octets, and the path of a socket is no longer than 107 octets; choose a shorter" in done.stderr


@pytest.mark.parametrize(
    ("message", "is_allowed"),
    [
        (StatusRequest(), True),
        (SysctlRequest("net.inet.carp.log"), True),
        (SysctlRequest("net.inet.carp.log", 1), False),
        (GroupRequest("carp"), True),
        (GroupRequest("carp", 1), False),
        (IfconfigRequest(host="carp0"), False),
        (HandoverRequest(host="carp0", timeout_s=1), False),
        (PlanRequest(), False),
        (PlanRequest("[[host]]"), False),
        (ReloadRequest(), False),
    ],
    ids=repr,
)
def test_a_reader_may_look_and_change_nothing(message: Request, is_allowed: bool) -> None:
    caller = Caller(65534, is_administrator=False, is_reader=True)

    with contextlib.nullcontext() if is_allowed else pytest.raises(ControlError, match="nobody may only look"):
        caller.refuse_unless_allowed(message)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize(
    ("euid", "folders", "expected"),
    [
        (0, {}, "/run/pycarp/pycarp.sock"),
        (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/pycarp/pycarp.sock"),
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/pycarp.sock"),
        (1000, {}, "/run/pycarp/pycarp.sock"),
        (1000, {"XDG_RUNTIME_DIR": "tmp"}, "/run/pycarp/pycarp.sock"),
        (1000, {"RUNTIME_DIRECTORY": "/run/carp:/run/other"}, "/run/carp/pycarp.sock"),
    ],
)
def test_the_socket_is_in_a_folder_for_the_running_system(
    monkeypatch: pytest.MonkeyPatch, euid: int, folders: dict[str, str], expected: str
) -> None:
    for name in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: euid)

    assert default_path() == Path(expected)


@pytest.mark.system
def test_a_stranger_who_answers_is_asked_nothing(tmp_path: Path) -> None:
    """Whoever has put his own socket there would be told a password."""
    require()
    with socket.socket(socket.AF_UNIX) as strange:
        strange.bind(str(tmp_path / "s"))
        fds = [strange.fileno()]
        listen = strange.listen
        with subprocess.Popen(["sleep", "60"], user=65534, preexec_fn=listen, pass_fds=fds) as stranger:  # noqa: PLW1509
            try:
                with pytest.raises(ControlError, match=f"a process of uid 65534 answers .pid {stranger.pid}."):
                    request(tmp_path / "s", StatusRequest(), DoneReply)
            finally:
                stranger.kill()


async def test_who_may_only_look_is_answered_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, after a pause as long as the answer took."""
    reader = Caller(4711, is_administrator=False, is_reader=True)
    monkeypatch.setattr(Caller, "of", lambda _sock, _readers: reader)
    began_s = asyncio.get_running_loop().time()
    async with serving(tmp_path / "s"), asyncio.timeout(REFUSED_S):
        assert await asyncio.gather(*(is_answered(tmp_path / "s") for _ in range(3))) == [True] * 3

    assert asyncio.get_running_loop().time() - began_s < REFUSED_S / 2


async def test_the_group_that_may_look_may_connect(tmp_path: Path) -> None:
    async with control_server.serve(tmp_path / "s", answer_done, readers=os.getgid()):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


async def answer_done(_request: Request) -> Reply:
    return DoneReply()


@pytest.mark.parametrize(("readers", "is_reader"), [(None, False), (5, True), (6, False)])
def test_a_stranger_may_look_as_a_member_of_the_group(
    readers: int | None, is_reader: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pycarp.daemon.callers.Peer.of", lambda _sock: Peer(1, 4711, 5))
    monkeypatch.setattr("pycarp.daemon.callers.groups_of", lambda _sock: frozenset({5}))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert Caller.of(ours, readers) == Caller(4711, is_administrator=False, is_reader=is_reader)


def streaming(path: Path, message: Request) -> Lines:
    """Open a stream and wait for its first line."""
    lines = open_stream(path, message)
    select.select([lines], [], [], ANSWERED_S)
    return lines


@contextlib.asynccontextmanager
async def serving_streams(path: Path, **options: Any) -> AsyncIterator[asyncio.Event]:
    """Serve streams that send one line and wait; return an event that is set when one ends."""
    ended = asyncio.Event()

    async def run(send: Send) -> None:
        await send(DoneReply("it is followed"))
        try:
            await asyncio.Future()
        finally:
            ended.set()

    async def follow(_message: Request) -> Stream:
        return Stream(run)

    async with control_server.serve(path, follow, **options):
        yield ended


MASTERSHIP = MastershipRequest("carp0")


def test_a_stream_sends_lines_until_the_caller_hangs_up(tmp_path: Path) -> None:
    async def plan() -> None:
        async with serving_streams(tmp_path / "s") as ended:
            lines = await asyncio.to_thread(streaming, tmp_path / "s", MASTERSHIP)
            assert lines.next() == DoneReply("it is followed")
            assert lines.next() is None
            lines.close()
            async with asyncio.timeout(ANSWERED_S):
                await ended.wait()

    asyncio.run(plan())


def test_a_stream_that_lasts_is_not_idle(tmp_path: Path) -> None:
    async def plan() -> None:
        async with serving_streams(tmp_path / "s", request_s=0.05) as ended:
            lines = await asyncio.to_thread(streaming, tmp_path / "s", MASTERSHIP)
            await asyncio.sleep(0.15)
            assert not ended.is_set()
            lines.close()

    asyncio.run(plan())


def test_a_daemon_that_ends_hangs_up_on_streams(tmp_path: Path) -> None:
    async def plan() -> Lines:
        async with serving_streams(tmp_path / "s"):
            return await asyncio.to_thread(streaming, tmp_path / "s", MASTERSHIP)

    lines = asyncio.run(plan())
    lines.next()

    with pytest.raises(ControlError, match="has hung up"):
        lines.next()
    lines.close()


def test_what_ends_a_stream_is_its_last_line(tmp_path: Path) -> None:
    async def run(_send: Send) -> None:
        raise UsageError("virtual host carp0 has departed")

    async def follow(_message: Request) -> Stream:
        return Stream(run)

    async def plan() -> None:
        async with control_server.serve(tmp_path / "s", follow):
            lines = await asyncio.to_thread(streaming, tmp_path / "s", MASTERSHIP)
            assert lines.next() == RefusedReply("virtual host carp0 has departed", is_usage=True)
            lines.close()

    asyncio.run(plan())


def test_many_streams_leave_room_for_requests(tmp_path: Path) -> None:
    async def plan() -> None:
        async with serving_streams(tmp_path / "s"):
            opened = [await asyncio.to_thread(streaming, tmp_path / "s", MASTERSHIP) for _ in range(STREAMS_MOST + 1)]
            assert opened[STREAMS_MOST - 1].next() == DoneReply("it is followed")
            assert isinstance(opened[STREAMS_MOST].next(), RefusedReply)
            for each in opened:
                each.close()

    asyncio.run(plan())


def test_who_may_only_look_is_lent_no_mastership() -> None:
    reader = Caller(uid=12345, is_administrator=False, is_reader=True)

    with pytest.raises(ControlError, match="may only look"):
        reader.refuse_unless_allowed(MASTERSHIP)


@pytest.mark.parametrize("turns", range(6))
async def test_a_caller_that_is_accepted_at_the_end_is_hung_up_on(tmp_path: Path, turns: int) -> None:
    """The end may come in any turn of the loop between the arrival of a caller and its conversation."""
    connections = Connections(scripted, readers=None)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as caller:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.setblocking(False)
        caller.setblocking(False)
        before = open_descriptors()
        accepting = asyncio.create_task(connections.accept(listening))
        await asyncio.sleep(0.01)
        caller.connect(str(tmp_path / "s"))
        for _ in range(turns):
            await asyncio.sleep(0)

        accepting.cancel()
        await asyncio.wait([accepting])
        await connections.close()

        assert open_descriptors() == before


async def scripted(_request: Request) -> DoneReply:
    return DoneReply()
