"""One virtual host behind one function: the table of how each state reacts to each input.

``REACTIONS`` has an entry for every pair of a state and an input, also where the state does nothing. Advertisements go
to ``receive``, which stores the decision.
"""

from collections.abc import Callable, Mapping

from pycarp.auth.counter_prediction import Freshness
from pycarp.auth.reply import Reply
from pycarp.core.calm import Calm
from pycarp.core.events import DecisionChange
from pycarp.core.host import backup, init, master
from pycarp.core.host.context import Context, Outbox
from pycarp.core.host.decision import PUBLISH_AGAIN_NS, SHOWN_BY_TRANSITIONS, Peer, remember
from pycarp.core.host.states import Backup, Init, Master, StateData
from pycarp.core.host.transitions import leave, leave_unless_ready, master_down_ns, publish_change, state_of
from pycarp.core.inputs import (
    ActuationReported,
    AddressesDisturbed,
    AdvertisementReceived,
    DemotionChanged,
    EnvironmentChanged,
    HandOverAsked,
    HostInput,
    HostReconfigured,
    HostRemoved,
    RestrictionChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.routine import routine_of
from pycarp.core.state import Reason, State
from pycarp.core.statistics import LinkStatistics, Statistic
from pycarp.vocabulary import Datagram, Family

_COUNTER = slice(8, 16)


def begin(ctx: Context, now_ns: int, out: Outbox) -> None:
    """Publish that the host exists, in INIT; called once, before anything else."""
    ctx.now_ns, ctx.out = now_ns, out
    publish_change(ctx, State.INIT, Reason.ADDED)


def react(ctx: Context, event: HostInput, now_ns: int, out: Outbox) -> None:
    """Apply one input: change the state, append effects."""
    ctx.now_ns, ctx.out, ctx.routine = now_ns, out, None
    if isinstance(event, EnvironmentChanged):
        ctx.environment = event.environment
    REACTIONS[type(ctx.state), type(event)](ctx, ctx.state, event)


def repeat(ctx: Context, now_ns: int, out: Outbox) -> int | None:
    """Let a MASTER repeat its advertisement and return when it is due again; None, with no change, for anything else.

    Called when time has passed; ``react`` would have the same result.
    """
    if ctx.routine is not None and (due_ns := ctx.routine.repeat(now_ns, out)) is not None:
        return due_ns
    ctx.now_ns, ctx.out = now_ns, out
    state = ctx.state
    due_ns = master.repeat(ctx, state) if isinstance(state, Master) else None
    if due_ns is not None and isinstance(state, Master):
        ctx.routine = routine_of(ctx, state)
    return due_ns


def receive(ctx: Context, event: AdvertisementReceived, now_ns: int, out: Outbox) -> bool:
    """Apply an advertisement and store the decision about it.

    Return True if the followed MASTER repeated its claim, which only postpones a deadline.
    """
    ctx.now_ns, ctx.out, ctx.routine = now_ns, out, None
    if event.claim.is_bow_out:
        # A guardian sends a bow-out that was signed some time ago, so its counter is an old one; but it sends it once.
        event = event._replace(is_expected=event.is_expected or event.counter not in ctx.bow_outs)
        ctx.note_bow_out(event.counter)
    peer = ctx.peers.get((event.source, event.family))
    if peer is None:
        peer = Peer(source=event.source, family=event.family, claim=event.claim, counter=event.counter, at_ns=now_ns)
        remember(ctx.peers, peer)
        is_same = False
    else:
        # Nearly always the same object, which is quicker to see.
        is_same = peer.claim is event.claim or peer.claim == event.claim
        if peer.counter == event.counter and now_ns - peer.at_ns < ctx.config.dialect.takeover_listen_ns:
            event = event._replace(is_copy=peer.claim == event.claim)
        peer.claim, peer.counter, peer.at_ns = event.claim, event.counter, now_ns
    peer.has_left = event.claim.is_bow_out or event.reply is Reply.FAREWELL
    state = ctx.state
    if isinstance(state, Backup):
        if is_same and backup.goes_on(ctx, state, event, peer):
            return True
        decision = backup.received(ctx, state, event, peer)
    elif isinstance(state, Master):
        decision = master.received(ctx, state, event, peer)
    else:
        return False
    if decision is not peer.decision or decision is not peer.published:
        peer.decision = decision
        _publish_decision(ctx, peer)
    return False


def calm_of(ctx: Context, datagram: Datagram, head: bytes, statistics: LinkStatistics, received: Statistic) -> Calm:
    """Return the expected next advertisement of the followed MASTER, which has just repeated its claim."""
    peer, state = ctx.peers[datagram.source, datagram.family], ctx.state
    assert isinstance(state, Backup)
    down_ns = master_down_ns(ctx, peer.claim)
    return Calm(ctx, ctx.key, head, peer.source, datagram.destination, peer, down_ns, state, statistics, received)


def is_calm(ctx: Context, calm: Mapping[Family, Calm]) -> bool:
    """Return True if the host still follows the MASTERs of ``calm``."""
    state = ctx.state
    return isinstance(state, Backup) and all(
        state.followed.get(family) is each.peer.source for family, each in calm.items()
    )


def receive_repeated(calm: Calm, payload: bytes, now_ns: int, waited_ns: int) -> bool:
    """Postpone the deadline of a calm host because its MASTER repeated its claim.

    The ``payload`` has the right head and checksum. Return False and change nothing if it is to be processed in full:
    it is not authentic or not the next one, or this process has stalled.
    """
    ctx, state, peer, statistics = calm.ctx, calm.state, calm.peer, calm.statistics
    waiting = state.master_down_at_ns
    if now_ns > min(waiting.values()) and not backup.is_in_time(ctx, state, now_ns, waited_ns):
        return False
    counter = int.from_bytes(payload[_COUNTER], "big")
    freshness = ctx.codec.hears_next(counter, payload)
    if freshness is None:
        return False
    statistics.counts[calm.received] += 1
    if freshness is Freshness.REPEATED:
        statistics.repeated += 1
    else:
        statistics.fresh += 1
    peer.counter, peer.at_ns = counter, now_ns - waited_ns
    down_at_ns = peer.at_ns + calm.down_ns
    if down_at_ns > waiting.get(peer.family, 0):
        waiting[peer.family] = down_at_ns
    return True


def _publish_decision(ctx: Context, peer: Peer) -> None:
    """Publish a new decision, unless a transition shows it or the last one was published less than a second ago."""
    if peer.decision.name in SHOWN_BY_TRANSITIONS or peer.decision is peer.published:
        return
    if ctx.now_ns >= peer.publish_again_at_ns:
        peer.published, peer.publish_again_at_ns = peer.decision, ctx.now_ns + PUBLISH_AGAIN_NS
        ctx.publish(
            DecisionChange(key=ctx.key, at_ns=ctx.now_ns, source=peer.source, claim=peer.claim, decision=peer.decision)
        )


def turn_at_ns(ctx: Context) -> int | None:
    """Return when a MASTER will advertise, or a BACKUP take over unless a MASTER advertises.

    None in INIT, and for a BACKUP that must not be MASTER.
    """
    if ctx.is_backup_only:
        return None
    return ctx.state.speaks_at_ns if isinstance(ctx.state, Master) else ctx.state.deadline_ns


def holds_addresses(ctx: Context) -> bool:
    """Return whether a MASTER has asked for its addresses, so that it owes signs of life."""
    return isinstance(ctx.state, Master) and not ctx.state.takeover.is_pending


def has_departed(ctx: Context) -> bool:
    """Return True once a removed host has nothing left to wait for."""
    return isinstance(ctx.state, Init) and ctx.state.is_final and ctx.state.leaving_epoch is None


def state(ctx: Context) -> State:
    """Return the state now."""
    return state_of(ctx.state)


def _ignore(_ctx: Context, _state: StateData, _event: HostInput) -> None:
    """Do nothing, on purpose."""


def _store_demotion(ctx: Context, _state: StateData, event: DemotionChanged) -> None:
    ctx.set_demotion(event.total)


def _store_restriction(ctx: Context, _state: StateData, event: RestrictionChanged) -> None:
    ctx.restriction = event.restriction


def _leave_unless_ready(ctx: Context, _state: StateData, _event: EnvironmentChanged) -> None:
    leave_unless_ready(ctx)


def _remove(ctx: Context, _state: StateData, _event: HostRemoved) -> None:
    leave(ctx, Reason.REMOVED)


_Reaction = Callable[..., None]

REACTIONS: Mapping[tuple[type[StateData], type[HostInput]], _Reaction] = {
    (Init, TimePassed): _ignore,
    (Init, EnvironmentChanged): init.environment_changed,
    (Init, DemotionChanged): _store_demotion,
    (Init, RestrictionChanged): _store_restriction,
    (Init, HostReconfigured): init.reconfigured,
    (Init, StateForced): _ignore,
    (Init, ActuationReported): init.actuated,
    (Init, HandOverAsked): _ignore,
    (Init, AddressesDisturbed): init.disturbed,
    (Init, TransmitReported): _ignore,
    (Init, HostRemoved): _remove,
    (Backup, TimePassed): backup.time_passed,
    (Backup, EnvironmentChanged): backup.environment_changed,
    (Backup, DemotionChanged): backup.demotion_changed,
    (Backup, RestrictionChanged): backup.restriction_changed,
    (Backup, HostReconfigured): backup.reconfigured,
    (Backup, StateForced): backup.forced,
    (Backup, ActuationReported): backup.actuated,
    (Backup, HandOverAsked): _ignore,
    (Backup, AddressesDisturbed): backup.disturbed,
    (Backup, TransmitReported): _ignore,
    (Backup, HostRemoved): _remove,
    (Master, TimePassed): master.time_passed,
    (Master, EnvironmentChanged): _leave_unless_ready,
    (Master, DemotionChanged): master.demotion_changed,
    (Master, RestrictionChanged): master.restriction_changed,
    (Master, HostReconfigured): master.reconfigured,
    (Master, StateForced): master.forced,
    (Master, ActuationReported): master.actuated,
    (Master, HandOverAsked): master.handed_over,
    (Master, AddressesDisturbed): master.disturbed,
    (Master, TransmitReported): master.sent,
    (Master, HostRemoved): _remove,
}
"""How each state reacts to each input except advertisements; complete, and tested to be."""
