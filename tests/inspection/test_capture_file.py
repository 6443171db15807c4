"""Every container is read as a stream, and what is none is refused in words."""

import contextlib
import io
import struct
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pycarp.errors import CaptureError
from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.captured import CapturedPacket

AT_NS = 1_795_348_112_700_745_123
FRAMES = [b"first frame", b"second"]


def pcap(order: str, magic: int, *, surplus: int = 0, link_type: int = 1) -> bytes:
    """A capture file of the two frames, a second apart."""
    fraction = AT_NS % 10**9 // (1 if magic == 0xA1B23C4D else 1000)
    written = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for number, frame in enumerate(FRAMES):
        record = struct.pack(order + "IIII", AT_NS // 10**9 + number, fraction, len(frame), len(frame))
        written += record + bytes(surplus) + frame
    return written


def block(order: str, kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(padded) + 12)
    return struct.pack(order + "I", kind) + length + padded + length


def pcapng(order: str, *, resolution: int = 9) -> bytes:
    """A pcapng file of the two frames, each from an interface of its own kind."""
    written = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    for link_type in (1, 113):
        written += block(order, 1, struct.pack(order + "HHI", link_type, 0, 0) + options)
    for number, frame in enumerate(FRAMES):
        ticks = AT_NS // 10 ** (9 - resolution) + number * 10**resolution
        header = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        written += block(order, 6, header + frame)
    return written


def read(octets: bytes) -> list[CapturedPacket]:
    return list(packets_of(io.BytesIO(octets)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "surplus", "ns"), [(0xA1B2C3D4, 0, 1000), (0xA1B23C4D, 0, 1), (0xA1B2CD34, 8, 1000)])
def test_pcap_is_read(order: str, magic: int, surplus: int, ns: int) -> None:
    found = read(pcap(order, magic, surplus=surplus, link_type=101))

    assert [each.octets for each in found] == FRAMES
    assert [each.at_ns for each in found] == [AT_NS // ns * ns, AT_NS // ns * ns + 10**9]
    assert {each.link_type for each in found} == {101}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("resolution", [6, 9])
def test_pcapng_is_read_with_the_link_type_of_each_interface(order: str, resolution: int) -> None:
    found = read(pcapng(order, resolution=resolution))

    assert [each.octets for each in found] == FRAMES
    assert [each.link_type for each in found] == [1, 113]
    assert found[0].at_ns == AT_NS // 10 ** (9 - resolution) * 10 ** (9 - resolution)


class Trickle(io.RawIOBase):
    """A pipe that gives an octet at a time."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def read(self, _size: int = -1) -> bytes:
        first, self._octets = self._octets[:1], self._octets[1:]
        return first


@pytest.mark.parametrize("written", [pcap("<", 0xA1B2C3D4), pcapng("<")], ids=["pcap", "pcapng"])
def test_a_pipe_may_give_as_little_as_it_likes(written: bytes) -> None:
    found = list(packets_of(Trickle(written)))  # type: ignore[arg-type]

    assert [each.octets for each in found] == FRAMES


def test_a_packet_comes_before_the_next_is_read() -> None:
    stream = io.BytesIO(pcap("<", 0xA1B2C3D4))

    next(packets_of(stream))

    assert stream.tell() == 24 + 16 + len(FRAMES[0])


@pytest.mark.parametrize("make", [lambda: pcap(">", 0xA1B23C4D), lambda: pcapng("<")], ids=["pcap", "pcapng"])
def test_a_capture_cut_anywhere_never_fails_otherwise_than_in_words(make: Callable[[], bytes]) -> None:
    written = make()
    for length in range(len(written)):
        with contextlib.suppress(CaptureError):
            assert len(read(written[:length])) < 2


def test_the_packets_before_the_cut_are_read() -> None:
    packets = packets_of(io.BytesIO(pcap("<", 0xA1B2C3D4)[:-2]))

    assert next(packets).octets == FRAMES[0]
    with pytest.raises(CaptureError, match="cut short: 2 of 6 octets are missing"):
        next(packets)


@pytest.mark.parametrize(
    ("octets", "words"),
    [(b"", "it is empty"), (b"root:x:0:0", "begins with 726f6f74"), (b"\x1f\x8b\x08\x00rest", "begins with 1f8b0800")],
)
def test_what_is_no_capture_is_refused(octets: bytes, words: str) -> None:
    with pytest.raises(CaptureError, match=words):
        read(octets)


def test_an_absurd_length_is_refused_before_anything_is_read() -> None:
    header = pcap("<", 0xA1B2C3D4)[:24]

    with pytest.raises(CaptureError, match="4294967295 octets are announced"):
        read(header + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF) + b"x")


@pytest.mark.parametrize("position", range(28, 120, 3))
def test_a_damaged_pcapng_fails_in_words_or_not_at_all(position: int) -> None:
    written = bytearray(pcapng("<"))
    written[position] ^= 0xFF

    with contextlib.suppress(CaptureError):
        read(bytes(written))


def test_simple_packets_and_unknown_blocks_are_read() -> None:
    written = pcapng(">") + block(">", 0xBAD, b"what") + block(">", 3, struct.pack(">I", 6) + b"simple")

    assert read(written)[2] == CapturedPacket(0, 1, b"simple", 6)


def test_a_second_section_may_have_another_byte_order() -> None:
    assert [each.octets for each in read(pcapng("<") + pcapng(">"))] == FRAMES * 2


def test_an_absurd_time_is_still_one_of_our_calendar() -> None:
    interface = block("<", 1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHB3xHH", 9, 1, 0, 0, 0))
    packet = block("<", 6, struct.pack("<IIIII", 0, 0xFFFFFFFF, 0, 1, 1) + b"x")

    (found,) = read(pcapng("<")[:28] + interface + packet)

    assert datetime.fromtimestamp(found.at_ns // 10**9, UTC).year < 9999
