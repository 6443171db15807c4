"""One virtual host: the reaction table and the only place where its state changes.

Every pair of state and input has its entry in ``REACTIONS``; doing nothing is an entry as well. Sources of the
rules are the sections of the protocol reference, ``docs/reference/carp.md``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pycarp.core.effects import (
    Announce,
    DropAddresses,
    Effect,
    HoldAddresses,
    ProlongAddresses,
    Publish,
    Transmit,
)
from pycarp.core.events import ActuationFailed, ConflictWon, Departed, MasterHeard, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    DemotionChanged,
    Disturbed,
    Forced,
    HandedOver,
    Heard,
    HostInput,
    Reconfigured,
    Removed,
    Sent,
    SurroundingsChanged,
    TimePassed,
)
from pycarp.core.precaution import precaution_of
from pycarp.core.speaker import Speaker, source_for
from pycarp.core.state import EDGES, OF_THE_LIVING, Backup, Init, Master, Phase, Reason, Rival, State, copy_of, state_of
from pycarp.dialects.base import Claim, Farewell, Tie, Verdict
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, Family, HostKey, Interface
from pycarp.wire.advertisement import BOW_OUT

_BOW_OUT_CLAIM = Claim(advbase=BOW_OUT, advskew=BOW_OUT)

_TELL_AGAIN_NS = NS_PER_S
"""How often at most a BACKUP tells of another MASTER."""

_SETTLING_NS = NS_PER_S // 10
"""How long after a takeover advertisements of the one that was relieved are no conflict."""

_ANSWER_AGAIN_NS = NS_PER_S // 10
"""How often at most a MASTER answers weaker ones: replayed packets must not make it flood the segment."""

_ANNOUNCE_AGAIN_NS = NS_PER_S // 50
"""When the winner of a conflict announces once more: by then the loser has dropped, and is silent."""

Outbox = list[Effect]


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What the engine knows on behalf of a machine; it writes them before it says that they changed.

    ``own`` are the link's addresses that no host shares, in the order of preference for a source. A host ``is_mute`` as
    long as its advertisements cannot be sent.
    """

    link_is_up: bool
    own: tuple[Address, ...]
    admin_is_up: bool = True
    node_preempts: bool = False
    is_mute: bool = False
    wants_send_reports: bool = False

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineMemento:
    """Everything that a machine knows, shared with nobody; see ``core/memento.py``."""

    config: HostConfig
    surroundings: Surroundings
    epoch: int
    last_change: StateChange | None
    peer: Peer | None
    demotion: int
    former: tuple[Interface, ...]
    phase: Phase


