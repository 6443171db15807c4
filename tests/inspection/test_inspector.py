"""Every fault of a packet is said in words, and a faultless one has none."""

from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vrrp import VRRP, VRRPv3

from pycarp.auth.key import Passphrase
from pycarp.auth.reply import Reply
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.captured import CapturedPacket, LinkType
from pycarp.inspection.explanation import Explanation, Remark
from pycarp.inspection.inspector import Inspector
from pycarp.vocabulary import Address, MacAddress
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet
from pycarp.wire.vrrp import VrrpAuthentication
from tests.support.carp_packets import (
    ONE,
    PASSWORD,
    SECRET,
    SHARED,
    TWO,
    VHID,
    Macs,
    captured,
    frame,
    ip_packet,
    payload,
)

SIX, SIX_GROUP = IPv6Address("fe80::1"), IPv6Address("ff02::12")


def explained(
    octets: bytes, *, secret: SharedSecret | None = SECRET, inspector: Inspector | None = None
) -> Explanation:
    found = (inspector or Inspector(secret=secret)).explain(captured(octets))
    assert found is not None
    return found


def problems(explanation: Explanation) -> set[Remark]:
    return {each.remark for each in explanation.problems}


def notes(explanation: Explanation) -> set[Remark]:
    return {each.remark for each in explanation.notes}


def test_a_good_advertisement_is_authentic_and_has_nothing_remarkable() -> None:
    found = explained(frame(ip_packet(payload(5, advskew=100))))

    assert (found.authentic, found.problems, found.notes) == (True, (), ())
    assert found.advertisement is not None
    assert (found.advertisement.advskew, found.advertisement.counter) == (100, 5)


def test_without_a_password_nothing_is_judged() -> None:
    assert explained(frame(ip_packet(payload())), secret=None).authentic is None


def test_another_password_is_not_authentic() -> None:
    secret = SharedSecret(passphrase=Passphrase("other"), addresses=(SHARED,))

    found = explained(frame(ip_packet(payload())), secret=secret)

    assert found.authentic is False
    assert found.problems[0].words == (
        "not authentic: another password, or another address list that cannot be guessed"
    )


def test_another_address_list_is_named() -> None:
    secret = SharedSecret(passphrase=Passphrase(PASSWORD), addresses=(SHARED, ip_address("10.9.9.9")))

    found = explained(frame(ip_packet(payload())), secret=secret)

    assert "same password, other address list: without 10.9.9.9" in found.problems[0].words


def test_the_sources_own_address_is_tried_for_the_list() -> None:
    secret = SharedSecret(passphrase=Passphrase(PASSWORD), addresses=(ip_address("10.9.9.9"),))

    found = explained(frame(ip_packet(payload(), source=SHARED)), secret=secret)

    assert "it signs 192.168.1.50" in found.problems[0].words


def test_too_short_is_said_with_the_length() -> None:
    found = explained(frame(ip_packet(payload()[:30])))

    assert problems(found) == {Remark.TOO_SHORT}
    assert found.problems[0].words.startswith("30 octets are too short")


def test_a_wrong_checksum_is_said_with_the_right_one() -> None:
    octets = bytearray(payload())
    right = octets[6:8].hex()
    octets[6] ^= 0xFF

    found = explained(frame(ip_packet(bytes(octets))))

    assert problems(found) == {Remark.CHECKSUM}
    assert f"right is 0x{right}" in found.problems[0].words


def test_the_checksum_with_an_ipv6_pseudo_header_is_noted() -> None:
    octets = payload(pseudo_header=wire.pseudo_header_of(SIX, SIX_GROUP))

    found = explained(frame(ip_packet(octets, source=SIX)))

    assert (problems(found), notes(found)) == (set(), {Remark.CHECKSUM_PSEUDO})


