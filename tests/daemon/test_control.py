"""The control socket: messages, permissions, refusals."""

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from pycarp.daemon import control_server
from pycarp.daemon.control_client import request
from pycarp.daemon.control_desk import ControlDesk
from pycarp.daemon.control_messages import (
    DoneReply,
    IfconfigRequest,
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
from pycarp.errors import ConfigError, ControlError, UsageError


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
            control_server.serve(tmp_path / "s", answer, patience_s=0),
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
        async with control_server.serve(tmp_path / "s", answer, patience_s=5):
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
