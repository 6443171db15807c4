"""Connections to names: several addresses, names that do not exist, and DNS servers that say nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from pycarp.health import Answer, tcp
from pycarp.health.destination import Destination
from tests.support.probes import finding_of
from tests.support.system import require


async def test_a_name_is_connected_to_at_the_address_that_accepts() -> None:
    # The loopback has ::1 as well on most systems, where nobody listens.
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _reader, writer = await Destination("localhost", port).connect()
        writer.close()

        assert writer.get_extra_info("peername")[0] == "127.0.0.1"


async def test_a_name_that_does_not_exist_fails_with_the_words_of_the_system() -> None:
    finding = await finding_of(tcp("none.invalid", 80))

    assert finding.answer is Answer.FAIL
    assert finding.detail.startswith("no connection to none.invalid:80: ")


@pytest.mark.parametrize("name", ["a" * 64 + ".example.org", "a..b"])
async def test_what_can_be_no_name_fails(name: str) -> None:
    assert (await finding_of(tcp(name, 80))).answer is Answer.FAIL


SILENCE = """if True:
    import asyncio, socket, threading
    from pycarp.health import Check, look, tcp

    async def main():
        check = Check(name="web", probe=tcp("www.example.org", 80), timeout_s=0.1)
        other = Check(name="local", probe=tcp("localhost", 1))
        findings = [await look(check) for _attempt in range(20)]
        print({each.detail for each in findings}, threading.active_count(), (await look(other)).detail)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        asyncio.run(main())
"""


@pytest.mark.system
def test_while_no_dns_server_answers_other_names_are_found_and_the_process_ends(tmp_path: Path) -> None:
    require("unshare", "mount", "ip")
    resolver, program = tmp_path / "resolv.conf", tmp_path / "program.py"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:30\n")
    program.write_text(SILENCE)
    shell = f"ip link set lo up && mount --bind {resolver} /etc/resolv.conf && exec {sys.executable} {program}"

    argv = ["unshare", "--mount", "--net", "sh", "-c", shell]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)

    assert done.stdout == (
        "{'no connection to www.example.org:80 within 100ms'} 2 no connection to localhost:1: Connection refused\n"
    )
