"""docs/howto/recipes/dns.md with dnsmasq beside real daemons."""

import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.topology import Segment
from tests.recipes.pages import block
from tests.recipes.pair import STARTED_S, Pair, pair
from tests.support.daemons import Process, Pycarp, children, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

PAGE = "dns.md"
ASK = """
import asyncio, sys
from pycarp.health import Check, dns, look
check = Check(name="it", probe=dns("printer.example", server="192.0.2.53"), timeout_s=0.5)
print(asyncio.run(look(check)).answer.value)
"""


class NameServer(Process):
    """The command of the page on one of the machines; ``cache-size`` tells the machines apart by what they log."""

    def __init__(self, pair: Pair, host: str, daemon: Pycarp) -> None:
        conf = pair.folder / f"{host}.dnsmasq.conf"
        own = f"user=root\npid-file={pair.folder}/{host}.dnsmasq.pid\nlog-facility=-\nlog-queries\n"
        conf.write_text(block(PAGE, "the server") + own)
        words = shlex.split(block(PAGE, "the command").replace("/etc/dnsmasq.d/master.conf", str(conf)))
        assert words[:3] == ["pycarp", "while-master", "dns"]
        argv = [sys.executable, "-m", "pycarp", *words[1:3], "--control", str(daemon.control), *words[3:]]
        super().__init__(pair.segment, host, argv, pair.folder / f"{host}.dnsmasq.log")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Pair, NameServer, NameServer]]:
    require("ip", "bridge", "dnsmasq")
    with contextlib.ExitStack() as stack:
        two = stack.enter_context(pair(PAGE, tmp_path))
        first = stack.enter_context(NameServer(two, "a", two.a))
        second = stack.enter_context(NameServer(two, "b", two.b))
        wait_until(lambda: ask(two.segment) == "ok", STARTED_S)
        yield two, first, second


def ask(segment: Segment) -> str:
    """Return what a client learns from the shared address."""
    return segment.run("client", [sys.executable, "-c", ASK]).strip()


def test_the_name_server_moves_with_the_address(servers: tuple[Pair, NameServer, NameServer]) -> None:
    two, first, second = servers
    assert first.lines("query[A] printer.example from 192.0.2.9")
    assert second.lines("dnsmasq") == []

    request(two.a.control, HandoverRequest(host="dns", timeout_s=5), HandoverReply, timeout_s=10)
    wait_until(lambda: ask(two.segment) == "ok", STARTED_S)

    assert second.lines("query[A] printer.example from 192.0.2.9")
    assert children(first.process.pid) == []


def test_the_check_of_the_page_finds_its_name_server() -> None:
    check = block(PAGE, "the check")
    (name,) = re.findall(r'^dns = "(.*)"$', check, re.MULTILINE)

    assert f"host-record={name}," in block(PAGE, "the server")
