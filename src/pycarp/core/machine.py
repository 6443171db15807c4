"""One virtual host: the reaction table and the only place where its state changes.

Every pair of state and input has its entry in ``REACTIONS``; doing nothing is an entry as well. Sources of the
rules are the sections of the protocol reference, ``docs/reference/carp.md``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pycarp.core.effects import Announce, DropAddresses, Effect, HoldAddresses, Publish, Transmit
from pycarp.core.events import ActuationFailed, Departed, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    DemotionChanged,
    Forced,
    Heard,
    HostInput,
    Reconfigured,
    Removed,
    SurroundingsChanged,
    TimePassed,
)
from pycarp.core.speaker import Speaker
from pycarp.core.state import EDGES, Backup, Init, Master, Phase, Reason, State, state_of
from pycarp.dialects.base import Claim, Tie, Verdict
from pycarp.vocabulary import Address, Family, HostKey
from pycarp.wire.advertisement import BOW_OUT

_BOW_OUT_CLAIM = Claim(advbase=BOW_OUT, advskew=BOW_OUT)

Outbox = list[Effect]


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What the engine knows on behalf of a machine; it writes them before it says that they changed."""

    link_is_up: bool
    sources: dict[Family, Address]
    admin_is_up: bool = True
    node_preempts: bool = False
    demotion: int = 0

    @property
    def are_ready(self) -> bool:
        """Whether the host may take part. Source: carp.md 5.3."""
        return self.link_is_up and self.admin_is_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who was heard last, and what it claimed."""

    source: Address
    claim: Claim
    at_ns: int


class Machine:
    """The state of one virtual host; reacts to inputs by appending effects."""

    def __init__(self, config: HostConfig, speaker: Speaker, surroundings: Surroundings) -> None:
        self.config = config
        self.surroundings = surroundings
        self.epoch = 0
        self.last_change: StateChange | None = None
        self.peer: Peer | None = None
        self._speaker = speaker
        self._phase: Phase = Init()

    @property
    def key(self) -> HostKey:
        """The host's key."""
        return self.config.key

    @property
    def state(self) -> State:
        """The state now."""
        return state_of(self._phase)

    @property
    def claim(self) -> Claim:
        """What the host advertises, demotion included; the same value is used in comparisons."""
        return self.config.dialect.claim(self.config.advbase, self.config.advskew, self.surroundings.demotion)

    @property
    def deadline_ns(self) -> int | None:
        """When the machine must be told that time has passed; None in INIT."""
        match self._phase:
            case Init():
                return None
            case Backup(master_down_at_ns=deadlines):
                return min(deadlines.values())
            case Master(advertise_at_ns=at_ns):
                return at_ns

    @property
    def has_departed(self) -> bool:
        """True once a removed host has nothing left to wait for."""
        return isinstance(self._phase, Init) and self._phase.is_final and self._phase.leaving_epoch is None

    def begin(self, now_ns: int, out: Outbox) -> None:
        """Tell that the host exists, in INIT; called once, before anything else."""
        self._publish_change(State.INIT, Reason.ADDED, now_ns, out)

    def react(self, event: HostInput, now_ns: int, out: Outbox) -> None:
        """Apply one input: change the state, append effects."""
        REACTIONS[self.state, type(event)](self, event, now_ns, out)

    # Transitions

    def _enter(self, phase: Phase, reason: Reason, now_ns: int, out: Outbox) -> None:
        """Walk an edge: the only place where the state changes."""
        old, new = self.state, state_of(phase)
        assert reason in EDGES[old, new], f"{old} -> {new} ({reason})"
        self._phase = phase
        self.epoch += 1
        if new is State.MASTER:
            self._transmit(self.claim, out)
            out.append(HoldAddresses(self.key, self.epoch, self.config.shared))
        else:
            out.append(DropAddresses(self.key, self.epoch, self.config.shared))
        self._publish_change(old, reason, now_ns, out)

    def _publish_change(self, old: State, reason: Reason, now_ns: int, out: Outbox) -> None:
        self.last_change = StateChange(
            key=self.key,
            at_ns=now_ns,
            old=old,
            new=self.state,
            reason=reason,
            epoch=self.epoch,
            peer=self.peer.source if self.peer else None,
            silent_ns=now_ns - self.peer.at_ns if self.peer else None,
        )
        out.append(Publish(self.last_change))

    def _become_backup(self, reason: Reason, now_ns: int, out: Outbox) -> None:
        down_at_ns = now_ns + self._master_down_ns
        self._enter(Backup(dict.fromkeys(self._speaker.families, down_at_ns)), reason, now_ns, out)

    def _become_master(self, reason: Reason, now_ns: int, out: Outbox) -> None:
        phase = Master(since_ns=now_ns, advertise_at_ns=now_ns + self.claim.interval_ns)
        self._enter(phase, reason, now_ns, out)

    def _leave(self, reason: Reason, now_ns: int, out: Outbox) -> None:
        """Go to INIT; the report of the drop releases the bow-out, if one is due."""
        owes_bow_out = self.state is State.MASTER and self.config.dialect.bows_out
        if isinstance(self._phase, Init):
            owes_bow_out = self._phase.owes_bow_out
        phase = Init(leaving_epoch=self.epoch + 1, owes_bow_out=owes_bow_out, is_final=reason is Reason.REMOVED)
        self._enter(phase, reason, now_ns, out)

    # INIT

    def _init_surroundings(self, _event: SurroundingsChanged, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Init)
        if self.surroundings.are_ready and self._phase.leaving_epoch is None and not self._phase.is_final:
            self._become_backup(Reason.READY, now_ns, out)

    def _init_actuated(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Init)
        if event.error is not None:
            self._publish_failure(event, now_ns, out)
            return
        if event.epoch != self._phase.leaving_epoch:
            return
        if self._phase.owes_bow_out and self.surroundings.link_is_up:
            self._transmit(_BOW_OUT_CLAIM, out)
        self._phase = Init(is_final=self._phase.is_final)
        if self.has_departed:
            out.append(Publish(Departed(key=self.key, at_ns=now_ns)))
        else:
            self._init_surroundings(SurroundingsChanged(), now_ns, out)

    # BACKUP

    def _backup_hears(self, event: Heard, now_ns: int, out: Outbox) -> None:
        """Apply the tests of carp.md 5.1 in their order."""
        assert isinstance(self._phase, Backup)
        self.peer = Peer(source=event.source, claim=event.claim, at_ns=now_ns)
        preempts = self.config.preempt or self.surroundings.node_preempts
        dialect = self.config.dialect
        if preempts and dialect.compare(self.claim, event.claim) is Verdict.STRONGER:
            self._become_master(Reason.PREEMPTING, now_ns, out)
        elif self._tolerated_ns < event.claim.interval_ns:
            left = event.claim == _BOW_OUT_CLAIM
            self._become_master(Reason.MASTER_LEFT if left else Reason.MASTER_TOO_SLOW, now_ns, out)
        else:
            self._phase.master_down_at_ns[event.family] = now_ns + self._master_down_ns

    def _backup_time(self, _event: TimePassed, now_ns: int, out: Outbox) -> None:
        assert self.deadline_ns is not None
        if self.deadline_ns <= now_ns:
            self._become_master(Reason.MASTER_SILENT, now_ns, out)

    def _backup_reconfigured(self, event: Reconfigured, _now_ns: int, _out: Outbox) -> None:
        assert isinstance(self._phase, Backup)
        before_ns = self._master_down_ns
        self.config = event.config
        later_ns = self._master_down_ns - before_ns
        for family in self._phase.master_down_at_ns:
            self._phase.master_down_at_ns[family] += later_ns

    def _backup_forced(self, event: Forced, now_ns: int, out: Outbox) -> None:
        if event.state is State.MASTER:
            self._become_master(Reason.FORCED, now_ns, out)

    # MASTER

    def _master_hears(self, event: Heard, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Master)
        self.peer = Peer(source=event.source, claim=event.claim, at_ns=now_ns)
        verdict = self.config.dialect.compare(self.claim, event.claim)
        if verdict is Verdict.STRONGER or (verdict is Verdict.TIE and self._keeps_on_tie(event, now_ns)):
            self._reassert(out)
            return
        if self.config.dialect.farewell:
            self._transmit(self.claim, out)
        self._become_backup(Reason.BETTER_MASTER, now_ns, out)

    def _keeps_on_tie(self, event: Heard, now_ns: int) -> bool:
        assert isinstance(self._phase, Master)
        tie = Tie(
            our_source=self.surroundings.sources[event.family],
            their_source=event.source,
            reign_ns=now_ns - self._phase.since_ns,
        )
        return self.config.dialect.keeps_on_tie(tie)

    def _reassert(self, out: Outbox) -> None:
        """Announce again, unless the addresses are not ours yet or a repetition is already due."""
        assert isinstance(self._phase, Master)
        if self.config.dialect.reasserts and self._phase.is_held and self._phase.announce_in is None:
            self._announce(out)
            self._phase.announce_in = self.config.dialect.announce_again_after

    def _master_time(self, _event: TimePassed, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Master)
        if self._phase.advertise_at_ns <= now_ns:
            self._advertise(now_ns, self._phase.advertise_at_ns, out)

    def _master_claim_changed(self, event: DemotionChanged | Reconfigured, now_ns: int, out: Outbox) -> None:
        """Tell the new claim at once: peers must not wait an interval for it. Source: carp.md 6.1."""
        if isinstance(event, Reconfigured):
            self.config = event.config
        self._advertise(now_ns, now_ns, out)

    def _advertise(self, now_ns: int, due_ns: int, out: Outbox) -> None:
        """Send, and plan the next one an interval after this was due, or after now if that has passed already."""
        assert isinstance(self._phase, Master)
        self._transmit(self.claim, out)
        interval_ns = self.claim.interval_ns
        self._phase.advertise_at_ns = due_ns + interval_ns if due_ns + interval_ns > now_ns else now_ns + interval_ns
        if self._phase.announce_in is not None:
            self._phase.announce_in -= 1
            if self._phase.announce_in <= 0:
                self._phase.announce_in = None
                self._announce(out)

    def _master_forced(self, event: Forced, now_ns: int, out: Outbox) -> None:
        if event.state is State.BACKUP:
            self._become_backup(Reason.FORCED, now_ns, out)

    def _master_actuated(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        """Announce once the addresses are ours: no ARP for an address that we lack."""
        assert isinstance(self._phase, Master)
        if event.error is not None:
            self._publish_failure(event, now_ns, out)
        elif event.epoch == self.epoch and event.action is Action.HOLD:
            self._phase.is_held = True
            self._phase.announce_in = self.config.dialect.announce_again_after
            self._announce(out)

    # Any state

    def _ignore(self, _event: HostInput, _now_ns: int, _out: Outbox) -> None:
        """Do nothing, on purpose."""

    def _unready(self, _event: SurroundingsChanged, now_ns: int, out: Outbox) -> None:
        if not self.surroundings.are_ready:
            reason = Reason.LINK_DOWN if self.surroundings.admin_is_up else Reason.ADMIN_DOWN
            self._leave(reason, now_ns, out)

    def _store_config(self, event: Reconfigured, _now_ns: int, _out: Outbox) -> None:
        self.config = event.config

    def _removed(self, _event: Removed, now_ns: int, out: Outbox) -> None:
        self._leave(Reason.REMOVED, now_ns, out)

    def _actuation_failed(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        if event.error is not None:
            self._publish_failure(event, now_ns, out)

    # Leaves

    @property
    def _master_down_ns(self) -> int:
        return self.config.dialect.master_down_ns(self.config.advbase, self.config.advskew, self.config.dead_ratio)

    @property
    def _tolerated_ns(self) -> int:
        return self.config.dialect.tolerated_ns(self.config.advbase, self.config.advskew, self.config.dead_ratio)

    def _transmit(self, claim: Claim, out: Outbox) -> None:
        adverts = self._speaker.compose(claim, self.surroundings.sources)
        out.extend(Transmit(self.key, advert) for advert in adverts)

    def _announce(self, out: Outbox) -> None:
        out.append(Announce(self.key, self.epoch, self.config.shared, self.config.dialect.arp))

    def _publish_failure(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        assert event.error is not None
        failure = ActuationFailed(key=self.key, at_ns=now_ns, action=event.action, error=event.error)
        out.append(Publish(failure))


_Reaction = Callable[..., None]

REACTIONS: Mapping[tuple[State, type[HostInput]], _Reaction] = {
    (State.INIT, Heard): Machine._ignore,
    (State.INIT, TimePassed): Machine._ignore,
    (State.INIT, SurroundingsChanged): Machine._init_surroundings,
    (State.INIT, DemotionChanged): Machine._ignore,
    (State.INIT, Reconfigured): Machine._store_config,
    (State.INIT, Forced): Machine._ignore,
    (State.INIT, ActuationReported): Machine._init_actuated,
    (State.INIT, Removed): Machine._removed,
    (State.BACKUP, Heard): Machine._backup_hears,
    (State.BACKUP, TimePassed): Machine._backup_time,
    (State.BACKUP, SurroundingsChanged): Machine._unready,
    (State.BACKUP, DemotionChanged): Machine._ignore,
    (State.BACKUP, Reconfigured): Machine._backup_reconfigured,
    (State.BACKUP, Forced): Machine._backup_forced,
    (State.BACKUP, ActuationReported): Machine._actuation_failed,
    (State.BACKUP, Removed): Machine._removed,
    (State.MASTER, Heard): Machine._master_hears,
    (State.MASTER, TimePassed): Machine._master_time,
    (State.MASTER, SurroundingsChanged): Machine._unready,
    (State.MASTER, DemotionChanged): Machine._master_claim_changed,
    (State.MASTER, Reconfigured): Machine._master_claim_changed,
    (State.MASTER, Forced): Machine._master_forced,
    (State.MASTER, ActuationReported): Machine._master_actuated,
    (State.MASTER, Removed): Machine._removed,
}
"""What each state makes of each input; total, and tested to be."""
