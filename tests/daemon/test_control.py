"""The control socket: messages, permissions, refusals."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from pycarp.daemon import control_server
from pycarp.daemon.control_client import request
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
from pycarp.errors import ControlError, UsageError


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


def test_a_second_daemon_on_the_same_socket_is_refused(tmp_path: Path) -> None:
    async def serve_twice() -> None:
        async with control_server.serve(tmp_path / "s", answer):
            control_server.refuse_if_alive(tmp_path / "s")

    with pytest.raises(ControlError, match="another pycarp answers at"):
        asyncio.run(serve_twice())


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
