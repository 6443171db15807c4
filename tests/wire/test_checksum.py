"""The Internet checksum, against the sum as RFC 1071 describes it."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.wire.checksum import internet_checksum, ipv4_pseudo_header


def naive_checksum(octets: bytes) -> int:
    padded = octets + bytes(len(octets) % 2)
    total = 0
    for high, low in zip(padded[::2], padded[1::2], strict=True):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(max_size=200))
def test_it_is_the_sum_of_rfc_1071(octets: bytes) -> None:
    assert internet_checksum(octets) == naive_checksum(octets)


@given(st.integers(0, 40), st.sampled_from([b"\x00", b"\xff"]))
def test_it_tells_positive_from_negative_zero_as_rfc_1071_does(length: int, octet: bytes) -> None:
    assert internet_checksum(octet * length) == naive_checksum(octet * length)


def test_it_is_that_of_the_example_in_rfc_1071() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2


def test_an_odd_last_octet_is_the_high_half_of_a_word() -> None:
    assert internet_checksum(b"\x12") == 0xFFFF ^ 0x1200


@given(st.binary(min_size=2, max_size=100).filter(lambda octets: len(octets) % 2 == 0))
def test_it_is_zero_over_octets_that_contain_it(octets: bytes) -> None:
    checksum = internet_checksum(b"\x00\x00" + octets)

    assert internet_checksum(checksum.to_bytes(2, "big") + octets) == 0


@pytest.mark.parametrize("word", [0x0001, 0x00FF, 0x8000, 0xFFFE])
def test_it_is_not_zero_over_any_other_octets(word: int) -> None:
    assert internet_checksum(word.to_bytes(2, "big")) != 0


def test_the_pseudo_header_of_ipv4_makes_the_checksum_of_a_captured_vrrp_packet_right() -> None:
    """FRR's first advertisement in the capture f01-v3-v4."""
    message = bytes.fromhex("313396010064d44ac0a80132")
    source, group = IPv4Address("192.168.1.10"), IPv4Address("224.0.0.18")

    assert internet_checksum(ipv4_pseudo_header(source, group, length=12, protocol=112) + message) == 0
