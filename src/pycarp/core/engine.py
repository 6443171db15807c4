"""All virtual hosts of a process behind one function: ``Engine.handle(input, now_ns) -> Step``.

The engine decodes and authenticates each packet and passes it to the virtual host that it is for. It keeps the demotion
ledger, the counters and the deadlines. It never raises because of the network or the operating system: an exception is
a bug of pycarp or of its caller.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from msgspec import structs

from pycarp.auth.counter import CounterMode
from pycarp.auth.counter_prediction import WINDOW, Freshness
from pycarp.auth.reply import Reply
from pycarp.core.advertisement_codec import AdvertisementCodec
from pycarp.core.calm import HEAD_LENGTH, PATIENT_NS, Calm, SettledHosts
from pycarp.core.checkpoint import Checkpoint, PendingCheckpoint
from pycarp.core.deadlines import Deadlines
from pycarp.core.demotion import DemotionLedger, Scope, bears_on
from pycarp.core.effects import Effect, Publish, RenewAddresses, SetPacketFilter, Step, Transmit
from pycarp.core.events import (
    AddressesChangedByOthers,
    AdvertisementRejected,
    DemotionChange,
    Event,
    FloodChange,
    Mismatch,
    PeerMismatch,
    RestrictionChange,
    SettingsChange,
    StateChange,
)
from pycarp.core.flood import FloodCounts, FloodDetector, PacketFilter
from pycarp.core.host import reactions
from pycarp.core.host.context import Context, Outbox
from pycarp.core.host_config import HostConfig
from pycarp.core.host_table import REMEMBERED_MAX, HostEntry, HostTable, without_rest
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AddressesDisturbed,
    AdminChanged,
    AdvertisementReceived,
    DatagramReceived,
    DatagramsReceived,
    DemotionChanged,
    DemotionSet,
    Environment,
    EnvironmentChanged,
    HandOverAsked,
    HostAdded,
    HostInput,
    HostReconfigured,
    HostRemoved,
    Input,
    LinkChanged,
    PacketFilterFailed,
    PacketsRead,
    RestrictionChanged,
    RestrictionSet,
    SettingsChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.peer_diagnosis import DiagnosePeer, diagnose_peer, mismatches
from pycarp.core.reception import Addressed, judge, reaches_carp
from pycarp.core.restriction import Restriction, RestrictionLedger, strictest
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot, snapshot_of
from pycarp.core.state import State
from pycarp.core.statistics import DropReason, LinkStatistics, Statistic, Statistics
from pycarp.dialects.dialect import claim_of
from pycarp.vocabulary import CARP_GROUPS, CARP_TTL, NS_PER_S, Address, Datagram, Family, HostKey, LinkFacts
from pycarp.wire import advertisement as wire
from pycarp.wire.vrrp import vrrp_of

REJECTION_INTERVAL_NS = 60 * NS_PER_S
"""The shortest time between two reports of one host about advertisements that it could not authenticate."""

FULL_DEMOTION = 240
"""Demotion of a host that cannot serve its addresses: every other host is preferred."""

NOT_HELD = "addresses not held"
"""The cause of the demotion of a host that could not put its addresses on the interface."""

EXTERNALLY_CHANGED = "addresses contested"
"""The cause of the demotion of a host whose addresses other programs keep changing."""

HANDED_OVER = "handed over"
"""The cause of the demotion of a host that handed its addresses over, until an administrator clears it."""

DRAINED = "drained"
"""The cause of the demotion of a host that was drained, until an administrator ends that."""

EXPECTED_MAX = 512
"""Digests in the packet filter of one link during a flood, at most."""

_WORD_LENGTH = 4
"""Octets of a digest that a packet filter compares."""

WARNING_INTERVAL_NS = 3600 * NS_PER_S
"""The shortest time between two reports of the same mismatch of the same peer."""

HOLDING_A_STEP, OTHERS_A_STEP = 512, 96
"""How many hosts whose time has come one step handles, at most; the next step follows at once, with the rest.

