"""BACKUP: the host follows a MASTER, and takes over when the MASTER is silent, leaves, or may be preempted.

The tests of an advertisement are those of carp.md 5.1. Dialects with the hand-shake of ``takeover.py`` add two rules.
This host ignores a weaker MASTER while it hears a better one. It does not take over after a bow-out while it hears
another MASTER. In all dialects it takes over from nobody after a stall because of packets that waited in the socket: a
kernel has no such queue.

A host that is restricted (``core/restriction.py``) preempts nobody, or takes over in no case. It still follows the
MASTERs, so that it knows what to do when the restriction ends.
"""

from msgspec.structs import replace

from pycarp.auth.reply import Reply
from pycarp.core.events import MasterHeard
from pycarp.core.host.context import Context
from pycarp.core.host.decision import Decision, Peer, last_heard, live_masters, name_of
from pycarp.core.host.states import Backup
from pycarp.core.host.transitions import OLD_PACKETS_NS, become_master, leave_unless_ready, master_down_ns
from pycarp.core.inputs import (
    ActuationReported,
    AddressesDisturbed,
    AdvertisementReceived,
    DemotionChanged,
    EnvironmentChanged,
    HostReconfigured,
    RestrictionChanged,
    StateForced,
    TimePassed,
)
from pycarp.core.state import Reason, State
from pycarp.dialects.dialect import Claim, Verdict
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, Family

_PUBLISH_AGAIN_NS = NS_PER_S
"""The shortest time between two ``MasterHeard`` events."""


def goes_on(ctx: Context, state: Backup, event: AdvertisementReceived, peer: Peer) -> bool:
    """Postpone a deadline and return True if the followed MASTER repeats its claim.

    Nearly every received advertisement is such a repetition. The decision of the last time holds, unless this process
    stalled or a change of the signed settings is under way. The time counts from the arrival, as on the short way.
    """
    family, now_ns = event.family, ctx.now_ns
    if state.followed.get(family) != peer.source or event.reply is not None or ctx.codec.is_rolling:
        return False
    if not is_in_time(ctx, state, now_ns, event.waited_ns):
        # This process stalled past a takeover: the packet may have waited in the socket, so it is judged in full.
        return False
    state.followed[family] = peer.source
    postpone(state, peer, now_ns - event.waited_ns, master_down_ns(ctx, event.claim))
    return True


def is_in_time(ctx: Context, state: Backup, now_ns: int, waited_ns: int) -> bool:
    """Return True if an advertisement that waited arrived before every deadline, and this process has not stalled.

    What waits in the kernel is read when a deadline comes, so a moment after it.
    """
    late_ns = now_ns - state.deadline_ns
    return late_ns <= 0 or (late_ns <= waited_ns and late_ns <= ctx.config.dialect.yield_grace_ns)


def postpone(state: Backup, peer: Peer, at_ns: int, down_ns: int) -> None:
    """Postpone the deadline of a family, as ``receive_repeated`` does: its MASTER repeated its claim at ``at_ns``."""
    waiting, family, down_at_ns = state.master_down_at_ns, peer.family, at_ns + down_ns
    peer.at_ns = at_ns
    if down_at_ns > waiting.get(family, 0):
        waiting[family] = down_at_ns


