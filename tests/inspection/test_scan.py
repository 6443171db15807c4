"""What a scan reports of packets with their times: masters, claims, clashes and forgeries, within bounded memory."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.captured import CapturedPacket, LinkType
from pycarp.inspection.explanation import Protocol
from pycarp.inspection.scan import MOST_SENDERS, MOST_TAGGED_GROUPS, Scan
from pycarp.inspection.scan_report import ScannedGroup, ScanProblem, ScanReport
from pycarp.inspection.timeline import TimelineKind
from pycarp.vocabulary import NS_PER_S, Address, MacAddress
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet, ip
from tests.support.carp_packets import ONE, SECRET, TWO, VHID, Macs, captured, frame, ip_packet, payload
from tests.support.vrrp_packets import Version3, version_2

VECTORS = Path(__file__).parents[1] / "vectors"
OTHER_MAC = MacAddress.parse("02:00:00:00:00:01")


class Segment:
    """A segment that is scanned."""

    def __init__(self) -> None:
        self.scan = Scan()
        self.counter = 0

    def carp(
        self, source: Address, *times_s: float, mac: MacAddress | None = None, ttl: int = 255, **fields: Any
    ) -> None:
        for at_s in times_s:
            self.counter += 1
            vhid = fields.get("vhid", VHID)
            octets = ip_packet(payload(**{"counter": self.counter} | fields), source=source, ttl=ttl)
            self.frame(frame(octets, Macs(source=mac or ethernet.virtual_mac(vhid))), at_s)

    def vrrp(self, octets: bytes, source: Address, *times_s: float) -> None:
        for at_s in times_s:
            self.frame(frame(ip_packet(octets, source=source), Macs(source=OTHER_MAC)), at_s)

    def frame(self, octets: bytes, at_s: float) -> None:
        self.scan.add(captured(octets, at_s=at_s))

    def report(self, until_s: float) -> ScanReport:
        return self.scan.report(round(until_s * NS_PER_S))


def kinds(report: ScanReport) -> list[str]:
    return [each.kind for each in report.problems]


def the_group(report: ScanReport) -> ScannedGroup:
    assert len(report.groups) == 1
    return report.groups[0]


def the_problem(report: ScanReport) -> ScanProblem:
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def scanned(capture: Path) -> ScanReport:
    scan, at_ns = Scan(), 0
    with capture.open("rb") as stream:
        for packet in packets_of(stream):
            scan.add(packet)
            at_ns = packet.at_ns
    return scan.report(at_ns)


def tagged(octets: bytes, vlan: int) -> bytes:
    return octets[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + octets[12:]


def test_a_silent_segment_is_well_and_all_its_ids_are_free() -> None:
    report = Segment().report(10)

    assert (report.packets, report.groups, report.is_well) == (0, (), True)
    assert report.free == {(): tuple(range(1, 256))}


def test_a_steady_master_is_named_with_what_it_claims() -> None:
    segment = Segment()
    segment.carp(ONE, *range(10), advskew=100, advbase=1)

    sender = the_group(segment.report(10)).masters[0]

    assert (str(sender.source), str(sender.source_mac), sender.packets) == ("192.168.1.10", "00:00:5e:00:01:07", 10)
    assert sender.advertisement is not None
    assert (sender.advertisement.advbase, sender.advertisement.advskew) == (1, 100)


def test_arrivals_are_compared_with_what_was_advertised() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, 2.1, 3.0, 4.0)

    arrivals = the_group(segment.report(5)).senders[0].arrivals

    assert (arrivals.interval_ns, arrivals.jitter_ns, arrivals.latest_ns, arrivals.missed) == (
        NS_PER_S,
        NS_PER_S // 20,
        NS_PER_S // 10,
        0,
    )


def test_advertisements_that_never_came_are_a_problem() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, 2, 4, 5)

    problem = the_problem(segment.report(6))

    assert (problem.kind, problem.packets) == ("missed", 1)
    assert problem.words.startswith("1 of 6 advertisements never came")


def test_two_masters_are_a_problem() -> None:
    segment = Segment()
    for second in range(5):
        segment.carp(ONE, second)
        segment.carp(TWO, second + 0.5)

    report = segment.report(5)

    assert {str(each.source) for each in the_group(report).masters} == {"192.168.1.10", "192.168.1.11"}
    assert the_problem(report).words == "192.168.1.10 and 192.168.1.11 are both MASTER"


def test_a_takeover_is_no_problem_and_is_reported_as_a_change() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, advskew=100)
    segment.carp(TWO, 1.5, 2.5, 3.5, 4.5)

    report = segment.report(5)

    assert report.is_well
    assert [str(each.source) for each in the_group(report).masters] == ["192.168.1.11"]
    assert [each.kind for each in the_group(report).events] == [TimelineKind.TAKEOVER]


@pytest.mark.parametrize(
    ("advbase", "advskew", "words"),
    [(255, 255, "192.168.1.10 bowed out"), (1, 0, "192.168.1.10 fell silent")],
)
def test_a_master_that_goes_and_has_no_successor_is_a_problem(advbase: int, advskew: int, words: str) -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1)
    segment.carp(ONE, 2, advbase=advbase, advskew=advskew)

    problem = the_problem(segment.report(9))

    assert (problem.kind, words in problem.words) == ("no-master", True)


def test_a_router_is_named_with_its_priority_and_addresses() -> None:
    segment = Segment()
    segment.vrrp(Version3(count=2, source=ONE).octets(), ONE, 0, 1, 2)

    report = segment.report(3)

    sender = the_group(report).masters[0]
    assert report.is_well
    assert [note.partition(":")[0] for note in sender.notes] == ["source MAC 02"]
    assert the_group(report).group.protocol is Protocol.VRRP
    assert (sender.vrrp and sender.vrrp.priority, sender.details and len(sender.details.addresses)) == (150, 2)


def test_an_id_of_both_protocols_is_one_problem_of_each_group() -> None:
    segment = Segment()
    for second in range(3):
        segment.carp(ONE, second, vhid=51)
        segment.vrrp(version_2(1), TWO, second + 0.1)

    report = segment.report(3)

    assert kinds(report) == ["collision", "collision"]
    assert 51 not in report.free[()]


def test_versions_of_vrrp_that_do_not_hear_each_other_are_a_problem() -> None:
    segment = Segment()
    for second in range(4):
        segment.vrrp(version_2(1), ONE, second)
        segment.vrrp(Version3(count=1, source=TWO).octets(), TWO, second + 0.5)

    assert {"two-masters", "version-mixed"} <= set(kinds(segment.report(4)))


@pytest.mark.parametrize(
    ("forged", "kind"),
    [
        ({"ttl": 64}, "ttl"),
        ({"mac": ethernet.virtual_mac(9)}, "source-mac"),
        ({"counter": 2}, "replay"),
    ],
)
def test_what_looks_forged_is_a_problem_with_its_source(forged: dict[str, Any], kind: str) -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, 2, 3)
    segment.carp(TWO, 3.2, **forged)
    segment.carp(ONE, 4, 5)

    report = segment.report(5)

    assert (kind, TWO) in {(each.kind, each.source) for each in report.problems}
    assert [each.source for each in the_group(report).masters] == [ONE]


def test_a_wrong_checksum_is_a_problem_and_moves_nothing() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, 2)
    broken = bytearray(payload(9))
    broken[6] ^= 0xFF
    segment.frame(frame(ip_packet(bytes(broken), source=TWO)), 2.5)

    report = segment.report(3)

    assert (kinds(report), [each.source for each in the_group(report).masters]) == (["checksum"], [ONE])


def test_an_address_that_advertises_from_two_macs_is_a_problem() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, 2)
    segment.carp(ONE, 2.5, mac=OTHER_MAC)

    assert "two-macs" in kinds(segment.report(3))


def test_a_packet_that_is_no_advertisement_is_a_problem_of_its_source() -> None:
    segment = Segment()
    segment.frame(frame(ip_packet(bytes(30), source=TWO)), 0)

    problem = the_problem(segment.report(1))

    assert (problem.kind, problem.source, problem.group) == ("too-short", TWO, None)


def test_an_id_is_free_again_on_another_vlan() -> None:
    segment = Segment()
    segment.frame(tagged(frame(ip_packet(payload(1))), 10), 0)

    free = segment.report(1).free

    assert (VHID in free[()], VHID in free[(10,)]) == (True, False)


def test_a_tag_with_a_priority_alone_is_no_vlan() -> None:
    segment = Segment()
    segment.frame(frame(ip_packet(payload(1))), 0)
    segment.frame(tagged(frame(ip_packet(payload(2))), 0), 1)

    assert the_group(segment.report(2)).group.vlans == ()


def test_an_id_that_only_unbelievable_packets_have_is_free() -> None:
    segment = Segment()
    segment.carp(ONE, 0, ttl=1)

    assert VHID in segment.report(1).free[()]


@pytest.mark.parametrize(
    ("capture", "dialect"),
    [("netbsd/01-basic", "netbsd"), ("netbsd/16-v6-netbsd8-checksum", "netbsd"), ("ucarp/base005", "ucarp")],
)
def test_the_dialect_of_a_real_host_is_among_those_that_fit(capture: str, dialect: str) -> None:
    spoken = [each.dialects for group in scanned(VECTORS / f"{capture}.pcap").groups for each in group.senders]

    assert spoken
    assert all(dialect in each for each in spoken)


def test_a_demote_octet_is_openbsds() -> None:
    segment = Segment()
    group = IPv4Address("224.0.0.18")
    packet = ip.encode_ipv4(
        source=IPv4Address("192.168.1.10"),
        destination=group,
        tos=ip.TOS_LOW_DELAY,
        identification=7,
        payload=payload(5, demote=3),
    )
    segment.frame(frame(packet), 0)

    assert the_group(segment.report(1)).senders[0].dialects == ("openbsd",)


def test_real_pairs_have_no_problem_but_their_end() -> None:
    for name in ("t07-v2-preempt", "t08-v3-nopreempt", "x12-v3-keepalived-vmac"):
        report = scanned(VECTORS / "vrrp" / f"{name}.pcap")

        assert report.groups
        assert report.is_well


def forgeries(count: int) -> list[bytes]:
    """Frames of ever other groups, sources and VLANs."""
    found = []
    for number in range(count):
        source = IPv4Address(0x0A000000 + number)
        octets = wire.encode(wire.Advertisement(number % 256, 1, 0, number, bytes(20)))
        found.append(tagged(frame(ip_packet(octets, source=source)), 1 + number // 256))
    return found


def test_forged_groups_are_bounded_and_hide_no_real_one() -> None:
    segment = Segment()
    segment.carp(ONE, 0)
    for number, octets in enumerate(forgeries(20_000)):
        segment.frame(octets, number / 20_000)
    segment.carp(ONE, 1, 2)

    report = segment.report(2)

    real = report.groups[0]
    assert [each.source for each in real.masters] == [ONE]
    assert len(report.groups) == MOST_TAGGED_GROUPS + 1
    assert "flood" in kinds(report)


def test_forged_sources_of_one_group_push_out_no_master() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1)
    for number in range(5000):
        segment.carp(IPv4Address(0x0A000000 + number), 1 + number / 5000)
    segment.carp(ONE, 2, 3, 4)

    group = the_group(segment.report(4))

    assert len(group.senders) == MOST_SENDERS
    assert group.left_out == 5000 + 1 - MOST_SENDERS
    assert [each.packets for each in group.senders if each.source == ONE] == [5]


OCTETS = st.one_of(
    st.binary(max_size=60),
    st.builds(
        payload, st.integers(0, 9), vhid=st.integers(0, 9), advbase=st.integers(0, 2), advskew=st.integers(0, 255)
    ),
    st.builds(version_2, st.integers(0, 3), vrid=st.integers(0, 9), priority=st.integers(0, 255)),
    st.builds(Version3, count=st.integers(0, 3), interval_cs=st.integers(0, 300)).map(Version3.octets),
)
SOURCES = st.sampled_from([ONE, TWO, IPv6Address("fe80::1"), IPv6Address("fe80::2")])


@st.composite
def packets(draw: st.DrawFn) -> tuple[bytes, float]:
    packet = ip_packet(draw(OCTETS), source=draw(SOURCES), ttl=draw(st.sampled_from([255, 255, 64])))
    made = frame(packet)
    return (tagged(made, 10) if draw(st.booleans()) else made), draw(st.floats(0, 20))


@given(st.lists(packets(), max_size=60))
def test_whatever_is_sent_the_report_adds_up(sent: list[tuple[bytes, float]]) -> None:
    segment = Segment()
    for octets, at_s in sorted(sent, key=lambda each: each[1]):
        segment.frame(octets, at_s)

    report = segment.report(20)

    assert report.packets == len(sent)
    for group in report.groups:
        assert set(group.masters) <= {each for each in group.senders if each.is_believed}
        if any(each.is_believed for each in group.senders):
            assert group.group.id not in report.free[group.group.vlans]
    assert all(each.words and each.packets >= 0 for each in report.problems)


@given(st.binary(max_size=200), st.sampled_from(list(LinkType)))
def test_any_octets_are_survived(octets: bytes, link_type: LinkType) -> None:
    scan = Scan()

    scan.add(CapturedPacket(0, link_type, octets, len(octets)))

    assert scan.report(1).packets <= 1


def test_a_master_that_was_backup_for_a_while_has_missed_nothing() -> None:
    segment = Segment()
    segment.carp(ONE, 0, 1, 2)
    segment.carp(TWO, 2.5, 3.5, 4.5)
    segment.carp(ONE, 5.2, 6.2, 7.2)

    report = segment.report(8)

    assert "missed" not in kinds(report)
    assert [each.arrivals.interval_ns for each in the_group(report).senders] == [NS_PER_S, NS_PER_S]


def test_with_secrets_what_is_not_authentic_is_a_problem_and_no_master() -> None:
    scan = Scan(secrets={VHID: [SECRET]})
    for second in range(3):
        for source, digest in ((ONE, None), (TWO, bytes(20))):
            forged = {} if digest is None else {"digest": digest}
            octets = payload(2 * second + (source == TWO), **forged)
            scan.add(captured(frame(ip_packet(octets, source=source)), at_s=second + 0.5 * (source == TWO)))

    report = scan.report(3 * NS_PER_S)

    assert [(each.source, each.is_authentic) for each in the_group(report).senders] == [(ONE, True), (TWO, False)]
    assert [each.source for each in the_group(report).masters] == [ONE]
    assert the_problem(report).kind == "digest"
