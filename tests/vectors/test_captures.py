"""Every advertisement in the captures of ucarp verifies with the settings it ran with."""

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pycarp.auth.digest import Signer
from pycarp.auth.key import Passphrase
from pycarp.dialects import UCARP
from pycarp.wire import advertisement as wire
from pycarp.wire import arp, envelope, ethernet
from tests.support.pcap import frames

CAPTURES = sorted((Path(__file__).parent / "ucarp").glob("*.pcap"))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: str(path.stem))
def test_every_advertisement_of_the_capture_verifies(capture: Path) -> None:
    settings = json.loads(capture.with_suffix(".json").read_text())
    signer = Signer(
        passphrase=Passphrase(settings["password"]),
        vhid=settings["vhid"],
        addresses=[IPv4Address(settings["vip"])],
        layouts=UCARP.layouts,
    )

    received = [each for frame in frames(capture) if (each := envelope.datagram_of(frame, link="eth0"))]
    adverts = [wire.decode(each.payload) for each in received]

    assert len(adverts) == settings["adverts"]
    assert all(wire.checksum_form(each.payload) is wire.ChecksumForm.PLAIN for each in received)
    assert all(signer.verify(each.counter, each.digest) for each in adverts)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: str(path.stem))
def test_the_announcements_of_the_capture_are_rebuilt_to_the_octet(capture: Path) -> None:
    settings = json.loads(capture.with_suffix(".json").read_text())
    captured = [frame for frame in frames(capture) if ethernet.decode(frame).ethertype == ethernet.ETHERTYPE_ARP]
    announced = [frame for frame in captured if arp.decode(frame[14:]).sender == IPv4Address(settings["vip"])]

    assert announced
    for frame in announced:
        owner = ethernet.decode(frame).source
        assert frame[:42] == arp.gratuitous(IPv4Address(settings["vip"]), owner, target_mac=owner)
