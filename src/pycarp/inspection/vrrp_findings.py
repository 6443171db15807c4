"""Judges VRRP advertisements: their fields, and what one router says against what others of its VRID say.

Where systems differ, the words say which of them does what. Sources: RFC 3768 (version 2), RFC 9568 and its errata
(version 3), and what keepalived, FRR and FreeBSD 15 were seen to do.
"""

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from pycarp.inspection.explanation import Explanation, Finding, Remark
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, NS_PER_S, Address, Family, MacAddress, family_of
from pycarp.wire import ethernet
from pycarp.wire.vrrp import Vrrp, VrrpAuthentication, VrrpChecksum, VrrpDetails

LEAVES, OWNER = 0, 255
"""Priorities with a meaning: the MASTER leaves, and the router owns the addresses."""

_MOST_GROUPS = 1024
_MOST_ROUTERS = 8
_Findings = Iterator[Finding]
_Group = tuple[tuple[int, ...], int, Family]


class _Said(msgspec.Struct, frozen=True):
    vrrp: Vrrp
    details: VrrpDetails


class VrrpJudge:
    """Judges the VRRP packets of one capture, in their order; keeps the last of each router, within bounds."""

    def __init__(self) -> None:
        self._said: OrderedDict[_Group, OrderedDict[Address, _Said]] = OrderedDict()

    def findings(self, seen: Explanation) -> list[Finding]:
        """Return the findings about a packet; its ``vrrp``, ``vrrp_details`` and addresses are there."""
        vrrp, details, family = seen.vrrp, seen.vrrp_details, seen.family
        assert vrrp is not None
        assert details is not None
        assert family is not None
        assert seen.source is not None
        found = [
            *_field_findings(vrrp, details, family),
            *_ttl_findings(seen),
            *_destination_findings(seen),
            *_mac_findings(vrrp.vrid, seen),
        ]
        if not {each.remark for each in found} & _DROPPED_BY_ALL:
            found += self._comparison((seen.vlans, vrrp.vrid, family), seen.source, _Said(vrrp, details))
        return found

    def _comparison(self, group: _Group, source: Address, said: _Said) -> _Findings:
        routers = self._said.setdefault(group, OrderedDict())
        self._said.move_to_end(group)
        if len(self._said) > _MOST_GROUPS:
            self._said.popitem(last=False)
        for other, theirs in routers.items():
            if other != source and theirs.vrrp.priority != LEAVES:
                yield from _differences(said, theirs, other)
        routers[source] = said
        routers.move_to_end(source)
        if len(routers) > _MOST_ROUTERS:
            routers.popitem(last=False)


_DROPPED_BY_ALL = frozenset({Remark.CHECKSUM, Remark.TTL})


def _field_findings(vrrp: Vrrp, details: VrrpDetails, family: Family) -> _Findings:
    if details.checksum is None:
        yield Finding(
            Remark.CHECKSUM, "the checksum is wrong, with and without the pseudo-header: every router drops it"
        )
    elif vrrp.version == 3 and family is Family.IPV4 and details.checksum is VrrpChecksum.MESSAGE:
        yield Finding(
            Remark.CHECKSUM_MESSAGE,
            "the checksum covers the message alone, as RFC 9568 says: keepalived, FRR and FreeBSD 15 drop it",
        )
    if details.surplus:
        what = "more than" if details.surplus > 0 else "fewer than"
        yield Finding(
            Remark.LENGTH,
            f"{abs(details.surplus)} octets {what} {_plural(vrrp.count)} take: keepalived and FRR drop it",
        )
    if vrrp.count == 0:
        yield Finding(
            Remark.NO_ADDRESS, "no address is announced: FRR drops it, and so does whatever follows erratum 8299"
        )
    if vrrp.interval_ns == 0:
        words = "interval 0: receivers of version 3 take over at once, as often as it is sent"
        yield Finding(Remark.INTERVAL, words if vrrp.version == 3 else "interval 0: every router drops it")
    if details.reserved:
        yield Finding(Remark.ODD_FIELD, f"reserved bits {details.reserved:04b} are set: FRR of 2022 reads them as time")
    if vrrp.priority == LEAVES:
        yield Finding(Remark.BOW_OUT, "priority 0: the master leaves on purpose, a backup takes over after its skew")
    elif vrrp.priority == OWNER:
        yield Finding(Remark.OWNER, "priority 255: the router says that the addresses are its own")
    if details.authentication is VrrpAuthentication.PASSWORD:
        yield Finding(Remark.CLEAR_PASSWORD, "the password is in clear: everybody on the segment reads it")


