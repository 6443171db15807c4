"""Reads pcap files of Ethernet frames, as tcpdump writes them."""

import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER_LENGTH = 24
_LITTLE_ENDIAN = b"\xd4\xc3\xb2\xa1"


def frames(path: Path) -> Iterator[bytes]:
    """Yield the frames of a pcap file."""
    return (frame for _at_s, frame in timed_frames(path))


def timed_frames(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield the frames of a little-endian pcap file of microseconds, each with its time."""
    octets = path.read_bytes()
    assert octets[:4] == _LITTLE_ENDIAN, f"{path.name} is not such a pcap file"
    at = _HEADER_LENGTH
    while at < len(octets):
        seconds, micros, kept, _length = struct.unpack_from("<IIII", octets, at)
        yield seconds + micros / 1e6, octets[at + 16 : at + 16 + kept]
        at += 16 + kept
