"""IPv6, dual stack and unicast with real packets: who answers, what neighbours learn, what is on the wire."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.lab.lab_network import Segment
from tests.support.daemons import Process, new_segment, wait_until
from tests.support.system import require

pytestmark = pytest.mark.system

SHARED4, SHARED6 = "192.168.1.50", "fd77::50"
BOTH = (f"{SHARED4}/24", f"{SHARED6}/64")
OWN6 = {"a": "fd77::a", "b": "fd77::b", "client": "fd77::c"}
PEERS = {"a": ("192.168.1.4", "fd77::b"), "b": ("192.168.1.3", "fd77::a")}
VIRTUAL_MAC = "00:00:5e:00:01:01"
TAKEOVER_S = 4.5
SERVE = """
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *words): pass
Server(("::", 8080), Page).serve_forever()
"""


@pytest.fixture
def segment() -> Iterator[Segment]:
    require("ip", "bridge", "ping", "tcpdump")
    with new_segment(a="192.168.1.3/24", b="192.168.1.4/24", client="192.168.1.100/24") as made:
        for host, address in OWN6.items():
            made.run(host, ["ip", "addr", "add", f"{address}/64", "dev", "fxp0", "nodad"])
        yield made


class Program(Process):
    """A user's program with one virtual host."""

    def __init__(
        self,
        segment: Segment,
        host: str,
        folder: Path,
        *,
        transport: str,
        advskew: int = 0,
        addresses: tuple[str, ...] = BOTH,
        options: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
    ) -> None:
        argv = [*before, sys.executable, "-W", "error", "-m", "tests.support.node_program"]
        argv += [transport, str(advskew), *addresses, *options]
        super().__init__(segment, host, argv, folder / f"{host}.log")

    def is_in(self, state: str) -> bool:
        """Say whether that is the last state that it told."""
        said = self.log.read_text().splitlines()
        return bool(said) and said[-1].startswith(state)


class Tcpdump(Process):
    """What passes the switch, as lines; ``reading`` is what packets are read as."""

    def __init__(
        self, segment: Segment, folder: Path, expression: str, reading: tuple[str, ...] = ("-T", "carp")
    ) -> None:
        argv = ["tcpdump", "-i", "br0", "-n", "-e", "-v", "-l", "--immediate-mode", *reading, expression]
        super().__init__(segment, "switch", argv, folder / "tcpdump.log")


def neighbour(segment: Segment) -> str:
    """Return what the client knows of the shared IPv6 address."""
    return segment.run("client", ["ip", "-6", "neigh", "show", SHARED6])


def web_server(segment: Segment, host: str, folder: Path) -> Process:
    """Return a server that says its host's name."""
    return Process(segment, host, [sys.executable, "-c", SERVE, host], folder / f"{host}.web")


def pings(segment: Segment, address: str) -> bool:
    said = segment.run("client", ["sh", "-c", f"ping -c 1 -W 1 {address} || true"])
    return " 0% packet loss" in said


def fetched(segment: Segment, address: str) -> str:
    get = f"import urllib.request as r; print(r.urlopen('http://[{address}]:8080/', timeout=1).read().decode())"
    return segment.run("client", ["sh", "-c", f'{sys.executable} -c "{get}" 2>/dev/null || true']).strip()


def pair(segment: Segment, folder: Path, transport: str) -> tuple[Program, Program]:
    return (
        Program(segment, "a", folder, transport=transport),
        Program(segment, "b", folder, transport=transport, advskew=100),
    )


def unicast_pair(
    segment: Segment, folder: Path, transport: str, *options: str, before: tuple[str, ...] = ()
) -> tuple[Program, Program]:
    """Return two programs that know each other as peers in both families."""
    first, second = (
        Program(
            segment,
            host,
            folder,
            transport=transport,
            advskew=advskew,
            options=(*(f"--peer={peer}" for peer in PEERS[host]), *options),
            before=before,
        )
        for host, advskew in (("a", 0), ("b", 100))
    )
    return first, second


@pytest.mark.parametrize("transport", ["packet", "raw"])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_both_families_move_as_one_unit(segment: Segment, tmp_path: Path, transport: str, how: str) -> None:
    first, second = pair(segment, tmp_path, transport)
    with web_server(segment, "a", tmp_path), web_server(segment, "b", tmp_path), first, second:
        wait_until(lambda: first.is_in("MASTER") and second.is_in("BACKUP"), 10)
        wait_until(lambda: fetched(segment, SHARED6) == "a", 5)
        assert pings(segment, SHARED6)
        assert pings(segment, SHARED4)
        assert VIRTUAL_MAC in neighbour(segment)

        if how == "killed":
            segment.isolate("a")
            first.process.kill()
        else:
            first.process.terminate()
        took_s = wait_until(lambda: second.is_in("MASTER"), TAKEOVER_S)

        assert took_s > 2.5 or how == "stopped"
        # What the client knows stays true: the switch was told where the virtual MAC is now.
        assert VIRTUAL_MAC in neighbour(segment)
        wait_until(lambda: pings(segment, SHARED6), 3)
        assert pings(segment, SHARED6)
        assert pings(segment, SHARED4)
        assert fetched(segment, SHARED6) == "b"