def _plural(count: int) -> str:
    return "its address" if count == 1 else f"its {count} addresses"


def _ttl_findings(seen: Explanation) -> _Findings:
    assert seen.destination is not None
    if seen.ttl == CARP_TTL:
        return
    words = f"TTL or hop limit {seen.ttl} instead of {CARP_TTL}"
    if seen.destination.is_multicast:
        yield Finding(Remark.TTL, f"{words}: it crossed a router, or is forged; dropped")
    else:
        yield Finding(Remark.UNICAST_TTL, f"{words}: keepalived takes it from a unicast peer")


def _destination_findings(seen: Explanation) -> _Findings:
    destination, mac = seen.destination, seen.destination_mac
    assert destination is not None
    if mac is not None and destination.is_multicast != bool(mac.octets[0] & 1):
        words = f"sent to {destination} in a frame to {mac}: a kernel shows VRRP no such packet"
        yield Finding(Remark.DESTINATION, words)
    elif not destination.is_multicast:
        yield Finding(Remark.UNICAST, f"unicast to {destination}: a configured peer (keepalived's unicast_peer)")
    elif destination != CARP_GROUPS[family_of(destination)]:
        words = f"sent to {destination}: only keepalived with this vrrp_mcast_group hears it"
        yield Finding(Remark.DESTINATION, words)


def _mac_findings(vrid: int, seen: Explanation) -> _Findings:
    mac, family = seen.source_mac, seen.family
    assert family is not None
    if mac is None or mac == ethernet.vrrp_mac(vrid, family):
        return
    if mac == ethernet.virtual_mac(vrid):
        yield Finding(Remark.CARP_MAC, f"source MAC {mac} for IPv6 is FreeBSD's, others have {_virtual(vrid, family)}")
    elif mac.octets[:5] in (ethernet.virtual_mac(0).octets[:5], ethernet.vrrp_mac(0, Family.IPV6).octets[:5]):
        yield Finding(
            Remark.SOURCE_MAC, f"source MAC {mac} is the virtual one of another router, not {_virtual(vrid, family)}"
        )
    else:
        words = f"source MAC {mac} is the sender's own, as keepalived's without use_vmac"
        yield Finding(Remark.REAL_MAC, words)


def _virtual(vrid: int, family: Family) -> MacAddress:
    return ethernet.vrrp_mac(vrid, family)


def _differences(ours: _Said, theirs: _Said, other: Address) -> _Findings:
    """Yield why two routers of a VRID cannot live together."""
    if ours.vrrp.version != theirs.vrrp.version:
        yield Finding(
            Remark.VERSION_MIXED,
            f"version {ours.vrrp.version}, and {other} has {theirs.vrrp.version}: they drop each other's and all "
            "become master",
        )
        return
    if ours.details.checksum is not theirs.details.checksum:
        yield Finding(
            Remark.CHECKSUM_MIXED,
            f"{other} sums otherwise: with pseudo-header and without, they drop each other's and all become master",
        )
    if _secrets(ours) != _secrets(theirs):
        words = f"{other} has another password or authentication: they drop each other's and all become master"
        yield Finding(Remark.PASSWORD_MIXED, words)
    if ours.vrrp.interval_ns != theirs.vrrp.interval_ns:
        yield _interval_finding(ours.vrrp, theirs.vrrp, other)
    if set(ours.details.addresses) != set(theirs.details.addresses):
        words = f"{other} announces other addresses ({_listed(theirs)}): keepalived before 2.3.3 drops it"
        yield Finding(Remark.LIST_MIXED, words)


def _secrets(said: _Said) -> tuple[VrrpAuthentication, bytes]:
    return said.details.authentication, said.details.secret


def _listed(said: _Said) -> str:
    return ", ".join(map(str, said.details.addresses)) or "none"


def _interval_finding(ours: Vrrp, theirs: Vrrp, other: Address) -> Finding:
    words = f"interval {ours.interval_ns / NS_PER_S:.2f} s, and {other} has {theirs.interval_ns / NS_PER_S:.2f} s"
    if ours.version == 2:
        return Finding(Remark.INTERVAL_MIXED, f"{words}: version 2 drops what differs, and all become master")
    return Finding(Remark.INTERVAL_LEARNED, f"{words}: a backup learns the master's, FreeBSD 15 prefers the shorter")
