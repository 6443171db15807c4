"""Explains captured packets one by one; remembers little: counters, checksum kinds and VRRP routers seen.

Every rule cites carp.md, the reference of the protocol; where systems differ, the words say which of them does what.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

from pycarp.errors import DecodeError
from pycarp.inspection.authenticity import Authenticity, SharedSecret
from pycarp.inspection.captured import CapturedPacket
from pycarp.inspection.explanation import Explanation, Finding, Remark
from pycarp.inspection.history import CounterHistory, Repetition
from pycarp.inspection.link_layer import OnLink, ip_packet_of
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Address, Family, MacAddress, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire import ethernet, ip
from pycarp.wire.advertisement import Advertisement, ChecksumForm
from pycarp.wire.checksum import internet_checksum
from pycarp.wire.vrrp import AUTHENTICATION_HEADER, Vrrp, vrrp_of

_IN_AUTHENTICATION_HEADER = "inside an IPsec authentication header, which no CARP host sends"
_Findings = Iterator[Finding]


class Inspector:
    """Explains the packets of one capture, in their order.

    ``secret`` None leaves digests unjudged; ``vhid`` leaves out all others, VRRP included.
    """

    def __init__(self, *, secret: SharedSecret | None = None, vhid: int | None = None) -> None:
        self._authenticity = Authenticity(secret) if secret else None
        self._vhid = vhid
        self._history = CounterHistory()
        self._ipv6_forms: dict[int, ChecksumForm] = {}

    def explain(self, packet: CapturedPacket) -> Explanation | None:
        """Return the explanation of a packet; None if it is not protocol 112, or of another vhid."""
        on_link = ip_packet_of(packet)
        if on_link is None or not _may_be_carp(on_link.octets):
            return None
        explanation = self._explain(packet, on_link)
        return explanation if explanation and self._is_wanted(explanation) else None

    def _is_wanted(self, explanation: Explanation) -> bool:
        if self._vhid is None:
            return True
        if explanation.vrrp is not None:
            return explanation.vrrp.vrid == self._vhid
        return explanation.advertisement is None or explanation.advertisement.vhid == self._vhid

    def _explain(self, packet: CapturedPacket, on_link: OnLink) -> Explanation | None:
        try:
            source, destination, ttl, payload = _envelope(on_link.octets)
        except DecodeError as exc:
            return Explanation(
                at_ns=packet.at_ns,
                vlans=on_link.vlans,
                source_mac=on_link.source_mac,
                destination_mac=on_link.destination_mac,
                problems=(_broken(packet, exc),),
            )
        seen = Explanation(
            at_ns=packet.at_ns,
            vlans=on_link.vlans,
            source=source,
            destination=destination,
            source_mac=on_link.source_mac,
            destination_mac=on_link.destination_mac,
            ttl=ttl,
        )
        vrrp = vrrp_of(payload, source=source, destination=destination)
        if vrrp is not None and not self._is_signed(payload):
            return replace(seen, vrrp=vrrp, problems=(Finding(Remark.VRRP, _vrrp_words(vrrp)),))
        if on_link.octets[9] == AUTHENTICATION_HEADER and source.version == 4:
            return replace(seen, problems=(Finding(Remark.VRRP, f"protocol 112 {_IN_AUTHENTICATION_HEADER}"),))
        if len(payload) < wire.LENGTH:
            words = f"{len(payload)} octets are too short for an advertisement of {wire.LENGTH}: every host drops it"
            return replace(seen, problems=(Finding(Remark.TOO_SHORT, words),))
        return self._explain_advertisement(seen, source, destination, payload)

    def _explain_advertisement(
        self, seen: Explanation, source: Address, destination: Address, payload: bytes
    ) -> Explanation:
        advertisement = wire.decode(payload)
        authentic, digest_findings = self._judge(advertisement, source, seen.source_mac)
        findings = [
            *_field_findings(advertisement, payload, family_of(source)),
            *self._checksum_findings(advertisement, source, destination, payload),
            *_ttl_findings(seen.ttl),
            *_destination_findings(destination, seen.destination_mac),
            *_source_mac_findings(advertisement.vhid, destination, seen.source_mac),
            *digest_findings,
        ]
        if not any(each.remark in _NOT_REMEMBERED for each in findings):
            group = (seen.vlans, advertisement.vhid, family_of(source))
            findings += _counter_findings(self._history.add(group, source, advertisement.counter))
        return replace(
            seen,
            advertisement=advertisement,
            authentic=authentic,
            problems=tuple(each for each in findings if each.remark not in _NOTES),
            notes=tuple(each for each in findings if each.remark in _NOTES),
        )

    def _judge(
        self, advertisement: Advertisement, source: Address, source_mac: MacAddress | None
    ) -> tuple[bool | None, tuple[Finding, ...]]:
        if self._authenticity is None or not self._is_vhid_wanted(advertisement.vhid):
            return None, ()
        if advertisement.version != wire.VERSION:
            return None, ()
        if self._authenticity.verifies(advertisement):
            return True, ()
        diagnosis = self._authenticity.diagnosis(advertisement, source, source_mac)
        return False, (Finding(Remark.DIGEST, f"not authentic: {diagnosis.words}"),)

    def _is_signed(self, payload: bytes) -> bool:
        """Return whether a packet that looks like VRRP is CARP: receivers of CARP do not check authlen."""
        if self._authenticity is None or len(payload) < wire.LENGTH:
            return False
        return self._authenticity.verifies(wire.decode(payload))

    def _is_vhid_wanted(self, vhid: int) -> bool:
        return self._vhid in (None, vhid)

    def _checksum_findings(
        self, advertisement: Advertisement, source: Address, destination: Address, payload: bytes
    ) -> _Findings:
        pseudo = b""
        if isinstance(source, IPv6Address) and isinstance(destination, IPv6Address):
            pseudo = wire.pseudo_header_of(source, destination)
        form = wire.checksum_form(payload, pseudo_header=pseudo)
        if form is None:
            right = wire.decode(wire.encode(advertisement)).checksum
            words = f"checksum 0x{advertisement.checksum:04x} is wrong, right is 0x{right:04x}: every host drops it"
            if pseudo:
                with_pseudo = wire.decode(wire.encode(advertisement, pseudo_header=pseudo)).checksum
                words += f" (with IPv6 pseudo-header 0x{with_pseudo:04x})"
            yield Finding(Remark.CHECKSUM, words)
            return
        if not pseudo:
            return
        if form is ChecksumForm.PSEUDO:
            yield Finding(
                Remark.CHECKSUM_PSEUDO,
                "the checksum covers the IPv6 pseudo-header as in newer NetBSD; all others drop it",
            )
        if self._ipv6_forms.setdefault(advertisement.vhid, form) is not form:
            yield Finding(
                Remark.CHECKSUM_MIXED,
                f"the hosts of vhid {advertisement.vhid} use both kinds of IPv6 checksum (this one: {form.value}): "
                "they drop each other's advertisements and all become master",
            )


_NOTES = frozenset(
    {
        Remark.BOW_OUT,
        Remark.CHECKSUM_PSEUDO,
        Remark.UCARP_MAC,
        Remark.REAL_MAC,
        Remark.UNICAST,
        Remark.BROADCAST_MAC,
        Remark.CONSTANT_COUNTER,
        Remark.ADVBASE_ZERO,
        Remark.ADVSKEW_255,
        Remark.ODD_FIELD,
        Remark.TRAILING,
    }
)
_NOT_REMEMBERED = frozenset({Remark.CHECKSUM, Remark.VERSION, Remark.DIGEST})
"""With one of these remarks a counter says nothing about the host in its source address."""


def _may_be_carp(octets: bytes) -> bool:
    """Read the protocol number alone, because most packets of a capture are of other protocols."""
    if len(octets) < 10:
        return False
    if octets[0] >> 4 == Family.IPV6:
        return octets[6] == CARP_PROTOCOL
    if octets[0] >> 4 != Family.IPV4:
        return False
    if octets[9] == AUTHENTICATION_HEADER:
        header_length = (octets[0] & 0x0F) * 4
        return octets[header_length : header_length + 1] == bytes((CARP_PROTOCOL,))
    return octets[9] == CARP_PROTOCOL


def _envelope(octets: bytes) -> tuple[Address, Address, int, bytes]:
    """Return source, destination, TTL and payload; raises DecodeError."""
    if octets[0] >> 4 == Family.IPV6:
        six = ip.decode_ipv6(octets)
        return six.source, six.destination, six.hop_limit, six.payload
    four = ip.decode_ipv4(octets)
    return four.source, four.destination, four.ttl, four.payload


def _broken(packet: CapturedPacket, exc: DecodeError) -> Finding:
    if packet.length > len(packet.octets):
        words = f"only {len(packet.octets)} of {packet.length} octets were captured: capture with -s 0"
        return Finding(Remark.CUT, words)
    return Finding(Remark.BROKEN_IP, f"{exc}: no host reads it")


def _vrrp_words(vrrp: Vrrp) -> str:
    words = (
        f"VRRP version {vrrp.version} (router {vrrp.vrid}, priority {vrrp.priority}), not CARP: "
        f"no vhid here may be {vrrp.vrid}, their virtual MAC would be the same"
    )
    return f"{words}; {_IN_AUTHENTICATION_HEADER}" if vrrp.has_authentication_header else words


def _field_findings(advertisement: Advertisement, payload: bytes, family: Family) -> _Findings:
    if advertisement.version != wire.VERSION:
        words = f"version {advertisement.version}: every host drops what is not version {wire.VERSION}"
        yield Finding(Remark.VERSION, words)
    if advertisement.type != wire.TYPE_ADVERTISEMENT or advertisement.authlen != wire.AUTHLEN:
        yield Finding(
            Remark.ODD_FIELD,
            f"type {advertisement.type} and authlen {advertisement.authlen} instead of {wire.TYPE_ADVERTISEMENT} and "
            f"{wire.AUTHLEN}: no host checks them",
        )
    if advertisement.vhid == 0:
        yield Finding(Remark.VHID, "vhid 0 is nobody's: every host drops it")
    if len(payload) > wire.LENGTH:
        yield Finding(Remark.TRAILING, _trailing_words(payload[wire.LENGTH :], family))
    yield from _timing_findings(advertisement)


def _trailing_words(octets: bytes, family: Family) -> str:
    """Return who rejects octets after the advertisement: only FreeBSD 15 over IPv4. Source: carp.md section 2."""
    words = f"{len(octets)} octets behind the advertisement"
    if family is Family.IPV6 or internet_checksum(octets) in (0, 0xFFFF):
        return f"{words}: every host accepts it, and reads the advertisement alone"
    return f"{words}: FreeBSD 15 sums them as well and drops it, all others accept it"


def _timing_findings(advertisement: Advertisement) -> _Findings:
    if advertisement.is_bow_out:
        yield Finding(Remark.BOW_OUT, "bow-out: the master leaves on purpose, a backup takes over at once")
    elif advertisement.advskew == wire.BOW_OUT:
        yield Finding(Remark.ADVSKEW_255, "advskew 255: only OpenBSD and ucarp can be configured so")
    if advertisement.advbase == 0 and advertisement.advskew == 0:
        yield Finding(Remark.INTERVAL, "advbase and advskew are both 0: it wins every election, and floods")
    elif advertisement.advbase == 0:
        yield Finding(Remark.ADVBASE_ZERO, "advbase 0: a backup with the same settings times out after one interval")


def _ttl_findings(ttl: int | None) -> _Findings:
    if ttl != CARP_TTL:
        yield Finding(
            Remark.TTL, f"TTL or hop limit {ttl} instead of {CARP_TTL}: it crossed a router, or is forged; dropped"
        )


def _destination_findings(destination: Address, mac: MacAddress | None) -> _Findings:
    group = CARP_GROUPS[family_of(destination)]
    if mac is not None and destination.is_multicast != bool(mac.octets[0] & 1):
        yield Finding(
            Remark.DESTINATION, f"sent to {destination} in a frame to {mac}: a kernel shows CARP no such packet"
        )
        return
    if destination.is_multicast:
        if destination != group:
            words = f"sent to {destination}, not to {group}: only ucarp with --mcastip={destination} hears it"
            yield Finding(Remark.DESTINATION, words)
        elif mac == ethernet.BROADCAST:
            yield Finding(Remark.BROADCAST_MAC, "sent to the Ethernet broadcast, as ucarp --nomcast does")
        elif mac is not None and mac != ethernet.group_mac(destination):
            words = (
                f"sent to {mac}, but {destination} has {ethernet.group_mac(destination)}: switches may not deliver it"
            )
            yield Finding(Remark.DESTINATION, words)
    elif str(destination) == "255.255.255.255":
        yield Finding(Remark.DESTINATION, f"sent to {destination}: CARP goes to {group} or to one peer")
    else:
        yield Finding(Remark.UNICAST, f"unicast to {destination}: a configured peer (FreeBSD 14, OpenBSD's carppeer)")


def _source_mac_findings(vhid: int, destination: Address, mac: MacAddress | None) -> _Findings:
    if mac is None or mac == ethernet.virtual_mac(vhid):
        return
    if mac == ethernet.ucarp_mac(vhid):
        yield Finding(Remark.UCARP_MAC, f"source MAC {mac} is ucarp's, not the virtual {ethernet.virtual_mac(vhid)}")
    elif destination.is_multicast:
        yield Finding(
            Remark.SOURCE_MAC,
            f"source MAC {mac} is not the virtual {ethernet.virtual_mac(vhid)}: receivers do not care, "
            "but switches do not learn where the virtual MAC is",
        )
    else:
        yield Finding(Remark.REAL_MAC, f"source MAC {mac} is the sender's own, as with FreeBSD's unicast peers")


def _counter_findings(repetition: Repetition) -> _Findings:
    match repetition:
        case Repetition.CONSTANT:
            words = "the counter is the same again: OpenBSD's, which is constant, or one packet replayed"
            yield Finding(Remark.CONSTANT_COUNTER, words)
        case Repetition.REPLAYED:
            words = "this host used the counter before: a replay, or a loop that returns its packets"
            yield Finding(Remark.REPLAY, words)
        case Repetition.FROM_ANOTHER:
            words = "another host used the counter before: a replay, or both counted on from the same number"
            yield Finding(Remark.REPLAY, words)
        case Repetition.NEW:
            return
