"""Judges received datagrams: finds the host that one is for, or the reason to drop it.

VRRP is recognised first, because a right VRRP packet would be counted as a broken CARP packet. Then the order is that
of the kernels (carp.md 4.2): TTL, length, checksum, vhid, version. The engine checks the digest last, because that
costs most.
"""

from ipaddress import IPv6Address
from typing import NamedTuple, assert_never

from pycarp.core.host_table import HostEntry, HostTable
from pycarp.core.statistics import DropReason
from pycarp.dialects.dialect import TtlRule
from pycarp.errors import DecodeError
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, Datagram, Family, HostKey, LinkFacts
from pycarp.wire import advertisement as wire
from pycarp.wire.vrrp import Vrrp, vrrp_of

_VHID_AT, _AUTHLEN_AT = 1, 3
_FIRST = wire.VERSION << 4 | wire.TYPE_ADVERTISEMENT


class Addressed(NamedTuple):
    """A well-formed advertisement and the host that it is for; not authenticated yet."""

    entry: HostEntry
    advert: wire.Advertisement
    checksum: wire.ChecksumForm


def reaches_carp(datagram: Datagram, hosts: HostTable, facts: LinkFacts | None) -> bool:
    """Return True if a datagram is for CARP: to a group, or to an own address while a host of the link listens to that.

    Any other datagram is not even counted, as kernels do not pass it to CARP. Source: measured, carp.md section 13.
    """
    # The common case first: transports share the objects of the groups, and comparing identities is quickest.
    if datagram.destination is CARP_GROUPS[datagram.family] or datagram.destination.is_multicast:
        return True
    if facts is None or datagram.destination not in [own.ip for own in facts.addresses]:
        return False
    return any(entry.listens_to(datagram) for entry in hosts.on(datagram.link))


def judge(datagram: Datagram, hosts: HostTable) -> DropReason | Addressed:
    """Return the host that a datagram is for, or why it is dropped."""
    payload = datagram.payload
    vhid = payload[_VHID_AT] if len(payload) > _VHID_AT else 0
    entry = hosts.get(HostKey(datagram.link, vhid))
    if entry is None and not hosts.has_any_on(datagram.link):
        return DropReason.NO_HOST_ON_LINK
    # The common case first: no VRRP has the length, the first octet and the authlen of CARP at once.
    if len(payload) != wire.LENGTH or payload[_AUTHLEN_AT] != wire.AUTHLEN or payload[0] != _FIRST:
        vrrp = _vrrp_in(datagram, entry)
        if vrrp is not None:
            return _refusal_of_vrrp(vrrp, datagram, entry)
    if datagram.ttl != CARP_TTL and not _may_have_been_routed(datagram, entry):
        return DropReason.TTL
    try:
        advert = wire.decode(payload)
    except DecodeError:
        return DropReason.TOO_SHORT
    pseudo_header = b"" if datagram.family is Family.IPV4 else _pseudo_header(datagram)
    checksum = wire.checksum_form(payload, pseudo_header=pseudo_header)
    if checksum is None:
        return DropReason.CHECKSUM
    refusal = DropReason.UNKNOWN_VHID if entry is None else entry.refusal_of(datagram)
    if entry is None or refusal is not None:
        return refusal or DropReason.UNKNOWN_VHID
    if advert.version != wire.VERSION:
        speaks_vrrp3 = entry.ctx.config.dialect.vrrp3 and advert.version == wire.VERSION_VRRP3
        return DropReason.VRRP3 if speaks_vrrp3 else DropReason.VERSION
    return Addressed(entry, advert, checksum)


def _vrrp_in(datagram: Datagram, entry: HostEntry | None) -> Vrrp | None:
    """Return the VRRP header of a datagram; None if it is not VRRP, or a host of our vhid has signed it."""
    payload = datagram.payload
    vrrp = vrrp_of(payload, source=datagram.source, destination=datagram.destination)
    if vrrp is None or entry is None or len(payload) < wire.LENGTH:
        return vrrp
    # The digest decides, because CARP checks neither authlen nor trailing octets. At time 0 previous keys count too.
    is_signed = entry.codec.accepts(wire.decode(payload), now_ns=0)
    return None if is_signed else vrrp


def _refusal_of_vrrp(vrrp: Vrrp, datagram: Datagram, entry: HostEntry | None) -> DropReason:
    """Return the reason for which VRRP is dropped and counted.

    Version 3 counts as such if the dialect knows it or the packet is as long as CARP. Source: carp.md 4.2.
    """
    if datagram.ttl != CARP_TTL:
        return DropReason.TTL  # it crossed a router, so its sender cannot share a MAC address with us
    knows_version_3 = entry is not None and entry.ctx.config.dialect.vrrp3
    if vrrp.version == wire.VERSION_VRRP3 and (knows_version_3 or len(datagram.payload) >= wire.LENGTH):
        return DropReason.VRRP3
    return DropReason.VRRP


def _may_have_been_routed(datagram: Datagram, entry: HostEntry | None) -> bool:
    """Return True if a TTL below 255 is allowed: that depends on the host's peers, not on the destination."""
    if entry is None:
        return False
    config = entry.ctx.config
    match config.dialect.ttl:
        case TtlRule.ALWAYS:
            return False
        case TtlRule.NOT_WITH_PEERS:
            return config.has_peers_in(datagram.family)
        case TtlRule.NOT_FROM_PEERS:
            return datagram.source in config.peers
        case unknown:
            assert_never(unknown)


def _pseudo_header(datagram: Datagram) -> bytes:
    if isinstance(datagram.source, IPv6Address) and isinstance(datagram.destination, IPv6Address):
        return wire.pseudo_header_of(datagram.source, datagram.destination)
    return b""
