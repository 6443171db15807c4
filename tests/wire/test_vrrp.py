"""VRRP of every kind is told from CARP, and no CARP is taken for it."""

import itertools
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, NS_PER_S, Address, Family
from pycarp.wire import advertisement as wire
from pycarp.wire.checksum import internet_checksum, ipv4_pseudo_header, ipv6_pseudo_header
from pycarp.wire.vrrp import Vrrp, vrrp_of

FOUR, SIX = IPv4Address("192.168.1.10"), IPv6Address("fe80::ff:fe00:a")
BOTH: tuple[Address, ...] = (FOUR, SIX)
OCTET = st.integers(0, 255)
NO_AUTHENTICATION, PASSWORD, IPSEC = (0, bytes(8)), (1, b"secret\x00\x00"), (2, bytes(8))
KINDS = (NO_AUTHENTICATION, PASSWORD, (1, b"longpass"), (1, bytes(8)), IPSEC)
TRAILER = bytes((1, 7, 0, 0)) + bytes(range(24))
AUTHENTICATION_HEADER = (
    bytes((CARP_PROTOCOL, 4, 0, 0)) + FOUR.packed + bytes.fromhex("00000001b43feb06ebf853c3730cb659")
)


def summed(blank: bytes, pseudo_header: bytes = b"") -> bytes:
    checksum = internet_checksum(pseudo_header + blank)
    return wire.with_checksum(blank, checksum.to_bytes(2, "big"))


def addresses(count: int, size: int) -> bytes:
    return b"".join((0xC0A80100 << 8 * (size - 4) | number).to_bytes(size, "big") for number in range(count))


def version_2(
    count: int, authentication: tuple[int, bytes] = NO_AUTHENTICATION, *, vrid: int = 51, priority: int = 150
) -> bytes:
    kind, octets = authentication
    return summed(bytes((0x21, vrid, priority, count, kind, 1, 0, 0)) + addresses(count, 4) + octets)


@dataclass(frozen=True, kw_only=True)
class Version3:
    count: int
    source: Address = FOUR
    interval_cs: int = 100
    has_pseudo_header: bool = True
    claimed: int | None = None

    def octets(self) -> bytes:
        size = len(self.source.packed)
        claimed = self.count if self.claimed is None else self.claimed
        header = bytes((0x31, 51, 150, claimed, *self.interval_cs.to_bytes(2, "big"), 0, 0))
        blank = header + addresses(self.count, size)
        return summed(blank, pseudo_header_of(self.source, len(blank)) if self.has_pseudo_header else b"")


def pseudo_header_of(source: Address, length: int) -> bytes:
    if isinstance(source, IPv4Address):
        group = IPv4Address(str(CARP_GROUPS[Family.IPV4]))
        return ipv4_pseudo_header(source, group, length=length, protocol=CARP_PROTOCOL)
    six = IPv6Address(str(CARP_GROUPS[Family.IPV6]))
    return ipv6_pseudo_header(source, six, length=length, next_header=CARP_PROTOCOL)


def recognised(payload: bytes, source: Address = FOUR) -> Vrrp | None:
    family = Family.IPV4 if source.version == 4 else Family.IPV6
    return vrrp_of(payload, source=source, destination=CARP_GROUPS[family])


# VRRP


@pytest.mark.parametrize("authentication", KINDS)
def test_version_2_is_recognised_with_any_number_of_addresses(authentication: tuple[int, bytes]) -> None:
    for count in range(256):
        found = recognised(version_2(count, authentication))

        assert found == Vrrp(version=2, vrid=51, priority=150, count=count, interval_ns=NS_PER_S)


@pytest.mark.parametrize("source", BOTH)
@pytest.mark.parametrize("has_pseudo_header", [True, False])
def test_version_3_is_recognised_with_any_number_of_addresses(source: Address, has_pseudo_header: bool) -> None:
    for count in range(256):
        payload = Version3(count=count, source=source, has_pseudo_header=has_pseudo_header).octets()

        assert recognised(payload, source) == Vrrp(version=3, vrid=51, priority=150, count=count, interval_ns=NS_PER_S)


@pytest.mark.parametrize("count", [1, 5, 7])
def test_the_trailer_that_signs_a_packet_does_not_hide_it(count: int) -> None:
    found = [
        recognised(version_2(count) + TRAILER),
        recognised(Version3(count=count).octets() + TRAILER),
        recognised(Version3(count=count, source=SIX).octets() + TRAILER, SIX),
    ]

    assert [each and each.version for each in found] == [2, 3, 3]


