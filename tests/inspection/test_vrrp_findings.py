"""What is wrong with VRRP packets is said, of packets that real routers sent and of packets that none should send."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.explanation import Explanation, Protocol, Remark
from pycarp.inspection.inspector import Inspector
from pycarp.inspection.timeline import Timeline, TimelineKind, group_of
from pycarp.vocabulary import NS_PER_S, Address, Family, MacAddress
from pycarp.wire import ethernet
from pycarp.wire.vrrp import VrrpAuthentication, VrrpChecksum, details_of
from tests.support.carp_packets import Macs, captured, frame, ip_packet, payload
from tests.support.vrrp_packets import (
    AUTHENTICATION_HEADER,
    FOUR,
    IPSEC,
    PASSWORD,
    SIX,
    TRAILER,
    Version3,
    summed,
    version_2,
)

CAPTURES = Path(__file__).parents[1] / "vectors" / "vrrp"
OTHER = IPv4Address("192.168.1.11")
VIRTUAL = ethernet.virtual_mac(51)
REAL = MacAddress.parse("02:00:00:00:00:01")
GROUPS: dict[Family, Address] = {Family.IPV4: IPv4Address("224.0.0.18"), Family.IPV6: IPv6Address("ff02::12")}


def explained(
    octets: bytes,
    *,
    source: Address = FOUR,
    mac: MacAddress = VIRTUAL,
    ttl: int = 255,
    destination: Address | None = None,
    inspector: Inspector | None = None,
) -> Explanation:
    to_mac = None if destination is None or destination.is_multicast else REAL
    packet = frame(
        ip_packet(octets, source=source, ttl=ttl, destination=destination), Macs(source=mac, destination=to_mac)
    )
    found = (inspector or Inspector()).explain(captured(packet))
    assert found is not None
    return found


def problems(explanation: Explanation) -> set[Remark]:
    return {each.remark for each in explanation.problems}


def notes(explanation: Explanation) -> set[Remark]:
    return {each.remark for each in explanation.notes} - {Remark.VRRP}


def of_capture(name: str) -> list[Explanation]:
    inspector = Inspector()
    with (CAPTURES / f"{name}.pcap").open("rb") as stream:
        return [each for packet in packets_of(stream) if (each := inspector.explain(packet))]


CLASHES = {
    "t23-v2-pass-mismatch": Remark.PASSWORD_MIXED,
    "t24-v2-list-mismatch": Remark.LIST_MIXED,
    "t25-version-mismatch": Remark.VERSION_MIXED,
}


@pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("*.pcap")))
def test_real_routers_have_no_problem_but_that_with_which_they_were_configured(name: str) -> None:
    found = {each.remark for one in of_capture(name) for each in one.problems}

    assert found == ({CLASHES[name]} if name in CLASHES else set())


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (version_2(1)[:-1] + b"\x01", Remark.CHECKSUM),
        (summed(bytes((0x21, 51, 150, 1, 0, 0, 0, 0)) + FOUR.packed + bytes(8)), Remark.INTERVAL),
        (version_2(0), Remark.NO_ADDRESS),
        (Version3(count=1, interval_cs=0).octets(), Remark.INTERVAL),
        (Version3(count=1, claimed=2).octets(), Remark.LENGTH),
        (Version3(count=2, claimed=1).octets(), Remark.LENGTH),
    ],
)
def test_what_routers_drop_is_a_problem(octets: bytes, problem: Remark) -> None:
    assert problems(explained(octets)) == {problem}


@pytest.mark.parametrize(
    ("octets", "note"),
    [
        (version_2(1, priority=0), Remark.BOW_OUT),
        (version_2(1, priority=255), Remark.OWNER),
        (version_2(1, PASSWORD), Remark.CLEAR_PASSWORD),
        (Version3(count=1, has_pseudo_header=False).octets(), Remark.CHECKSUM_MESSAGE),
        (Version3(count=1, interval_cs=0xF064).octets(), Remark.ODD_FIELD),
    ],
)
def test_what_is_lawful_but_worth_knowing_is_a_note(octets: bytes, note: Remark) -> None:
    found = explained(octets)

    assert (problems(found), notes(found)) == (set(), {note})


def test_another_ttl_is_a_problem_unless_a_peer_sends_it() -> None:
    assert problems(explained(version_2(1), ttl=64)) == {Remark.TTL}
    assert notes(explained(version_2(1), ttl=64, destination=OTHER)) == {Remark.UNICAST, Remark.UNICAST_TTL}


@pytest.mark.parametrize(
    ("mac", "source", "remark"),
    [
        (VIRTUAL, FOUR, None),
        (ethernet.vrrp_mac(51, Family.IPV6), SIX, None),
        (VIRTUAL, SIX, Remark.CARP_MAC),
        (REAL, FOUR, Remark.REAL_MAC),
        (ethernet.virtual_mac(52), FOUR, Remark.SOURCE_MAC),
        (ethernet.vrrp_mac(51, Family.IPV6), FOUR, Remark.SOURCE_MAC),
    ],
)
def test_the_source_mac_is_that_of_the_router_or_remarkable(
    mac: MacAddress, source: Address, remark: Remark | None
) -> None:
    found = explained(Version3(count=1, source=source).octets(), source=source, mac=mac)

    assert problems(found) | notes(found) == ({remark} if remark else set())


def test_two_kinds_of_checksum_are_two_masters() -> None:
    inspector = Inspector()
    explained(Version3(count=1).octets(), inspector=inspector)

    found = explained(
        Version3(count=1, source=OTHER, has_pseudo_header=False).octets(), source=OTHER, inspector=inspector
    )

    assert problems(found) == {Remark.CHECKSUM_MIXED}


def test_another_interval_is_a_problem_of_version_2_and_learned_in_version_3() -> None:
    two, three = Inspector(), Inspector()
    explained(version_2(1), inspector=two)
    explained(Version3(count=1).octets(), inspector=three)
    slow = summed(bytes((0x21, 51, 150, 1, 0, 2, 0, 0)) + bytes.fromhex("c0a80100") + bytes(8))

    assert problems(explained(slow, source=OTHER, inspector=two)) == {Remark.INTERVAL_MIXED}
    quick = explained(Version3(count=1, source=OTHER, interval_cs=20).octets(), source=OTHER, inspector=three)
    assert (problems(quick), notes(quick)) == (set(), {Remark.INTERVAL_LEARNED})


def test_who_has_left_is_compared_with_nobody() -> None:
    inspector = Inspector()
    explained(version_2(2, priority=0), inspector=inspector)

    assert problems(explained(version_2(1), source=OTHER, inspector=inspector)) == set()


def test_one_id_for_both_protocols_is_a_collision_on_the_same_vlan_only() -> None:
    inspector = Inspector()
    router = frame(ip_packet(version_2(1), source=OTHER), Macs(source=VIRTUAL))
    host = frame(ip_packet(payload(vhid=51)), Macs(source=VIRTUAL))
    tagged = host[:12] + b"\x81\x00\x00\x0a" + host[12:]

    seen = [inspector.explain(captured(each)) for each in (router, tagged, host, router)]

    assert [problems(each) if each else None for each in seen] == [
        set(),
        set(),
        {Remark.COLLISION},
        {Remark.COLLISION},
    ]
    assert seen[2] is not None
    assert seen[2].problems[0].words.startswith("the VRRP router 192.168.1.11 uses 51 as well: both have the MAC")


def test_the_details_of_a_header_and_of_a_signature_are_read() -> None:
    inside = details_of(AUTHENTICATION_HEADER + version_2(1, IPSEC), source=FOUR, destination=GROUPS[Family.IPV4])
    signed = details_of(version_2(1) + TRAILER, source=FOUR, destination=GROUPS[Family.IPV4])

    assert (inside.authentication, inside.surplus, inside.checksum) == (
        VrrpAuthentication.HEADER,
        0,
        VrrpChecksum.MESSAGE,
    )
    assert (signed.authentication, signed.surplus) == (VrrpAuthentication.SIGNATURE, 0)


def test_the_timeline_tells_of_two_routers_that_are_master() -> None:
    timeline = Timeline()
    found = of_capture("t11-v2-split-heal")
    for each in found:
        timeline.add(each)
    timeline.finish(found[-1].at_ns)

    kinds = [each.kind for each in timeline.entries]
    assert kinds == [TimelineKind.FIRST_HEARD, TimelineKind.TWO_MASTERS, TimelineKind.ONE_MASTER]


def test_a_group_of_vrrp_is_none_of_carp() -> None:
    group = group_of(explained(version_2(1)))

    assert group is not None
    assert (group.protocol, str(group)) == (Protocol.VRRP, "VRID 51")


def test_the_master_down_time_is_that_of_a_router_with_the_same_settings() -> None:
    """Source: RFC 3768 section 6.1; measured on keepalived: 3.609 s for priority 100."""
    claim = explained(version_2(1, priority=100)).claim

    assert claim is not None
    assert round(claim.master_down_ns / NS_PER_S, 3) == 3.609
