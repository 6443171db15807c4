"""The 36 octets of an advertisement: the position of each field, and what the decoder checks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.errors import DecodeError
from pycarp.wire import advertisement as wire
from pycarp.wire.checksum import internet_checksum

OCTET = st.integers(0, 255)
NIBBLE = st.integers(0, 15)
ADVERTISEMENTS = st.builds(
    wire.Advertisement,
    vhid=OCTET,
    advbase=OCTET,
    advskew=OCTET,
    demote=OCTET,
    authlen=OCTET,
    version=NIBBLE,
    type=NIBBLE,
    counter=st.integers(0, (1 << 64) - 1),
    digest=st.binary(min_size=20, max_size=20),
    checksum=st.integers(0, 0xFFFF),
)

FIELDS = ("version", "type", "vhid", "advskew", "authlen", "demote", "advbase", "counter", "digest")

EXAMPLE_OCTETS = bytes.fromhex("212a00070001bac57de5b1f7dcad069c79183fd2329ec3a5ed34c35923019542496eaf71")


def example(*, advbase: int = 1, advskew: int = 0, checksum: int = 0) -> wire.Advertisement:
    return wire.Advertisement(
        vhid=42,
        advbase=advbase,
        advskew=advskew,
        counter=0x7DE5_B1F7_DCAD_069C,
        digest=bytes.fromhex("79183fd2329ec3a5ed34c35923019542496eaf71"),
        checksum=checksum,
    )


def test_the_worked_example_is_written_to_the_octet() -> None:
    """Source: carp.md 3.1, captured from ucarp."""
    assert wire.encode(example()) == EXAMPLE_OCTETS


@given(ADVERTISEMENTS)
def test_what_is_written_is_read_back(advert: wire.Advertisement) -> None:
    read = wire.decode(wire.encode(advert))

    for field in FIELDS:
        assert getattr(read, field) == getattr(advert, field)


@given(ADVERTISEMENTS)
def test_the_checksum_on_the_wire_is_read(advert: wire.Advertisement) -> None:
    octets = wire.encode(advert)

    assert wire.decode(octets).checksum == int.from_bytes(octets[6:8], "big")


@given(st.binary(min_size=36, max_size=36))
def test_any_36_octets_are_written_back_but_for_the_checksum(octets: bytes) -> None:
    written = wire.encode(wire.decode(octets))

    assert written[:6] + written[8:] == octets[:6] + octets[8:]


@pytest.mark.parametrize(
    ("field", "offset"), [("vhid", 1), ("advskew", 2), ("authlen", 3), ("demote", 4), ("advbase", 5)]
)
def test_each_octet_lies_where_the_protocol_has_it(field: str, offset: int) -> None:
    """Source: carp.md 1.1; advskew comes long before advbase."""
    octets = bytearray(36)
    octets[offset] = 77

    assert getattr(wire.decode(bytes(octets)), field) == 77


def test_version_is_the_high_half_of_the_first_octet() -> None:
    advert = wire.decode(b"\x3a" + bytes(35))

    assert (advert.version, advert.type) == (3, 10)


def test_the_counter_is_one_big_endian_number() -> None:
    octets = bytes(8) + bytes.fromhex("0000000100000002") + bytes(20)

    assert wire.decode(octets).counter == (1 << 32) + 2


def test_the_checksum_of_the_value_is_not_used() -> None:
    assert wire.encode(example(checksum=0x1234)) == EXAMPLE_OCTETS


@given(ADVERTISEMENTS)
def test_what_is_written_has_a_right_checksum(advert: wire.Advertisement) -> None:
    assert wire.checksum_form(wire.encode(advert)) is wire.ChecksumForm.PLAIN


@given(bit=st.integers(0, 36 * 8 - 1))
def test_a_flipped_bit_makes_the_checksum_wrong(bit: int) -> None:
    octets = bytearray(EXAMPLE_OCTETS)
    octets[bit // 8] ^= 1 << bit % 8

    assert wire.checksum_form(bytes(octets)) is None


def test_octets_behind_the_36th_are_not_summed() -> None:
    """Source: carp.md section 13, trailing octets are not checked."""
    assert wire.checksum_form(EXAMPLE_OCTETS + b"\x01") is wire.ChecksumForm.PLAIN
    assert internet_checksum(EXAMPLE_OCTETS + b"\x01") != 0


def test_octets_behind_the_36th_are_ignored() -> None:
    assert wire.decode(EXAMPLE_OCTETS + b"trailer") == wire.decode(EXAMPLE_OCTETS)


@pytest.mark.parametrize("length", range(36))
def test_fewer_than_36_octets_are_refused(length: int) -> None:
    with pytest.raises(DecodeError, match=f"^{length} octets are too short"):
        wire.decode(EXAMPLE_OCTETS[:length])


@pytest.mark.parametrize(("advbase", "advskew", "is_bow_out"), [(255, 255, True), (255, 254, False), (254, 255, False)])
def test_only_255_255_is_a_bow_out(*, advbase: int, advskew: int, is_bow_out: bool) -> None:
    assert example(advbase=advbase, advskew=advskew).is_bow_out is is_bow_out
