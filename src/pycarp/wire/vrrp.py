"""Tells VRRP from CARP: both are protocol 112, go to the same groups, and begin alike. Source: carp.md 9 and 10."""

from dataclasses import dataclass

from pycarp.wire.advertisement import AUTHLEN
from pycarp.wire.checksum import internet_checksum

_VRRP2_FIRST, _VRRP3_FIRST = 0x21, 0x31
_HEADER_LENGTH = 8
_AUTHENTICATION_LENGTH = 8
_ADDRESS_LENGTHS = (4, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vrrp:
    """What a VRRP packet says of itself."""

    version: int
    router_id: int
    priority: int


def vrrp_of(payload: bytes) -> Vrrp | None:
    """Return what a payload says of itself if it is VRRP version 2 or 3, else None."""
    if len(payload) < _HEADER_LENGTH:
        return None
    if payload[0] == _VRRP2_FIRST and _is_version_2(payload):
        return Vrrp(version=2, router_id=payload[1], priority=payload[2])
    if payload[0] == _VRRP3_FIRST and _is_version_3(payload):
        return Vrrp(version=3, router_id=payload[1], priority=payload[2])
    return None


def _is_version_2(payload: bytes) -> bool:
    """Judge by the length, which follows from the number of addresses in the octet that is CARP's authlen."""
    count = payload[3]
    if len(payload) != _HEADER_LENGTH + 4 * count + _AUTHENTICATION_LENGTH:
        return False
    # Seven addresses look like CARP with eight octets behind it, which nobody sends; then the checksum decides.
    return count != AUTHLEN or internet_checksum(payload) == 0


def _is_version_3(payload: bytes) -> bool:
    return any(len(payload) == _HEADER_LENGTH + length * payload[3] for length in _ADDRESS_LENGTHS)
