"""All virtual hosts of a process behind one door: ``Engine.handle(input, now_ns) -> Step``.

The engine decodes and authenticates what was received, finds the machine it is for, keeps the demotion ledger, the
counters and the deadlines. It never raises for anything that came from the network or from the operating system; if
it raises, that is a bug of pycarp or of its caller.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import assert_never

from pycarp.core.deadlines import DeadlineIndex
from pycarp.core.demotion import DemotionLedger
from pycarp.core.effects import Effect, Publish, Step, Transmit
from pycarp.core.events import AdvertisementRejected, DemotionChange, Event, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AdminChanged,
    DatagramReceived,
    DemotionChanged,
    DemotionSet,
    Forced,
    Heard,
    HostAdded,
    HostInput,
    HostReconfigured,
    HostRemoved,
    Input,
    LinkChanged,
    Reconfigured,
    Removed,
    SettingsChanged,
    StateForced,
    SurroundingsChanged,
    TimePassed,
    TransmitReported,
)
from pycarp.core.machine import Machine, Outbox, Surroundings
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot, snapshot_of
from pycarp.core.speaker import Speaker
from pycarp.core.state import State
from pycarp.core.statistics import Statistic, Statistics
from pycarp.dialects.base import Claim, DestinationRule, TtlRule
from pycarp.errors import DecodeError
from pycarp.vocabulary import (
    ANY_ADDRESS,
    CARP_TTL,
    NS_PER_S,
    Address,
    Datagram,
    Family,
    HostKey,
    LinkFacts,
    family_of,
)
from pycarp.wire import advertisement as wire

REJECTION_INTERVAL_NS = 60 * NS_PER_S
"""How often at most one host reports advertisements that it could not authenticate."""

NOT_HELD_DEMOTION = 240
"""Demotion of a MASTER that cannot put its addresses on the interface: a peer that preempts shall have them."""

_VHID_AT = 1

_RECEIVED = {Family.IPV4: Statistic.RECEIVED_IPV4, Family.IPV6: Statistic.RECEIVED_IPV6}
_SENT = {Family.IPV4: Statistic.SENT_IPV4, Family.IPV6: Statistic.SENT_IPV6}


@dataclass(slots=True)
class _Account:
    """What the engine remembers about one host beside its machine."""

    speaker: Speaker
    machine: Machine
    send_failures: int = 0
    send_successes: int = 0
    rejected: int = 0
    rejected_in_all: int = 0
    reject_again_at_ns: int = 0

    def takes_part_in(self, family: Family) -> bool:
        """Say whether the host is up and shares addresses of a family. Source: carp.md 4.2, FreeBSD 10 to 13."""
        return self.machine.surroundings.are_ready and family in self.speaker.families

    def listens_to(self, datagram: Datagram) -> bool:
        """Say whether the host listens to the datagram's destination. Source: carp.md 4.2."""
        config = self.machine.config
        is_from_peer = not datagram.destination.is_multicast
        match config.dialect.destination:
            case DestinationRule.ANY:
                return True
            case DestinationRule.GROUP_OR_PEER:
                return not is_from_peer or bool(config.peers_in(datagram.family))
            case DestinationRule.KIND:
                return is_from_peer == bool(config.peers_in(datagram.family))
            case DestinationRule.GROUP_ONLY:
                return datagram.destination == config.group_of(datagram.family)
            case unknown:
                assert_never(unknown)

    @property
    def trouble(self) -> str:
        """The cause under which send errors of this host demote the node."""
        return f"send errors on {self.machine.key}"


