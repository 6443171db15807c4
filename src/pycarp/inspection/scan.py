"""Collects what a segment says for a while, and reports who is MASTER of which vhid and VRID, and what is wrong.

Memory is bounded whatever is sent. All groups of the untagged segment are kept, because there are only so many ids. Of
groups on VLANs the first 512 are kept, and of a group's senders eight: those that were heard once give way to others.
What is left out is counted, and is a problem.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pycarp import dialects
from pycarp.dialects.dialect import Dialect
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.captured import CapturedPacket
from pycarp.inspection.dialect_signs import fitting, fitting_counters
from pycarp.inspection.explanation import Explanation, Finding, HeardClaim, Remark
from pycarp.inspection.inspector import Inspector
from pycarp.inspection.scan_report import Arrivals, ScannedGroup, ScannedSender, ScanProblem, ScanReport
from pycarp.inspection.silence import overdue_after_ns, silent_after_ns
from pycarp.inspection.timeline import Group, Timeline, TimelineKind, group_of
from pycarp.vocabulary import Address, MacAddress

MOST_TAGGED_GROUPS = 512
MOST_SENDERS = 8
_MOST_STRANGERS = 64
"""Sources of packets that belong to no group, and are counted each."""

_COUNTERS_KEPT = 4
_IDS = range(1, 256)
_OF_THE_GROUP = frozenset({Remark.COLLISION})
"""Remarks that concern all of a group and are reported once, no matter whose packet has them."""

_Source = tuple[Address | None, MacAddress | None]


@dataclass(slots=True)
class _Remarks:
    """How often each remark was made, and the words of the last time."""

    counts: Counter[Remark] = field(default_factory=Counter)
    words: dict[Remark, str] = field(default_factory=dict)

    def add(self, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            self.counts[finding.remark] += 1
            self.words[finding.remark] = finding.words


@dataclass(slots=True)
class _Gaps:
    """Sums over the gaps between the advertisements of one sender."""

    count: int = 0
    total_ns: int = 0
    deviation_ns: int = 0
    latest_ns: int = 0
    missed: int = 0

    def add(self, gap_ns: int, advertised_ns: int, *, others_spoke: bool) -> None:
        """Add a gap; a long one while others spoke is that of a host that was BACKUP meanwhile."""
        if advertised_ns and gap_ns > overdue_after_ns(advertised_ns):
            self.missed += 0 if others_spoke else round(gap_ns / advertised_ns) - 1
            return
        self.count += 1
        self.total_ns += gap_ns
        self.deviation_ns += abs(gap_ns - advertised_ns)
        self.latest_ns = max(self.latest_ns, gap_ns - advertised_ns)

    def arrivals(self) -> Arrivals:
        if not self.count:
            return Arrivals(missed=self.missed)
        return Arrivals(self.total_ns // self.count, self.deviation_ns // self.count, self.latest_ns, self.missed)


@dataclass(slots=True)
class _Sender:
    source: Address
    source_mac: MacAddress | None
    first_ns: int
    last: Explanation
    claim: HeardClaim
    packets: int = 0
    believed_ns: int | None = None
    """When it was last believed."""

    only_left: bool = True
    """Whether all that came was farewells, which pycarp sends from the MAC address of the interface."""

    gaps: _Gaps = field(default_factory=_Gaps)
    problems: _Remarks = field(default_factory=_Remarks)
    notes: _Remarks = field(default_factory=_Remarks)
    dialects: tuple[Dialect, ...] = dialects.ALL
    counters: deque[int] = field(default_factory=lambda: deque(maxlen=_COUNTERS_KEPT))

    def receive(self, explanation: Explanation, claim: HeardClaim, *, others_spoke: bool) -> None:
        self.packets += 1
        self.only_left &= explanation.is_farewell
        self.problems.add(explanation.problems)
        self.notes.add(tuple(each for each in explanation.notes if each.remark is not Remark.VRRP))
        self.dialects = fitting(explanation, self.dialects)
        if explanation.advertisement is not None:
            self.counters.append(explanation.advertisement.counter)
        if explanation.is_believed:
            if self.believed_ns is not None and not claim.leaves and not self.claim.leaves:
                gap_ns = explanation.at_ns - self.believed_ns
                self.gaps.add(gap_ns, self.claim.interval_ns, others_spoke=others_spoke)
            self.believed_ns = explanation.at_ns
        self.last, self.claim = explanation, claim

    def has_gone(self, now_ns: int) -> bool:
        """Return whether it left, or has been silent for so long that a backup would have taken over."""
        if self.believed_ns is None or self.claim.leaves:
            return True
        return now_ns - self.believed_ns > silent_after_ns(self.claim.master_down_ns)

    def result(self, *, is_master: bool) -> ScannedSender:
        speaks_carp = self.last.advertisement is not None
        spoken = fitting_counters(self.counters, self.dialects) if speaks_carp else ()
        return ScannedSender(
            source=self.source,
            source_mac=self.source_mac,
            packets=self.packets,
            first_ns=self.first_ns,
            last_ns=self.last.at_ns,
            claim=self.claim,
            is_believed=self.believed_ns is not None,
            is_master=is_master,
            arrivals=self.gaps.arrivals(),
            advertisement=self.last.advertisement,
            vrrp=self.last.vrrp,
            details=self.last.vrrp_details,
            is_authentic=self.last.authentic,
            dialects=tuple(each.name for each in spoken),
            notes=tuple(self.notes.words.values()),
        )


@dataclass(slots=True)
class _Senders:
    """The senders of a group; a new one takes the place of the least heard when there are too many."""

    kept: dict[_Source, _Sender] = field(default_factory=dict)
    left_out: int = 0
    last: _Source | None = None
    """Who was believed last."""

    def receive(self, explanation: Explanation, claim: HeardClaim) -> None:
        assert explanation.source is not None
        key = (explanation.source, explanation.source_mac)
        sender = self.kept.get(key)
        if sender is None:
            if len(self.kept) >= MOST_SENDERS and not self._make_room():
                self.left_out += 1
                return
            sender = self.kept[key] = _Sender(*key, explanation.at_ns, explanation, claim)
        sender.receive(explanation, claim, others_spoke=self.last != key)
        if explanation.is_believed:
            self.last = key

    def _make_room(self) -> bool:
        """Forget the first sender that was heard only once; return whether there was one."""
        for key, sender in self.kept.items():
            if sender.packets == 1:
                self.left_out += 1
                del self.kept[key]
                return True
        return False


class Scan:
    """Takes packets in the order of time; ``report`` ends it. ``secrets`` verify vhids, as in ``Inspector``."""

    def __init__(self, *, secrets: Mapping[int, Sequence[SharedSecret]] | None = None) -> None:
        self._inspector = Inspector(secrets=secrets)
        self._timeline = Timeline()
        self._groups: dict[Group, _Senders] = {}
        self._tagged = 0
        self._packets = 0
        self._left_out = 0
        self._strangers: OrderedDict[_Source, _Remarks] = OrderedDict()

    def add(self, packet: CapturedPacket) -> None:
        """Add one packet; no-op if it is not of protocol 112."""
        explanation = self._inspector.explain(packet)
        if explanation is None:
            return
        self._packets += 1
        group, claim = group_of(explanation), explanation.claim
        if group is None or claim is None:
            self._receive_stranger(explanation)
            return
        senders = self._senders_of(group)
        if senders is None:
            self._left_out += 1
            return
        senders.receive(explanation, claim)
        self._timeline.add(explanation)

    def report(self, now_ns: int) -> ScanReport:
        """Return what was found until now, the last call."""
        self._timeline.finish(now_ns)
        masters = self._timeline.masters()
        groups = tuple(
            self._result(group, senders, masters.get(group, ()), now_ns)
            for group, senders in sorted(self._groups.items(), key=lambda each: each[0])
        )
        problems = [problem for each in groups for problem in _group_problems(each, self._groups[each.group])]
        return ScanReport(
            packets=self._packets,
            groups=groups,
            problems=(*problems, *self._other_problems()),
            free=_free(groups),
        )

    def _senders_of(self, group: Group) -> _Senders | None:
        """Return the senders of a group, None if there is no room for one more group."""
        senders = self._groups.get(group)
        if senders is None:
            if group.vlans:
                if self._tagged >= MOST_TAGGED_GROUPS:
                    return None
                self._tagged += 1
            senders = self._groups[group] = _Senders()
        return senders

    def _receive_stranger(self, explanation: Explanation) -> None:
        key = (explanation.source, explanation.source_mac)
        if key not in self._strangers and len(self._strangers) >= _MOST_STRANGERS:
            self._left_out += 1
            return
        self._strangers.setdefault(key, _Remarks()).add(explanation.problems)

    def _result(self, group: Group, senders: _Senders, masters: tuple[Address, ...], now_ns: int) -> ScannedGroup:
        events = [each for each in self._timeline.entries if each.group == group]
        return ScannedGroup(
            group=group,
            senders=tuple(
                each.result(is_master=each.source in masters and not each.has_gone(now_ns))
                for each in senders.kept.values()
            ),
            events=tuple(each for each in events if each.kind is not TimelineKind.FIRST_HEARD),
            left_out=senders.left_out,
        )

    def _other_problems(self) -> list[ScanProblem]:
        found = [
            ScanProblem(_kind(remark), remarks.words[remark], count, source=source or None)
            for (source, _mac), remarks in self._strangers.items()
            for remark, count in remarks.counts.items()
        ]
        if self._left_out:
            words = f"{self._left_out} packets of more groups or sources than a scan keeps: a flood of forged ones"
            found.append(ScanProblem("flood", words, self._left_out))
        return found


def _group_problems(scanned: ScannedGroup, senders: _Senders) -> list[ScanProblem]:
    group, masters = scanned.group, scanned.masters
    found: list[ScanProblem] = []
    sources = sorted({each.source for each in masters})
    if len(sources) > 1:
        words = f"{' and '.join(map(str, sources))} are both MASTER"
        found.append(ScanProblem("two-masters", words, group=group))
    found += _silence(scanned)
    found += _addresses_with_two_macs(group, senders)
    found += _remarked(group, senders)
    found += [
        ScanProblem("missed", _missed_words(each), each.arrivals.missed, group, each.source)
        for each in scanned.senders
        if each.arrivals.missed
    ]
    if scanned.left_out:
        words = f"more than {MOST_SENDERS} hosts advertise for it: a flood of forged ones"
        found.append(ScanProblem("flood", words, scanned.left_out, group))
    return found


def _silence(scanned: ScannedGroup) -> list[ScanProblem]:
    believed = [each for each in scanned.senders if each.is_believed]
    if scanned.masters or not believed:
        return []
    last = max(believed, key=lambda each: each.last_ns)
    words = f"nobody is MASTER: {last.source} {'bowed out' if last.claim.leaves else 'fell silent'}, and no other came"
    return [ScanProblem("no-master", words, group=scanned.group, source=last.source)]


def _addresses_with_two_macs(group: Group, senders: _Senders) -> list[ScanProblem]:
    found = []
    kept = [each for each in senders.kept.values() if not each.only_left]
    for source in dict.fromkeys(each.source for each in kept):
        macs = [str(each.source_mac) for each in kept if each.source == source]
        if len(macs) > 1:
            words = f"{source} advertises from {' and '.join(macs)}: one is forged, or two hosts have the address"
            found.append(ScanProblem("two-macs", words, group=group, source=source))
    return found


def _remarked(group: Group, senders: _Senders) -> list[ScanProblem]:
    found: dict[tuple[Remark, _Source], ScanProblem] = {}
    for sender in senders.kept.values():
        for remark, count in sender.problems.counts.items():
            who: _Source = (None, None) if remark in _OF_THE_GROUP else (sender.source, sender.source_mac)
            before = found[remark, who].packets if (remark, who) in found else 0
            words = sender.problems.words[remark]
            found[remark, who] = ScanProblem(_kind(remark), words, before + count, group, who[0])
    return list(found.values())


def _missed_words(sender: ScannedSender) -> str:
    missed, heard = sender.arrivals.missed, sender.packets
    return f"{missed} of {missed + heard} advertisements never came: they are lost on the way, or the host stalls"


def _kind(remark: Remark) -> str:
    return remark.name.lower().replace("_", "-")


def _free(groups: tuple[ScannedGroup, ...]) -> dict[tuple[int, ...], tuple[int, ...]]:
    used: dict[tuple[int, ...], set[int]] = {(): set()}
    for each in groups:
        if any(sender.is_believed for sender in each.senders):
            used.setdefault(each.group.vlans, set()).add(each.group.id)
    return {vlans: tuple(number for number in _IDS if number not in ids) for vlans, ids in used.items()}