def received(ctx: Context, state: Backup, event: AdvertisementReceived, peer: Peer) -> Decision:
    """Apply an advertisement and return the decision."""
    family, now_ns = event.family, ctx.now_ns
    state.followed.pop(family, None)
    may_be_old = _may_be_old(ctx, state)
    # A bow-out and a farewell say that the sender leaves; their claims must not be compared with ours.
    if event.claim.is_bow_out:
        return _bow_out_received(ctx, state, event, may_be_old=may_be_old)
    if event.reply is Reply.FAREWELL:
        return Decision.SENDER_LEFT
    dialect = ctx.config.dialect
    verdict = dialect.compare(ctx.claim, event.claim)
    if verdict is Verdict.STRONGER and dialect.defers_to_better_master and _better_is_heard(ctx, event):
        # If the better one has died since, the weaker one is MASTER, and only a host that preempts takes over from it.
        state.master_down_at_ns[family] = now_ns + master_down_ns(ctx, event.claim)
        return Decision.LEFT_TO_BETTER
    reason = _reason_to_take_over(ctx, event, verdict)
    if reason is not None and may_be_old:
        # Whatever the reason: who sent this may be dead by now, with its addresses still there.
        _follow(ctx, state, event)
        return Decision.MAY_BE_OLD
    if reason is not None:
        become_master(ctx, reason, peer=peer)
        return Decision.TAKES_OVER
    decision = Decision.FOLLOWS_MASTER
    if verdict is Verdict.STRONGER:
        decision = _why_left(ctx)
    _publish_master(ctx, state, event, peer)
    _follow(ctx, state, event)
    # An old packet, or a MASTER not yet published, must not open the short way of goes_on: it publishes nothing.
    if not may_be_old and state.announced.get(family) == event.source:
        state.followed[family] = peer.source
    return decision


def _reason_to_take_over(ctx: Context, event: AdvertisementReceived, verdict: Verdict) -> Reason | None:
    """Return why an advertisement makes this host take over, else None. Source: carp.md 5.1, tests in another order."""
    if ctx.environment.goes_last or ctx.is_backup_only:
        return None
    # Before the claims: OpenBSD compares the demote octet first (carp.md 5.1).
    if ctx.config.dialect.preempts_demoted and event.claim.demote > ctx.claim.demote:
        return Reason.MASTER_DEMOTED
    preempts = ctx.wants_preempt and ctx.restriction is None
    if verdict is Verdict.STRONGER and preempts:
        return Reason.PREEMPTING
    if _is_too_slow(ctx, event.claim) and not _is_left_alone(ctx, verdict):
        return Reason.MASTER_TOO_SLOW
    return None


def _is_too_slow(ctx: Context, claim: Claim) -> bool:
    """Return True if a MASTER claims a longer interval than this host tolerates. Source: carp.md 5.1."""
    return ctx.config.tolerated_ns < claim.interval_ns


def _why_left(ctx: Context) -> Decision:
    """Return why this host does not preempt a weaker MASTER."""
    if ctx.is_backup_only:
        return Decision.BACKUP_ONLY
    if ctx.environment.goes_last:
        return Decision.LEFT_TO_OTHERS
    return Decision.HANDED_OVER if ctx.environment.has_handed_over else Decision.NOT_PREEMPTING


def _is_left_alone(ctx: Context, verdict: Verdict) -> bool:
    """Return True if this host is demoted too, so that it would advertise no faster than a MASTER that is too slow."""
    return bool(ctx.config.dialect.yield_grace_ns) and verdict is not Verdict.STRONGER


def _bow_out_received(ctx: Context, state: Backup, event: AdvertisementReceived, *, may_be_old: bool) -> Decision:
    """Take over from a MASTER that bowed out, unless another host is MASTER or should be."""
    family = event.family
    peer = ctx.peers[event.source, family]
    if ctx.config.tolerated_ns >= event.claim.interval_ns:
        # A receiver with so long an interval takes a bow-out for an ordinary advertisement. Source: carp.md 5.3.
        _follow(ctx, state, event)
        return Decision.FOLLOWS_MASTER
    if ctx.is_backup_only:
        return Decision.BACKUP_ONLY
    if ctx.config.dialect.defers_to_better_master:
        # A MASTER that is last has no place to keep: it yields to every host that takes over.
        live = _live_others(ctx, event.source)
        others = [each for each in live if each.family is family and not _is_too_slow(ctx, each.claim)]
        if others:
            other = max(others, key=lambda each: each.at_ns)
            # The other one may have died since, and its kernel keeps the addresses until the fastest peer takes over.
            fastest_ns = ctx.config.dialect.master_down_ns(other.claim.advbase, 0, ctx.config.dead_ratio)
            free_at_ns = max(ctx.now_ns + other.claim.interval_ns, other.at_ns + fastest_ns)
            _wait_for_others(ctx, state, event.family, free_at_ns)
            return Decision.NO_VACANCY
        if ctx.environment.goes_last:
            _wait_for_others(ctx, state, event.family, ctx.now_ns + ctx.interval_ns)
            return Decision.LEFT_TO_OTHERS
    if may_be_old:
        # A host that heard the bow-out in time is MASTER by now; its advertisement is behind this one in the socket.
        state.master_down_at_ns[family] = state.listens_until_ns
        return Decision.STALE_BOW_OUT
    doubted = None if event.is_expected else event.source
    become_master(ctx, Reason.MASTER_LEFT, peer=peer, doubted=doubted)
    return Decision.TAKES_OVER


