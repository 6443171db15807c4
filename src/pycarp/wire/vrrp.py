"""Distinguishes VRRP from CARP: both are protocol 112, use the same groups, and begin alike.

VRRP version 2 begins with the same octet as CARP, 0x21, and has the number of its addresses where CARP has its authlen.
Version 3 begins with 0x31, which no CARP packet does. The length alone identifies a packet that is too short for CARP.
A longer one must also have the fields that only VRRP has, since no CARP receiver checks authlen or trailing octets.

This module recognises version 2 without authentication, with a password, and behind an IPsec authentication header;
version 3 over IPv4 and IPv6; either with the trailer that signs it. It does not check that VRRP itself is right.

Sources: RFC 3768 section 5.3 and RFC 2338 (version 2), RFC 9568 section 5.2 (version 3), RFC 4302 (authentication
header), draft-cassen-vrrp-auth-hmac (trailer), and the captures of keepalived and FRR in ``tests/vectors/vrrp``.
"""

from enum import Enum
from ipaddress import IPv4Address, IPv6Address

import msgspec
from msgspec.structs import replace

from pycarp.vocabulary import CARP_PROTOCOL, NS_PER_S, Address
from pycarp.wire.advertisement import AUTHLEN, LENGTH, with_checksum
from pycarp.wire.checksum import internet_checksum, ipv4_pseudo_header, ipv6_pseudo_header

AUTHENTICATION_HEADER = 51
"""IP protocol number of the IPsec authentication header."""

_FIRST_OF_2, _FIRST_OF_3 = 0x21, 0x31
_HEADER_LENGTH = 8
_CHECKSUM_AT = 6
_IPV4_LENGTH, _IPV6_LENGTH = 4, 16

_NO_AUTHENTICATION, _PASSWORD, _IPSEC = 0, 1, 2
_AUTHENTICATION_LENGTH = 8
"""Octets behind the addresses of version 2, whatever the kind of authentication."""

_SPACE, _TILDE = 0x20, 0x7E

_TRAILER_LENGTH = 28
_TRAILER_SCHEME = 1
"""HMAC-SHA256, the only scheme."""

_LONGEST = _HEADER_LENGTH + 255 * _IPV6_LENGTH + _TRAILER_LENGTH

_NS_PER_CS = NS_PER_S // 100
_INTERVAL_MASK = 0x0FFF  # the upper four bits are reserved
_SHORTEST_PLAIN_CS = 10
"""The shortest interval of routers that sum no pseudo-header, 100 ms; read as VRRP, CARP's advbase 1 to 9 is less."""


class Vrrp(msgspec.Struct, frozen=True, kw_only=True):
    """The header fields of a VRRP advertisement.

    ``count`` is its number of addresses as announced: FreeBSD 15 counts those of both families in either.
    """

    version: int
    vrid: int
    priority: int
    count: int
    interval_ns: int
    has_authentication_header: bool = False


class VrrpAuthentication(Enum):
    """How a packet is authenticated."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105  the name of a kind
    HEADER = "authentication header"
    SIGNATURE = "signature"
    """The trailer of keepalived 2.4."""


class VrrpChecksum(Enum):
    """What the checksum of a packet covers. Source: RFC 5798 and RFC 9568, which contradict each other for IPv4."""

    MESSAGE = "message"
    """The message alone: version 2, and version 3 over IPv4 at Cisco's and Juniper's."""

    PSEUDO_HEADER = "pseudo-header"
    """The IP pseudo-header as well: version 3 over IPv6, and over IPv4 at keepalived's, FRR's and FreeBSD's."""


class VrrpDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a VRRP advertisement has besides its header fields.

    ``addresses`` are those that are there, in their order. ``surplus`` is how many octets there are more than the
    header announces, negative where they are fewer. ``checksum`` is None for a wrong one. ``secret`` is the password
    of version 2, for comparisons only. ``reserved`` are the four bits above the interval of version 3.
    """

    addresses: tuple[Address, ...]
    surplus: int
    authentication: VrrpAuthentication
    checksum: VrrpChecksum | None
    secret: bytes = b""
    reserved: int = 0


def details_of(payload: bytes, *, source: Address, destination: Address) -> VrrpDetails:
    """Return the rest of a payload that ``vrrp_of`` recognises; the arguments are the same."""
    if payload[0] == CARP_PROTOCOL:
        inner = details_of(_behind_authentication_header(payload), source=source, destination=destination)
        return replace(inner, authentication=VrrpAuthentication.HEADER)
    if payload[0] == _FIRST_OF_3:
        return _details_of_version_3(payload, source, destination)
    addresses_end = _HEADER_LENGTH + _IPV4_LENGTH * payload[3]
    end = addresses_end + _AUTHENTICATION_LENGTH
    message, trailer = payload[:end], payload[end:]
    is_password = payload[4] == _PASSWORD
    kind = VrrpAuthentication.PASSWORD if is_password else VrrpAuthentication.NONE
    return VrrpDetails(
        addresses=tuple(map(IPv4Address, _parts(message[_HEADER_LENGTH:addresses_end], _IPV4_LENGTH))),
        surplus=len(message) - end + (0 if _is_signature(trailer) else len(trailer)),
        authentication=VrrpAuthentication.SIGNATURE if _is_signature(trailer) else kind,
        checksum=VrrpChecksum.MESSAGE if internet_checksum(message) == 0 else None,
        secret=message[addresses_end:] if is_password else b"",
    )


def _details_of_version_3(payload: bytes, source: Address, destination: Address) -> VrrpDetails:
    is_ipv4 = isinstance(source, IPv4Address)
    size = _IPV4_LENGTH if is_ipv4 else _IPV6_LENGTH
    end = _HEADER_LENGTH + size * payload[3]
    message, trailer = payload[:end], payload[end:]
    is_signed = _is_signature(trailer)
    parts = _parts(message[_HEADER_LENGTH:], size)
    return VrrpDetails(
        addresses=tuple(map(IPv4Address, parts)) if is_ipv4 else tuple(map(IPv6Address, parts)),
        surplus=len(message) - end + (0 if is_signed else len(trailer)),
        authentication=VrrpAuthentication.SIGNATURE if is_signed else VrrpAuthentication.NONE,
        # The checksum of IPv6 covers the trailer, that of IPv4 does not.
        checksum=_checksum_of(message if is_signed and is_ipv4 else payload, source, destination),
        reserved=payload[4] >> 4,
    )


def _checksum_of(message: bytes, source: Address, destination: Address) -> VrrpChecksum | None:
    if internet_checksum(_pseudo_header(source, destination, len(message)) + message) == 0:
        return VrrpChecksum.PSEUDO_HEADER
    return VrrpChecksum.MESSAGE if isinstance(source, IPv4Address) and internet_checksum(message) == 0 else None


def _parts(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets) - size + 1, size)]


def _is_signature(trailer: bytes) -> bool:
    return len(trailer) == _TRAILER_LENGTH and _is_trailer(trailer)


def vrrp_of(payload: bytes, *, source: Address, destination: Address) -> Vrrp | None:
    """Return the header fields of a VRRP payload, None for any other payload; never raises.

    The IP packet has protocol 112, or protocol 51 and a payload that begins with the authentication header. ``source``
    and ``destination`` are those of its IP header.
    """
    if payload[:1] != bytes((CARP_PROTOCOL,)):
        return _bare(payload, source, destination)
    inner = _bare(_behind_authentication_header(payload), source, destination)
    if inner is None or inner.version != 2:
        return None
    return replace(inner, has_authentication_header=True)


def redacted(payload: bytes, *, source: Address, destination: Address) -> bytes:
    """Return a VRRP payload with the same header fields, but without addresses, password and signature.

    ``payload`` is one that ``vrrp_of`` recognises. The checksum of the result is right in any case.
    """
    if payload[0] == CARP_PROTOCOL:
        inner = redacted(_behind_authentication_header(payload), source=source, destination=destination)
        return payload[:4].ljust(len(payload) - len(inner), b"\x00") + inner
    if payload[0] == _FIRST_OF_3:
        blank = payload[:_CHECKSUM_AT].ljust(len(payload), b"\x00")
        return with_checksum(blank, _checksum(_pseudo_header(source, destination, len(blank)) + blank))
    length = _HEADER_LENGTH + _IPV4_LENGTH * payload[3] + _AUTHENTICATION_LENGTH
    blank, trailer = payload[:_CHECKSUM_AT].ljust(length, b"\x00"), payload[length:]
    return with_checksum(blank, _checksum(blank)) + trailer[:4].ljust(len(trailer), b"\x00")


def _checksum(octets: bytes) -> bytes:
    return internet_checksum(octets).to_bytes(2, "big")


def _behind_authentication_header(payload: bytes) -> bytes:
    """Return the octets behind the header, whose length field counts 32-bit words less two; b"" if it is no header."""
    if payload[2:4] != b"\x00\x00":
        return b""
    return payload[(payload[1] + 2) * 4 :]


def _bare(payload: bytes, source: Address, destination: Address) -> Vrrp | None:
    if not _HEADER_LENGTH <= len(payload) <= _LONGEST:
        return None
    if payload[0] == _FIRST_OF_2 and isinstance(source, IPv4Address) and _is_version_2(payload):
        version, interval_ns = 2, payload[5] * NS_PER_S
    elif payload[0] == _FIRST_OF_3 and _is_version_3(payload, source, destination):
        version, interval_ns = 3, _interval_cs(payload) * _NS_PER_CS
    else:
        return None
    return Vrrp(version=version, vrid=payload[1], priority=payload[2], count=payload[3], interval_ns=interval_ns)


def _interval_cs(payload: bytes) -> int:
    return int.from_bytes(payload[4:6], "big") & _INTERVAL_MASK


def _is_version_2(payload: bytes) -> bool:
    """Return True if the length fits the count; if it may also be CARP, only if all other fields fit as well."""
    length = _HEADER_LENGTH + _IPV4_LENGTH * payload[3] + _AUTHENTICATION_LENGTH
    message, trailer = payload[:length], payload[length:]
    if len(message) < length or len(trailer) not in (0, _TRAILER_LENGTH):
        return False
    if len(payload) < LENGTH:
        return True
    authentication = message[-_AUTHENTICATION_LENGTH:]
    if not _is_authentication(payload[4], authentication) or not _is_trailer(trailer):
        return False
    return internet_checksum(message) == 0


def _is_authentication(kind: int, octets: bytes) -> bool:
    """Return True if the last octets of a message fit its kind of authentication."""
    if kind in (_NO_AUTHENTICATION, _IPSEC):
        return not any(octets)
    # A password is text, padded with zeros; the end of a digest hardly ever is.
    return kind == _PASSWORD and all(_SPACE <= octet <= _TILDE for octet in octets.rstrip(b"\x00"))


def _is_trailer(octets: bytes) -> bool:
    return not octets or (octets[0] == _TRAILER_SCHEME and octets[2:4] == b"\x00\x00")


def _is_version_3(payload: bytes, source: Address, destination: Address) -> bool:
    """Return True if the length is possible; if it may also be CARP, only if the count or the checksum fits.

    With seven IPv4 addresses, length and count equal the length and authlen of CARP, so only the checksum decides.
    """
    if (len(payload) - _HEADER_LENGTH) % _IPV4_LENGTH:
        return False
    if len(payload) < LENGTH:
        return True
    size = _IPV4_LENGTH if isinstance(source, IPv4Address) else _IPV6_LENGTH
    surplus = len(payload) - _HEADER_LENGTH - size * payload[3]
    is_ambiguous = len(payload) == LENGTH and payload[3] == AUTHLEN
    if surplus in (0, _TRAILER_LENGTH) and not is_ambiguous:
        return True
    return _is_summed(payload, source, destination)


def _is_summed(payload: bytes, source: Address, destination: Address) -> bool:
    """Return True if a checksum of version 3 is right: with the pseudo-header, or without it as in RFC 9568."""
    if internet_checksum(_pseudo_header(source, destination, len(payload)) + payload) == 0:
        return True
    return internet_checksum(payload) == 0 and _interval_cs(payload) >= _SHORTEST_PLAIN_CS


def _pseudo_header(source: Address, destination: Address, length: int) -> bytes:
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        return ipv4_pseudo_header(source, destination, length=length, protocol=CARP_PROTOCOL)
    if isinstance(source, IPv6Address) and isinstance(destination, IPv6Address):
        return ipv6_pseudo_header(source, destination, length=length, next_header=CARP_PROTOCOL)
    return b""
