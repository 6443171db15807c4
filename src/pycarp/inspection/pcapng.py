"""The blocks of a pcapng capture that carry packets; all others are skipped.

Source: draft-ietf-opsawg-pcapng. Read here because the libraries that there are take one link type for a whole file, or
keep times as floats, which have no room for today's nanoseconds.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pycarp.errors import CaptureError
from pycarp.inspection.captured import CapturedPacket
from pycarp.vocabulary import NS_PER_S

MAGIC = b"\x0a\x0d\x0d\x0a"

_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_ORDERS = {bytes.fromhex("4d3c2b1a"): "<", bytes.fromhex("1a2b3c4d"): ">"}
_FRAME_LENGTH = 12
"""Type and length before a block's body, and the length again behind it."""

_END_OF_OPTIONS, _TIME_RESOLUTION, _TIME_OFFSET = 0, 9, 14
_MICROSECONDS = 6
_POWER_OF_TWO = 0x80
_LATEST_S = 250_000_000_000

Read = Callable[[int], bytes]
"""Returns so many octets, or none at the end of the capture; raises CaptureError in between."""


class _Interface(NamedTuple):
    link_type: int
    ticks_per_s: int = 10**_MICROSECONDS
    offset_s: int = 0

    def at_ns(self, high: int, low: int) -> int:
        """Return a time within the range of a calendar, also for a damaged capture."""
        at_ns = (high << 32 | low) * NS_PER_S // self.ticks_per_s + self.offset_s * NS_PER_S
        return min(max(at_ns, 0), _LATEST_S * NS_PER_S)


def packets_of(read: Read) -> Iterator[CapturedPacket]:
    """Yield the packets of a capture whose first four octets, ``MAGIC``, have been read already.

    Raises CaptureError where it is damaged.
    """
    order = ">"
    interfaces: list[_Interface] = []
    kind_octets = MAGIC
    while kind_octets:
        if kind_octets == MAGIC:
            order = _begin_section(read)
            interfaces = []
        else:
            (kind,) = struct.unpack(order + "I", kind_octets)
            body = _body(read, order)
            try:
                packet = _take(kind, body, order, interfaces)
            except (struct.error, IndexError) as exc:
                raise CaptureError(f"damaged: a block of kind {kind} with {len(body)} octets makes no sense") from exc
            if packet is not None:
                yield packet
        kind_octets = read(4)


def _begin_section(read: Read) -> str:
    """Read the rest of a section header, and return the byte order of the section."""
    length_octets, magic = _demand(read, 4), _demand(read, 4)
    if magic not in _ORDERS:
        raise CaptureError(f"damaged: a section of pcapng has the byte order {magic.hex()}")
    order = _ORDERS[magic]
    (length,) = struct.unpack(order + "I", length_octets)
    _demand(read, max(length - _FRAME_LENGTH, 0))  # the rest, without the magic, and with the second length
    return order


def _body(read: Read, order: str) -> bytes:
    (length,) = struct.unpack(order + "I", _demand(read, 4))
    if length < _FRAME_LENGTH or length % 4:
        raise CaptureError(f"damaged: a block of pcapng is {length} octets long")
    return _demand(read, length - 8)[:-4]


def _demand(read: Read, size: int) -> bytes:
    octets = read(size)
    if len(octets) < size:
        raise CaptureError(f"cut short: {size} octets are missing at its end")
    return octets


def _take(kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> CapturedPacket | None:
    """Return the packet of a block, if it has one; an interface is added to ``interfaces``."""
    if kind == _INTERFACE:
        interfaces.append(_interface(body, order))
    elif kind == _ENHANCED:
        number, high, low, kept, length = struct.unpack_from(order + "IIIII", body)
        interface = interfaces[number]
        return CapturedPacket(interface.at_ns(high, low), interface.link_type, body[20 : 20 + kept], length)
    elif kind == _PACKET:
        number, _drops, high, low, kept, length = struct.unpack_from(order + "HHIIII", body)
        interface = interfaces[number]
        return CapturedPacket(interface.at_ns(high, low), interface.link_type, body[20 : 20 + kept], length)
    elif kind == _SIMPLE:
        (length,) = struct.unpack_from(order + "I", body)
        return CapturedPacket(0, interfaces[0].link_type, body[4 : 4 + length], length)
    return None


def _interface(body: bytes, order: str) -> _Interface:
    link_type, _reserved, _kept = struct.unpack_from(order + "HHI", body)
    found = _Interface(link_type)
    for code, value in _options(body[8:], order):
        if code == _TIME_RESOLUTION:
            base = 2 if value[0] & _POWER_OF_TWO else 10
            found = found._replace(ticks_per_s=base ** (value[0] & ~_POWER_OF_TWO))
        elif code == _TIME_OFFSET:
            found = found._replace(offset_s=struct.unpack(order + "q", value)[0])
    return found


def _options(octets: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    while len(octets) >= 4:
        code, length = struct.unpack_from(order + "HH", octets)
        if code == _END_OF_OPTIONS:
            return
        yield code, octets[4 : 4 + length]
        octets = octets[4 + (length + 3) // 4 * 4 :]