def test_both_kinds_of_ipv6_checksum_in_one_vhid_are_a_problem() -> None:
    inspector = Inspector()
    other = IPv6Address("fe80::2")
    explained(frame(ip_packet(payload(), source=SIX)), inspector=inspector)

    octets = payload(2, pseudo_header=wire.pseudo_header_of(other, SIX_GROUP))
    found = explained(frame(ip_packet(octets, source=other)), inspector=inspector)

    assert problems(found) == {Remark.CHECKSUM_MIXED}


@pytest.mark.parametrize(("source", "ttl"), [(ONE, 254), (SIX, 64)])
def test_another_ttl_is_a_problem(source: object, ttl: int) -> None:
    found = explained(frame(ip_packet(payload(), source=source, ttl=ttl)))  # type: ignore[arg-type]

    assert problems(found) == {Remark.TTL}
    assert f"TTL or hop limit {ttl} instead of 255" in found.problems[0].words


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"version": 1}, Remark.VERSION), ({"vhid": 0}, Remark.VHID), ({"advbase": 0, "advskew": 0}, Remark.INTERVAL)],
)
def test_a_field_that_cannot_be_is_a_problem(fields: dict[str, Any], problem: Remark) -> None:
    found = explained(frame(ip_packet(payload(**fields)), Macs(source=ethernet.virtual_mac(fields.get("vhid", VHID)))))

    assert problem in problems(found)


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"advbase": 255, "advskew": 255}, Remark.BOW_OUT),
        ({"advskew": 255}, Remark.ADVSKEW_255),
        ({"advbase": 0, "advskew": 9}, Remark.ADVBASE_ZERO),
        ({"authlen": 6}, Remark.ODD_FIELD),
        ({"type": 3}, Remark.ODD_FIELD),
    ],
)
def test_what_is_lawful_but_worth_knowing_is_a_note(fields: dict[str, Any], note: Remark) -> None:
    found = explained(frame(ip_packet(payload(**fields))))

    assert (problems(found), notes(found)) == (set(), {note})


@pytest.mark.parametrize(
    ("source", "trailing", "words"),
    [
        (ONE, b"tail", "4 octets behind the advertisement: FreeBSD 15 sums them as well and drops it"),
        (ONE, bytes(64), "64 octets behind the advertisement: every host accepts it"),
        (ONE, b"\x12\x34\xed\xcb", "4 octets behind the advertisement: every host accepts it"),
        (SIX, b"tail", "4 octets behind the advertisement: every host accepts it"),
    ],
)
def test_octets_behind_the_advertisement_are_noted_and_no_problem(source: Address, trailing: bytes, words: str) -> None:
    """Source: carp.md section 2 and 13: only FreeBSD 15 sums more than 36 octets, and only over IPv4."""
    found = explained(frame(ip_packet(payload() + trailing, source=source)))

    assert (problems(found), notes(found)) == (set(), {Remark.TRAILING})
    assert found.notes[0].words.startswith(words)


def test_ucarps_mac_and_the_senders_own_are_noted_and_that_of_another_id_is_a_problem() -> None:
    packet = ip_packet(payload())
    real = MacAddress.parse("02:00:00:00:00:01")

    assert notes(explained(frame(packet, Macs(source=ethernet.ucarp_mac(VHID))))) == {Remark.UCARP_MAC}
    assert notes(explained(frame(packet, Macs(source=real)))) == {Remark.REAL_MAC}
    assert problems(explained(frame(packet, Macs(source=ethernet.virtual_mac(VHID + 1))))) == {Remark.SOURCE_MAC}


def test_a_farewell_of_pycarp_is_a_note_and_its_sender_leaves() -> None:
    inspector = Inspector()
    inspector.explain(captured(frame(ip_packet(payload(7), source=ONE))))
    farewell = Reply.FAREWELL.to(7)

    found = inspector.explain(captured(frame(ip_packet(payload(farewell), source=TWO))))

    assert found is not None
    assert Remark.FAREWELL in notes(found)
    assert found.claim is not None
    assert found.claim.leaves


