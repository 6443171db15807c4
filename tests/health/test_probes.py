"""The probes that look in one step, at real sockets and files."""

import asyncio
from pathlib import Path

from pycarp.health import Answer, Finding, file_exists, tcp


async def test_tcp_distinguishes_a_listener_from_a_closed_port() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await tcp("127.0.0.1", port)() == Finding(Answer.OK, f"127.0.0.1:{port} accepts connections")

    assert await tcp("127.0.0.1", port)() == Finding(
        Answer.FAIL, f"no connection to 127.0.0.1:{port}: Connection refused"
    )


async def test_a_file_is_there_or_not(tmp_path: Path) -> None:
    assert await file_exists(tmp_path)() == Finding(Answer.OK, f"{tmp_path} exists")
    assert await file_exists(tmp_path / "none")() == Finding(Answer.FAIL, f"{tmp_path}/none does not exist")


async def test_a_file_that_cannot_be_looked_for_is_unknown(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    assert await file_exists(loop)() == Finding(Answer.UNKNOWN, f"cannot see {loop}: Too many levels of symbolic links")
