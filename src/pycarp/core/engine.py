"""All virtual hosts of a process behind one door: ``Engine.handle(input, now_ns) -> Step``.

The engine decodes and authenticates what was received, finds the machine it is for, keeps the demotion ledger, the
counters and the deadlines. It never raises for anything that came from the network or from the operating system; if
it raises, that is a bug of pycarp or of its caller.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from pycarp.auth.foresight import WINDOW, Familiarity
from pycarp.core.deadlines import DeadlineIndex
from pycarp.core.demotion import DemotionLedger, Scope, bears_on
from pycarp.core.effects import Effect, Publish, SetPacketFilter, Step, Transmit
from pycarp.core.events import (
    AddressesContested,
    AdvertisementRejected,
    DemotionChange,
    Event,
    FloodChange,
    Mismatch,
    PeerMismatch,
    SettingsChange,
    StateChange,
)
from pycarp.core.flood import FloodCounts, FloodDetector, PacketFilter
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AddressesDisturbed,
    AdminChanged,
    DatagramReceived,
    DemotionChanged,
    DemotionSet,
    Disturbed,
    Forced,
    HandedOver,
    HandOverAsked,
    Heard,
    HostAdded,
    HostInput,
    HostReconfigured,
    HostRemoved,
    Input,
    LinkChanged,
    PacketFilterFailed,
    PacketsRead,
    Reconfigured,
    Removed,
    Sent,
    SettingsChanged,
    StateForced,
    SurroundingsChanged,
    TimePassed,
    TransmitReported,
)
from pycarp.core.machine import Machine, Outbox, Surroundings
from pycarp.core.memento import Memento
from pycarp.core.reception import Addressed, judge, reaches_carp
from pycarp.core.residents import REMEMBERED_MAX, Resident, Residents
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot, snapshot_of
from pycarp.core.speaker import Speaker
from pycarp.core.state import State
from pycarp.core.statistics import DropReason, LinkStatistics, Statistic
from pycarp.core.suspicion import FindOut, find_out, mismatches
from pycarp.dialects.base import Claim
from pycarp.vocabulary import NS_PER_S, Address, Datagram, Family, HostKey, LinkFacts
from pycarp.wire import advertisement as wire

REJECTION_INTERVAL_NS = 60 * NS_PER_S
"""How often at most one host reports advertisements that it could not authenticate."""

NOT_HELD_DEMOTION = 240
"""Demotion of a MASTER that cannot put its addresses on the interface: a peer that preempts shall have them."""

CONTESTED = "addresses contested"
"""The cause of the demotion of a host whose addresses others keep changing; as far as when they are not held."""

HANDED_OVER = "handed over"
"""The cause of the demotion of a host that handed its addresses over, until it is taken back."""

EXPECTED_MAX = 512
"""Digests by which advertisements are told during a flood, on one link."""

_WORD_LENGTH = 4
"""Octets of a digest that a packet filter compares."""

WARNING_INTERVAL_NS = 3600 * NS_PER_S
"""How often at most one host tells the same of the same peer."""

_VRRP = (DropReason.VRRP, DropReason.VRRP3)
_RECEIVED = {Family.IPV4: Statistic.RECEIVED_IPV4, Family.IPV6: Statistic.RECEIVED_IPV6}
_SENT = {Family.IPV4: Statistic.SENT_IPV4, Family.IPV6: Statistic.SENT_IPV6}


class Engine:
    """The pure heart of pycarp; see the module's docstring.

    ``entropy`` returns 64 random bits and is the only nondeterminism beside ``now_ns``. ``find_out`` says why an
    advertisement is not authentic.
    """

    def __init__(
        self, *, entropy: Callable[[], int], settings: Settings | None = None, find_out: FindOut = find_out
    ) -> None:
        self._entropy = entropy
        self._find_out = find_out
        self._settings = settings or Settings()
        self._residents = Residents()
        self._links: dict[str, LinkFacts] = {}
        self._ledger = DemotionLedger()
        self._deadlines = DeadlineIndex()
        self._statistics: dict[str, LinkStatistics] = {}
        self._floods: dict[str, FloodDetector] = {}
        self._reads: dict[str, int] = {}
        self._filters: dict[str, PacketFilter] = {}
        self._refused: set[str] = set()

    def handle(self, event: Input, now_ns: int) -> Step:
        """Take one input and return what to do about it.

        ``now_ns`` is monotonic. Perform the effects in order, then come back with ``TimePassed`` no later than the
        deadline.
        """
        out: Outbox = []
        self._dispatch(event, now_ns, out)
        self._count(out)
        return Step(tuple(out), self._deadlines.earliest_ns())

    @classmethod
    def from_memento(cls, memento: Memento, *, entropy: Callable[[], int], find_out: FindOut = find_out) -> "Engine":
        """Return an engine that goes on, step by step the same, where another one made its memento."""
        made = cls(entropy=entropy, settings=memento.settings, find_out=find_out)
        for each in memento.residents:
            made._residents.add(Resident.from_memento(each, entropy))
        made._links = {facts.name: facts for facts in memento.links}
        made._ledger = DemotionLedger(memento.demotion)
        made._deadlines = DeadlineIndex(memento.deadlines)
        made._statistics = {link: counted.copy() for link, counted in memento.statistics.items()}
        made._floods = {link: replace(each) for link, each in memento.floods.items()}
        made._reads = dict(memento.reads)
        made._filters = dict(memento.filters)
        made._refused = set(memento.refused)
        return made

    def memento(self) -> Memento:
        """Return everything that this engine knows; changes nothing."""
        return Memento(
            settings=self._settings,
            links=tuple(self._links.values()),
            demotion=self._ledger.entries,
            deadlines=self._deadlines.entries,
            statistics={link: counted.copy() for link, counted in self._statistics.items()},
            residents=tuple(each.memento() for each in self._residents),
            floods={link: replace(each) for link, each in self._floods.items()},
            reads=dict(self._reads),
            filters=dict(self._filters),
            refused=frozenset(self._refused),
        )

    def snapshot(self) -> EngineSnapshot:
        """Return an immutable view of everything; changes nothing."""
        return EngineSnapshot(
            hosts=tuple(self._snapshot_of(resident) for resident in self._residents),
            settings=self._settings,
            demotion=self._ledger.node_total(),
            group_demotion=self._ledger.group_totals(),
            links={link: statistics.copy() for link, statistics in self._statistics.items()},
        )

    def host_snapshot(self, key: HostKey) -> HostSnapshot:
        """Return an immutable view of one host; KeyError when it is not, or no longer, here."""
        return self._snapshot_of(self._residents[key])

    def cannot_send(self, key: HostKey) -> frozenset[Family | None]:
        """Return the families in which the last advertisement of a host could not be sent; empty if it is not here."""
        resident = self._residents.get(key)
        return frozenset(resident.mute) if resident else frozenset()

    def drops(self, link: str) -> Counter[DropReason]:
        """Return how many packets of a link went no further, and why; without the cost of a snapshot."""
        return Counter(self._statistics[link].drops) if link in self._statistics else Counter()

    def _snapshot_of(self, resident: Resident) -> HostSnapshot:
        causes = self._ledger.causes(resident.machine.config)
        return snapshot_of(resident.machine, causes, resident.rejections.in_all, resident.contest.in_all)

    def _dispatch(self, event: Input, now_ns: int, out: Outbox) -> None:  # noqa: C901  a line an input
        match event:
            case DatagramReceived(datagram):
                self._on_datagram(datagram, now_ns, out)
            case TimePassed():
                self._on_time(now_ns, out)
            case LinkChanged(facts):
                self._on_link(facts, now_ns, out)
            case HostAdded(config):
                self._on_added(config, now_ns, out)
            case HostReconfigured(config, rolling_ns):
                self._on_reconfigured(config, rolling_ns, now_ns, out)
            case HostRemoved(key):
                self._tell(key, Removed(), now_ns, out)
            case AdminChanged(key, is_up):
                self._on_admin(key, is_up, now_ns, out)
            case DemotionSet(scope, cause, amount):
                self._demote(scope, cause, amount, now_ns, out)
            case StateForced(key, state):
                self._tell(key, Forced(state), now_ns, out)
            case SettingsChanged(settings):
                self._on_settings(settings, now_ns, out)
            case TransmitReported():
                self._on_transmit_report(event, now_ns, out)
            case ActuationReported():
                self._on_actuation_report(event, now_ns, out)
            case HandOverAsked(key):
                self._on_hand_over(key, now_ns, out)
            case AddressesDisturbed(key, what):
                self._on_disturbance(key, what, now_ns, out)
            case PacketsRead(counts):
                self._on_packets_read(dict(counts), now_ns, out)
            case PacketFilterFailed(link):
                self._refused.add(link)
            case _:
                assert_never(event)

    def _tell(self, key: HostKey, event: HostInput, now_ns: int, out: Outbox) -> None:
        """Let one machine react, and keep its deadline; late news of a host that is gone is dropped."""
        resident = self._residents.get(key)
        if resident is None:
            return
        resident.machine.react(event, now_ns, out)
        if resident.contest.is_forgiven(now_ns):
            self._demote(key, CONTESTED, 0, now_ns, out)
        self._deadlines.note(key, resident.machine.deadline_ns)
        if resident.machine.has_departed:
            self._residents.remove(key)
            self._ledger.forget(key)
            self._demote(None, resident.trouble, 0, now_ns, out)
            self._weigh_link(key.link, now_ns, out)

    # Receiving

    def _on_datagram(self, datagram: Datagram, now_ns: int, out: Outbox) -> None:
        """Count a datagram and let the machine that it is for hear it."""
        if not reaches_carp(datagram, self._residents, self._links.get(datagram.link)):
            return
        statistics = self._statistics_of(datagram.link)
        statistics.counts[_RECEIVED[datagram.family]] += 1
        verdict = judge(datagram, self._residents) if self._settings.allow else DropReason.NOT_ALLOWED
        dropped = self._hear(verdict, datagram, now_ns, out) if isinstance(verdict, Addressed) else verdict
        if dropped in _VRRP:
            self._warn_of_vrrp(datagram, now_ns, out)
        if dropped is not None:
            statistics.drop(dropped)

    def _hear(self, addressed: Addressed, datagram: Datagram, now_ns: int, out: Outbox) -> DropReason | None:
        """Authenticate an advertisement and tell its machine; return why it is dropped, if it is."""
        resident, advert, checksum = addressed
        if not resident.speaker.accepts(advert, now_ns):
            return self._reject(resident, advert, datagram.source, now_ns, out)
        if resident.speaker.is_own_counter(advert):
            return DropReason.OWN_COUNTER
        claim = Claim(advbase=advert.advbase, advskew=advert.advskew, demote=advert.demote)
        for mismatch in mismatches(resident.machine, claim, checksum, datagram):
            self._warn(resident, mismatch, datagram.source, now_ns, out)
        if resident.speaker.is_echo(datagram.source, resident.machine.surroundings.own):
            return DropReason.LOOPED
        self._weigh(resident.speaker.adopt(advert), datagram.link)
        self._tell(resident.key, Heard(claim, datagram.source, datagram.family), now_ns, out)
        return None

    def _weigh(self, familiarity: Familiarity, link: str) -> None:
        """Count what a flood does not consist of."""
        statistics = self._statistics_of(link)
        statistics.fresh += familiarity is Familiarity.NEXT
        statistics.repeated += familiarity is Familiarity.REPEATED

    def _reject(
        self, resident: Resident, advert: wire.Advertisement, source: Address, now_ns: int, out: Outbox
    ) -> DropReason:
        """Return what an advertisement that is not authentic is dropped for; report it now and then."""
        rejections = resident.rejections
        if source not in rejections.findings and len(rejections.findings) < REMEMBERED_MAX:
            others = [each.ip for other in self._residents for each in other.machine.config.shared]
            rejections.findings[source] = self._find_out(resident.machine.config, advert, seen_elsewhere=others)
        reason, finding = rejections.findings.get(source, (DropReason.NOT_AUTHENTIC, DropReason.NOT_AUTHENTIC.words))
        rejections.in_all += 1
        rejections.unreported += 1
        if now_ns >= rejections.report_again_at_ns:
            event = AdvertisementRejected(
                key=resident.key,
                at_ns=now_ns,
                source=source,
                count=rejections.unreported,
                reason=reason,
                finding=finding,
            )
            out.append(Publish(event))
            rejections.unreported = 0
            rejections.findings.clear()
            rejections.report_again_at_ns = now_ns + REJECTION_INTERVAL_NS
        return reason

    def _warn_of_vrrp(self, datagram: Datagram, now_ns: int, out: Outbox) -> None:
        resident = self._residents.get(HostKey(datagram.link, datagram.payload[1]))
        if resident is not None:
            self._warn(resident, Mismatch.SAME_VRID, datagram.source, now_ns, out)

    def _warn(self, resident: Resident, mismatch: Mismatch, source: Address, now_ns: int, out: Outbox) -> None:
        """Tell of a mismatch once an hour and source; of no more sources than are remembered."""
        warned = resident.warned_until_ns
        what = (mismatch, source)
        if now_ns < warned.get(what, now_ns):
            return
        if len(warned) >= REMEMBERED_MAX:
            # Forged sources must not silence the warnings of real ones for ever.
            for each in [each for each, until_ns in warned.items() if until_ns <= now_ns]:
                del warned[each]
        if len(warned) >= REMEMBERED_MAX:
            return
        warned[what] = now_ns + WARNING_INTERVAL_NS
        out.append(Publish(PeerMismatch(key=resident.key, at_ns=now_ns, source=source, mismatch=mismatch)))

    # Time, links, hosts

    def _on_time(self, now_ns: int, out: Outbox) -> None:
        for key in self._deadlines.pop_due(now_ns):
            self._tell(key, TimePassed(), now_ns, out)

    def _on_link(self, facts: LinkFacts, now_ns: int, out: Outbox) -> None:
        self._links[facts.name] = facts
        self._renew_sources(facts.name)
        for resident in sorted(self._residents.on(facts.name), key=lambda each: each.key):
            surroundings = resident.machine.surroundings
            is_up = self._is_up_for(resident.machine.config)
            if surroundings.link_is_up != is_up:
                surroundings.link_is_up = is_up
                self._tell(resident.key, SurroundingsChanged(), now_ns, out)
        self._weigh_link(facts.name, now_ns, out)

    def _is_up_for(self, config: HostConfig) -> bool:
        """Say whether a host's link counts as up for its dialect. Source: carp.md 5.3."""
        facts = self._links.get(config.interface)
        if config.ignores_link:
            return facts is not None
        return facts is not None and facts.is_up and (facts.is_certain or config.dialect.unknown_link_is_up)

    def _on_added(self, config: HostConfig, now_ns: int, out: Outbox) -> None:
        surroundings = Surroundings(link_is_up=self._is_up_for(config), own=(), node_preempts=self._settings.preempt)
        speaker = Speaker(config, self._entropy)
        machine = Machine(config, speaker, surroundings, demotion=self._ledger.total(config))
        self._residents.add(Resident(speaker, machine))
        self._renew_sources(config.interface)
        machine.begin(now_ns, out)
        self._tell(config.key, SurroundingsChanged(), now_ns, out)
        self._weigh_link(config.interface, now_ns, out)

    def _on_reconfigured(self, config: HostConfig, rolling_ns: int, now_ns: int, out: Outbox) -> None:
        resident = self._residents.get(config.key)
        if resident is None:
            return
        assert config.dialect is resident.machine.config.dialect, f"{config.key}: the dialect cannot change"
        # What is sent next shows whether it can be; a family that is shared no longer never would.
        resident.mute.clear()
        resident.machine.surroundings.is_mute = False
        groups_before = resident.machine.config.groups
        out.append(Publish(SettingsChange(key=config.key, at_ns=now_ns, config=config, rolling_ns=rolling_ns)))
        self._tell(config.key, Reconfigured(config, rolling_ns), now_ns, out)
        self._renew_sources(config.interface)
        if config.groups != groups_before:
            self._tell_demotion(resident, now_ns, out)

    def _on_admin(self, key: HostKey, is_up: bool, now_ns: int, out: Outbox) -> None:  # noqa: FBT001
        if key in self._residents:
            self._residents[key].machine.surroundings.admin_is_up = is_up
            self._tell(key, SurroundingsChanged(), now_ns, out)

    def _on_settings(self, settings: Settings, now_ns: int, out: Outbox) -> None:
        self._settings = settings
        for resident in self._residents:
            resident.machine.surroundings.node_preempts = settings.preempt
            if self._ledger.amount(None, resident.trouble):
                self._demote(None, resident.trouble, self._senderr_factor(resident), now_ns, out)
        for link in self._links:
            self._weigh_link(link, now_ns, out)

    def _renew_sources(self, link: str) -> None:
        """Learn anew which addresses of a link no host shares: advertisements come from them."""
        facts = self._links.get(link)
        residents = self._residents.on(link)
        shared = {each.ip for resident in residents for each in resident.machine.config.shared}
        own = tuple(each.ip for each in (facts.addresses if facts else ()) if each.ip not in shared)
        for resident in residents:
            resident.machine.surroundings.own = own

    # Demotion

    def _demote(self, scope: Scope, cause: str, amount: int, now_ns: int, out: Outbox) -> None:
        if self._ledger.set(scope, cause, amount):
            for resident in self._residents:
                if bears_on(scope, resident.machine.config):
                    self._tell_demotion(resident, now_ns, out)

    def _tell_demotion(self, resident: Resident, now_ns: int, out: Outbox) -> None:
        config = resident.machine.config
        total, causes = self._ledger.total(config), self._ledger.causes(config)
        out.append(Publish(DemotionChange(key=resident.key, at_ns=now_ns, total=total, causes=causes)))
        self._tell(resident.key, DemotionChanged(total), now_ns, out)

    def _weigh_link(self, link: str, now_ns: int, out: Outbox) -> None:
        """Demote the node for every host whose link is down, and forgive it when it is up. Source: carp.md 5.3, 6."""
        amount = sum(
            self._ifdown_factor(resident)
            for resident in self._residents.on(link)
            if not resident.machine.surroundings.link_is_up
        )
        self._demote(None, f"interface {link} is down", amount, now_ns, out)

    def _ifdown_factor(self, resident: Resident) -> int:
        factor = self._settings.ifdown_demotion_factor
        return resident.machine.config.dialect.link_down_demotion if factor is None else factor

    def _senderr_factor(self, resident: Resident) -> int:
        factor = self._settings.senderr_demotion_factor
        return resident.machine.config.dialect.send_errors.demotion if factor is None else factor

    def _on_transmit_report(self, event: TransmitReported, now_ns: int, out: Outbox) -> None:
        key, error = event.key, event.error
        resident = self._residents.get(key)
        if resident is None:
            return
        (resident.mute.discard if error is None else resident.mute.add)(event.family)
        surroundings = resident.machine.surroundings
        surroundings.is_mute = bool(resident.mute)
        budget = resident.machine.config.dialect.send_errors
        are_enough = error is None and resident.send_successes + 1 >= budget.successes
        surroundings.wants_send_reports = surroundings.is_mute or not are_enough
        self._tell(key, Sent(), now_ns, out)
        if error is None:
            resident.send_failures = 0
            resident.send_successes += 1
            if resident.send_successes == budget.successes:
                self._demote(None, resident.trouble, 0, now_ns, out)
            return
        self._statistics_of(key.link).counts[Statistic.SEND_FAILED] += 1
        resident.send_successes = 0
        resident.send_failures += 1
        if resident.send_failures >= budget.failures * (len(self._residents.on(key.link)) if budget.times_hosts else 1):
            self._demote(None, resident.trouble, self._senderr_factor(resident), now_ns, out)

    def _on_actuation_report(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        resident = self._residents.get(event.key)
        if resident is None:
            return
        self._tell(event.key, event, now_ns, out)
        if event.action is Action.HOLD and event.epoch == resident.machine.epoch:
            amount = 0 if event.error is None else NOT_HELD_DEMOTION
            self._demote(event.key, "addresses not held", amount, now_ns, out)

    # What administrators and others do to the addresses

    def _on_hand_over(self, key: HostKey, now_ns: int, out: Outbox) -> None:
        """Let a MASTER leave its addresses to the next host, and not take them back."""
        resident = self._residents.get(key)
        if resident is not None and resident.machine.state is State.MASTER:
            # Demoted only now: a peer that preempts a demoted MASTER would hold the addresses before they are dropped.
            self._tell(key, HandedOver(), now_ns, out)
            self._demote(key, HANDED_OVER, NOT_HELD_DEMOTION, now_ns, out)

    def _on_disturbance(self, key: HostKey, what: str, now_ns: int, out: Outbox) -> None:
        """Put right what others changed; a host that fights too often leaves the addresses to a peer."""
        resident = self._residents.get(key)
        if resident is None:
            return
        is_too_often = resident.contest.fight(now_ns, self._settings.contest_limit)
        out.append(Publish(AddressesContested(key=key, at_ns=now_ns, what=what, count=resident.contest.in_all)))
        self._tell(key, Disturbed(), now_ns, out)
        if is_too_often:
            self._demote(key, CONTESTED, NOT_HELD_DEMOTION, now_ns, out)

    # Floods

    def _on_packets_read(self, reads: dict[str, int], now_ns: int, out: Outbox) -> None:
        """Judge every open link; during a flood keep its filter up to date, so that nothing heard passes again."""
        reopened = [link for link in self._floods if reads.get(link, 0) < self._reads[link]]
        for link in reopened:
            del self._floods[link]
            self._filters.pop(link, None)
        self._reads = reads
        for link, read in reads.items():
            self._judge_link(link, read, now_ns, out)

    def _judge_link(self, link: str, read: int, now_ns: int, out: Outbox) -> None:
        statistics = self._statistics.get(link)
        fresh, repeated = (statistics.fresh, statistics.repeated) if statistics else (0, 0)
        counts = FloodCounts(read - fresh - repeated, repeated)
        flood = self._floods.get(link)
        if flood is None:
            flood = self._floods[link] = FloodDetector(counts, now_ns, now_ns)
        has_changed = flood.judge(counts, now_ns)
        if has_changed or flood.is_on:
            self._renew_filter(link, flood, out)
        if has_changed:
            self._statistics_of(link).floods += flood.is_on
            for resident in self._residents.on(link):
                change = FloodChange(
                    key=resident.key, at_ns=now_ns, is_on=flood.is_on, rate=flood.rate, every=flood.every
                )
                out.append(Publish(change))

    def _renew_filter(self, link: str, flood: FloodDetector, out: Outbox) -> None:
        """Ask for the filter of now, unless it is in place; one that the kernel refused is asked for again."""
        packet_filter = self._filter_for(link, flood) if flood.is_on else None
        if packet_filter == self._filters.get(link) and link not in self._refused:
            return
        self._refused.discard(link)
        out.append(SetPacketFilter(link, packet_filter))
        if packet_filter is None:
            del self._filters[link]
        else:
            self._filters[link] = packet_filter

    def _filter_for(self, link: str, flood: FloodDetector) -> PacketFilter:
        """Return what passes on a link: the digests of the advertisements that may come next, and samples.

        The more hosts, the fewer digests of each: a filter in the kernel has a limited length.
        """
        residents = self._residents.on(link)
        share = EXPECTED_MAX // max(len(residents), 1)
        expected = [resident.speaker.expected(min(share, WINDOW)) for resident in residents]
        return PacketFilter(
            upcoming=tuple(_word(digest) for one in expected for digest in one.upcoming[:share]),
            repeated=tuple(_word(digest) for one in expected for digest in one.repeated[: max(share // 4, 1)]),
            every=flood.every,
            every_repeated=flood.every_repeated,
        )

    # Counting

    def _statistics_of(self, link: str) -> LinkStatistics:
        statistics = self._statistics.get(link)
        if statistics is None:
            statistics = self._statistics[link] = LinkStatistics()
        return statistics

    def _count(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Transmit):
                self._statistics_of(effect.key.link).counts[_SENT[effect.outgoing.family]] += 1
            elif isinstance(effect, Publish) and _is_takeover(effect.event):
                self._statistics_of(effect.event.key.link).counts[Statistic.PREEMPTED] += 1


def _word(digest: bytes) -> int:
    return int.from_bytes(digest[:_WORD_LENGTH], "big")


def _is_takeover(event: Event) -> bool:
    return isinstance(event, StateChange) and event.new is State.MASTER
