"""Every packet of real VRRP routers is recognised, counted and told of, and no packet of a real CARP host is."""

import json
from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.core.events import Mismatch, PeerMismatch
from pycarp.core.inputs import LinkChanged
from pycarp.core.statistics import DropReason
from pycarp.dialects import ALL, FREEBSD, UNIVERSAL, Dialect
from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.explanation import Explanation, Remark
from pycarp.inspection.inspector import Inspector
from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Datagram, Family, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire import envelope
from pycarp.wire.checksum import internet_checksum
from pycarp.wire.vrrp import Vrrp, vrrp_of
from tests.support.hosts import LINK, OWN, Bench, advert, bench, config, datagram, link, published, seconds
from tests.support.vrrp_packets import Version3

HERE = Path(__file__).parent
VECTORS: dict[str, list[dict[str, Any]]] = {
    kind: vectors
    for kind, vectors in json.loads((HERE / "vrrp" / "vectors.json").read_text()).items()
    if kind in ("captured", "derived", "with_hmac_trailer")
}
WITH_FRAME = VECTORS["captured"] + VECTORS["derived"]
CAPTURES: dict[str, dict[str, Any]] = json.loads((HERE / "vrrp" / "captures.json").read_text())
CARP_CAPTURES = sorted(path for folder in ("netbsd", "ucarp", "transitions") for path in (HERE / folder).glob("*.pcap"))
SHARED = ("192.168.1.50/24", "2001:db8::50/64")
V6_OWN = "fe80::3/64"


def vector_id(vector: dict[str, Any]) -> str:
    return f"{vector['source']}-{vector['version']}-{vector['priority']}"