def test_unicast_is_lawful() -> None:
    real, peer = MacAddress.parse("02:00:00:00:00:01"), MacAddress.parse("02:00:00:00:00:02")

    found = explained(frame(ip_packet(payload(), destination=TWO), Macs(source=real, destination=peer)))

    assert (problems(found), notes(found)) == (set(), {Remark.UNICAST, Remark.REAL_MAC})


@pytest.mark.parametrize(
    ("destination", "mac"),
    [
        ("224.0.0.100", None),
        ("224.0.0.18", "02:00:00:00:00:02"),
        ("192.168.1.11", "01:00:5e:00:00:12"),
        ("224.0.0.18", "01:00:5e:00:00:01"),
        ("255.255.255.255", "ff:ff:ff:ff:ff:ff"),
    ],
)
def test_an_odd_destination_is_a_problem(destination: str, mac: str | None) -> None:
    macs = Macs(destination=MacAddress.parse(mac) if mac else None)

    found = explained(frame(ip_packet(payload(), destination=ip_address(destination)), macs))

    assert problems(found) == {Remark.DESTINATION}


def test_ucarps_ethernet_broadcast_is_noted() -> None:
    found = explained(frame(ip_packet(payload()), Macs(destination=ethernet.BROADCAST)))

    assert (problems(found), notes(found)) == (set(), {Remark.BROADCAST_MAC})


def test_a_counter_that_never_changes_is_openbsds_or_a_replay() -> None:
    inspector = Inspector(secret=SECRET)

    found = [explained(frame(ip_packet(payload(9))), inspector=inspector) for _ in range(3)]

    assert [notes(each) for each in found] == [set(), {Remark.CONSTANT_COUNTER}, {Remark.CONSTANT_COUNTER}]
    assert not any(each.problems for each in found)


def test_a_counter_that_changed_and_returns_is_a_replay() -> None:
    inspector = Inspector(secret=SECRET)
    for counter in (1, 2, 3):
        explained(frame(ip_packet(payload(counter))), inspector=inspector)

    assert problems(explained(frame(ip_packet(payload(2))), inspector=inspector)) == {Remark.REPLAY}


def test_a_counter_of_another_host_is_a_replay() -> None:
    inspector = Inspector(secret=SECRET)
    explained(frame(ip_packet(payload(1))), inspector=inspector)

    assert problems(explained(frame(ip_packet(payload(1), source=TWO)), inspector=inspector)) == {Remark.REPLAY}


def test_the_same_counter_in_both_families_is_no_replay() -> None:
    inspector = Inspector(secret=SECRET)
    explained(frame(ip_packet(payload(1))), inspector=inspector)

    assert not explained(frame(ip_packet(payload(1), source=SIX)), inspector=inspector).problems


def test_a_forged_advertisement_spoils_no_counter() -> None:
    inspector = Inspector(secret=SECRET)
    explained(frame(ip_packet(payload(1, digest=bytes(20)), source=TWO)), inspector=inspector)

    assert not explained(frame(ip_packet(payload(1))), inspector=inspector).problems


@pytest.mark.parametrize("addresses", [1, 3, 5, 7])
def test_vrrp_version_2_is_told_from_carp(addresses: int) -> None:
    listed = [f"192.168.1.{number}" for number in range(addresses)]
    packet = Ether() / IP(dst="224.0.0.18", ttl=255, src="192.168.1.3") / VRRP(vrid=51, priority=150, addrlist=listed)

    found = explained(bytes(packet))

    assert (problems(found), Remark.VRRP in notes(found)) == (set(), True)
    assert found.vrrp is not None
    assert (found.vrrp.version, found.vrrp.vrid, found.vrrp.priority) == (2, 51, 150)
    assert found.advertisement is None
    assert found.notes[0].words == "VRRP, not CARP: no vhid on this segment may be 51"


