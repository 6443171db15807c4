"""The 36-octet CARP advertisement.

::

     0               1               2               3
    +-------+-------+---------------+---------------+---------------+
    |version| type  |     vhid      |    advskew    |    authlen    |
    +-------+-------+---------------+---------------+---------------+
    |    demote     |    advbase    |           checksum            |
    +---------------+---------------+-------------------------------+
    |                     counter (8 octets)                        |
    +---------------------------------------------------------------+
    |                     HMAC-SHA1 (20 octets)                     |
    +---------------------------------------------------------------+

Real systems check only the length, the checksum and the version. They check neither type, authlen and the demote octet
nor the octets behind the 36th (measured on NetBSD's kernel and on ucarp).
"""

import struct
from enum import Enum
from ipaddress import IPv6Address
from typing import NamedTuple

from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_PROTOCOL
from pycarp.wire.checksum import internet_checksum, ipv6_pseudo_header

LENGTH = 36
VERSION = 2
VERSION_VRRP3 = 3
TYPE_ADVERTISEMENT = 1
AUTHLEN = 7
"""Size of counter and digest in 32-bit words; Wireshark distinguishes CARP from VRRP by it."""

BOW_OUT = 255
"""advbase and advskew of the advertisement with which a MASTER leaves on purpose."""

_FORMAT = struct.Struct("!BBBBBBHQ20s")
_CHECKSUM_OFFSET = 6
_COUNTER_LENGTH = 8


class Advertisement(NamedTuple):
    """The fields of one advertisement, as on the wire."""

    vhid: int
    advbase: int
    advskew: int
    counter: int
    digest: bytes
    demote: int = 0
    version: int = VERSION
    type: int = TYPE_ADVERTISEMENT
    authlen: int = AUTHLEN
    checksum: int = 0

    @property
    def is_bow_out(self) -> bool:
        """True for the 255/255 advertisement of a MASTER that leaves."""
        return self.advbase == BOW_OUT and self.advskew == BOW_OUT


class ChecksumForm(Enum):
    """What the checksum of an advertisement covers. Source: carp.md section 2."""

    PLAIN = "plain"
    """The 36 octets: IPv4 everywhere, IPv6 but for newer NetBSD."""

    PSEUDO = "pseudo"
    """The IPv6 pseudo-header as well: NetBSD's kernels of 2023."""


def encode(advertisement: Advertisement, *, pseudo_header: bytes = b"") -> bytes:
    """Return the 36 octets; the checksum is computed over them, the value's own is not used.

    ``pseudo_header`` is summed as well; see ``pseudo_header_of``.
    """
    head = head_of(
        advertisement.vhid,
        advertisement.advbase,
        advertisement.advskew,
        advertisement.demote,
        first=advertisement.version << 4 | advertisement.type,
        authlen=advertisement.authlen,
    )
    return signed(head, advertisement.counter, advertisement.digest, pseudo_header=pseudo_header)


def head_of(
    vhid: int,
    advbase: int,
    advskew: int,
    demote: int,
    *,
    first: int = VERSION << 4 | TYPE_ADVERTISEMENT,
    authlen: int = AUTHLEN,
) -> bytes:
    """Return the octets before the checksum; ``first`` has the version and the type."""
    return bytes((first, vhid, advskew, authlen, demote, advbase))


def signed(head: bytes, counter: int, digest: bytes, *, pseudo_header: bytes = b"") -> bytes:
    """Return the 36 octets with the checksum over them and a ``pseudo_header``; quicker than ``encode``."""
    tail = counter.to_bytes(_COUNTER_LENGTH, "big") + digest
    # As ``internet_checksum`` does.
    total = int.from_bytes(pseudo_header + head + tail, "big")
    checksum = (0xFFFF - total % 0xFFFF) % 0xFFFF if total else 0xFFFF
    return head + checksum.to_bytes(2, "big") + tail


def with_checksum(octets: bytes, checksum: bytes) -> bytes:
    """Return an advertisement with these two octets for its checksum, right or wrong."""
    return octets[:_CHECKSUM_OFFSET] + checksum + octets[_CHECKSUM_OFFSET + 2 :]


def decode(octets: bytes) -> Advertisement:
    """Return the fields of the first 36 octets, unjudged; octets behind them are ignored.

    Raises DecodeError when there are fewer than 36.
    """
    if len(octets) < LENGTH:
        raise DecodeError(f"{len(octets)} octets are too short for an advertisement of {LENGTH}")
    first, vhid, advskew, authlen, demote, advbase, checksum, counter, digest = _FORMAT.unpack_from(octets)
    return Advertisement(
        version=first >> 4,
        type=first & 0x0F,
        vhid=vhid,
        advskew=advskew,
        authlen=authlen,
        demote=demote,
        advbase=advbase,
        checksum=checksum,
        counter=counter,
        digest=digest,
    )


def pseudo_header_of(source: IPv6Address, destination: IPv6Address) -> bytes:
    """Return the IPv6 pseudo-header of an advertisement, its addresses without a scope."""
    return ipv6_pseudo_header(source, destination, length=LENGTH, next_header=CARP_PROTOCOL)


def is_summed(octets: bytes) -> bool:
    """Return True if the plain checksum of 36 octets is right; quicker than ``checksum_form``."""
    return int.from_bytes(octets, "big") % 0xFFFF == 0


def checksum_form(octets: bytes, *, pseudo_header: bytes = b"") -> ChecksumForm | None:
    """Return which checksum over the first 36 octets is right; None if neither is.

    Without a ``pseudo_header`` only the plain one is tried: IPv4 has no other.
    """
    if internet_checksum(octets[:LENGTH]) == 0:
        return ChecksumForm.PLAIN
    if pseudo_header and internet_checksum(pseudo_header + octets[:LENGTH]) == 0:
        return ChecksumForm.PSEUDO
    return None