def _wait_for_others(ctx: Context, state: Backup, family: Family, free_at_ns: int) -> None:
    """Plan to take over at ``free_at_ns`` plus this host's skew, unless another MASTER advertises before."""
    shown_at_ns = free_at_ns + ctx.config.advskew * NS_PER_SKEW
    planned_ns = state.master_down_at_ns.get(family, shown_at_ns)
    state.master_down_at_ns[family] = min(planned_ns, shown_at_ns)


def _better_is_heard(ctx: Context, event: AdvertisementReceived) -> bool:
    """Return True if this host hears a MASTER beside the sender, in any family, that is not weaker than itself."""
    compare = ctx.config.dialect.compare
    return any(compare(ctx.claim, peer.claim) is not Verdict.STRONGER for peer in _live_others(ctx, event.source))


def _live_others(ctx: Context, source: Address) -> list[Peer]:
    known = live_masters(ctx.peers, ctx.now_ns, master_down_ns(ctx))
    return [peer for peer in known if peer.source != source]


def _may_be_old(ctx: Context, state: Backup) -> bool:
    """Return True after a stall, while received packets may have waited in the socket.

    A stall is recognised by the takeover that should have happened before.
    """
    if ctx.now_ns > state.deadline_ns + OLD_PACKETS_NS:
        state.listens_until_ns = ctx.now_ns + OLD_PACKETS_NS
    return ctx.now_ns < state.listens_until_ns


def _publish_master(ctx: Context, state: Backup, event: AdvertisementReceived, peer: Peer) -> None:
    """Publish ``MasterHeard`` if the MASTER is another one than before, once for both families of one host."""
    is_other = event.source != state.announced.get(event.family)
    if is_other and ctx.now_ns >= state.publish_again_at_ns:
        state.announced[event.family] = event.source
        name = name_of(ctx.peers, peer)
        if name != state.published:
            # Forged sources could change the name with each packet, so the event is limited to one per second.
            state.published = name
            state.publish_again_at_ns = ctx.now_ns + _PUBLISH_AGAIN_NS
            ctx.publish(MasterHeard(key=ctx.key, at_ns=ctx.now_ns, source=name, claim=event.claim))


def _follow(ctx: Context, state: Backup, event: AdvertisementReceived) -> None:
    state.master_down_at_ns[event.family] = ctx.now_ns + master_down_ns(ctx, event.claim)
    _follow_families(ctx, state)


def _follow_families(ctx: Context, state: Backup) -> None:
    """Update the families to wait for: a change of the addresses may have added or removed one."""
    waiting = state.master_down_at_ns
    families = ctx.codec.awaited(ctx.now_ns)
    if tuple(waiting) != families:
        down_at_ns = ctx.now_ns + master_down_ns(ctx)
        state.master_down_at_ns = {family: waiting.get(family, down_at_ns) for family in families}


def time_passed(ctx: Context, state: Backup, _event: TimePassed) -> None:
    """Take over if a family has been silent for its master-down time."""
    if ctx.is_backup_only:
        _wait_longer(ctx, state)
        return
    family = min(state.master_down_at_ns, key=lambda each: state.master_down_at_ns[each])
    if state.master_down_at_ns[family] <= ctx.now_ns:
        become_master(ctx, Reason.MASTER_SILENT, peer=last_heard(ctx.peers, family))


