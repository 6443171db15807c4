"""Reads captures as a stream: pcap in both byte orders and both resolutions, and pcapng.

Source: draft-ietf-opsawg-pcap; pcapng has a module of its own.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pycarp.errors import CaptureError, CaptureFileError
from pycarp.inspection import pcapng
from pycarp.inspection.captured import CapturedPacket
from pycarp.vocabulary import NS_PER_S

MOST_OCTETS = 16 * 1024 * 1024
"""No packet and no block is longer; libpcap's own bound is 256 KiB for a packet."""

_HEADER_LENGTH = 24
_RECORD_LENGTH = 16
_LINK_TYPE_MASK = 0xFFFF  # above it are flags about the frame check sequence


class _Flavour(NamedTuple):
    order: str
    ns_per_fraction: int
    surplus: int
    """Octets of a record's header behind the usual ones."""


_FLAVOURS = {
    bytes.fromhex("d4c3b2a1"): _Flavour("<", 1000, 0),
    bytes.fromhex("a1b2c3d4"): _Flavour(">", 1000, 0),
    bytes.fromhex("4d3cb2a1"): _Flavour("<", 1, 0),
    bytes.fromhex("a1b23c4d"): _Flavour(">", 1, 0),
    bytes.fromhex("34cdb2a1"): _Flavour("<", 1000, 8),
    bytes.fromhex("a1b2cd34"): _Flavour(">", 1000, 8),
}


def packets_of(stream: BinaryIO) -> Iterator[CapturedPacket]:
    """Yield the packets of a capture as they can be read; the stream may be a pipe.

    Raises CaptureFileError when it is no capture, and CaptureError, behind the last whole packet, when it ends within
    one.
    """
    read = _Whole(stream).read
    magic = read(4)
    if magic == pcapng.MAGIC:
        yield from pcapng.packets_of(read)
    elif magic in _FLAVOURS:
        yield from _packets_of_pcap(read, _FLAVOURS[magic])
    elif magic:
        raise CaptureFileError(f"not a capture: it begins with {magic.hex()}; pcap and pcapng can be read")
    else:
        raise CaptureFileError("not a capture: it is empty")


class _Whole:
    """Reads a whole record or nothing: a part of one is an error, and so is one that is too long."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return ``size`` octets, or none at the end; raises CaptureError in between."""
        if size > MOST_OCTETS:
            raise CaptureError(f"damaged: {size} octets are announced, {MOST_OCTETS} are the most for a packet")
        octets = self._stream.read(size)
        while 0 < len(octets) < size:
            more = self._stream.read(size - len(octets))
            if not more:
                raise CaptureError(f"cut short: {size - len(octets)} of {size} octets are missing at its end")
            octets += more
        return octets


def _packets_of_pcap(read: pcapng.Read, flavour: _Flavour) -> Iterator[CapturedPacket]:
    header = _demanded(read, _HEADER_LENGTH - 4)
    (link_type,) = struct.unpack_from(flavour.order + "I", header, len(header) - 4)
    record = struct.Struct(flavour.order + "IIII")
    while octets := read(_RECORD_LENGTH + flavour.surplus):
        seconds, fraction, kept, length = record.unpack_from(octets)
        packet = _demanded(read, kept)
        at_ns = seconds * NS_PER_S + fraction * flavour.ns_per_fraction
        yield CapturedPacket(at_ns, link_type & _LINK_TYPE_MASK, packet, length)


def _demanded(read: pcapng.Read, size: int) -> bytes:
    octets = read(size)
    if len(octets) < size:
        raise CaptureError(f"cut short: {size} octets are missing at its end")
    return octets