def kind_of(vector: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return version, kind of authentication, number of addresses, and octets of the frame."""
    return vector["version"], vector["auth_type"] or 0, vector["count"], len(vector["frame_hex"]) // 2


KINDS = sorted({kind_of(each) for each in WITH_FRAME})


def of_kind(kind: tuple[int, int, int, int]) -> dict[str, Any]:
    return next(each for each in WITH_FRAME if kind_of(each) == kind)


def received(frame_hex: str) -> Datagram:
    """Return the datagram of a frame, as if it had gone to the group."""
    packet = envelope.datagram_of(bytes.fromhex(frame_hex), link=LINK)
    assert packet is not None
    return packet._replace(destination=CARP_GROUPS[packet.family])


def host(vhid: int, dialect: Dialect = UNIVERSAL) -> Bench:
    shared = SHARED if Family.IPV6 in dialect.limits.families else SHARED[:1]
    made = bench(config(vhid=vhid, dialect=dialect, addresses=shared))
    made.feed(LinkChanged(link(OWN, V6_OWN)))
    return made


def drops(made: Bench) -> dict[DropReason, int]:
    return dict(made.engine.snapshot().links[LINK].drops)


def warnings(made: Bench, packet: Datagram, *, at_ns: int = 0) -> list[Mismatch]:
    return [event.mismatch for event in published(made.hear(packet, at_ns=at_ns)) if isinstance(event, PeerMismatch)]


def explanations(capture: Path) -> list[Explanation]:
    inspector = Inspector()
    with capture.open("rb") as stream:
        return [each for packet in packets_of(stream) if (each := inspector.explain(packet))]


# Recognition


@pytest.mark.parametrize("vector", WITH_FRAME, ids=vector_id)
def test_every_vector_is_recognised(vector: dict[str, Any]) -> None:
    packet = envelope.datagram_of(bytes.fromhex(vector["frame_hex"]), link=LINK)

    assert packet is not None
    assert vrrp_of(packet.payload, source=packet.source, destination=packet.destination) == Vrrp(
        version=vector["version"],
        vrid=vector["vrid"],
        priority=vector["priority"],
        count=vector["count"],
        interval_ns=vector["interval_ms"] * NS_PER_S // 1000,
        has_authentication_header=vector["auth_type"] == 2,
    )


@pytest.mark.parametrize("vector", VECTORS["with_hmac_trailer"], ids=lambda each: str(each["source"]))
def test_what_keepalived_signs_with_a_trailer_is_recognised(vector: dict[str, Any]) -> None:
    source, payload = IPv4Address(vector["ip_src"]), bytes.fromhex(vector["payload_hex"])

    found = vrrp_of(payload, source=source, destination=CARP_GROUPS[Family.IPV4])

    assert found is not None
    assert (found.version, found.vrid) == (vector["version"], vector["vrid"])


@pytest.mark.parametrize("name", CAPTURES)
def test_every_packet_of_the_capture_is_named_vrrp(name: str) -> None:
    found = explanations(HERE / "vrrp" / f"{name}.pcap")

    assert {one.notes[0].remark for one in found} == {Remark.VRRP}
    seen = Counter((one.vrrp.version, one.vrrp.vrid, one.family) for one in found if one.vrrp)
    assert seen == {(version, vrid, family): count for version, vrid, family, count in CAPTURES[name]["seen"]}


@pytest.mark.parametrize("capture", CARP_CAPTURES, ids=lambda path: str(path.stem))
def test_no_packet_of_a_carp_host_is_named_vrrp(capture: Path) -> None:
    found = explanations(capture)

    assert found
    assert not [each for each in found if each.vrrp or each.advertisement is None]


def test_no_vector_of_carp_is_recognised() -> None:
    vectors = json.loads((HERE / "vectors.json").read_text())["vectors"]
    vectors += json.loads((HERE / "netbsd-vectors.json").read_text())
    frames = [bytes.fromhex(each["frame_hex"]) for each in vectors if "frame_hex" in each]
    payloads = [bytes.fromhex(each["carp_hex"]) for each in vectors if "carp_hex" in each]
    payloads += [packet.payload for frame in frames if (packet := envelope.datagram_of(frame, link=LINK))]

    assert len(payloads) > len(frames) > 0
    for source in (IPv4Address("192.168.1.10"), IPv6Address("fe80::10")):
        group = CARP_GROUPS[family_of(source)]
        assert not any(vrrp_of(each, source=source, destination=group) for each in payloads)


# What a host does about it


@pytest.mark.parametrize("vector", WITH_FRAME, ids=vector_id)
def test_a_router_with_our_vhid_is_told_of_and_counted(vector: dict[str, Any]) -> None:
    made, packet = host(vector["vrid"]), received(vector["frame_hex"])

    assert warnings(made, packet) == [Mismatch.SAME_VRID]
    assert warnings(made, packet, at_ns=seconds(1)) == []
    is_long = vector["version"] == 3 and len(packet.payload) >= wire.LENGTH
    assert drops(made) == {DropReason.VRRP3 if is_long else DropReason.VRRP: 2}


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: str(each.name))
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_dialect_tells_of_every_kind(kind: tuple[int, int, int, int], dialect: Dialect) -> None:
    vector = of_kind(kind)
    made, packet = host(vector["vrid"], dialect), received(vector["frame_hex"])

    assert warnings(made, packet) == [Mismatch.SAME_VRID]


@pytest.mark.parametrize("has_pseudo_header", [True, False])
def test_seven_addresses_have_the_length_and_authlen_of_carp_and_are_told_of(has_pseudo_header: bool) -> None:
    made = host(51)
    payload = Version3(count=7, has_pseudo_header=has_pseudo_header).octets()
    packet = datagram(payload, source=IPv4Address("192.168.1.10"))

    assert (len(payload), payload[3]) == (wire.LENGTH, wire.AUTHLEN)
    assert warnings(made, packet) == [Mismatch.SAME_VRID]
    assert drops(made) == {DropReason.VRRP3: 1}


def test_freebsd_knows_version_3() -> None:
    made = host(51, FREEBSD)

    made.hear(received(of_kind((3, 0, 1, 46))["frame_hex"]))

    assert drops(made) == {DropReason.VRRP3: 1}


def test_a_router_is_told_of_once_an_hour_and_source() -> None:
    made = host(51)
    one = received(WITH_FRAME[0]["frame_hex"])
    two = one._replace(source=IPv4Address("192.168.1.11"))

    told = [len(warnings(made, packet, at_ns=seconds(at))) for at in (0, 3599, 3601) for packet in (one, two)]

    assert told == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_router_with_another_id_is_counted_alone(kind: tuple[int, int, int, int]) -> None:
    vector = of_kind(kind)
    made = host(vector["vrid"] % 255 + 1)

    assert warnings(made, received(vector["frame_hex"])) == []
    assert sum(drops(made).values()) == sum(drops(made)[each] for each in drops(made) if each.name.startswith("VRRP"))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_crossed_a_router_shares_no_mac_address_with_us(kind: tuple[int, int, int, int]) -> None:
    vector = of_kind(kind)
    made = host(vector["vrid"])

    assert warnings(made, received(vector["frame_hex"])._replace(ttl=254)) == []
    assert drops(made) == {DropReason.TTL: 1}


# CARP that looks like VRRP


def summed(octets: bytes) -> bytes:
    """Return octets with the checksum of CARP right."""
    blank = wire.with_checksum(octets, b"\x00\x00")
    return wire.with_checksum(blank, internet_checksum(blank[: wire.LENGTH]).to_bytes(2, "big"))


@given(
    kind=st.integers(0, 15),
    unsigned=st.binary(min_size=4, max_size=4),
    trailing=st.binary(max_size=64) | st.integers(0, 100).map(bytes),
    family=st.sampled_from(Family),
)
def test_what_a_peer_has_signed_is_carp_whatever_is_not_signed(
    kind: int, unsigned: bytes, trailing: bytes, family: Family
) -> None:
    source = IPv4Address("192.168.1.5") if family is Family.IPV4 else IPv6Address("fe80::5")
    packet = advert(vhid=51, addresses=SHARED, source=source)
    payload = bytes((0x20 | kind, 51)) + unsigned + packet.payload[6:] + trailing
    made = host(51)

    made.hear(packet._replace(payload=summed(payload)))

    assert drops(made) == {}


@pytest.mark.parametrize("trailing", [8, 36])
def test_what_a_peer_has_signed_is_carp_also_with_as_many_octets_as_seven_addresses(trailing: int) -> None:
    packet = advert(vhid=51, addresses=SHARED)
    behind = bytes(8) if trailing == 8 else bytes(8) + b"\x01" + bytes(27)
    longer = packet._replace(payload=packet.payload + behind)
    made = host(51)

    assert vrrp_of(longer.payload, source=longer.source, destination=longer.destination) is not None
    made.hear(longer)
    assert drops(made) == {}


@given(st.binary(max_size=120), st.sampled_from([b"", b"\x21\x33", b"\x31\x33", b"\x70\x04\x00\x00"]))
def test_whatever_is_heard_is_counted_once(octets: bytes, prefix: bytes) -> None:
    made = host(51)
    packet = advert(vhid=51, addresses=SHARED)._replace(payload=prefix + octets)

    made.hear(packet)

    assert sum(drops(made).values()) == 1