class Engine:
    """The pure heart of pycarp; see the module's docstring.

    ``entropy`` returns 64 random bits and is the only nondeterminism beside ``now_ns``.
    """

    def __init__(self, *, entropy: Callable[[], int], settings: Settings | None = None) -> None:
        self._entropy = entropy
        self._settings = settings or Settings()
        self._accounts: dict[HostKey, _Account] = {}
        self._keys_on: dict[str, set[HostKey]] = {}
        self._links: dict[str, LinkFacts] = {}
        self._ledger = DemotionLedger()
        self._deadlines = DeadlineIndex()
        self._statistics: Statistics = Statistics()

    def handle(self, event: Input, now_ns: int) -> Step:
        """Take one input and return what to do about it.

        ``now_ns`` is monotonic. Perform the effects in order, then come back with ``TimePassed`` no later than the
        deadline.
        """
        out: Outbox = []
        self._dispatch(event, now_ns, out)
        self._count(out)
        return Step(tuple(out), self._deadlines.earliest_ns())

    def snapshot(self) -> EngineSnapshot:
        """Return an immutable view of everything; changes nothing."""
        return EngineSnapshot(
            hosts=tuple(self.host_snapshot(key) for key in self._accounts),
            settings=self._settings,
            demotion=self._ledger.node_total(),
            statistics=Statistics(self._statistics),
        )

    def host_snapshot(self, key: HostKey) -> HostSnapshot:
        """Return an immutable view of one host; KeyError when it is not, or no longer, here."""
        account = self._accounts[key]
        return snapshot_of(account.machine, self._ledger.causes(key), account.rejected_in_all)

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
            case HostReconfigured(config):
                self._tell(config.key, Reconfigured(config), now_ns, out)
            case HostRemoved(key):
                self._tell(key, Removed(), now_ns, out)
            case AdminChanged(key, is_up):
                self._on_admin(key, is_up, now_ns, out)
            case DemotionSet(key, cause, amount):
                self._demote(key, cause, amount, now_ns, out)
            case StateForced(key, state):
                self._tell(key, Forced(state), now_ns, out)
            case SettingsChanged(settings):
                self._on_settings(settings)
            case TransmitReported(key, error):
                self._on_transmit_report(key, error, now_ns, out)
            case ActuationReported():
                self._on_actuation_report(event, now_ns, out)
            case _:
                assert_never(event)

    def _tell(self, key: HostKey, event: HostInput, now_ns: int, out: Outbox) -> None:
        """Let one machine react, and keep its deadline; late news of a host that is gone is dropped."""
        account = self._accounts.get(key)
        if account is None:
            return
        account.machine.react(event, now_ns, out)
        self._deadlines.note(key, account.machine.deadline_ns)
        if account.machine.has_departed:
            del self._accounts[key]
            self._keys_on[key.link].discard(key)
            self._ledger.forget(key)
            self._demote(None, account.trouble, 0, now_ns, out)

    # Receiving

    def _on_datagram(self, datagram: Datagram, now_ns: int, out: Outbox) -> None:
        """Judge a datagram in the order of the kernels, then let the machine hear it. Source: carp.md 4.2."""
        if not self._is_for_us(datagram):
            return
        self._statistics[_RECEIVED[datagram.family]] += 1
        if not self._settings.allow:
            return
        verdict = self._judge(datagram)
        if isinstance(verdict, Statistic):
            self._statistics[verdict] += 1
            return
        account, advert = verdict
        machine = account.machine
        if not account.speaker.accepts(advert):
            self._statistics[Statistic.BAD_AUTHENTICATION] += 1
            self._report_rejection(account, datagram.source, now_ns, out)
            return
        if account.speaker.is_echo(advert, datagram.source, self._own_address(machine, datagram.family)):
            self._statistics[Statistic.BAD_INTERFACE] += 1
            return
        account.speaker.adopt(advert)
        claim = Claim(advbase=advert.advbase, advskew=advert.advskew, demote=advert.demote)
        self._tell(machine.key, Heard(claim, datagram.source, datagram.family), now_ns, out)

    def _is_for_us(self, datagram: Datagram) -> bool:
        """Say whether a datagram reaches CARP at all: one to a single host only where unicast is listened to."""
        if datagram.destination.is_multicast:
            return True
        facts = self._links.get(datagram.link)
        if facts is None or datagram.destination not in [own.ip for own in facts.addresses]:
            return False
        return any(self._accounts[key].listens_to(datagram) for key in self._keys_on.get(datagram.link, ()))

    def _judge(self, datagram: Datagram) -> Statistic | tuple[_Account, wire.Advertisement]:
        """Return what the datagram is to be counted as, or the host it is for and what it says."""
        if not self._keys_on.get(datagram.link):
            return Statistic.BAD_INTERFACE
        if datagram.ttl != CARP_TTL and not self._may_have_been_routed(datagram):
            return Statistic.BAD_TTL
        try:
            advert = wire.decode(datagram.payload)
        except DecodeError:
            return Statistic.BAD_LENGTH
        if wire.checksum_form(datagram.payload, pseudo_header=_pseudo_header(datagram)) is None:
            return Statistic.BAD_CHECKSUM
        account = self._accounts.get(HostKey(datagram.link, advert.vhid))
        if account is None or not account.takes_part_in(datagram.family) or not account.listens_to(datagram):
            return Statistic.UNKNOWN_VHID
        if advert.version != wire.VERSION:
            return Statistic.BAD_VERSION
        return account, advert

    def _may_have_been_routed(self, datagram: Datagram) -> bool:
        """Say whether a TTL below 255 is no fault: the packet came to us alone, and its vhid does not mind."""
        if datagram.destination.is_multicast or len(datagram.payload) < wire.LENGTH:
            return False
        account = self._accounts.get(HostKey(datagram.link, datagram.payload[_VHID_AT]))
        return account is not None and account.machine.config.dialect.ttl is TtlRule.NOT_FROM_PEERS

    def _own_address(self, machine: Machine, family: Family) -> Address | None:
        own = machine.surroundings.sources[family]
        return None if own == ANY_ADDRESS[family] else own

    def _report_rejection(self, account: _Account, source: Address, now_ns: int, out: Outbox) -> None:
        account.rejected += 1
        account.rejected_in_all += 1
        if now_ns < account.reject_again_at_ns:
            return
        key = account.machine.key
        out.append(Publish(AdvertisementRejected(key=key, at_ns=now_ns, source=source, count=account.rejected)))
        account.rejected = 0
        account.reject_again_at_ns = now_ns + REJECTION_INTERVAL_NS

    # Time, links, hosts

    def _on_time(self, now_ns: int, out: Outbox) -> None:
        for key in self._deadlines.pop_due(now_ns):
            self._tell(key, TimePassed(), now_ns, out)

    def _on_link(self, facts: LinkFacts, now_ns: int, out: Outbox) -> None:
        self._links[facts.name] = facts
        keys = sorted(self._keys_on.get(facts.name, ()))
        sources = self._sources_on(facts.name)
        for key in keys:
            surroundings = self._accounts[key].machine.surroundings
            surroundings.sources = sources
            if surroundings.link_is_up != facts.is_up:
                surroundings.link_is_up = facts.is_up
                self._tell(key, SurroundingsChanged(), now_ns, out)

    def _on_added(self, config: HostConfig, now_ns: int, out: Outbox) -> None:
        key = config.key
        assert key not in self._accounts, f"{key} was added twice"
        facts = self._links.get(key.link)
        surroundings = Surroundings(
            link_is_up=facts is not None and facts.is_up,
            sources=dict(ANY_ADDRESS),
            node_preempts=self._settings.preempt,
            demotion=self._ledger.total(key),
        )
        speaker = Speaker(config, self._entropy)
        account = self._accounts[key] = _Account(speaker, Machine(config, speaker, surroundings))
        self._keys_on.setdefault(key.link, set()).add(key)
        surroundings.sources = self._sources_on(key.link)
        account.machine.begin(now_ns, out)
        self._tell(key, SurroundingsChanged(), now_ns, out)

    def _on_admin(self, key: HostKey, is_up: bool, now_ns: int, out: Outbox) -> None:  # noqa: FBT001
        if key in self._accounts:
            self._accounts[key].machine.surroundings.admin_is_up = is_up
            self._tell(key, SurroundingsChanged(), now_ns, out)

    def _on_settings(self, settings: Settings) -> None:
        self._settings = settings
        for account in self._accounts.values():
            account.machine.surroundings.node_preempts = settings.preempt

    def _sources_on(self, link: str) -> dict[Family, Address]:
        """Return the source of advertisements by family: the link's first address that no host shares, if any."""
        facts = self._links.get(link)
        keys = self._keys_on.get(link, ())
        shared = {each.ip for key in keys for each in self._accounts[key].machine.config.shared}
        sources = dict(ANY_ADDRESS)
        for own in reversed(facts.addresses if facts else ()):
            if own.ip not in shared:
                sources[family_of(own)] = own.ip
        return sources

    # Demotion

    def _demote(self, key: HostKey | None, cause: str, amount: int, now_ns: int, out: Outbox) -> None:
        if not self._ledger.set(key, cause, amount):
            return
        affected = list(self._accounts) if key is None else [key]
        for each in affected:
            account = self._accounts.get(each)
            if account is None:
                continue
            total = self._ledger.total(each)
            account.machine.surroundings.demotion = total
            out.append(Publish(DemotionChange(key=each, at_ns=now_ns, total=total, causes=self._ledger.causes(each))))
            self._tell(each, DemotionChanged(), now_ns, out)

    def _on_transmit_report(self, key: HostKey, error: str | None, now_ns: int, out: Outbox) -> None:
        account = self._accounts.get(key)
        if account is None:
            return
        budget = account.machine.config.dialect.send_errors
        if error is None:
            account.send_failures = 0
            account.send_successes += 1
            if account.send_successes == budget.successes:
                self._demote(None, account.trouble, 0, now_ns, out)
            return
        self._statistics[Statistic.SEND_FAILED] += 1
        account.send_successes = 0
        account.send_failures += 1
        if account.send_failures == budget.failures:
            self._demote(None, account.trouble, budget.demotion, now_ns, out)

    def _on_actuation_report(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        account = self._accounts.get(event.key)
        if account is None:
            return
        self._tell(event.key, event, now_ns, out)
        if event.action is Action.HOLD and event.epoch == account.machine.epoch:
            amount = 0 if event.error is None else NOT_HELD_DEMOTION
            self._demote(event.key, "addresses not held", amount, now_ns, out)

    def _count(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Transmit):
                self._statistics[_SENT[effect.outgoing.family]] += 1
            elif isinstance(effect, Publish) and _is_takeover(effect.event):
                self._statistics[Statistic.PREEMPTED] += 1


def _pseudo_header(datagram: Datagram) -> bytes:
    if isinstance(datagram.source, IPv6Address) and isinstance(datagram.destination, IPv6Address):
        return wire.pseudo_header_of(datagram.source, datagram.destination)
    return b""


def _is_takeover(event: Event) -> bool:
    return isinstance(event, StateChange) and event.new is State.MASTER
