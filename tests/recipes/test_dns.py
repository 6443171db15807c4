"""docs/howto/recipes/dns.md with dnsmasq beside real daemons."""

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import HandoverReply, HandoverRequest
from pycarp.lab.lab_network import Segment
from tests.recipes.pages import block
from tests.recipes.pair import HOSTS, STARTED_S, Pair, pair
from tests.support.daemons import Process, Pycarp, children, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

PAGE = "dns.md"
ASK = """
import asyncio, sys
from pycarp.health import Check, dns, look
check = Check(name="it", probe=dns("printer.example", server="192.0.2.53"), timeout_s=0.5)
print(asyncio.run(look(check)).answer.value)
"""


def conf_of(folder: Path, host: str, name: str) -> Path:
    """Write the configuration of the page for a machine, with what lets it run beside others; queries are logged."""
    conf = folder / f"{host}.dnsmasq.conf"
    own = f"user=root\npid-file={folder}/{host}.dnsmasq.pid\nlog-facility=-\nlog-queries\n"
    conf.write_text(block(PAGE, name) + own)
    return conf


class NameServer(Process):
    """The command of the page on one of the machines."""

    def __init__(self, pair: Pair, host: str, daemon: Pycarp) -> None:
        conf = str(conf_of(pair.folder, host, "the server"))
        words = shlex.split(block(PAGE, "the command").replace("/etc/dnsmasq.d/master.conf", conf))
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


def test_a_name_server_that_hangs_on_one_of_both_machines_loses_the_address(tmp_path: Path) -> None:
    require("ip", "bridge", "dnsmasq")
    with contextlib.ExitStack() as stack:
        segment = stack.enter_context(new_segment(**HOSTS))
        first, second = (
            stack.enter_context(
                Process(
                    segment,
                    host,
                    ["dnsmasq", "--keep-in-foreground", f"--conf-file={conf_of(tmp_path, host, 'the server on both')}"],
                    tmp_path / f"{host}.dnsmasq.log",
                )
            )
            for host in "ab"
        )
        two = stack.enter_context(pair(PAGE, tmp_path, segment=segment, name="the check"))
        wait_until(lambda: ask(segment) == "ok", STARTED_S)
        assert first.lines("query[A] printer.example from 192.0.2.9")
        assert second.lines("query[A] printer.example from 192.0.2.9") == []

        first.process.send_signal(signal.SIGSTOP)

        wait_until(lambda: two.b.is_in("MASTER") and ask(segment) == "ok", STARTED_S)
        assert second.lines("query[A] printer.example from 192.0.2.9")