def test_the_shared_address_is_there_at_once_and_nobody_asks_for_duplicates(segment: Segment, tmp_path: Path) -> None:
    with Tcpdump(segment, tmp_path, "icmp6") as tcpdump, Program(segment, "a", tmp_path, transport="packet") as alone:
        wait_until(lambda: alone.is_in("MASTER"), 10)
        wait_until(lambda: SHARED6 in segment.run("a", ["ip", "-6", "addr", "show"]), 1)
        (line,) = [
            line for line in segment.run("a", ["ip", "-o", "-6", "addr", "show"]).splitlines() if SHARED6 in line
        ]
        wait_until(lambda: bool(tcpdump.lines(f"tgt is {SHARED6}")), 2)

    assert "nodad" in line
    assert "tentative" not in line
    assert not tcpdump.lines(f"neighbor solicitation, length 24, who has {SHARED6}")
    assert "Flags [override]" in tcpdump.lines(f"tgt is {SHARED6}")[0]


@pytest.mark.parametrize("transport", ["packet", "raw"])
def test_tcpdump_reads_our_ipv6_advertisements(segment: Segment, tmp_path: Path, transport: str) -> None:
    with (
        Tcpdump(segment, tmp_path, "ip6 proto 112") as tcpdump,
        Program(segment, "a", tmp_path, transport=transport) as alone,
    ):
        wait_until(lambda: alone.is_in("MASTER"), 10)
        # The first comes before the addresses are held, and therefore from the interface's own MAC.
        wait_until(lambda: len(tcpdump.lines("CARP")) > 1, 3)
        said = tcpdump.log.read_text()

    assert "> ff02::12" in said
    assert "33:33:00:00:00:12" in said
    assert "hlim 255" in said
    assert "advbase=1 advskew=0" in said
    assert "fe80::" in said, "the source is a link-local address"
    assert ("00:00:5e:00:01:01 >" in said) == (transport == "packet")


def test_packet_and_raw_understand_each_other(segment: Segment, tmp_path: Path) -> None:
    with (
        Program(segment, "a", tmp_path, transport="packet") as first,
        Program(segment, "b", tmp_path, transport="raw", advskew=100) as second,
    ):
        wait_until(lambda: first.is_in("MASTER") and second.is_in("BACKUP"), 10)


@pytest.mark.parametrize("transport", ["packet", "raw", "udp"])
def test_unicast_peers_elect_without_any_multicast(segment: Segment, tmp_path: Path, transport: str) -> None:
    expression = "proto 112 or ip6 proto 112 or udp port 11112"
    with Tcpdump(segment, tmp_path, expression, () if transport == "udp" else ("-T", "carp")) as tcpdump:
        first, second = unicast_pair(segment, tmp_path, transport)
        with first, second:
            wait_until(lambda: first.is_in("MASTER") and second.is_in("BACKUP"), 10)
            first.process.kill()
            wait_until(lambda: second.is_in("MASTER"), TAKEOVER_S)
        said = tcpdump.log.read_text()

    assert "192.168.1.3" in said
    assert "> 192.168.1.4" in said
    assert "> fd77::b" in said
    assert "224.0.0.18" not in said
    assert "ff02::12" not in said


def test_udp_needs_no_privileges(segment: Segment, tmp_path: Path) -> None:
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    first, second = unicast_pair(segment, tmp_path, "udp", "--observe", before=powerless)
    with first, second:
        wait_until(lambda: first.is_in("MASTER") and second.is_in("BACKUP"), 10)
        capabilities = Path(f"/proc/{first.process.pid}/status").read_text()
        first.process.terminate()
        assert wait_until(lambda: second.is_in("MASTER"), 2) < 1

    assert "CapEff:\t0000000000000000" in capabilities


def test_udp_without_peers_says_that_it_needs_them(segment: Segment, tmp_path: Path) -> None:
    with Program(segment, "a", tmp_path, transport="udp", options=("--observe",)) as program:
        program.process.wait(10)

    assert "transport udp carries to unicast peers only" in program.log.read_text()


def test_what_waits_in_the_socket_is_read_before_the_master_is_given_up(segment: Segment, tmp_path: Path) -> None:
    """A process that was stopped for longer than the master-down time must not take over from a healthy master."""
    first, second = unicast_pair(segment, tmp_path, "udp")
    with first, second:
        wait_until(lambda: first.is_in("MASTER") and second.is_in("BACKUP"), 10)
        os.kill(second.process.pid, signal.SIGSTOP)
        time.sleep(5)
        os.kill(second.process.pid, signal.SIGCONT)
        time.sleep(2)

    states = [line for line in second.log.read_text().splitlines() if not line.startswith("carp: ")]
    assert states == ["BACKUP"]
    assert first.log.read_text().count("MASTER") == 1