@pytest.mark.parametrize("count", [1, 5, 7])
def test_version_2_is_recognised_behind_an_authentication_header(count: int) -> None:
    found = recognised(AUTHENTICATION_HEADER + version_2(count, IPSEC))

    assert found == Vrrp(
        version=2, vrid=51, priority=150, count=count, interval_ns=NS_PER_S, has_authentication_header=True
    )


def test_the_interval_of_version_3_has_twelve_bits() -> None:
    found = recognised(Version3(count=1, interval_cs=0xF00A).octets())

    assert found is not None
    assert found.interval_ns == NS_PER_S // 10


def test_seven_addresses_with_a_short_interval_are_recognised_by_the_pseudo_header() -> None:
    assert recognised(Version3(count=7, interval_cs=1).octets()) is not None


def test_freebsd_that_counts_the_addresses_of_both_families_is_recognised() -> None:
    """Source: measured on FreeBSD's main branch: an IPv6 advertisement with two addresses says four."""
    assert recognised(Version3(count=2, claimed=4, source=SIX).octets(), SIX) is not None


# CARP


def carp(source: Address = FOUR, **fields: int) -> bytes:
    given_fields = {"vhid": 51, "advbase": 1, "advskew": 100, "counter": 7} | fields
    return wire.encode(wire.Advertisement(digest=bytes(range(20)), **given_fields))


@given(st.tuples(*[OCTET] * 4), st.binary(min_size=28, max_size=28), st.booleans())
def test_no_advertisement_of_carp_is_recognised(octets: tuple[int, ...], signed: bytes, is_summed: bool) -> None:
    vhid, advskew, demote, advbase = octets
    blank = bytes((0x21, vhid, advskew, wire.AUTHLEN, demote, advbase, 0, 0)) + signed

    for source in BOTH:
        assert recognised(summed(blank) if is_summed else blank, source) is None


@pytest.mark.parametrize("authlen", range(256))
def test_an_odd_authlen_does_not_make_carp_vrrp(authlen: int) -> None:
    """Source: carp.md section 13: nobody checks it."""
    for demote, source in itertools.product(range(4), BOTH):
        assert recognised(carp(authlen=authlen, demote=demote), source) is None


@pytest.mark.parametrize("trailing", range(1, 101))
def test_trailing_octets_do_not_make_carp_vrrp(trailing: int) -> None:
    for octet in (b"\x01", b"\xff"):
        assert recognised(carp() + octet * trailing) is None
        assert recognised(carp() + octet * trailing, SIX) is None


@pytest.mark.parametrize("source", BOTH)
def test_carp_of_version_3_is_not_vrrp(source: Address) -> None:
    """Source: carp.md section 13: NetBSD's kernel counts it as bad version."""
    assert recognised(carp(version=3), source) is None


def test_version_2_that_is_long_enough_for_carp_must_have_its_checksum() -> None:
    assert recognised(wire.with_checksum(version_2(5), b"\x12\x34")) is None


def test_version_2_that_is_long_enough_for_carp_must_have_the_authentication_that_it_names() -> None:
    for kind, octets in ((0, b"12345678"), (1, b"\x00secret\x00"), (2, b"\x01" + bytes(7)), (3, bytes(8))):
        assert recognised(version_2(5, (kind, octets))) is None


def test_version_2_does_not_exist_over_ipv6() -> None:
    assert recognised(version_2(1), SIX) is None


def test_an_authentication_header_that_is_none_is_not_followed() -> None:
    inner = version_2(1, IPSEC)

    assert recognised(AUTHENTICATION_HEADER[:2] + b"\x00\x01" + AUTHENTICATION_HEADER[4:] + inner) is None
    assert recognised(AUTHENTICATION_HEADER + AUTHENTICATION_HEADER + inner) is None
    assert recognised(AUTHENTICATION_HEADER + inner, SIX) is None


# Bounds


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x21", b"\x31", b"\x70", AUTHENTICATION_HEADER]))
def test_no_octets_make_it_raise(octets: bytes, prefix: bytes) -> None:
    for source in BOTH:
        recognised(prefix + octets, source)


@pytest.mark.parametrize("length", [4116, 4117, 65535, 70000])
def test_no_length_makes_it_raise(length: int) -> None:
    for first, source in itertools.product((b"\x21", b"\x31", b"\x70"), BOTH):
        assert recognised(first + bytes(length - 1), source) is None


def test_a_packet_that_is_cut_is_recognised_only_as_what_it_still_is() -> None:
    for whole in (version_2(1), version_2(5), version_2(9), AUTHENTICATION_HEADER + version_2(1, IPSEC)):
        assert not any(recognised(whole[:length]) for length in range(len(whole)))
