"""IPv4 headers around advertisements: how they are written, and which are refused."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.errors import DecodeError
from pycarp.wire import ip
from pycarp.wire.checksum import internet_checksum

SOURCE = IPv4Address("10.77.0.1")
GROUP = IPv4Address("224.0.0.18")
HEADER_OF_UCARP = bytes.fromhex("451000387a9e4000ff7016470a4d0001e0000012")
PAYLOAD = bytes(range(36))


def packet(*, payload: bytes = PAYLOAD, options: bytes = b"", patches: dict[int, bytes] | None = None) -> bytes:
    """Return a packet with other octets at some offsets of its header, and its header checksum right."""
    octets = bytearray(
        ip.encode_ipv4(source=SOURCE, destination=GROUP, tos=0x10, identification=1, payload=options + payload)
    )
    length = 20 + len(options)
    octets[0] = 0x40 | length // 4
    for offset, patch in (patches or {}).items():
        octets[offset : offset + len(patch)] = patch
    octets[10:12] = bytes(2)
    octets[10:12] = internet_checksum(bytes(octets[:length])).to_bytes(2, "big")
    return bytes(octets)


def test_the_header_of_a_captured_packet_is_written_to_the_octet() -> None:
    """Source: vector ucarp-42-1."""
    written = ip.encode_ipv4(source=SOURCE, destination=GROUP, tos=0x10, identification=0x7A9E, payload=bytes(36))

    assert written[:20] == HEADER_OF_UCARP


@given(
    source=st.ip_addresses(v=4),
    destination=st.ip_addresses(v=4),
    tos=st.integers(0, 255),
    identification=st.integers(0, 0xFFFF),
    payload=st.binary(max_size=100),
)
def test_what_is_written_is_read_back(
    source: IPv4Address, destination: IPv4Address, tos: int, identification: int, payload: bytes
) -> None:
    written = ip.encode_ipv4(
        source=source, destination=destination, tos=tos, identification=identification, payload=payload
    )

    assert ip.decode_ipv4(written) == ip.IPv4Packet(
        source=source, destination=destination, ttl=255, protocol=112, payload=payload
    )


@given(st.binary(max_size=40))
def test_padding_behind_the_packet_is_cut_off(padding: bytes) -> None:
    assert ip.decode_ipv4(packet() + padding).payload == PAYLOAD


def test_options_are_skipped() -> None:
    assert ip.decode_ipv4(packet(options=b"\x94\x04\x00\x00")).payload == PAYLOAD


@pytest.mark.parametrize("length", range(20))
def test_fewer_than_20_octets_are_refused(length: int) -> None:
    with pytest.raises(DecodeError, match="too short for an IPv4 header"):
        ip.decode_ipv4(packet()[:length])


@pytest.mark.parametrize("first", [0x65, 0x55, 0x05, 0x44, 0x40])
def test_another_version_or_a_shorter_header_is_refused(first: int) -> None:
    with pytest.raises(DecodeError, match=f"first octet 0x{first:02x}"):
        ip.decode_ipv4(packet(patches={0: bytes([first])}))


@pytest.mark.parametrize("length", [0, 19, 57, 0xFFFF])
def test_a_total_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(DecodeError, match=f"total length {length} does not fit 56"):
        ip.decode_ipv4(packet(patches={2: length.to_bytes(2, "big")}))


def test_a_header_longer_than_what_was_received_is_refused() -> None:
    with pytest.raises(DecodeError, match="does not fit"):
        ip.decode_ipv4(packet(payload=b"", patches={0: b"\x46"}))


@pytest.mark.parametrize("fragment", [0x2000, 0x0001, 0x1FFF, 0x6000])
def test_a_fragment_is_refused(fragment: int) -> None:
    with pytest.raises(DecodeError, match="fragment"):
        ip.decode_ipv4(packet(patches={6: fragment.to_bytes(2, "big")}))


@pytest.mark.parametrize("flags", [0x0000, 0x4000, 0x8000])
def test_a_whole_packet_is_read_with_or_without_dont_fragment(flags: int) -> None:
    assert ip.decode_ipv4(packet(patches={6: flags.to_bytes(2, "big")})).payload == PAYLOAD


@given(bit=st.integers(0, 20 * 8 - 1))
def test_a_flipped_bit_in_the_header_is_refused(bit: int) -> None:
    octets = bytearray(packet())
    octets[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DecodeError):
        ip.decode_ipv4(bytes(octets))


def test_the_checksum_covers_the_options() -> None:
    octets = bytearray(packet(options=b"\x94\x04\x00\x00"))
    octets[22] ^= 1

    with pytest.raises(DecodeError, match="checksum"):
        ip.decode_ipv4(bytes(octets))


def test_ttl_and_protocol_are_told_not_judged() -> None:
    read = ip.decode_ipv4(packet(patches={8: b"\xfe\x11"}))

    assert (read.ttl, read.protocol) == (254, 17)
