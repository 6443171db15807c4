"""Captures of real systems verify with the settings that they ran with, and with no other."""

import json
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from pycarp.auth.key import Passphrase
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.explanation import Explanation, Remark
from pycarp.inspection.inspector import Inspector

VECTORS = Path(__file__).parents[1] / "vectors"
NETBSD = sorted((VECTORS / "netbsd").glob("*.pcap"))
TRANSITIONS = sorted((VECTORS / "transitions").glob("*.pcap"))
UCARP = sorted((VECTORS / "ucarp").glob("*.pcap"))


def settings_of(capture: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(capture.with_suffix(".json").read_text())
    return loaded


def explanations(capture: Path, secret: SharedSecret | None) -> Iterator[Explanation]:
    inspector = Inspector(secret=secret)
    with capture.open("rb") as stream:
        yield from (each for packet in packets_of(stream) if (each := inspector.explain(packet)))


def secret_of(capture: Path) -> SharedSecret:
    settings = settings_of(capture)
    if "key_hex" in settings:
        passphrase = Passphrase.from_key(bytes.fromhex(settings["key_hex"]))
        return SharedSecret(
            passphrase=passphrase, addresses=tuple(ip_interface(each).ip for each in settings["vips_in_order_entered"])
        )
    return SharedSecret(passphrase=Passphrase(settings["password"]), addresses=(ip_interface(settings["vip"]).ip,))


@pytest.mark.parametrize("capture", [*NETBSD, *UCARP], ids=lambda path: str(path.stem))
def test_every_advertisement_verifies_with_its_settings(capture: Path) -> None:
    adverts = settings_of(capture)["adverts"]

    found = list(explanations(capture, secret_of(capture)))

    assert len(found) == (adverts if isinstance(adverts, int) else len(adverts))
    assert all(each.authentic for each in found)


@pytest.mark.parametrize("capture", [*NETBSD, *UCARP], ids=lambda path: str(path.stem))
def test_no_advertisement_verifies_with_another_password(capture: Path) -> None:
    right = secret_of(capture)
    wrong = SharedSecret(passphrase=Passphrase("quite another"), addresses=right.addresses)

    found = list(explanations(capture, wrong))

    assert found
    assert all(each.authentic is False for each in found)


@pytest.mark.parametrize("capture", NETBSD, ids=lambda path: str(path.stem))
def test_no_advertisement_of_netbsd_has_a_problem(capture: Path) -> None:
    assert [each.problems for each in explanations(capture, secret_of(capture)) if each.problems] == []


@pytest.mark.parametrize("capture", TRANSITIONS, ids=lambda path: str(path.stem))
def test_no_takeover_partition_or_heal_of_real_systems_looks_like_a_replay(capture: Path) -> None:
    assert Remark.REPLAY not in {each.remark for one in explanations(capture, None) for each in one.problems}


@pytest.mark.parametrize("capture", NETBSD, ids=lambda path: str(path.stem))
def test_the_fields_are_those_of_the_sidecar(capture: Path) -> None:
    found = [each for each in explanations(capture, None) if each.advertisement]

    assert [
        (str(each.source), each.advertisement.vhid, each.advertisement.advskew, f"{each.advertisement.counter:016x}")
        for each in found
        if each.advertisement
    ] == [(each["ip_src"], each["vhid"], each["advskew"], each["counter"]) for each in settings_of(capture)["adverts"]]


def test_only_the_ipv6_advertisements_of_newer_netbsd_have_the_other_checksum() -> None:
    capture = VECTORS / "netbsd" / "16-v6-netbsd8-checksum.pcap"

    found = [(each.family, [note.remark for note in each.notes]) for each in explanations(capture, None)]

    assert [notes for family, notes in found if family == 6] == [[Remark.CHECKSUM_PSEUDO]] * 5
    assert [notes for family, notes in found if family == 4] == [[]] * 5


def test_netbsds_ifconfig_is_recognized() -> None:
    capture = VECTORS / "netbsd" / "17-ifconfig-pass-loses-last-char.pcap"
    given = SharedSecret(passphrase=Passphrase("testpass"), addresses=secret_of(capture).addresses)

    assert {each.problems[0].words for each in explanations(capture, given)} == {
        "not authentic: same address list, but the password lost its last character there (NetBSD's ifconfig drops it)"
    }
