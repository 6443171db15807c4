"""What other people's programs read in our packets, taken from a real wire."""

import asyncio
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pycarp import transports
from pycarp.core.speaker import Speaker
from pycarp.dialects.base import Claim
from pycarp.transports.base import Transport
from pycarp.vocabulary import Family
from tests.support.capture import Capture, is_carp, write_pcap
from tests.support.namespaces import LINK, Namespace, TransportInside, joined_namespaces
from tests.support.nodes import config
from tests.support.system import require

pytestmark = pytest.mark.system

VHID, ADVBASE, ADVSKEW = 42, 3, 100
COUNTER = 0x0102030405060708


@pytest.fixture(scope="module", params=["packet", "packet-real-mac", "raw"])
def capture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture file of one advertisement, as it arrived at a neighbour."""
    require("ip")
    path = tmp_path_factory.mktemp("capture") / "advertisement.pcap"
    with joined_namespaces() as (ours, theirs), Capture(theirs) as listener:
        asyncio.run(send_advertisement(TransportInside(transports.by_name(request.param), ours), ours))
        write_pcap(path, listener.octets(is_carp, 1))
    return path


async def send_advertisement(transport: Transport, ours: Namespace) -> None:
    speaker = Speaker(config(vhid=VHID, interface=LINK), lambda: COUNTER)
    (outgoing,) = speaker.compose(Claim(advbase=ADVBASE, advskew=ADVSKEW), {Family.IPV4: ours.address})
    await transport.open_link(LINK, lambda: None)
    try:
        transport.send(outgoing)
    finally:
        await transport.close()


def told_by(*argv: str) -> str:
    """Run a reader and return what it prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_tcpdump_reads_the_advertisement_and_finds_no_fault(capture: Path) -> None:
    require("tcpdump")
    told = told_by("tcpdump", "-n", "-r", str(capture), "-T", "carp", "-vv", "-e")
    print(told)
    assert 0


def test_tshark_reads_the_advertisement_and_finds_no_fault(capture: Path) -> None:
    require("tshark")
    told = told_by("tshark", "-r", str(capture), "-V", "-o", "ip.check_checksum:TRUE")
    print(told)
    assert 0


def test_scapy_reads_the_advertisement_and_finds_no_fault(capture: Path) -> None:
    from scapy.all import rdpcap
    from scapy.contrib import carp

    p = rdpcap(str(capture))[0]
    print(p.show2(dump=True))
    c = p[3] if len(p.layers()) > 2 else None
    print(p.layers(), c)
    assert 0
