"""Writes the records of a world as lines for people: one line for each fact, with its time and its host.

Within one step the transition comes first, then the other effects in their order. Advertisements without news that come
at the expected time have no line; neither has a packet dropped for the same reason as an earlier one. On demand the
transcript has every advertisement, the origin of its counter, and its headers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from pycarp.core import (
    Announce,
    DropAddresses,
    Effect,
    HoldAddresses,
    Publish,
    RenewAddresses,
    SetPacketFilter,
    Transmit,
)
from pycarp.core.events import (
    ActuationFailed,
    AddressesChangedByOthers,
    AdvertisementRejected,
    ConflictWon,
    DecisionChange,
    DemotionChange,
    Departed,
    Event,
    MasterHeard,
    PeerMismatch,
    RestrictionChange,
    SettingsChange,
    StateChange,
)
from pycarp.core.inputs import DatagramReceived
from pycarp.core.slots import longest_lead_ns
from pycarp.core.state import Reason, State
from pycarp.core.statistics import DropReason
from pycarp.dialects.dialect import ArpForm, Claim
from pycarp.dialects.rules import DEAD_RATIO
from pycarp.sim.scenario.world import WorldRecord
from pycarp.vocabulary import NS_PER_S, Address, Family, HostKey, InterfaceAddress, Outgoing
from pycarp.wire import advertisement as wire

Label = Callable[[str, HostKey], str]

SHOWABLE = ("adverts", "counters", "wire")
"""Details that are shown on demand."""

_NS_PER_MS = 1_000_000
_NOT_FOR_US = (DropReason.NO_HOST_ON_LINK, DropReason.UNKNOWN_VHID, DropReason.HOST_IN_INIT)


class _Said(NamedTuple):
    """The last advertisement of a host to a destination, and the time at which the next one is expected."""

    claim: Claim
    source: Address
    again_at_ns: int


@dataclass(slots=True)
class _Counters:
    """The last counters that a host sent and that its node received."""

    sent: int | None = None
    heard: int | None = None

    def rule_of(self, counter: int) -> str:
        """Return the origin of the next counter, as an observer can derive it."""
        if counter == self.sent:
            return "the same"
        if self.heard is not None and counter == self.heard + 1:
            return "heard + 1"
        if self.sent is not None and counter == self.sent + 1:
            return "previous + 1"
        return "random"


@dataclass(slots=True)
class Transcript:
    """Lines for people; ``label`` returns the name of a host of a node, ``shown`` has some of ``SHOWABLE``.

    An advertisement that is at most ``tolerance_ns`` early or late counts as expected, and so does one that left in its
    slot, see ``core/slots.py``; ``slot_ns`` is that of the engine.
    """

    label: Label
    lines: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    tolerance_ns: int = 0
    slot_ns: int = 0
    _said: dict[tuple[str, HostKey, Address], _Said] = field(default_factory=dict)
    _counters: dict[tuple[str, HostKey], _Counters] = field(default_factory=dict)
    _drops: set[tuple[str, Address | None, DropReason]] = field(default_factory=set)

    def take(self) -> list[str]:
        """Return the lines so far, and remove them; later drops have lines again."""
        lines, self.lines = self.lines, []
        self._drops.clear()
        return lines

    def write(self, at_ns: int, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append(f"{_seconds(at_ns)} {who} {what}")

    def write_record(self, record: WorldRecord) -> None:
        """Add the lines of one input and its effects."""
        if isinstance(record.event, DatagramReceived):
            self._write_drop(record, record.event)
        for effect in sorted(record.effects, key=_is_no_change):
            self._write_effect(record.at_ns, record.node, effect)
        for key in _ended(record.effects):
            for what in [each for each in self._said if each[:2] == (record.node, key)]:
                del self._said[what]

    def _write_drop(self, record: WorldRecord, event: DatagramReceived) -> None:
        """Add the reason of a drop, unless it has a line; for an accepted packet store the counter."""
        datagram = event.datagram
        if record.dropped is None:
            if record.counted:
                heard = wire.decode(datagram.payload)
                self._counters_of(record.node, HostKey(datagram.link, heard.vhid)).heard = heard.counter
            return
        drop = (record.node, None if record.dropped in _NOT_FOR_US else datagram.source, record.dropped)
        if drop not in self._drops:
            self._drops.add(drop)
            counter = record.dropped.statistic
            where = f" ({counter})" if counter else ""
            words = f"drops what {datagram.source} sent: {record.dropped.words}{where}"
            self.write(record.at_ns, record.node, words)

    def _write_effect(self, at_ns: int, node: str, effect: Effect) -> None:
        match effect:
            case Publish(event):
                self._write_event(at_ns, node, event)
            case Transmit(key, outgoing):
                self._write_advert(at_ns, node, key, outgoing)
            case HoldAddresses(key=key, addresses=addresses, previous=previous):
                without = f", no longer {_listed(previous)}" if previous else ""
                self.write(at_ns, self.label(node, key), f"holds {_listed(addresses)}{without}")
            case DropAddresses(key=key, addresses=addresses):
                self.write(at_ns, self.label(node, key), f"drops {_listed(addresses)}")
            case Announce(key, _epoch, addresses, form):
                for words in _announced(addresses, form):
                    self.write(at_ns, self.label(node, key), words)
            case RenewAddresses() | SetPacketFilter():
                pass
            case _:
                assert_never(effect)

    def _is_in_turn(self, before: _Said, at_ns: int) -> bool:
        """Return True if an advertisement at this time is the one that was expected."""
        early_ns = before.again_at_ns - at_ns
        lead_ns = longest_lead_ns(self.slot_ns, before.claim.interval_ns, DEAD_RATIO)
        return -self.tolerance_ns <= early_ns <= lead_ns + self.tolerance_ns

    def _write_event(self, at_ns: int, node: str, event: Event) -> None:
        words = _words_of(event)
        if words:
            self.write(at_ns, self.label(node, event.key), words)

    def _write_advert(self, at_ns: int, node: str, key: HostKey, outgoing: Outgoing) -> None:
        advert = wire.decode(outgoing.payload)
        claim = Claim(advbase=advert.advbase, advskew=advert.advskew, demote=advert.demote)
        counters = self._counters_of(node, key)
        rule, counters.sent = counters.rule_of(advert.counter), advert.counter
        what = (node, key, outgoing.destination)
        before, now = self._said.get(what), _Said(claim, outgoing.source, at_ns + claim.interval_ns)
        is_expected = before is not None and before[:2] == now[:2] and self._is_in_turn(before, at_ns)
        if before is not None and is_expected:
            # In a slot it leaves early, and the next interval counts from the time at which it was due.
            now = now._replace(again_at_ns=max(before.again_at_ns, at_ns) + claim.interval_ns)
        self._said[what] = now
        if is_expected and not self.shown:
            return
        is_repeated = before is not None and before[:2] == now[:2] and not is_expected
        words = _said(claim, is_repeated=is_repeated) + f" from {outgoing.source}"
        if not outgoing.destination.is_multicast or outgoing.destination.packed[-1] != 0x12:
            words += f" to {outgoing.destination}"
        if "counters" in self.shown:
            words += f", counter {rule}"
        if "wire" in self.shown:
            words += f", {_on_the_wire(outgoing)}"
        self.write(at_ns, self.label(node, key), words)

    def _counters_of(self, node: str, key: HostKey) -> _Counters:
        return self._counters.setdefault((node, key), _Counters())


def _is_no_change(effect: Effect) -> bool:
    return not (isinstance(effect, Publish) and isinstance(effect.event, StateChange))


def _ended(effects: Iterable[Effect]) -> list[HostKey]:
    """Return the hosts whose mastership ended; their next advertisement counts as the first."""
    events = [effect.event for effect in effects if isinstance(effect, Publish)]
    return [event.key for event in events if isinstance(event, StateChange) and event.old is State.MASTER]


def _words_of(event: Event) -> str:  # noqa: C901  a line an event
    """Return the words for an event of the core; empty for a new host, whose first transition has a line."""
    match event:
        case StateChange(reason=Reason.ADDED):
            return ""
        case StateChange():
            return f"{event.old} -> {event.new} {event.reason}"
        case DemotionChange(total=0, causes=()):
            return "is demoted no longer"
        case DemotionChange():
            return f"is demoted by {event.total}: " + ", ".join(f"{cause} {by}" for cause, by in event.causes)
        case RestrictionChange(restriction=None):
            return "is restricted no longer"
        case RestrictionChange():
            return "is restricted: " + ", ".join(f"{cause} {restriction}" for cause, restriction in event.causes)
        case ActuationFailed():
            return f"fails to {event.action}: {event.error}"
        case AdvertisementRejected():
            return f"rejects {event.count} of {event.source}: {event.finding}"
        case PeerMismatch():
            return f"warns: {event.source} {event.mismatch.value}"
        case SettingsChange(rolling_ns=0):
            return "has new settings"
        case SettingsChange():
            return f"has new settings, and signs as before for {_seconds(event.rolling_ns)} s"
        case MasterHeard(source=source, claim=claim):
            return f"hears the MASTER {source} ({_values(claim)})"
        case DecisionChange(source=source, claim=claim, decision=decision):
            return f"decides about {source} ({_values(claim)}): {decision}"
        case ConflictWon(source=source, claim=claim):
            return f"stays MASTER beside {source} ({_values(claim)})"
        case AddressesChangedByOthers():
            return f"is disturbed ({event.count}): {event.what}"
        case Departed():
            return "has departed"
        case _:
            raise AssertionError(f"{type(event).__name__} is no event of the core")


def _said(claim: Claim, *, is_repeated: bool) -> str:
    values = _values(claim)
    if claim.advbase == claim.advskew == wire.BOW_OUT:
        return f"bows out ({values})"
    if is_repeated:
        return f"advertises out of turn ({values})"
    return f"advertises every {_seconds(claim.interval_ns)} s ({values})"


def _values(claim: Claim) -> str:
    return f"{claim.advbase}/{claim.advskew}" + (f" demote {claim.demote}" if claim.demote else "")


def _announced(addresses: Iterable[InterfaceAddress], form: ArpForm) -> list[str]:
    by_family: dict[Family, list[InterfaceAddress]] = {family: [] for family in Family}
    for address in addresses:
        by_family[Family(address.version)].append(address)
    requests = "ARP request and reply" if form.with_reply else "ARP request"
    sender = "the link's MAC" if form.link_source else "the owner's MAC"
    target = ", target the owner's MAC" if form.own_target_mac else ""
    forms = {Family.IPV4: f"{requests} from {sender}{target}", Family.IPV6: "neighbour advertisement"}
    return [
        f"announces {', '.join(str(each.ip) for each in found)} by {forms[family]}"
        for family, found in by_family.items()
        if found
    ]


def _on_the_wire(outgoing: Outgoing) -> str:
    identification = "any" if outgoing.identification is None else outgoing.identification
    said = f"tos {outgoing.tos:#04x}, id {identification}, from {outgoing.source_mac or 'the link'}"
    return said + (f" to {outgoing.destination_mac}" if outgoing.destination_mac else "")


def _listed(addresses: Iterable[InterfaceAddress]) -> str:
    return ", ".join(str(each) for each in addresses)


def _seconds(span_ns: int) -> str:
    """Return nanoseconds as seconds, rounded to three places."""
    span_ns += _NS_PER_MS // 2
    return f"{span_ns // NS_PER_S}.{span_ns % NS_PER_S // _NS_PER_MS:03}"
