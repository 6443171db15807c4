"""Explains captured packets one by one; remembers little: counters, checksum kinds and VRRP routers seen.

Every rule cites carp.md, the reference of the protocol; where systems differ, the words say which of them does what.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Address

from msgspec.structs import replace

from pycarp.errors import DecodeError
from pycarp.inspection.authenticity import Authenticity, SharedSecret
from pycarp.inspection.captured import CapturedPacket
from pycarp.inspection.counter_history import CounterHistory, Repetition
from pycarp.inspection.envelope_findings import destination_findings, source_mac_findings, ttl_findings
from pycarp.inspection.explanation import Explanation, Finding, Remark
from pycarp.inspection.ids_in_use import IdsInUse
from pycarp.inspection.link_layer import OnLink, ip_packet_of
from pycarp.inspection.vrrp_findings import VrrpJudge
from pycarp.vocabulary import CARP_PROTOCOL, Address, Family, MacAddress, family_of
from pycarp.wire import advertisement as wire
from pycarp.wire import ip
from pycarp.wire.advertisement import Advertisement, ChecksumForm
from pycarp.wire.checksum import internet_checksum
from pycarp.wire.vrrp import AUTHENTICATION_HEADER, Vrrp, details_of, vrrp_of

_Findings = Iterator[Finding]


class Inspector:
    """Explains the packets of one capture, in their order.

    ``secret`` verifies every vhid, ``secrets`` each with its own, of which any may fit; without either, digests are
    left unjudged. ``vhid`` leaves out all others, VRRP included.
    """

    def __init__(
        self,
        *,
        secret: SharedSecret | None = None,
        secrets: Mapping[int, Sequence[SharedSecret]] | None = None,
        vhid: int | None = None,
    ) -> None:
        self._authenticity = Authenticity(secret, secrets or {}) if secret or secrets is not None else None
        self._vhid = vhid
        self._history = CounterHistory()
        self._ipv6_forms: dict[int, ChecksumForm] = {}
        self._vrrp_judge = VrrpJudge()
        self._ids = IdsInUse()

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
            tos=_tos(on_link.octets),
            identification=int.from_bytes(on_link.octets[4:6], "big") if source.version == 4 else None,
        )
        vrrp = vrrp_of(payload, source=source, destination=destination)
        if vrrp is not None and not self._is_signed(payload):
            details = details_of(payload, source=source, destination=destination)
            return self._explain_vrrp(replace(seen, vrrp=vrrp, vrrp_details=details), vrrp)
        if on_link.octets[9] == AUTHENTICATION_HEADER and source.version == 4:
            words = "protocol 112 inside an IPsec authentication header, but not VRRP: every host drops it"
            return replace(seen, problems=(Finding(Remark.AUTHENTICATION_HEADER, words),))
        if len(payload) < wire.LENGTH:
            words = f"{len(payload)} octets are too short for an advertisement of {wire.LENGTH}: every host drops it"
            return replace(seen, problems=(Finding(Remark.TOO_SHORT, words),))
        return self._explain_advertisement(seen, source, destination, payload)

    def _explain_vrrp(self, seen: Explanation, vrrp: Vrrp) -> Explanation:
        words = f"VRRP, not CARP: no vhid on this segment may be {vrrp.vrid}"
        return self._judged(seen, [Finding(Remark.VRRP, words), *self._vrrp_judge.findings(seen)])

    def _judged(self, seen: Explanation, findings: list[Finding]) -> Explanation:
        """Return the explanation with its findings, and with that about an id that CARP and VRRP share."""
        found = seen.with_findings(findings)
        shared = self._ids.collision(found)
        return found.with_findings([shared]) if shared else found

    def _explain_advertisement(
        self, seen: Explanation, source: Address, destination: Address, payload: bytes
    ) -> Explanation:
        advertisement = wire.decode(payload)
        authentic, digest_findings = self._judge(advertisement, source, seen.source_mac)
        findings = [
            *_field_findings(advertisement, payload, family_of(source)),
            *self._checksum_findings(advertisement, source, destination, payload),
            *ttl_findings(seen.ttl),
            *destination_findings(destination, seen.destination_mac),
            *source_mac_findings(advertisement.vhid, destination, seen.source_mac),
            *digest_findings,
        ]
        if not any(each.remark in _NOT_REMEMBERED for each in findings):
            group = (seen.vlans, advertisement.vhid, family_of(source))
            if self._history.is_farewell(group, source, advertisement.counter):
                findings.append(Finding(Remark.FAREWELL, _FAREWELL_WORDS))
            findings += _counter_findings(self._history.add(group, source, advertisement.counter))
        return self._judged(replace(seen, advertisement=advertisement, authentic=authentic), findings)

    def _judge(
        self, advertisement: Advertisement, source: Address, source_mac: MacAddress | None
    ) -> tuple[bool | None, tuple[Finding, ...]]:
        if self._authenticity is None or not self._is_vhid_wanted(advertisement.vhid):
            return None, ()
        if advertisement.version != wire.VERSION:
            return None, ()
        if not self._authenticity.knows(advertisement.vhid):
            words = f"vhid {advertisement.vhid} is not in the configuration: it is not verified"
            return None, (Finding(Remark.NOT_CONFIGURED, words),)
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


_FAREWELL_WORDS = "pycarp's farewell: the host has yielded to the other one, and has dropped the addresses"
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


def _tos(octets: bytes) -> int:
    return octets[1] if octets[0] >> 4 == Family.IPV4 else (octets[0] & 0x0F) << 4 | octets[1] >> 4


def _broken(packet: CapturedPacket, exc: DecodeError) -> Finding:
    if packet.length > len(packet.octets):
        words = f"only {len(packet.octets)} of {packet.length} octets were captured: capture with -s 0"
        return Finding(Remark.CUT, words)
    return Finding(Remark.BROKEN_IP, f"{exc}: no host reads it")


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
    if internet_checksum(octets) in (0, 0xFFFF):
        return f"{words}: every host accepts it, and reads the advertisement alone"
    tools = "tcpdump -v and Wireshark call its checksum wrong"
    if family is Family.IPV6:
        return f"{words}: every host accepts it, and reads the advertisement alone; {tools}"
    return f"{words}: FreeBSD 15 sums them as well and drops it, all others accept it; {tools}"


def _timing_findings(advertisement: Advertisement) -> _Findings:
    if advertisement.is_bow_out:
        yield Finding(Remark.BOW_OUT, "bow-out: the master leaves on purpose, a backup takes over at once")
    elif advertisement.advskew == wire.BOW_OUT:
        yield Finding(Remark.ADVSKEW_255, "advskew 255: only OpenBSD and ucarp can be configured so")
    if advertisement.advbase == 0 and advertisement.advskew == 0:
        yield Finding(Remark.INTERVAL, "advbase and advskew are both 0: it wins every election, and floods")
    elif advertisement.advbase == 0:
        yield Finding(Remark.ADVBASE_ZERO, "advbase 0: a backup with the same settings times out after one interval")


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
        case Repetition.CONTINUED:
            words = (
                "the counter was used before, but counts on from the last one: hosts that did not hear each other "
                "have both counted from the same number, and adopt what they hear"
            )
            yield Finding(Remark.CONTINUED_COUNTER, words)
        case Repetition.NEW:
            return
