"""VRRP of every kind is distinguished from CARP, and no CARP packet is taken for VRRP."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.vocabulary import CARP_GROUPS, NS_PER_S, Address, Family, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire.vrrp import Vrrp, redacted, vrrp_of
from tests.support.vrrp_packets import (
    AUTHENTICATION_HEADER,
    BOTH,
    FOUR,
    IPSEC,
    KINDS,
    PASSWORD,
    SIX,
    TRAILER,
    Version3,
    summed,
    version_2,
)

OCTET = st.integers(0, 255)


def recognised(payload: bytes, source: Address = FOUR) -> Vrrp | None:
    return vrrp_of(payload, source=source, destination=CARP_GROUPS[family_of(source)])


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


def test_version_2_that_is_too_short_for_carp_is_told_by_its_length_alone() -> None:
    assert recognised(wire.with_checksum(version_2(4, (0, b"12345678")), b"\x12\x34")) is not None


@pytest.mark.parametrize("trailer", [b"\x02" + TRAILER[1:], TRAILER[:2] + b"\x01" + TRAILER[3:], TRAILER[:-1]])
def test_other_octets_behind_version_2_are_no_trailer(trailer: bytes) -> None:
    assert recognised(version_2(7) + trailer) is None


def test_version_2_does_not_exist_over_ipv6() -> None:
    assert recognised(version_2(1), SIX) is None


def test_an_authentication_header_that_is_none_is_not_followed() -> None:
    inner = version_2(1, IPSEC)

    assert recognised(AUTHENTICATION_HEADER[:2] + b"\x00\x01" + AUTHENTICATION_HEADER[4:] + inner) is None
    assert recognised(AUTHENTICATION_HEADER + AUTHENTICATION_HEADER + inner) is None
    assert recognised(AUTHENTICATION_HEADER + inner, SIX) is None
    assert recognised(AUTHENTICATION_HEADER + Version3(count=1).octets()) is None
    assert recognised(AUTHENTICATION_HEADER + Version3(count=1, source=SIX).octets(), SIX) is None


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


# What is written of it


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 90])
def test_what_is_redacted_is_recognised_as_the_same(count: int) -> None:
    twos = [version_2(count, kind) for kind in KINDS]
    threes = [Version3(count=count, has_pseudo_header=has).octets() for has in (True, False)]
    behind = [AUTHENTICATION_HEADER + version_2(count, IPSEC)]
    sixes = [Version3(count=count, source=SIX).octets(), Version3(count=count, claimed=count * 2, source=SIX).octets()]
    fours = [each + trailer for each in twos + threes + behind for trailer in (b"", TRAILER)]

    for payload, source in [(each, FOUR) for each in fours] + [(each, SIX) for each in sixes]:
        found = recognised(payload, source)
        shown = redacted(payload, source=source, destination=CARP_GROUPS[family_of(source)])

        assert found is not None
        assert (recognised(shown, source), len(shown)) == (found, len(payload))


def test_neither_password_nor_addresses_nor_signatures_are_left_of_it() -> None:
    for payload in (version_2(5, PASSWORD) + TRAILER, AUTHENTICATION_HEADER + version_2(1, IPSEC)):
        shown = redacted(payload, source=FOUR, destination=CARP_GROUPS[Family.IPV4])

        for secret in (PASSWORD[1][:6], FOUR.packed[:3], TRAILER[4:8], AUTHENTICATION_HEADER[-12:]):
            assert secret not in shown
