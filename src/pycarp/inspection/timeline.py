"""Who is master of each vhid over time: takeovers, bow-outs, silences and double masters, from advertisements alone.

Only a MASTER advertises, so every sender is one. Two hosts may for a moment both be heard when mastership moves
(ucarp's farewell is an ordinary advertisement). The next packets of the old one distinguish a double master from a
takeover.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from pycarp.inspection.explanation import Explanation, HeardClaim, Protocol
from pycarp.inspection.silence import overdue_after_ns, silent_after_ns
from pycarp.vocabulary import NS_PER_S, Address, Family

_MOST_ENTRIES = 1000
_MOST_GROUPS = 2048


class Group(NamedTuple):
    """What has one master: a vhid or a VRID on a VLAN, each family by itself."""

    vlans: tuple[int, ...]
    id: int
    family: Family
    protocol: Protocol = Protocol.CARP

    def __str__(self) -> str:
        """Return the name for people, as in ``vhid 7 over IPv6 on VLAN 10``."""
        name = "vhid" if self.protocol is Protocol.CARP else "VRID"
        tags = "".join(f" on VLAN {each}" for each in self.vlans)
        return f"{name} {self.id}{' over IPv6' if self.family is Family.IPV6 else ''}{tags}"


def group_of(explanation: Explanation) -> Group | None:
    """Return the group of an advertisement, None for any other packet."""
    claim, family = explanation.claim, explanation.family
    return Group(explanation.vlans, claim.id, family, claim.protocol) if claim and family else None


class TimelineKind(Enum):
    """The kinds of entries."""

    FIRST_HEARD = "first heard"
    TAKEOVER = "takeover"
    BOW_OUT = "bow-out"
    SILENCE = "silence"
    TWO_MASTERS = "two masters"
    ONE_MASTER = "one master again"


class TimelineEntry(NamedTuple):
    """One entry, with words for people."""

    at_ns: int
    group: Group
    kind: TimelineKind
    source: Address
    words: str


class PresentMasters(NamedTuple):
    """Who is master of a group at present: two after a double master, nobody after a bow-out.

    ``silent_at_ns`` is when a backup would take over if nothing more were heard.
    """

    group: Group
    masters: tuple[Address, ...]
    silent_at_ns: int


@dataclass(slots=True)
class _Sender:
    source: Address
    since_ns: int
    last_ns: int
    last: HeardClaim
    count: int = 1

    def receive(self, at_ns: int, claim: HeardClaim) -> None:
        self.last_ns = at_ns
        self.last = claim
        self.count += 1

    def has_missed_one(self, now_ns: int) -> bool:
        """Return whether the next advertisement is overdue by half an interval."""
        return now_ns - self.last_ns > overdue_after_ns(self.last.interval_ns)

    @property
    def silent_at_ns(self) -> int:
        """When a backup with the same settings takes over unless more is heard."""
        return self.last_ns + silent_after_ns(self.last.master_down_ns)

    def is_silent(self, now_ns: int) -> bool:
        """Return whether a backup with the same settings would have taken over."""
        return now_ns > self.silent_at_ns


@dataclass(slots=True)
class _MasterSpan:
    """The master of a vhid, and a second one while both advertise. ``master`` is None after a bow-out; see ``left``."""

    master: _Sender | None
    left: Address
    rival: _Sender | None = None
    rounds: int = 0
    """How often the master was heard since the first packet of the rival."""

    is_double: bool = False

    @property
    def senders(self) -> tuple[_Sender, ...]:
        return tuple(each for each in (self.master, self.rival if self.is_double else None) if each)


@dataclass(slots=True)
class Timeline:
    """Collects the last 1000 entries; ``dropped`` counts earlier ones."""

    entries: deque[TimelineEntry] = field(default_factory=lambda: deque(maxlen=_MOST_ENTRIES))
    dropped: int = 0
    _spans: OrderedDict[Group, _MasterSpan] = field(default_factory=OrderedDict)

    def add(self, explanation: Explanation) -> None:
        """Add the next packet, in the order of time; no-op for a packet that hosts would reject."""
        group, claim = group_of(explanation), explanation.claim
        if explanation.is_believed and explanation.source and group and claim:
            self._receive(group, explanation.at_ns, explanation.source, claim)

    def finish(self, now_ns: int) -> None:
        """Add the entries that only the end of the capture decides."""
        for group, span in self._spans.items():
            rival = span.rival
            if rival and span.master and (rival.last_ns > span.master.last_ns and not span.is_double):
                self._succeed(group, span)
            if span.master and span.master.is_silent(now_ns):
                words = f"{span.master.source} is not heard any more"
                self._tell(span.master.last_ns, group, TimelineKind.SILENCE, span.master.source, words)

    def masters(self) -> dict[Group, tuple[Address, ...]]:
        """Return the last masters of each group: two after a double master, none after a bow-out."""
        return {each.group: each.masters for each in self.present_masters()}

    def present_masters(self) -> tuple[PresentMasters, ...]:
        """Return who is master of each group, the groups in order."""
        return tuple(
            PresentMasters(
                group,
                tuple(each.source for each in span.senders),
                max((each.silent_at_ns for each in span.senders), default=0),
            )
            for group, span in sorted(self._spans.items())
        )

    def _receive(self, group: Group, at_ns: int, source: Address, claim: HeardClaim) -> None:
        span = self._spans.get(group)
        if span is None:
            self._begin(group, at_ns, source, claim)
            return
        self._spans.move_to_end(group)
        if claim.leaves:
            self._bow_out(group, span, at_ns, source)
        elif span.master is None:
            span.master = _Sender(source, at_ns, at_ns, claim)
            words = f"{source} is master again" if source == span.left else f"{source} takes over from {span.left}"
            self._tell(at_ns, group, TimelineKind.TAKEOVER, source, f"{words}, which had bowed out")
        elif source == span.master.source:
            self._receive_master(group, span, at_ns, claim)
        else:
            self._receive_other(group, span, at_ns, source, claim)

    def _begin(self, group: Group, at_ns: int, source: Address, claim: HeardClaim) -> None:
        sender = None if claim.leaves else _Sender(source, at_ns, at_ns, claim)
        self._spans[group] = _MasterSpan(master=sender, left=source)
        if len(self._spans) > _MOST_GROUPS:
            self._spans.popitem(last=False)
        if sender is None:
            self._tell(at_ns, group, TimelineKind.BOW_OUT, source, f"{source} bows out")
        else:
            self._tell(at_ns, group, TimelineKind.FIRST_HEARD, source, f"{source} is master when first heard")

    def _bow_out(self, group: Group, span: _MasterSpan, at_ns: int, source: Address) -> None:
        self._tell(at_ns, group, TimelineKind.BOW_OUT, source, f"{source} bows out")
        if span.master and source == span.master.source:
            span.master, span.left = span.rival, source
        span.rival, span.is_double = None, False

    def _receive_master(self, group: Group, span: _MasterSpan, at_ns: int, claim: HeardClaim) -> None:
        master, rival = span.master, span.rival
        assert master is not None
        if rival is None and master.is_silent(at_ns):
            words = f"{master.source} is heard again after {_seconds(at_ns - master.last_ns)} of silence"
            self._tell(at_ns, group, TimelineKind.SILENCE, master.source, words)
        master.receive(at_ns, claim)
        if rival is None:
            return
        span.rounds += 1
        if rival.has_missed_one(at_ns):
            self._end_double(group, span, at_ns, master.source)
            span.rival = None
        elif span.rounds > 1 and rival.count > 1 and not span.is_double:
            span.is_double = True
            words = f"{master.source} and {rival.source} are both master"
            self._tell(rival.since_ns, group, TimelineKind.TWO_MASTERS, rival.source, words)

    def _receive_other(self, group: Group, span: _MasterSpan, at_ns: int, source: Address, claim: HeardClaim) -> None:
        if span.rival is not None and span.rival.source == source:
            span.rival.receive(at_ns, claim)
        else:
            span.rival, span.rounds = _Sender(source, at_ns, at_ns, claim), 0
        assert span.master is not None
        if span.master.has_missed_one(at_ns):
            self._succeed(group, span)

    def _succeed(self, group: Group, span: _MasterSpan) -> None:
        master, rival = span.master, span.rival
        assert master is not None
        assert rival is not None
        if span.is_double:
            self._end_double(group, span, rival.last_ns, rival.source)
        else:
            words = f"{rival.source} takes over from {master.source}, {_why(master, rival)}"
            self._tell(rival.since_ns, group, TimelineKind.TAKEOVER, rival.source, words)
        span.master, span.left, span.rival, span.rounds = rival, master.source, None, 0

    def _end_double(self, group: Group, span: _MasterSpan, at_ns: int, source: Address) -> None:
        if span.is_double:
            self._tell(at_ns, group, TimelineKind.ONE_MASTER, source, f"{source} alone is master again")
        span.is_double = False

    def _tell(self, at_ns: int, group: Group, kind: TimelineKind, source: Address, words: str) -> None:
        self.dropped += len(self.entries) == _MOST_ENTRIES
        self.entries.append(TimelineEntry(at_ns, group, kind, source, words))


def _why(master: _Sender, rival: _Sender) -> str:
    silence_ns = rival.since_ns - master.last_ns
    if master.has_missed_one(rival.since_ns):
        return f"which was silent for {_seconds(silence_ns)}"
    if rival.last.priority is not None and master.last.priority is not None:
        return _why_in_vrrp(master.last.priority, rival.last.priority)
    theirs, ours = master.last.interval_ns, rival.last.interval_ns
    if ours < theirs:
        return f"preempting: {_seconds(ours)} between advertisements instead of {_seconds(theirs)}"
    if rival.last.demote < master.last.demote:
        return f"which is demoted more: {master.last.demote} against {rival.last.demote}"
    return "which stepped down" + (" though both advertise equally often" if ours == theirs else "")


def _why_in_vrrp(theirs: int, ours: int) -> str:
    if ours > theirs:
        return f"preempting: priority {ours} against {theirs}"
    return "which stepped down" + (" though both have the same priority" if ours == theirs else "")


def _seconds(span_ns: int) -> str:
    return f"{span_ns / NS_PER_S:.3f} s"
