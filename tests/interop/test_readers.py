"""What other people's programs read in our packets, taken from a real wire."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from pycarp import transports
from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.dialects.dialect import Claim
from pycarp.transports.transport import Transport
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
    with joined_namespaces() as (ours, theirs), Capture(theirs) as sniffer:
        asyncio.run(send_advertisement(TransportInside(transports.by_name(request.param), ours), ours))
        write_pcap(path, sniffer.octets(is_carp, 1))
    return path


async def send_advertisement(transport: Transport, ours: Namespace) -> None:
    codec = AdvertisementCodec(config(vhid=VHID, interface=LINK), lambda: COUNTER)
    (outgoing,) = codec.compose(Claim(advbase=ADVBASE, advskew=ADVSKEW), (ours.address,), 0)
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
    told = told_by("tcpdump", "-n", "-r", str(capture), "-T", "carp", "-v")

    assert "tos 0x10, ttl 255" in told
    assert (
        "10.77.0.1 > 224.0.0.18: CARPv2-advertise 36: vhid=42 advbase=3 advskew=100 authlen=7 counter=72623859790382856"
    ) in told
    assert "bad" not in told


def test_tshark_reads_the_advertisement_as_carp_and_finds_no_fault(capture: Path) -> None:
    require("tshark")
    told = told_by("tshark", "-r", str(capture), "-V", "-o", "ip.check_checksum:TRUE", "-d", "ip.proto==112,carp")
    lines = [line.strip() for line in told.splitlines()]

    for expected in (
        "Time to Live: 255",
        "[Header checksum status: Good]",
        "Common Address Redundancy Protocol",
        "Virtual Host ID: 42",
        "Advertisement Skew: 100",
        "Auth Len: 7",
        "Demotion indicator: 0",
        "Adver Int: 3",
        "[Checksum Status: Good]",
        "Counter: 72623859790382856",
    ):
        assert expected in lines
    assert "Expert Info" not in told


def test_tshark_that_takes_it_for_vrrp_finds_the_checksum_right_as_well(capture: Path) -> None:
    require("tshark")
    told = told_by("tshark", "-r", str(capture), "-V")

    assert "Virtual Router Redundancy Protocol" in told
    assert "[Checksum Status: Good]" in told
    assert "Expert Info" not in told


SCAPY_READER = """
import sys
from scapy.contrib.carp import CARP
from scapy.utils import checksum, rdpcap
carp = rdpcap(sys.argv[1])[0][CARP]
print(carp.version, carp.type, carp.vhid, carp.advbase, carp.advskew, carp.authlen, carp.demotion)
print(hex(carp.counter1), hex(carp.counter2), checksum(bytes(carp)))
"""


def test_scapy_reads_the_advertisement_and_finds_no_fault(capture: Path) -> None:
    told = told_by(sys.executable, "-c", SCAPY_READER, str(capture))

    assert told.splitlines() == ["2 1 42 3 100 7 0", "0x1020304 0x5060708 0"]