MASTERs that hold addresses come first, and nearly all of them only repeat themselves. What others do then is a state
change or a hold, which takes ten times as long. In between the shell reads, and gives the event loop a turn.
"""

_CAPTURED_A_STEP = 8
"""The hosts of a checkpoint that each step captures, besides those that it changes."""

_ROUTINE = frozenset((Transmit, RenewAddresses))
_TIME_PASSED = TimePassed()
_VRRP = (DropReason.VRRP, DropReason.VRRP3)
_RECEIVED = {Family.IPV4: Statistic.RECEIVED_IPV4, Family.IPV6: Statistic.RECEIVED_IPV6}
_SENT = {Family.IPV4: Statistic.SENT_IPV4, Family.IPV6: Statistic.SENT_IPV6}


class Engine:
    """The pure core of pycarp; see the module's docstring.

    ``entropy`` returns 64 random bits; apart from ``now_ns`` it is the only nondeterminism. ``diagnose_peer`` returns
    why an advertisement is not authentic. ``slot_ns`` is the length of the time slots in which MASTERs advertise, see
    ``core/slots.py``; with 0 each MASTER advertises exactly when it is due.
    """

    _repeat = staticmethod(reactions.repeat)

    def __init__(
        self,
        *,
        entropy: Callable[[], int],
        settings: Settings | None = None,
        diagnose_peer: DiagnosePeer = diagnose_peer,
        slot_ns: int = 0,
    ) -> None:
        self._slot_ns = slot_ns
        self._entropy = entropy
        self._diagnose_peer = diagnose_peer
        self._settings = settings or Settings()
        self._hosts = HostTable(slot_ns=slot_ns)
        self._links: dict[str, LinkFacts] = {}
        self._link_ips: dict[str, tuple[Address, ...]] = {}
        self._sources: dict[str, tuple[Address, ...]] = {}
        self._ledger = DemotionLedger()
        self._restrictions = RestrictionLedger()
        self._deadlines = Deadlines()
        self._statistics: dict[str, LinkStatistics] = {}
        self._floods: dict[str, FloodDetector] = {}
        self._reads: dict[str, int] = {}
        self._filters: dict[str, PacketFilter] = {}
        self._refused: set[str] = set()
        self._calm: dict[tuple[str, Family, bytes], Calm] = {}
        self.settled = SettledHosts()

    def handle(self, event: Input, now_ns: int) -> Step:
        """Return the effects of one input and the next deadline.

        ``now_ns`` is monotonic. The caller performs the effects in order, then passes ``TimePassed`` no later than the
        deadline.
        """
        out: Outbox = []
        self._hosts.capture_some(_CAPTURED_A_STEP)
        self._dispatch(event, now_ns, out)
        if out:
            self._count(out)
        return Step(tuple(out), self._deadlines.first_true_ns(self._hosts.deadline_of))

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        entropy: Callable[[], int],
        diagnose_peer: DiagnosePeer = diagnose_peer,
        rest: Callable[[], object] = without_rest,
    ) -> "Engine":
        """Return an engine that continues from a checkpoint and returns the same steps as the engine that made it.

        ``rest`` is called after each host is made.
        """
        made = cls(
            entropy=entropy, settings=checkpoint.settings, diagnose_peer=diagnose_peer, slot_ns=checkpoint.slot_ns
        )
        for each in checkpoint.hosts:
            made._hosts.add(HostEntry.from_checkpoint(each, entropy, slot_ns=checkpoint.slot_ns))
            rest()
        for facts in checkpoint.links:
            made._store_link(facts)
        made._ledger = DemotionLedger(checkpoint.demotion, checkpoint.last_causes)
        made._restrictions = RestrictionLedger(checkpoint.restrictions)
        for key, at_ns in checkpoint.deadlines:
            if (entry := made._hosts.peek(key)) is not None:
                made._deadlines.note(key, at_ns, holds_addresses=reactions.holds_addresses(entry.ctx))
        made._statistics = {link: counted.copy() for link, counted in checkpoint.statistics.items()}
        made._floods = {link: replace(each) for link, each in checkpoint.floods.items()}
        made._reads = dict(checkpoint.reads)
        made._filters = dict(checkpoint.filters)
        made._refused = set(checkpoint.refused)
        return made

    def checkpoint(self) -> Checkpoint:
        """Return the whole state of this engine as a value; changes nothing."""
        return self.begin_checkpoint().complete()

    def begin_checkpoint(self) -> PendingCheckpoint:
        """Return the whole state of this engine as a value that is completed by and by; changes nothing."""
        rest = Checkpoint(
            settings=self._settings,
            links=tuple(self._links.values()),
            demotion=self._ledger.entries,
            last_causes=self._ledger.last,
            restrictions=self._restrictions.entries,
            deadlines=self._deadlines.entries,
            statistics={link: counted.copy() for link, counted in self._statistics.items()},
            floods={link: replace(each) for link, each in self._floods.items()},
            reads=dict(self._reads),
            filters=dict(self._filters),
            refused=frozenset(self._refused),
            slot_ns=self._slot_ns,
        )
        return PendingCheckpoint(rest, self._hosts.capture())

    def snapshot(self) -> EngineSnapshot:
        """Return an immutable view of everything; changes nothing."""
        return EngineSnapshot(
            hosts=tuple(self._snapshot_of(entry) for entry in self._hosts.peek_all()),
            settings=self._settings,
            demotion=self._ledger.node_total(),
            group_demotion=self._ledger.group_totals(),
            links={link: statistics.copy() for link, statistics in self._statistics.items()},
        )

    def host_snapshot(self, key: HostKey) -> HostSnapshot:
        """Return an immutable view of one host; KeyError if this engine does not have it."""
        entry = self._hosts.peek(key)
        if entry is None:
            raise KeyError(key)
        return self._snapshot_of(entry)

    def can_send(self, key: HostKey) -> bool:
        """Return False if a host could send its last advertisement in none of its families."""
        entry = self._hosts.peek(key)
        return entry is None or not entry.ctx.is_unheard

    def drops(self, link: str) -> Counter[DropReason]:
        """Return how many packets of a link were dropped, by reason; cheaper than a snapshot."""
        return Counter(self._statistics[link].drops) if link in self._statistics else Counter()

    def statistics(self) -> Statistics:
        """Return the counters of the whole node; cheaper than a snapshot."""
        return sum((each.counts for each in self._statistics.values()), Statistics())

    @property
    def deadline_ns(self) -> int | None:
        """By when the next input must come, ``TimePassed`` if no other; None for no limit. Cheaper than a snapshot."""
        return self._deadlines.earliest_ns()

    def _snapshot_of(self, entry: HostEntry) -> HostSnapshot:
        config = entry.ctx.config
        return snapshot_of(
            entry.ctx,
            demotion=self._ledger.causes(config),
            last_causes=self._ledger.last_causes(config),
            restrictions=self._restrictions.of(config),
            rejected=entry.rejections.in_all,
            contested=entry.external_changes.in_all,
        )

    def _dispatch(self, event: Input, now_ns: int, out: Outbox) -> None:  # noqa: C901  a line an input
        match event:
            case DatagramReceived(datagram):
                self._on_datagrams((datagram,), now_ns, out)
            case DatagramsReceived(datagrams):
                self._on_datagrams(datagrams, now_ns, out)
            case TimePassed(has_unread):
                self._on_time(now_ns, out, has_unread=has_unread)
            case LinkChanged(facts):
                self._on_link(facts, now_ns, out)
            case HostAdded(config):
                self._on_added(config, now_ns, out)
            case HostReconfigured():
                self._on_reconfigured(event, now_ns, out)
            case HostRemoved(key) | StateForced(key):
                self._dispatch_to(key, event, now_ns, out)
            case AdminChanged(key, is_up):
                self._on_admin(key, is_up, now_ns, out)
            case DemotionSet(scope, cause, amount, is_last):
                self._demote(scope, cause, amount, now_ns, out, is_last=is_last)
            case RestrictionSet(scope, cause, restriction):
                self._restrict(scope, cause, restriction, now_ns, out)
            case SettingsChanged(settings):
                self._on_settings(settings, now_ns, out)
            case TransmitReported():
                self._on_transmit_report(event, now_ns, out)
            case ActuationReported():
                self._on_actuation_report(event, now_ns, out)
            case HandOverAsked():
                self._on_hand_over(event, now_ns, out)
            case AddressesDisturbed():
                self._on_disturbance(event, now_ns, out)
            case PacketsRead(counts):
                self._on_packets_read(dict(counts), now_ns, out)
            case PacketFilterFailed(link):
                self._refused.add(link)
            case _:
                assert_never(event)

    def _dispatch_to(self, key: HostKey, event: HostInput, now_ns: int, out: Outbox) -> None:
        """Apply an input to one host; no-op if the host has departed."""
        entry = self._hosts.get(key)
        if entry is not None:
            self._react(entry, event, now_ns, out)

    def _react(self, entry: HostEntry, event: HostInput, now_ns: int, out: Outbox) -> None:
        reactions.react(entry.ctx, event, now_ns, out)
        self._settle(entry, now_ns, out)

    def _settle(self, entry: HostEntry, now_ns: int, out: Outbox) -> None:
        """Record the deadline of a host that has just reacted; remove the host once it has departed."""
        key = entry.ctx.key
        if entry.calm and not reactions.is_calm(entry.ctx, entry.calm):
            self._end_calm(entry)
        if not reactions.has_departed(entry.ctx):
            self._deadlines.note(key, entry.deadline_ns, holds_addresses=reactions.holds_addresses(entry.ctx))
            return
        if self._hosts.get(key) is not entry:
            # Removed earlier in this step; another host may have its key by now.
            return
        self._hosts.remove(key)
        self._sources.pop(key.link, None)
        self._deadlines.forget(key)
        self._ledger.forget(key)
        self._restrictions.forget(key)
        self._demote(None, entry.trouble, 0, now_ns, out)
        self._demote_for_link(key.link, now_ns, out)

    def _set_environment(self, entry: HostEntry, environment: Environment, now_ns: int, out: Outbox) -> None:
        """Send a host its environment if it changed."""
        if environment != entry.ctx.environment:
            self._dispatch_to(entry.key, EnvironmentChanged(environment), now_ns, out)

    # Receiving

    def _on_datagrams(self, datagrams: tuple[Datagram, ...], now_ns: int, out: Outbox) -> None:
        """Process datagrams in order; most repeat the last claim and only postpone a deadline, see ``core/calm.py``."""
        known = self._calm.get if self._settings.allow else _nothing_known
        pending, receive_repeated = self._hosts.pending, reactions.receive_repeated
        for datagram in datagrams:
            link, family, source, destination, ttl, payload, waited_ns = datagram
            calm = known((link, family, payload[:HEAD_LENGTH]))
            # By identity, which costs a tenth of a comparison: transports return the same objects for the same octets,
            # and where they do not, the full way has the same result. Octets behind the advertisement are judged by
            # the dialect, which only the full way does.
            if (
                calm is None
                or source is not calm.source
                or destination is not calm.destination
                or ttl != CARP_TTL
                or len(payload) != wire.LENGTH
                or not wire.is_summed(payload)
            ):
                self._on_datagram(datagram, now_ns, out)
                continue
            if pending is not None:
                pending.take(calm.key)
            if not receive_repeated(calm, payload, now_ns, waited_ns):
                self._on_datagram(datagram, now_ns, out)

    def _begin_calm(self, entry: HostEntry, datagram: Datagram, *, is_plain: bool) -> None:
        """Remember the first octets of a repeated advertisement, if they suffice to recognise the next one."""
        ctx, family = entry.ctx, datagram.family
        if not is_plain or datagram.destination is not CARP_GROUPS[family]:
            return
        head = datagram.payload[:HEAD_LENGTH]
        calm = entry.calm[family] = reactions.calm_of(
            ctx, datagram, head, self._statistics_of(datagram.link), _RECEIVED[family]
        )
        self._calm[datagram.link, family, head] = calm
        # Readings of the kernel's queue are two seconds apart, too far for a host with a shorter master-down time.
        if calm.down_ns >= PATIENT_NS:
            self.settled.settle((datagram.link, family), ctx.config.vhid, head)

    def _end_calm(self, entry: HostEntry) -> None:
        for family, calm in entry.calm.items():
            self.settled.unsettle((entry.key.link, family), entry.key.vhid)
            del self._calm[entry.key.link, family, calm.head]
        entry.calm.clear()

    def _on_datagram(self, datagram: Datagram, now_ns: int, out: Outbox) -> None:
        """Count a datagram and pass it to the host that it is for."""
        if not reaches_carp(datagram, self._hosts, self._links.get(datagram.link)):
            return
        statistics = self._statistics_of(datagram.link)
        statistics.counts[_RECEIVED[datagram.family]] += 1
        verdict: DropReason | Addressed | None = (
            judge(datagram, self._hosts) if self._settings.allow else DropReason.NOT_ALLOWED
        )
        if isinstance(verdict, Addressed):
            verdict = self._receive(verdict, datagram, statistics, now_ns, out)
        if verdict is not None:
            statistics.drop(verdict)
            if verdict in _VRRP:
                self._warn_of_vrrp(datagram, now_ns, out)

    def _receive(
        self, addressed: Addressed, datagram: Datagram, statistics: LinkStatistics, now_ns: int, out: Outbox
    ) -> DropReason | None:
        """Authenticate an advertisement and pass it to its host; return the reason if it is dropped, else None."""
        entry, advert, checksum = addressed
        codec, ctx = entry.codec, entry.ctx
        dialect = ctx.config.dialect
        # Authentication comes before everything that an attacker without the passphrase could influence.
        if not codec.accepts(advert, now_ns):
            return self._reject(entry, advert, datagram.source, now_ns, out)
        if dialect.counter is CounterMode.CONSTANT and codec.is_own_counter(advert):
            return DropReason.OWN_COUNTER
        claim = claim_of(advert.advbase, advert.advskew, advert.demote)
        # The digest does not show it: it does not cover the source, and two hosts that have heard the same counter
        # sign their next advertisement alike. Source: carp.md 4.2 and 4.4.
        is_own_source = datagram.source in ctx.environment.own
        configuration_conflicts = mismatches(ctx, claim, checksum, datagram, is_own_source=is_own_source)
        for mismatch in configuration_conflicts:
            self._warn(entry, mismatch, datagram.source, now_ns, out)
        if is_own_source and dialect.drops_own_source:
            return DropReason.LOOPED
        identity = codec.identify(advert, ctx.peers.values())
        is_expected = identity is not Freshness.UNEXPECTED and identity is not Freshness.REPEATED
        statistics.fresh += is_expected
        statistics.repeated += identity is Freshness.REPEATED
        reply = identity if isinstance(identity, Reply) else None
        event = AdvertisementReceived(
            claim,
            datagram.source,
            datagram.family,
            advert.counter,
            reply,
            is_expected,
            waited_ns=datagram.waited_ns,
        )
        if not reactions.receive(ctx, event, now_ns, out):
            self._end_calm(entry)
            self._settle(entry, now_ns, out)
        elif datagram.family not in entry.calm:
            is_plain = checksum is wire.ChecksumForm.PLAIN and not configuration_conflicts
            self._begin_calm(entry, datagram, is_plain=is_plain and dialect.counter is not CounterMode.CONSTANT)
        return None

    def _reject(
        self, entry: HostEntry, advert: wire.Advertisement, source: Address, now_ns: int, out: Outbox
    ) -> DropReason:
        """Return why an advertisement is not authentic; publish a report at most once a minute."""
        rejections = entry.rejections
        # A diagnosis tries many digests, so each source gets one until the next report.
        if source not in rejections.findings and len(rejections.findings) < REMEMBERED_MAX:
            others = [each.ip for other in self._hosts.peek_all() for each in other.ctx.config.addresses]
            rejections.findings[source] = self._diagnose_peer(entry.ctx.config, advert, seen_elsewhere=others)
        reason, finding = rejections.findings.get(source, (DropReason.NOT_AUTHENTIC, DropReason.NOT_AUTHENTIC.words))
        rejections.in_all += 1
        rejections.unreported += 1
        if now_ns >= rejections.report_again_at_ns:
            event = AdvertisementRejected(
                key=entry.key,
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
        vrrp = vrrp_of(datagram.payload, source=datagram.source, destination=datagram.destination)
        vrid = datagram.payload[1] if vrrp is None else vrrp.vrid
        entry = self._hosts.get(HostKey(datagram.link, vrid))
        if entry is not None:
            self._warn(entry, Mismatch.SAME_VRID, datagram.source, now_ns, out)

    def _warn(self, entry: HostEntry, mismatch: Mismatch, source: Address, now_ns: int, out: Outbox) -> None:
        """Publish a mismatch once per hour and source, for up to ``REMEMBERED_MAX`` sources and kinds at a time."""
        warned = entry.warned_until_ns
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
        out.append(Publish(PeerMismatch(key=entry.key, at_ns=now_ns, source=source, mismatch=mismatch)))

    # Time, links, hosts

    def _on_time(self, now_ns: int, out: Outbox, *, has_unread: bool) -> None:
        """Let hosts act whose time has come: first those that owe signs of life, then some of the others."""
        for key in self._deadlines.holding.pop_due(now_ns, HOLDING_A_STEP):
            entry = self._hosts.repeating(key)
            if entry is None or entry.trusted_at_ns is not None:
                self._pass_time(key, now_ns, out)
            elif (due_ns := self._repeat(entry.ctx, now_ns, out)) is not None:
                self._deadlines.holding.set(key, due_ns)
            else:
                self._pass_time(key, now_ns, out)
        for key in self._deadlines.others.pop_due(now_ns, 0 if has_unread else OTHERS_A_STEP):
            self._pass_time(key, now_ns, out)

    def _pass_time(self, key: HostKey, now_ns: int, out: Outbox) -> None:
        """Let a host act; no-op if it departed in this step, because of another host."""
        entry = self._hosts.get(key)
        if entry is None:
            return
        if entry.trusted_at_ns is not None:
            self._trust_again(entry, now_ns, out)
        # An earlier reaction of this step may have recorded a deadline that is due now; it is handled here.
        self._deadlines.forget(key)
        self._react(entry, _TIME_PASSED, now_ns, out)

    def _on_link(self, facts: LinkFacts, now_ns: int, out: Outbox) -> None:
        if facts == self._links.get(facts.name):
            # Every further host on a link reports the same facts again.
            return
        self._store_link(facts)
        own = self._own_addresses(facts.name)
        for entry in sorted(self._hosts.on(facts.name), key=lambda each: each.key):
            is_up = self._is_up_for(entry.ctx.config)
            environment = structs.replace(entry.ctx.environment, link_is_up=is_up, link_exists=facts.exists, own=own)
            self._set_environment(entry, environment, now_ns, out)
        self._demote_for_link(facts.name, now_ns, out)

    def _store_link(self, facts: LinkFacts) -> None:
        self._links[facts.name] = facts
        self._link_ips[facts.name] = tuple(each.ip for each in facts.addresses)
        self._sources.pop(facts.name, None)

    def _is_up_for(self, config: HostConfig) -> bool:
        """Return True if a host's link counts as up for its dialect. Source: carp.md 5.3 and 14."""
        facts = self._links.get(config.interface)
        if config.dialect.needs_allow and not self._settings.allow:
            return False
        if config.ignores_link:
            return facts is not None
        return facts is not None and facts.is_up and (facts.is_certain or config.dialect.unknown_link_is_up)

    def _on_added(self, config: HostConfig, now_ns: int, out: Outbox) -> None:
        codec = AdvertisementCodec(config, self._entropy)
        # It begins in INIT with its link down; the change of the environment below starts it if the link is up.
        # As long as it shares no address that the others send from, all have the same sources.
        sources = self._sources.get(config.interface)
        is_alike = sources is not None and config.ips.isdisjoint(sources)
        is_last = self._ledger.makes_last(config)
        environment = Environment(link_is_up=False, is_last=is_last, own=sources if sources and is_alike else ())
        ctx = Context(
            config,
            codec,
            environment,
            demotion=self._ledger.total(config),
            restriction=strictest(self._restrictions.of(config)),
            slot_ns=self._slot_ns,
        )
        entry = HostEntry(codec, ctx)
        self._hosts.add(entry)
        if not is_alike:
            self._renew_sources(config.interface, now_ns, out)
        reactions.begin(ctx, now_ns, out)
        environment = structs.replace(
            ctx.environment,
            link_is_up=self._is_up_for(config),
            link_exists=config.interface not in self._links or self._links[config.interface].exists,
            node_preempts=self._settings.preempt,
            is_last=is_last,
            goes_last=is_last,
        )
        self._dispatch_to(config.key, EnvironmentChanged(environment), now_ns, out)
        if not ctx.environment.link_is_up:
            self._demote_for_link(config.interface, now_ns, out)

    def _on_reconfigured(self, event: HostReconfigured, now_ns: int, out: Outbox) -> None:
        config = event.config
        entry = self._hosts.get(config.key)
        if entry is None:
            return
        before = entry.ctx.config
        assert config.dialect is before.dialect, f"{config.key}: the dialect cannot change"
        # The next advertisements show what can be sent; a family that is no longer shared would never recover.
        entry.sends.forget()
        self._keep_send_account(entry, now_ns, out)
        change = SettingsChange(key=config.key, at_ns=now_ns, config=config, rolling_ns=event.rolling_ns)
        out.append(Publish(change))
        self._dispatch_to(config.key, event, now_ns, out)
        self._renew_sources(config.interface, now_ns, out)
        if config.groups != before.groups:
            self._publish_demotion(entry, now_ns, out)
            if self._restrictions.of(config) != self._restrictions.of(before):
                self._publish_restriction(entry, now_ns, out)

    def _on_admin(self, key: HostKey, is_up: bool, now_ns: int, out: Outbox) -> None:  # noqa: FBT001
        entry = self._hosts.get(key)
        if entry is not None:
            self._set_environment(entry, structs.replace(entry.ctx.environment, admin_is_up=is_up), now_ns, out)

    def _on_settings(self, settings: Settings, now_ns: int, out: Outbox) -> None:
        self._settings = settings
        for entry in self._hosts:
            is_up = self._is_up_for(entry.ctx.config)
            environment = structs.replace(entry.ctx.environment, link_is_up=is_up, node_preempts=settings.preempt)
            self._set_environment(entry, environment, now_ns, out)
            if self._ledger.amount(None, entry.trouble):
                self._demote(None, entry.trouble, self._senderr_factor(entry), now_ns, out)
        for link in self._links:
            self._demote_for_link(link, now_ns, out)

    def _renew_sources(self, link: str, now_ns: int, out: Outbox) -> None:
        """Send the hosts of a link the addresses that no host shares: the sources of their advertisements."""
        own = self._sources[link] = self._own_addresses(link)
        for entry in self._hosts.peek_on(link):
            if entry.ctx.environment.own != own:
                self._set_environment(entry, structs.replace(entry.ctx.environment, own=own), now_ns, out)

    def _own_addresses(self, link: str) -> tuple[Address, ...]:
        shared = frozenset().union(*(entry.ctx.config.ips for entry in self._hosts.peek_on(link)))
        return tuple(each for each in self._link_ips.get(link, ()) if each not in shared)

    # Demotion and restriction

    def _demote(
        self, scope: Scope, cause: str, amount: int, now_ns: int, out: Outbox, *, is_last: bool = False
    ) -> None:
        if self._ledger.set(scope, cause, amount, is_last=is_last):
            for entry in self._hosts:
                if bears_on(scope, entry.ctx.config):
                    self._publish_demotion(entry, now_ns, out)

    def _publish_demotion(self, entry: HostEntry, now_ns: int, out: Outbox) -> None:
        config = entry.ctx.config
        total, causes = self._ledger.total(config), self._ledger.causes(config)
        out.append(Publish(DemotionChange(key=entry.key, at_ns=now_ns, total=total, causes=causes)))
        has_handed_over = self._ledger.amount(entry.key, HANDED_OVER) != 0
        environment = structs.replace(
            entry.ctx.environment,
            has_handed_over=has_handed_over,
            is_last=self._ledger.makes_last(config),
            goes_last=self._goes_last(entry),
        )
        self._set_environment(entry, environment, now_ns, out)
        self._dispatch_to(entry.key, DemotionChanged(total), now_ns, out)

    def _restrict(self, scope: Scope, cause: str, restriction: Restriction | None, now_ns: int, out: Outbox) -> None:
        if self._restrictions.set(scope, cause, restriction):
            for entry in self._hosts:
                if bears_on(scope, entry.ctx.config):
                    self._publish_restriction(entry, now_ns, out)

    def _publish_restriction(self, entry: HostEntry, now_ns: int, out: Outbox) -> None:
        causes = self._restrictions.of(entry.ctx.config)
        restriction = strictest(causes)
        change = RestrictionChange(key=entry.key, at_ns=now_ns, restriction=restriction, causes=causes)
        out.append(Publish(change))
        self._dispatch_to(entry.key, RestrictionChanged(restriction), now_ns, out)

    def _demote_for_link(self, link: str, now_ns: int, out: Outbox) -> None:
        """Set the node's demotion to the sum over the hosts whose link is down. Source: carp.md 5.3, 6."""
        amount = sum(
            self._ifdown_factor(entry) for entry in self._hosts.peek_on(link) if not entry.ctx.environment.link_is_up
        )
        self._demote(None, f"interface {link} is down", amount, now_ns, out)

    def _ifdown_factor(self, entry: HostEntry) -> int:
        factor = self._settings.ifdown_demotion_factor
        return entry.ctx.config.dialect.link_down_demotion if factor is None else factor

    def _senderr_factor(self, entry: HostEntry) -> int:
        factor = self._settings.senderr_demotion_factor
        return entry.ctx.config.dialect.send_errors.demotion if factor is None else factor

    # Trouble

    def _on_transmit_report(self, event: TransmitReported, now_ns: int, out: Outbox) -> None:
        """Count sends per family: failures in a row demote the node, successes in a row end the demotion."""
        entry = self._hosts.get(event.key)
        if entry is None:
            return
        sends, budget = entry.sends, entry.ctx.config.dialect.send_errors
        times = len(self._hosts.peek_on(event.key.link)) if budget.times_hosts else 1
        # A host that failed before does not get three more intervals.
        limit = 1 if sends.distrust.failures else budget.failures * times
        is_bad = event.error is not None and sends.fail(event.family) >= limit
        is_well = event.error is None and sends.succeed(event.family, budget.successes)
        self._statistics_of(event.key.link).counts[Statistic.SEND_FAILED] += event.error is not None
        self._keep_send_account(entry, now_ns, out)
        self._dispatch_to(event.key, event, now_ns, out)
        if is_bad:
            if sends.distrust.until_ns is None:
                sends.distrust.fail(now_ns)
                entry.note_trust()
            self._demote(None, entry.trouble, self._senderr_factor(entry), now_ns, out)
        elif is_well:
            sends.distrust.succeed()
            entry.note_trust()
            self._demote(None, entry.trouble, 0, now_ns, out)
        if is_bad or is_well:
            self._keep_trust(entry, now_ns, out)

    def _keep_send_account(self, entry: HostEntry, now_ns: int, out: Outbox) -> None:
        """Send a host the families in which it cannot send, and whether it must ask for reports of sends."""
        sends = entry.sends
        environment = structs.replace(
            entry.ctx.environment,
            cannot_send=frozenset(sends.failing),
            wants_send_reports=not sends.is_clean,
        )
        self._set_environment(entry, environment, now_ns, out)

    def _on_actuation_report(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        """Distrust a host that cannot hold its addresses, until a hold succeeds or the time of distrust is over."""
        entry = self._hosts.get(event.key)
        if entry is None:
            return
        is_hold = event.action is Action.HOLD and event.epoch == entry.ctx.epoch
        self._dispatch_to(event.key, event, now_ns, out)
        if is_hold and event.error is None:
            entry.holds.succeed()
        elif is_hold:
            entry.holds.fail(now_ns)
        if is_hold:
            entry.note_trust()
            self._keep_trust(entry, now_ns, out)

    def _keep_trust(self, entry: HostEntry, now_ns: int, out: Outbox) -> None:
        """Set whether a host goes last, and demote it if it cannot hold its addresses."""
        cannot_hold = entry.holds.until_ns is not None
        self._demote(entry.key, NOT_HELD, FULL_DEMOTION if cannot_hold else 0, now_ns, out)
        environment = structs.replace(entry.ctx.environment, goes_last=self._goes_last(entry))
        self._set_environment(entry, environment, now_ns, out)
        self._settle(entry, now_ns, out)

    def _goes_last(self, entry: HostEntry) -> bool:
        """Return True if a host leaves the addresses to every other: it is not trusted, or a cause makes it last."""
        is_trusted = entry.holds.until_ns is None and entry.sends.distrust.until_ns is None
        return not is_trusted or self._ledger.makes_last(entry.ctx.config)

    def _trust_again(self, entry: HostEntry, now_ns: int, out: Outbox) -> None:
        """End the demotions whose time is over; the send errors of a MASTER end only when its sends succeed."""
        holds_end, sends_end = entry.holds.ends(now_ns), entry.sends.distrust.ends(now_ns)
        entry.note_trust()
        if sends_end and reactions.state(entry.ctx) is not State.MASTER:
            entry.sends.forget()
            self._keep_send_account(entry, now_ns, out)
            self._demote(None, entry.trouble, 0, now_ns, out)
        if holds_end or sends_end:
            self._keep_trust(entry, now_ns, out)
        if entry.external_changes.is_forgiven(now_ns):
            entry.note_trust()
            self._demote(entry.key, EXTERNALLY_CHANGED, 0, now_ns, out)

    # What administrators and other programs do to the addresses

    def _on_hand_over(self, event: HandOverAsked, now_ns: int, out: Outbox) -> None:
        """Hand the addresses of a MASTER over to the next host, and demote this one so that it does not preempt."""
        entry = self._hosts.get(event.key)
        if entry is not None and reactions.state(entry.ctx) is State.MASTER:
            # Demote last: a peer that preempts a demoted MASTER would hold the addresses before this host drops them.
            self._dispatch_to(event.key, event, now_ns, out)
            self._demote(event.key, HANDED_OVER, FULL_DEMOTION, now_ns, out)

    def _on_disturbance(self, event: AddressesDisturbed, now_ns: int, out: Outbox) -> None:
        """Repair an external change; a host whose addresses change too often is the last, so that any peer takes over.

        It repairs them until one does: there may be none.
        """
        entry = self._hosts.get(event.key)
        if entry is None:
            return
        external_changes = entry.external_changes
        is_too_often = external_changes.change(now_ns, self._settings.external_change_limit)
        entry.note_trust()
        if external_changes.is_to_be_published(now_ns):
            out.append(
                Publish(
                    AddressesChangedByOthers(
                        key=event.key, at_ns=now_ns, what=event.what, count=external_changes.in_all
                    )
                )
            )
        self._dispatch_to(event.key, event, now_ns, out)
        if is_too_often:
            self._demote(event.key, EXTERNALLY_CHANGED, FULL_DEMOTION, now_ns, out, is_last=True)
        self._settle(entry, now_ns, out)

    # Floods

    def _on_packets_read(self, reads: dict[str, int], now_ns: int, out: Outbox) -> None:
        """Judge every open link; during a flood update its filter, so that replayed packets do not pass."""
        # A counter that fell belongs to a socket that was opened again, which has no filter yet.
        reopened = [link for link in self._floods if link not in reads or reads[link] < self._reads[link]]
        for link in reopened:
            del self._floods[link]
            self._filters.pop(link, None)
        self._reads = reads
        for link, read in reads.items():
            self._judge_link(link, read, now_ns, out)

    def _judge_link(self, link: str, read: int, now_ns: int, out: Outbox) -> None:
        statistics = self._statistics.get(link)
        # Authentic advertisements with an expected counter are no flood, however many hosts send them.
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
            for entry in self._hosts.peek_on(link):
                change = FloodChange(key=entry.key, at_ns=now_ns, is_on=flood.is_on, rate=flood.rate, every=flood.every)
                out.append(Publish(change))

    def _renew_filter(self, link: str, flood: FloodDetector, out: Outbox) -> None:
        """Request the present filter of a link, unless it is in place; a refused one is requested again."""
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
        """Return the filter for a link: the digests of the advertisements that may come next, and the sample rates.

        The hosts of the link share the digests evenly, because the length of a filter in the kernel is limited.
        """
        hosts = self._hosts.peek_on(link)
        share = EXPECTED_MAX // max(len(hosts), 1)
        expected = [entry.codec.expected(min(share, WINDOW)) for entry in hosts]
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
        adverts = [effect.outgoing for effect in effects if isinstance(effect, Transmit)]
        for effect in () if _ROUTINE.issuperset(map(type, effects)) else effects:
            if isinstance(effect, Publish) and _is_takeover(effect.event):
                self._statistics_of(effect.event.key.link).counts[Statistic.PREEMPTED] += 1
        if adverts:
            for (link, family), count in Counter([(each.link, each.family) for each in adverts]).items():
                self._statistics_of(link).counts[_SENT[family]] += count


def _word(digest: bytes) -> int:
    return int.from_bytes(digest[:_WORD_LENGTH], "big")


def _is_takeover(event: Event) -> bool:
    return isinstance(event, StateChange) and event.new is State.MASTER


def _nothing_known(_what: object) -> None:
    """Return None."""
