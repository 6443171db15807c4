"""Reads pcap files of Ethernet frames, as tcpdump writes them."""

import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER_LENGTH = 24
_LITTLE_ENDIAN = b"\xd4\xc3\xb2\xa1"


def frames(path: Path) -> Iterator[bytes]:
    """Yield the frames of a little-endian pcap file of microseconds."""
    octets = path.read_bytes()
    assert octets[:4] == _LITTLE_ENDIAN, f"{path.name} is not such a pcap file"
    at = _HEADER_LENGTH
    while at < len(octets):
        _seconds, _micros, kept, _length = struct.unpack_from("<IIII", octets, at)
        yield octets[at + 16 : at + 16 + kept]
        at += 16 + kept