class Machine:
    """The state of one virtual host; reacts to inputs by appending effects."""

    def __init__(self, config: HostConfig, speaker: Speaker, surroundings: Surroundings, *, demotion: int = 0) -> None:
        self.config = config
        self.surroundings = surroundings
        self.epoch = 0
        self.last_change: StateChange | None = None
        self.peer: Peer | None = None
        self._speaker = speaker
        self._demotion = demotion
        self._precaution = precaution_of(config)
        self._former: tuple[Interface, ...] = ()
        self._phase: Phase = Init()

    @classmethod
    def from_memento(cls, memento: MachineMemento, speaker: Speaker) -> "Machine":
        """Return a machine that goes on where another one made its memento."""
        made = cls(memento.config, speaker, replace(memento.surroundings), demotion=memento.demotion)
        made.epoch = memento.epoch
        made.last_change = memento.last_change
        made.peer = memento.peer
        made._former = memento.former
        made._phase = copy_of(memento.phase)
        return made

    def memento(self) -> MachineMemento:
        """Return everything that another machine needs to go on from here."""
        return MachineMemento(
            config=self.config,
            surroundings=replace(self.surroundings),
            epoch=self.epoch,
            last_change=self.last_change,
            peer=self.peer,
            demotion=self._demotion,
            former=self._former,
            phase=copy_of(self._phase),
        )

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
        return self.config.dialect.claim(self.config.advbase, self.config.advskew, self._demotion)

    @property
    def deadline_ns(self) -> int | None:
        """When the machine must be told that time has passed; None in INIT."""
        return self._phase.deadline_ns if isinstance(self._phase, Master) else self.turn_at_ns

    @property
    def turn_at_ns(self) -> int | None:
        """When the host will advertise as MASTER, or take over as BACKUP unless somebody speaks; None in INIT."""
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
        if new is State.MASTER:
            self._transmit(self.claim, now_ns, out)
        if isinstance(phase, Master) and phase.hold_at_ns is not None:
            self.epoch += 1
        self._actuate(now_ns, out, leave_alone=reason is Reason.READY and not self._drops_at_start)
        self._publish_change(old, reason, now_ns, out)

    def _actuate(self, now_ns: int, out: Outbox, *, leave_alone: bool = False, anew: bool = False) -> None:
        """Raise the epoch and ask for what the state and the addresses of now demand, those shared before included.

        Not while somebody is given time to drop them: then the hold that comes asks for what is to be by then.
        """
        if isinstance(self._phase, Master) and self._phase.hold_at_ns is not None:
            return
        self.epoch += 1
        if isinstance(self._phase, Master):
            self._hold(now_ns, out, anew=anew)
        elif not leave_alone:
            out.append(DropAddresses(self.key, self.epoch, self.config.shared + self._former, anew))

    def _hold(self, now_ns: int, out: Outbox, *, anew: bool = False) -> None:
        """Ask for the addresses; nothing is announced until they are reported to be here, as for the first time."""
        assert isinstance(self._phase, Master)
        self._phase.is_held, self._phase.announce_in, self._phase.announce_at_ns = False, None, None
        own = self.surroundings.own
        bow_out = self._speaker.compose_will(_BOW_OUT_CLAIM, own, now_ns) if self.config.dialect.bows_out else ()
        precaution = replace(self._precaution, bow_out=bow_out)
        out.append(HoldAddresses(self.key, self.epoch, self.config.shared, self._former, anew, precaution))

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

    def _become_backup(
        self, reason: Reason, now_ns: int, out: Outbox, *, owes_farewell: bool = False, to: Heard | None = None
    ) -> None:
        down_at_ns = now_ns + self._master_down_ns
        phase = Backup(dict.fromkeys(self._speaker.awaited(now_ns), down_at_ns))
        phase.farewell_epoch = self.epoch + 1 if owes_farewell else None
        if reason is Reason.ABSENT:
            phase.listens_until_ns = now_ns + self.config.dialect.courtesy_ns
        if to is not None:
            phase.better[to.family] = phase.latest[to.family] = Rival(to.source, to.claim.interval_ns, now_ns)
        self._enter(phase, reason, now_ns, out)

    def _become_master(self, reason: Reason, now_ns: int, out: Outbox) -> None:
        phase = Master(
            since_ns=now_ns,
            advertised_at_ns=now_ns,
            alive_at_ns=now_ns,
            advertise_at_ns=now_ns + self.claim.interval_ns,
            was_alive_at_ns=now_ns,
        )
        courtesy_ns = self.config.dialect.courtesy_ns
        if reason in OF_THE_LIVING and courtesy_ns and self.peer and now_ns - self.peer.at_ns < self._master_down_ns:
            phase.hold_at_ns = now_ns + courtesy_ns
            phase.awaited.add(self.peer.source)
        elif reason is Reason.MASTER_LEFT and self.config.dialect.contention_ns:
            phase.hold_at_ns = now_ns + self.config.dialect.contention_ns
        self._enter(phase, reason, now_ns, out)
        self._plan_prolonging(now_ns)

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
        self._forget_former(event)
        if event.epoch != self._phase.leaving_epoch:
            return
        if self._phase.owes_bow_out and self.surroundings.link_is_up:
            self._transmit(_BOW_OUT_CLAIM, now_ns, out)
        self._phase = Init(is_final=self._phase.is_final)
        if self.has_departed:
            out.append(Publish(Departed(key=self.key, at_ns=now_ns)))
        else:
            self._init_surroundings(SurroundingsChanged(), now_ns, out)

    # BACKUP

    def _backup_hears(self, event: Heard, now_ns: int, out: Outbox) -> None:
        """Apply the tests of carp.md 5.1; its second comes first, which changes no outcome but names the reason.

        And a bow-out is told from a claim to preempt: whoever sent it has dropped the addresses already.
        """
        assert isinstance(self._phase, Backup)
        if self.config.dialect.heeds_better and self._leaves_it_to_others(event, now_ns):
            return
        self.peer = Peer(source=event.source, claim=event.claim, at_ns=now_ns)
        preempts = self.config.preempt or self.surroundings.node_preempts
        dialect = self.config.dialect
        is_bow_out = event.claim == _BOW_OUT_CLAIM and self._tolerated_ns < event.claim.interval_ns
        if self._was_late(now_ns):
            preempts = False
            if is_bow_out:
                # Somebody who heard it in time is MASTER by now, and has said so in a packet behind this one.
                self._phase.master_down_at_ns[event.family] = self._phase.listens_until_ns
                return
        if is_bow_out:
            self._become_master(Reason.MASTER_LEFT, now_ns, out)
        elif dialect.relieves_demoted and event.claim.demote > self.claim.demote:
            self._become_master(Reason.MASTER_DEMOTED, now_ns, out)
        elif preempts and dialect.compare(self.claim, event.claim) is Verdict.STRONGER:
            self._become_master(Reason.PREEMPTING, now_ns, out)
        elif self._tolerated_ns < event.claim.interval_ns:
            self._become_master(Reason.MASTER_TOO_SLOW, now_ns, out)
        else:
            self._tell_master(event, now_ns, out)
            self._phase.master_down_at_ns[event.family] = now_ns + self._master_down_ns
            self._follow_families(now_ns)

    def _was_late(self, now_ns: int) -> bool:
        """Say whether what is heard may be old: the process stood still when it should have taken over, or just did."""
        assert isinstance(self._phase, Backup)
        assert self.turn_at_ns is not None
        courtesy_ns = self.config.dialect.courtesy_ns
        if courtesy_ns and now_ns > self.turn_at_ns + courtesy_ns:
            self._phase.listens_until_ns = now_ns + courtesy_ns
        return now_ns < self._phase.listens_until_ns

    def _leaves_it_to_others(self, event: Heard, now_ns: int) -> bool:
        """Say whether a weaker MASTER, or the end of one, is not our business: another one is there to see to it."""
        assert isinstance(self._phase, Backup)
        phase, family = self._phase, event.family
        if event.claim == _BOW_OUT_CLAIM:
            return self._is_no_vacancy(event, now_ns)
        if self.config.dialect.compare(self.claim, event.claim) is Verdict.STRONGER:
            if self._rival(phase.better, event, now_ns) is not None:
                # Should that one have died since, this one is MASTER, and only who preempts takes over from it.
                phase.master_down_at_ns[family] = now_ns + self._master_down_ns
                return True
            phase.better.pop(family, None)
        else:
            phase.better[family] = Rival(event.source, event.claim.interval_ns, now_ns)
        phase.latest[family] = Rival(event.source, event.claim.interval_ns, now_ns)
        return False

    def _is_no_vacancy(self, event: Heard, now_ns: int) -> bool:
        """Say whether another MASTER was heard lately than the one that bows out; it has an interval to show itself."""
        assert isinstance(self._phase, Backup)
        phase, family = self._phase, event.family
        rival = self._rival(phase.latest, event, now_ns) or self._rival(phase.better, event, now_ns)
        if rival is None:
            phase.better.pop(family, None)
            return False
        shown_at_ns = now_ns + rival.interval_ns + self.config.advskew * NS_PER_SKEW
        phase.master_down_at_ns[family] = min(phase.master_down_at_ns.get(family, shown_at_ns), shown_at_ns)
        return True

    def _rival(self, known: Mapping[Family, Rival], event: Heard, now_ns: int) -> Rival | None:
        """Return who is known in the family, if that is somebody else who may live."""
        rival = known.get(event.family)
        if rival is None or rival.source == event.source or now_ns - rival.at_ns >= self._master_down_ns:
            return None
        return rival

    def _tell_master(self, event: Heard, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Backup)
        is_other = event.source != self._phase.masters.get(event.family)
        if is_other and now_ns >= self._phase.tell_again_at_ns:
            self._phase.masters[event.family] = event.source
            self._phase.tell_again_at_ns = now_ns + _TELL_AGAIN_NS
            out.append(Publish(MasterHeard(key=self.key, at_ns=now_ns, source=event.source, claim=event.claim)))

    def _follow_families(self, now_ns: int) -> None:
        """Wait for the families that peers advertise now: a change of the addresses may have added or removed one."""
        assert isinstance(self._phase, Backup)
        waiting = self._phase.master_down_at_ns
        families = self._speaker.awaited(now_ns)
        if tuple(waiting) != families:
            down_at_ns = now_ns + self._master_down_ns
            self._phase.master_down_at_ns = {family: waiting.get(family, down_at_ns) for family in families}

    def _backup_time(self, _event: TimePassed, now_ns: int, out: Outbox) -> None:
        assert self.deadline_ns is not None
        if self.deadline_ns <= now_ns:
            self._become_master(Reason.MASTER_SILENT, now_ns, out)

    def _backup_reconfigured(self, event: Reconfigured, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Backup)
        before_ns = self._master_down_ns
        self._reconfigure(event, now_ns, out)
        later_ns = self._master_down_ns - before_ns
        for family, down_at_ns in self._phase.master_down_at_ns.items():
            if down_at_ns + later_ns > now_ns:
                self._phase.master_down_at_ns[family] = down_at_ns + later_ns
            else:
                # A MASTER that was in time must not be late because we are less patient than it could know.
                self._phase.master_down_at_ns[family] = min(down_at_ns, now_ns + self._master_down_ns)
        self._follow_families(now_ns)

    def _backup_forced(self, event: Forced, now_ns: int, out: Outbox) -> None:
        if event.state is State.MASTER:
            self._become_master(Reason.FORCED, now_ns, out)

    # MASTER

    def _master_hears(self, event: Heard, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Master)
        self.peer = Peer(source=event.source, claim=event.claim, at_ns=now_ns)
        verdict = self.config.dialect.compare(self.claim, event.claim)
        if verdict is Verdict.STRONGER or (verdict is Verdict.TIE and self._keeps_on_tie(event, now_ns)):
            if self._was_absent(now_ns):
                self._become_backup(Reason.ABSENT, now_ns, out)
            else:
                self._answer(event, now_ns, out)
            return
        farewell = self.config.dialect.farewell
        if farewell is Farewell.BEFORE:
            self._transmit(self.claim, now_ns, out)
        owes_farewell = farewell is Farewell.DROPPED and verdict is Verdict.WEAKER
        self._become_backup(Reason.BETTER_MASTER, now_ns, out, owes_farewell=owes_farewell, to=event)

    def _keeps_on_tie(self, event: Heard, now_ns: int) -> bool:
        assert isinstance(self._phase, Master)
        tie = Tie(
            our_source=source_for(event.source, self.surroundings.own),
            their_source=event.source,
            reign_ns=now_ns - self._phase.since_ns,
        )
        return self.config.dialect.keeps_on_tie(tie)

    def _was_absent(self, now_ns: int) -> bool:
        """Say whether we gave no sign of life for so long that a peer may rightly have taken over."""
        assert isinstance(self._phase, Master)
        return now_ns - self._phase.alive_at_ns >= self._precaution.patience_ns

    def _answer(self, event: Heard, now_ns: int, out: Outbox) -> None:
        """Tell a weaker MASTER at once that we are one, and who listens that the addresses are here."""
        assert isinstance(self._phase, Master)
        dialect = self.config.dialect
        if self._phase.hold_at_ns is not None:
            self._await(event.source, now_ns, out)
        is_conflict = event.claim != _BOW_OUT_CLAIM and now_ns - self._phase.since_ns > _SETTLING_NS
        if is_conflict:
            self._tell_conflict(event, now_ns, out)
        if is_conflict and dialect.answers_weaker and now_ns >= self._phase.answer_again_at_ns:
            self._phase.answer_again_at_ns = now_ns + _ANSWER_AGAIN_NS
            self._advertise(now_ns, now_ns, out)
        # Not while the addresses are not ours yet, nor while a repetition is already due.
        if dialect.reasserts and self._phase.is_held and self._phase.announce_in is None:
            self._announce(now_ns, out)
            self._phase.announce_in = dialect.announce_again_after
            if is_conflict and dialect.answers_weaker:
                self._phase.announce_at_ns = now_ns + _ANNOUNCE_AGAIN_NS

    def _await(self, source: Address, now_ns: int, out: Outbox) -> None:
        """Hold when all have bidden farewell, which says that they have dropped; wait for another one that turns up."""
        assert isinstance(self._phase, Master)
        awaited = self._phase.awaited
        if source not in awaited:
            awaited.add(source)
            # Not from now on: strangers must not be able to put it off for ever.
            self._phase.hold_at_ns = self._phase.since_ns + self.config.dialect.courtesy_ns
            if now_ns >= self._phase.answer_again_at_ns:
                # It may have come too late to hear us.
                self._phase.answer_again_at_ns = now_ns + _ANSWER_AGAIN_NS
                self._advertise(now_ns, now_ns, out)
            return
        awaited.discard(source)
        if not awaited:
            self._phase.hold_at_ns = max(now_ns, self._phase.since_ns + self.config.dialect.contention_ns)
            self._master_time(TimePassed(), now_ns, out)

    def _tell_conflict(self, event: Heard, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Master)
        if now_ns >= self._phase.conflict_until_ns:
            out.append(Publish(ConflictWon(key=self.key, at_ns=now_ns, source=event.source, claim=event.claim)))
        self._phase.conflict_until_ns = now_ns + self._master_down_ns

    def _master_time(self, _event: TimePassed, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Master)
        phase = self._phase
        if phase.hold_at_ns is not None and phase.hold_at_ns <= now_ns:
            phase.hold_at_ns = None
            self._hold(now_ns, out)
        if phase.advertise_at_ns <= now_ns:
            was_absent = self._was_absent(now_ns)
            self._advertise(now_ns, phase.advertise_at_ns, out)
            if was_absent and not self.surroundings.is_mute:
                # Nobody has taken over meanwhile, but what holds the addresses may have given us up.
                self._actuate(now_ns, out, anew=True)
        elif phase.prolong_at_ns is not None and phase.prolong_at_ns <= now_ns:
            self._prolong(now_ns, out)
        if phase.announce_at_ns is not None and phase.announce_at_ns <= now_ns:
            self._announce(now_ns, out)

    def _master_demoted(self, event: DemotionChanged, now_ns: int, out: Outbox) -> None:
        """Tell a weaker claim at once: peers must not wait an interval for it. Source: carp.md 6.1, 6.2."""
        before = self.claim
        self._demotion = event.total
        is_weaker = self.config.dialect.compare(self.claim, before) is Verdict.WEAKER
        if is_weaker or self.config.dialect.tells_relief:
            self._advertise_anew(now_ns, out)

    def _master_reconfigured(self, event: Reconfigured, now_ns: int, out: Outbox) -> None:
        """Stay MASTER, whatever changes: kernels bounce through BACKUP and lose three seconds (carp.md 5.3)."""
        self._reconfigure(event, now_ns, out)
        self._advertise_anew(now_ns, out)

    def _advertise_anew(self, now_ns: int, out: Outbox) -> None:
        """Say at once what is claimed now; but after an absence first hear what has waited: it may be over."""
        assert isinstance(self._phase, Master)
        if self._was_absent(now_ns):
            self._phase.advertise_at_ns = now_ns
        else:
            self._advertise(now_ns, now_ns, out)

    def _advertise(self, now_ns: int, due_ns: int, out: Outbox) -> None:
        """Send, and plan the next one an interval after this was due, or after now if that has passed already."""
        assert isinstance(self._phase, Master)
        self._transmit(self.claim, now_ns, out)
        interval_ns = self.claim.interval_ns
        self._phase.advertised_at_ns = now_ns
        self._phase.advertise_at_ns = due_ns + interval_ns if due_ns + interval_ns > now_ns else now_ns + interval_ns
        self._prolong(now_ns, out)
        if self._phase.announce_in is not None:
            self._phase.announce_in -= 1
            if self._phase.announce_in <= 0:
                self._phase.announce_in = None
                self._announce(now_ns, out)

    def _prolong(self, now_ns: int, out: Outbox) -> None:
        """Give a sign of life to what would drop the addresses in our stead."""
        assert isinstance(self._phase, Master)
        if not self.surroundings.is_mute:
            self._live(now_ns)
        if self._phase.hold_at_ns is None and not self.surroundings.is_mute:
            out.append(ProlongAddresses(self.key, self.config.shared, self._precaution.lifetime_s))
        self._plan_prolonging(now_ns)

    def _live(self, now_ns: int) -> None:
        assert isinstance(self._phase, Master)
        self._phase.was_alive_at_ns, self._phase.alive_at_ns = self._phase.alive_at_ns, now_ns

    def _master_sent(self, _event: Sent, now_ns: int, out: Outbox) -> None:
        """Count only what went out as a sign of life: who is not heard is given up, here as well as by the peers."""
        assert isinstance(self._phase, Master)
        if self.surroundings.is_mute:
            self._phase.alive_at_ns = self._phase.was_alive_at_ns
            return
        was_absent = self._was_absent(now_ns)
        self._live(now_ns)
        if was_absent:
            self._actuate(now_ns, out, anew=True)

    def _plan_prolonging(self, now_ns: int) -> None:
        """Plan a sign of life before the next advertisement if that comes late, and peers would not mind."""
        assert isinstance(self._phase, Master)
        since_ns, until_ns = now_ns - self._phase.advertised_at_ns, self._phase.advertise_at_ns - now_ns
        pause_ns = self._precaution.pause_ns(since_ns, until_ns)
        self._phase.prolong_at_ns = None if pause_ns is None else now_ns + pause_ns

    def _master_forced(self, event: Forced, now_ns: int, out: Outbox) -> None:
        if event.state is State.BACKUP:
            self._become_backup(Reason.FORCED, now_ns, out)

    def _master_actuated(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        """Announce once the addresses are ours: no ARP for an address that we lack."""
        assert isinstance(self._phase, Master)
        if event.error is not None:
            self._publish_failure(event, now_ns, out)
        elif event.epoch == self.epoch and event.action is Action.HOLD:
            self._forget_former(event)
            self._phase.is_held = True
            self._phase.announce_in = self.config.dialect.announce_again_after
            self._announce(now_ns, out)

    def _master_handed_over(self, _event: HandedOver, now_ns: int, out: Outbox) -> None:
        """Leave as if set down, then be BACKUP again: no peer takes over before the addresses are dropped."""
        self._leave(Reason.HANDED_OVER, now_ns, out)

    # Any state

    def _ignore(self, _event: HostInput, _now_ns: int, _out: Outbox) -> None:
        """Do nothing, on purpose."""

    def _unready(self, _event: SurroundingsChanged, now_ns: int, out: Outbox) -> None:
        if not self.surroundings.are_ready:
            reason = Reason.LINK_DOWN if self.surroundings.admin_is_up else Reason.ADMIN_DOWN
            self._leave(reason, now_ns, out)

    def _store_demotion(self, event: DemotionChanged, _now_ns: int, _out: Outbox) -> None:
        self._demotion = event.total

    def _init_reconfigured(self, event: Reconfigured, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Init)
        is_leaving = self._phase.leaving_epoch == self.epoch
        self._reconfigure(event, now_ns, out)
        if is_leaving:
            self._phase.leaving_epoch = self.epoch

    def _init_disturbed(self, event: Disturbed, now_ns: int, out: Outbox) -> None:
        assert isinstance(self._phase, Init)
        is_leaving = self._phase.leaving_epoch == self.epoch
        self._disturbed(event, now_ns, out)
        if is_leaving:
            self._phase.leaving_epoch = self.epoch

    def _disturbed(self, _event: Disturbed, now_ns: int, out: Outbox) -> None:
        """See to the addresses anew; what was achieved is not true any more.

        A MASTER that was absent first learns who is one now.
        """
        if not (isinstance(self._phase, Master) and self._was_absent(now_ns)):
            self._actuate(now_ns, out, anew=True)

    def _reconfigure(self, event: Reconfigured, now_ns: int, out: Outbox) -> None:
        """Take over new settings; other addresses begin a new epoch, with what is no longer shared to be dropped.

        So does what else the guardian of a MASTER must know: how patient to be, and how to sign the bow-out.
        """
        before, self.config = self.config, event.config
        former_precaution, self._precaution = self._precaution, precaution_of(event.config)
        self._speaker.reconfigure(event.config, now_ns, rolling_ns=event.rolling_ns)
        if set(before.shared) != set(event.config.shared):
            once = (*before.shared, *self._former)
            self._former = tuple(each for each in dict.fromkeys(once) if each not in event.config.shared)
            self._actuate(now_ns, out)
        elif isinstance(self._phase, Master) and (
            self._precaution != former_precaution or event.config.secret != before.secret
        ):
            self._actuate(now_ns, out)

    def _removed(self, _event: Removed, now_ns: int, out: Outbox) -> None:
        self._leave(Reason.REMOVED, now_ns, out)

    def _backup_actuated(self, event: ActuationReported, now_ns: int, out: Outbox) -> None:
        if event.error is not None:
            self._publish_failure(event, now_ns, out)
            return
        self._forget_former(event)
        assert isinstance(self._phase, Backup)
        if event.epoch == self._phase.farewell_epoch:
            self._phase.farewell_epoch = None
            self._transmit(self.claim, now_ns, out)

    def _forget_former(self, event: ActuationReported) -> None:
        """Forget addresses that were shared before, once the actuation of now has dropped them."""
        if event.epoch == self.epoch:
            self._former = ()

    # Leaves

    @property
    def _master_down_ns(self) -> int:
        return self.config.dialect.master_down_ns(self.config.advbase, self.config.advskew, self.config.dead_ratio)

    @property
    def _tolerated_ns(self) -> int:
        return self.config.dialect.tolerated_ns(self.config.advbase, self.config.advskew, self.config.dead_ratio)

    @property
    def _drops_at_start(self) -> bool:
        return self.config.dialect.drops_at_start and not self.config.neutral

    def _transmit(self, claim: Claim, now_ns: int, out: Outbox) -> None:
        adverts = self._speaker.compose(claim, self.surroundings.own, now_ns)
        out.extend(Transmit(self.key, advert, self.surroundings.wants_send_reports) for advert in adverts)

    def _announce(self, now_ns: int, out: Outbox) -> None:
        """Announce, and plan to do so again when the host repeats it while nothing happens."""
        assert isinstance(self._phase, Master)
        refresh_s = self.config.refresh_s
        self._phase.announce_at_ns = now_ns + self._speaker.jittered(refresh_s * NS_PER_S) if refresh_s else None
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
    (State.INIT, DemotionChanged): Machine._store_demotion,
    (State.INIT, Reconfigured): Machine._init_reconfigured,
    (State.INIT, Forced): Machine._ignore,
    (State.INIT, ActuationReported): Machine._init_actuated,
    (State.INIT, HandedOver): Machine._ignore,
    (State.INIT, Disturbed): Machine._init_disturbed,
    (State.INIT, Sent): Machine._ignore,
    (State.INIT, Removed): Machine._removed,
    (State.BACKUP, Heard): Machine._backup_hears,
    (State.BACKUP, TimePassed): Machine._backup_time,
    (State.BACKUP, SurroundingsChanged): Machine._unready,
    (State.BACKUP, DemotionChanged): Machine._store_demotion,
    (State.BACKUP, Reconfigured): Machine._backup_reconfigured,
    (State.BACKUP, Forced): Machine._backup_forced,
    (State.BACKUP, ActuationReported): Machine._backup_actuated,
    (State.BACKUP, HandedOver): Machine._ignore,
    (State.BACKUP, Disturbed): Machine._disturbed,
    (State.BACKUP, Sent): Machine._ignore,
    (State.BACKUP, Removed): Machine._removed,
    (State.MASTER, Heard): Machine._master_hears,
    (State.MASTER, TimePassed): Machine._master_time,
    (State.MASTER, SurroundingsChanged): Machine._unready,
    (State.MASTER, DemotionChanged): Machine._master_demoted,
    (State.MASTER, Reconfigured): Machine._master_reconfigured,
    (State.MASTER, Forced): Machine._master_forced,
    (State.MASTER, ActuationReported): Machine._master_actuated,
    (State.MASTER, HandedOver): Machine._master_handed_over,
    (State.MASTER, Disturbed): Machine._disturbed,
    (State.MASTER, Sent): Machine._master_sent,
    (State.MASTER, Removed): Machine._removed,
}
"""What each state makes of each input; total, and tested to be."""
