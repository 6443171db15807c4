"""The diagnosis distinguishes another spelling of the password, another list of addresses, and neither."""

import json
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from pycarp.auth.diagnosis import MOST_HMACS, UNKNOWN_WORDS, Diagnosis, DiagnosisKind, diagnose
from pycarp.auth.digest import DigestLayout, HashOrder, Signer
from pycarp.auth.key import Passphrase
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire import advertisement as wire
from pycarp.wire.advertisement import Advertisement

A, B, C = ip_address("192.168.1.50"), ip_address("192.168.1.51"), ip_address("10.0.0.9")
SIX = ip_address("fd00::50")
LINK_LOCAL = ip_address("fe80::200:5eff:fe00:107")
LLADDR = MacAddress.parse("02:11:22:33:44:55")
PASSWORD = "mekmitasdigoat"
VHID = 7


def signed(
    *addresses: Address,
    password: str | bytes = PASSWORD,
    order: HashOrder = HashOrder.SORTED,
    lladdr: MacAddress | None = None,
) -> Advertisement:
    """What a host with these settings sends."""
    signer = Signer(
        passphrase=Passphrase(password),
        vhid=VHID,
        addresses=addresses,
        layouts=(DigestLayout.ORIGINAL,),
        order=order,
        lladdr=lladdr,
    )
    return Advertisement(vhid=VHID, advbase=1, advskew=0, counter=77, digest=signer.sign(77))


def diagnosed(advertisement: Advertisement, *addresses: Address, extra: tuple[Address, ...] = ()) -> Diagnosis:
    return diagnose(advertisement, passphrase=Passphrase(PASSWORD), addresses=addresses, extra=extra)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((A,), (A, B)),
        ((A, C), (A, B, C)),
        ((A, SIX), (A, B, C, SIX)),
        ((SIX,), (A, SIX)),
        ((A, B), (A,)),
        ((A, ip_address("192.168.1.254")), (A,)),
        ((ip_address("192.168.1.53"),), (A,)),
        ((A, LINK_LOCAL), (A,)),
        ((A,), (A, LINK_LOCAL)),
        ((), (A,)),
    ],
    ids=lambda addresses: "+".join(map(str, addresses)) or "none",
)
def test_another_list_is_found(theirs: tuple[Address, ...], ours: tuple[Address, ...]) -> None:
    found = diagnosed(signed(*theirs), *ours)

    assert found.kind is DiagnosisKind.ADDRESS_LIST
    assert found.addresses is not None
    assert set(found.addresses) == set(theirs)


def test_the_words_name_what_is_missing_and_what_is_added() -> None:
    found = diagnosed(signed(A, SIX), A, B, extra=(SIX,))

    assert found.words == (
        "same password, other address list: without 192.168.1.51 and with fd00::50; it signs 192.168.1.50, fd00::50"
    )


def test_an_address_seen_elsewhere_is_tried() -> None:
    assert diagnosed(signed(A, B, C), A, B, extra=(SIX, C)).addresses == (A, B, C)


def test_one_and_two_missing_of_a_long_list_are_found() -> None:
    ours = [ip_address(f"10.1.{number}.1") for number in range(20)]

    assert diagnosed(signed(*ours[1:]), *ours).addresses == tuple(ours[1:])
    assert diagnosed(signed(*ours[1:-1]), *ours).addresses == tuple(ours[1:-1])


def test_an_order_that_is_not_ascending_is_found() -> None:
    found = diagnosed(signed(B, A, order=HashOrder.CONFIGURED), A, B)

    assert found.kind is DiagnosisKind.ADDRESS_LIST
    assert found.addresses == (B, A)
    assert "order 192.168.1.51, 192.168.1.50" in found.words


@pytest.mark.parametrize(
    "password",
    [PASSWORD[:-1], PASSWORD + "\r", PASSWORD + "\n", PASSWORD + "\r\n", PASSWORD + " "],
    ids=["last-lost", "cr", "lf", "crlf", "space"],
)
def test_a_mangled_password_is_found(password: str) -> None:
    assert diagnosed(signed(A, B, password=password), A, B).kind is DiagnosisKind.PASSWORD_VARIANT


@pytest.mark.parametrize("length", [15, 16])
def test_a_truncated_password_is_found(length: int) -> None:
    found = diagnose(signed(A, password="x" * length), passphrase=Passphrase("x" * 18), addresses=(A,))

    assert found.kind is DiagnosisKind.PASSWORD_VARIANT
    assert f"first {length} characters" in found.words


def test_a_key_of_twenty_octets_is_seen_truncated_to_nineteen() -> None:
    found = diagnose(signed(A, password="x" * 19), passphrase=Passphrase.from_key(b"x" * 20), addresses=(A,))

    assert found.kind is DiagnosisKind.PASSWORD_VARIANT


def test_white_space_at_the_end_of_our_own_password_is_found() -> None:
    found = diagnose(signed(A), passphrase=Passphrase(PASSWORD + "\r"), addresses=(A,))

    assert found.kind is DiagnosisKind.PASSWORD_VARIANT


def test_a_signed_link_layer_address_is_found() -> None:
    found = diagnose(signed(A, lladdr=LLADDR), passphrase=Passphrase(PASSWORD), addresses=(A,), lladdrs=(LLADDR,))

    assert found.kind is DiagnosisKind.LINK_ADDRESS
    assert str(LLADDR) in found.words


def test_a_link_layer_address_that_only_we_sign_is_found() -> None:
    found = diagnose(signed(A), passphrase=Passphrase(PASSWORD), addresses=(A,), lladdr=LLADDR)

    assert found.kind is DiagnosisKind.LINK_ADDRESS


def test_what_cannot_be_guessed_is_said_to_be_unknown() -> None:
    found = diagnosed(signed(A, password="quite another"), A, B)

    assert found == Diagnosis(kind=DiagnosisKind.UNKNOWN, words=UNKNOWN_WORDS)


def test_no_words_contain_the_password() -> None:
    variants = [diagnosed(signed(A, password=each), A) for each in (PASSWORD[:-1], PASSWORD + " ", "other")]

    assert not [each for each in variants if PASSWORD[:-1] in repr(each)]


def test_the_limit_bounds_the_work() -> None:
    ours = [ip_address(f"10.{number}.0.1") for number in range(100)]
    theirs = signed(*ours[:-1])

    assert diagnose(theirs, passphrase=Passphrase(PASSWORD), addresses=ours, limit=5).kind is DiagnosisKind.UNKNOWN


def test_the_longest_diagnosis_takes_milliseconds_at_most() -> None:
    ours = [ip_address(f"10.0.{number}.1") for number in range(100)]
    theirs = signed(password="quite another")
    began_ns = time.process_time_ns()

    for _ in range(10):
        diagnosed(theirs, *ours)

    assert time.process_time_ns() - began_ns < 10 * 30_000_000  # a tenth of it on a machine that is not busy
    assert MOST_HMACS <= 300


def test_netbsds_ifconfig_loses_the_last_character_of_the_password() -> None:
    sidecar = Path(__file__).parents[1] / "vectors" / "netbsd" / "17-ifconfig-pass-loses-last-char.json"
    settings = json.loads(sidecar.read_text())
    advertisement = wire.decode(bytes.fromhex(settings["adverts"][0]["payload"]))

    found = diagnose(advertisement, passphrase=Passphrase(settings["pass_given"]), addresses=(A,))

    assert found.kind is DiagnosisKind.PASSWORD_VARIANT
    assert "NetBSD's ifconfig" in found.words
