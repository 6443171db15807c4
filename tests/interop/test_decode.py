"""``pycarp decode`` beside tshark and tcpdump on the same captures, and on a real interface."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

import pytest

from pycarp.errors import TransportError
from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.inspector import Inspector
from pycarp.system.sniffer import Sniffer
from pycarp.vocabulary import Address
from tests.support.capture import write_pcap
from tests.support.carp_packets import ONE, PASSWORD, SHARED, frame, ip_packet, payload
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require, unprivileged

pytestmark = pytest.mark.system

VECTORS = Path(__file__).parents[1] / "vectors"
CAPTURES = sorted([*(VECTORS / "netbsd").glob("*.pcap"), *(VECTORS / "ucarp").glob("*.pcap")])
TIMEOUT_S = 15.0
SIX = ip_address("fe80::1")


def ours(capture: Path) -> list[tuple[str, ...]]:
    """Source, vhid, advskew, advbase and counter of each packet, as we read them."""
    inspector = Inspector()
    with capture.open("rb") as stream:
        found = [each for packet in packets_of(stream) if (each := inspector.explain(packet)) and each.advertisement]
    return [
        tuple(map(str, (each.source, read.vhid, read.advskew, read.advbase, read.counter)))
        for each in found
        if (read := each.advertisement)
    ]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: str(path.stem))
def test_tcpdump_reads_the_same_fields(capture: Path) -> None:
    require("tcpdump", root=False)
    told = subprocess.run(
        ["tcpdump", "-n", "-T", "carp", "-r", str(capture)], capture_output=True, text=True, check=True
    ).stdout
    pattern = r"IP6? (\S+) > \S+ CARPv2-advertise 36: vhid=(\d+) advbase=(\d+) advskew=(\d+) authlen=7 counter=(\d+)"

    assert ours(capture) == [
        (source, vhid, advskew, advbase, counter)
        for source, vhid, advbase, advskew, counter in re.findall(pattern, told)
    ]


@pytest.mark.parametrize("name", ["netbsd/10-v4-and-v6", "netbsd/02-skew100", "ucarp/vhid255-skew254-pass19"])
@pytest.mark.parametrize("container", ["pcap", "nsecpcap", "pcapng"])
def test_tshark_reads_the_same_fields_of_every_container(name: str, container: str, tmp_path: Path) -> None:
    require("tshark", "editcap", root=False)
    capture = tmp_path / "capture"
    subprocess.run(["editcap", "-F", container, str(VECTORS / f"{name}.pcap"), str(capture)], check=True)
    fields = ["ip.src", "ipv6.src", "carp.vhid", "carp.advskew", "carp.adver_int", "carp.counter"]
    told = subprocess.run(
        [
            "tshark",
            "-r",
            str(capture),
            "-d",
            "ip.proto==112,carp",
            "-Y",
            "carp",
            "-T",
            "fields",
            *(word for each in fields for word in ("-e", each)),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert ours(capture) == [tuple(word for word in line.split("\t") if word) for line in told.splitlines()]


class Decoder:
    """The command, running in a namespace."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        self._stdout: IO[str] = process.stdout

    def packet(self) -> dict[str, Any]:
        """Return the next packet that it explains."""
        readable, _, _ = select.select([self._stdout], [], [], TIMEOUT_S)
        assert readable, "nothing came"
        found: dict[str, Any] = json.loads(self._stdout.readline())
        return found

    def interrupt(self) -> int:
        """Press Ctrl-C, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def running(*words: str, stdin: int | None = None) -> Iterator[Decoder]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen(
        words,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Decoder(process)
        finally:
            process.kill()


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    require("ip")
    with joined_namespaces() as (first, second):
        first.wait_for_carrier()
        yield first, second


def decoding(namespace: Namespace, *words: str) -> tuple[str, ...]:
    python = (sys.executable, "-m", "pycarp", "decode", "--json", *words)
    return ("ip", "netns", "exec", namespace.name, *python)


def send_until_heard(namespace: Namespace, octets: bytes, decoder: Decoder) -> dict[str, Any]:
    """Send a frame again and again: nothing tells when the listener listens."""
    with entered(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock, entered(namespace):
        sock.bind((LINK, 0))
        ends_s = time.monotonic() + TIMEOUT_S
        assert decoder.process.stdout
        while not select.select([decoder.process.stdout], [], [], 0.1)[0]:
            assert time.monotonic() < ends_s, "nothing came"
            sock.send(octets)
    return decoder.packet()


@pytest.mark.parametrize("source", [ONE, SIX], ids=["ipv4", "ipv6"])
def test_a_live_interface_is_explained_until_interrupted(
    pair: tuple[Namespace, Namespace], source: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, watcher = pair
    monkeypatch.setenv("PYCARP_PASSWORD", PASSWORD)
    words = decoding(watcher, "-i", LINK, "-a", str(SHARED))
    with running(*words) as decoder:
        found = send_until_heard(sender, frame(ip_packet(payload(), source=source)), decoder)

        assert (found["source"], found["authentic"], found["problems"]) == (str(source), True, [])
        assert decoder.interrupt() == 0
        assert decoder.process.stderr
        assert decoder.process.stderr.read() == ""


def test_a_tagged_frame_tells_its_vlan(pair: tuple[Namespace, Namespace]) -> None:
    sender, watcher = pair
    plain = frame(ip_packet(payload()))
    with running(*decoding(watcher, "-i", LINK)) as decoder:
        found = send_until_heard(sender, plain[:12] + b"\x81\x00\x00\x0a" + plain[12:], decoder)

        assert (found["vhid"], found["vlans"]) == (7, [10])


def test_an_interface_that_goes_away_is_told(pair: tuple[Namespace, Namespace]) -> None:
    sender, watcher = pair
    with running(*decoding(watcher, "-i", LINK)) as decoder:
        send_until_heard(sender, frame(ip_packet(payload())), decoder)
        watcher.ip("link", "del", LINK)

        assert decoder.process.wait(TIMEOUT_S) == 1
        assert decoder.process.stderr
        assert "the interface is gone" in decoder.process.stderr.read()


def test_without_privileges_the_way_out_is_named() -> None:
    require("ip")
    with unprivileged(), pytest.raises(TransportError, match=r"cannot listen on lo: no permission.*CAP_NET_RAW"):
        Sniffer("lo")


def test_a_pipe_is_explained_packet_by_packet(tmp_path: Path) -> None:
    require(root=False)
    write_pcap(tmp_path / "one.pcap", [frame(ip_packet(payload()))])
    reader, writer = os.pipe()
    with running(sys.executable, "-m", "pycarp", "decode", "--json", "-", stdin=reader) as decoder:
        os.close(reader)
        os.write(writer, (tmp_path / "one.pcap").read_bytes())

        assert decoder.packet()["vhid"] == 7
        os.close(writer)
        assert decoder.process.wait(TIMEOUT_S) == 0