def _wait_longer(ctx: Context, state: Backup) -> None:
    """Plan for another master-down time in the families in which it is over, because the host must not take over."""
    for family, down_at_ns in state.master_down_at_ns.items():
        if down_at_ns <= ctx.now_ns:
            state.master_down_at_ns[family] = ctx.now_ns + master_down_ns(ctx)


def restriction_changed(ctx: Context, state: Backup, event: RestrictionChanged) -> None:
    """Set the restriction; a host that may be MASTER again takes over soon where no MASTER was heard for long."""
    was_backup_only, ctx.restriction = ctx.is_backup_only, event.restriction
    state.followed.clear()
    if was_backup_only and not ctx.is_backup_only and not ctx.environment.goes_last:
        for family in state.master_down_at_ns:
            if ctx.now_ns - _silent_since_ns(ctx, family) >= master_down_ns(ctx):
                # Not at once: if several hosts are released together, the skew lets the preferred one be first.
                _wait_for_others(ctx, state, family, ctx.now_ns)


def _silent_since_ns(ctx: Context, family: Family) -> int:
    """Return when this host heard the last MASTER of a family that has not left, or began to listen."""
    assert ctx.last_change is not None
    heard_ns = [peer.at_ns for peer in ctx.peers.values() if peer.family is family and not peer.has_left]
    return max(ctx.last_change.at_ns, *heard_ns) if heard_ns else ctx.last_change.at_ns


def demotion_changed(ctx: Context, state: Backup, event: DemotionChanged) -> None:
    """Set the demotion; the next advertisement of each MASTER is compared with the new claim."""
    ctx.set_demotion(event.total)
    state.followed.clear()


def environment_changed(ctx: Context, state: Backup, _event: EnvironmentChanged) -> None:
    """Go to INIT if link or administrator is down; compare the MASTERs again, because the node may preempt now."""
    state.followed.clear()
    leave_unless_ready(ctx)


def reconfigured(ctx: Context, state: Backup, event: HostReconfigured) -> None:
    """Apply the new settings, and the new master-down time from the last advertisement on.

    A shorter master-down time must not make this host take over from a MASTER that advertised in time.
    """
    before_ns = master_down_ns(ctx)
    if ctx.reconfigure(event):
        ctx.drop()
        _keep_farewell(ctx, state)
    state.followed.clear()
    later_ns = master_down_ns(ctx) - before_ns
    for family, down_at_ns in state.master_down_at_ns.items():
        if down_at_ns + later_ns > ctx.now_ns:
            state.master_down_at_ns[family] = down_at_ns + later_ns
        else:
            state.master_down_at_ns[family] = min(down_at_ns, ctx.now_ns + master_down_ns(ctx))
    _follow_families(ctx, state)


def forced(ctx: Context, _state: Backup, event: StateForced) -> None:
    """Take over if the administrator or the sync group asks for MASTER, unless this host must not be MASTER."""
    if event.state is State.MASTER and not ctx.is_backup_only:
        become_master(ctx, Reason.GROUPED if event.is_for_group else Reason.FORCED)


def actuated(ctx: Context, state: Backup, event: ActuationReported) -> None:
    """Send the farewell once the addresses are dropped; publish a failure."""
    if event.error is not None:
        ctx.publish_failure(event)
        return
    ctx.forget_previous(event)
    farewell = state.farewell
    if farewell is not None and event.epoch == farewell.epoch:
        state.farewell = None
        ctx.transmit(farewell.claim, counter=farewell.counter)


def disturbed(ctx: Context, state: Backup, _event: AddressesDisturbed) -> None:
    """Drop the addresses again, because another program may have added them."""
    ctx.epoch += 1
    ctx.drop(force=True)
    _keep_farewell(ctx, state)


def _keep_farewell(ctx: Context, state: Backup) -> None:
    """Tie an owed farewell to the newest drop: it is sent when that one is reported."""
    if state.farewell is not None:
        state.farewell = replace(state.farewell, epoch=ctx.epoch)