def test_vrrp_version_3_is_told_from_carp() -> None:
    four = Ether() / IP(dst="224.0.0.18", ttl=255) / VRRPv3(vrid=52, priority=99, addrlist=["192.168.1.9"])
    six = Ether() / IPv6(dst="ff02::12", src="fe80::1", hlim=255, nh=112) / VRRPv3(vrid=53, addrlist=["fd00::9"])

    assert [Remark.VRRP in notes(explained(bytes(each))) for each in (four, six)] == [True, True]


def test_vrrp_behind_an_authentication_header_is_told_from_carp() -> None:
    header = bytes((112, 4)) + bytes(22)
    vrrp = bytes.fromhex("21339601020184efc0a801320000000000000000")

    found = explained(frame(ip_packet(header + vrrp, protocol=51)))

    assert (Remark.VRRP in notes(found), found.vrrp and found.vrrp.vrid) == (True, 51)
    assert found.vrrp_details is not None
    assert found.vrrp_details.authentication is VrrpAuthentication.HEADER


def test_anything_else_behind_an_authentication_header_is_not_carp() -> None:
    found = explained(frame(ip_packet(bytes((112, 4)) + bytes(22) + payload(), protocol=51)))

    assert (problems(found), found.vrrp, found.advertisement) == ({Remark.AUTHENTICATION_HEADER}, None, None)


def test_an_authentic_advertisement_is_carp_even_if_it_looks_like_vrrp() -> None:
    """As long as VRRP version 2 with seven addresses, whose last eight octets are zeros as well."""
    packet = captured(frame(ip_packet(payload() + bytes(8))))

    guessed, verified = (Inspector(secret=secret).explain(packet) for secret in (None, SECRET))

    assert guessed is not None
    assert verified is not None
    assert (Remark.VRRP in notes(guessed), Remark.VRRP in notes(verified), verified.authentic) == (True, False, True)


def test_a_broken_ip_header_is_said() -> None:
    octets = bytearray(frame(ip_packet(payload())))
    octets[24] ^= 0xFF

    found = explained(bytes(octets))

    assert problems(found) == {Remark.BROKEN_IP}
    assert "wrong IPv4 header checksum" in found.problems[0].words


def test_a_packet_that_the_capture_cut_is_said_to_be_cut() -> None:
    octets = frame(ip_packet(payload()))

    found = Inspector().explain(CapturedPacket(0, LinkType.ETHERNET, octets[:48], len(octets)))

    assert found is not None
    assert found.problems[0].words == "only 48 of 70 octets were captured: capture with -s 0"


@pytest.mark.parametrize("octets", [b"", b"\x00" * 13, frame(ip_packet(b"x", protocol=6)), b"\xff" * 60])
def test_what_is_not_protocol_112_is_left_out(octets: bytes) -> None:
    assert Inspector().explain(captured(octets)) is None


def test_another_vhid_is_left_out() -> None:
    inspector = Inspector(vhid=VHID)

    assert inspector.explain(captured(frame(ip_packet(payload(vhid=8))))) is None
    assert inspector.explain(captured(frame(ip_packet(payload())))) is not None


GOOD = frame(ip_packet(payload()))


@given(st.sampled_from(LinkType), st.binary(max_size=120))
def test_no_octets_are_too_strange(link_type: LinkType, octets: bytes) -> None:
    Inspector(secret=SECRET).explain(CapturedPacket(0, link_type, octets, len(octets)))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255), st.integers(0, len(GOOD)))
def test_a_changed_or_cut_advertisement_is_explained(position: int, change: int, length: int) -> None:
    octets = bytearray(GOOD)
    octets[position] ^= change
    inspector = Inspector(secret=SECRET)

    inspector.explain(CapturedPacket(0, LinkType.ETHERNET, bytes(octets[:length]), len(octets)))
    found = inspector.explain(captured(bytes(octets)))

    if found is not None and position >= 14 + 20 + 8:
        assert found.authentic is False  # counter and digest


@given(st.binary(min_size=1, max_size=100))
def test_whatever_follows_a_protocol_112_header_has_an_explanation(octets: bytes) -> None:
    found = explained(frame(ip_packet(octets)))

    assert found.problems or found.authentic
