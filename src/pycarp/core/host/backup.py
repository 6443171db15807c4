"""BACKUP: the host follows a MASTER, and takes over when that is silent, leaves, or may be preempted.

The tests of an advertisement are those of carp.md 5.1. Dialects with the hand-shake of ``takeover.py`` add three
rules: a weaker MASTER is left to a better one that is heard as well; a bow-out is no vacancy while another MASTER is
heard; and after a stall nothing that waited in the socket makes this host relieve a MASTER.
"""

from dataclasses import replace

from pycarp.auth.reply import Reply
from pycarp.core.events import MasterHeard
from pycarp.core.host.context import Context
from pycarp.core.host.decision import Decision, Peer, last_heard, live_masters, name_of
from pycarp.core.host.states import Backup
from pycarp.core.host.transitions import become_master, leave_unless_ready, master_down_ns
from pycarp.core.inputs import (
    ActuationReported,
    AddressesDisturbed,
    AdvertisementReceived,
    DemotionChanged,
    EnvironmentChanged,
    HostReconfigured,
    StateForced,
    TimePassed,
)
from pycarp.core.state import Reason, State
from pycarp.dialects.base import Verdict
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, Family

_PUBLISH_AGAIN_NS = NS_PER_S
"""How often at most another MASTER is published."""


def goes_on(ctx: Context, state: Backup, event: AdvertisementReceived, peer: Peer) -> bool:
    """Put a deadline off and return True if an advertisement is the same again of the MASTER that is followed.

    This is nearly every one that is heard. What followed from it the last time follows again, unless this process
    stood still, or what is signed is about to change.
    """
    family, now_ns = event.family, ctx.now_ns
    if state.followed.get(family) is not peer.source or event.reply is not None or ctx.codec.is_rolling:
        return False
    for down_at_ns in state.master_down_at_ns.values():
        if now_ns > down_at_ns:
            return False
    state.master_down_at_ns[family] = now_ns + master_down_ns(ctx, event.claim)
    return True


def received(ctx: Context, state: Backup, event: AdvertisementReceived, peer: Peer) -> Decision:
    """Decide what follows from an advertisement."""
    family, now_ns = event.family, ctx.now_ns
    state.followed.pop(family, None)
    may_be_old = _may_be_old(ctx, state)
    if event.claim.is_bow_out:
        return _bow_out_received(ctx, state, event, may_be_old=may_be_old)
    if event.reply is Reply.FAREWELL:
        return Decision.SENDER_LEFT
    dialect = ctx.config.dialect
    verdict = dialect.compare(ctx.claim, event.claim)
    if verdict is Verdict.STRONGER and dialect.defers_to_better_master and _better_is_heard(ctx, event):
        # Should the better one have died since, the weaker one is MASTER, and only who preempts takes over from it.
        state.master_down_at_ns[family] = now_ns + master_down_ns(ctx, event.claim)
        return Decision.LEFT_TO_BETTER
    reason = _reason_to_take_over(ctx, event, verdict)
    if reason is Reason.PREEMPTING and may_be_old:
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
    if not may_be_old and state.announced.get(family) == event.source:
        state.followed[family] = peer.source
    return decision


def _reason_to_take_over(ctx: Context, event: AdvertisementReceived, verdict: Verdict) -> Reason | None:
    """Return why an advertisement lets this host take over. Source: carp.md 5.1, in another order of the tests."""
    if ctx.environment.goes_last:
        return None
    if ctx.config.dialect.preempts_demoted and event.claim.demote > ctx.claim.demote:
        return Reason.MASTER_DEMOTED
    preempts = (ctx.config.preempt or ctx.environment.node_preempts) and not ctx.environment.has_handed_over
    if verdict is Verdict.STRONGER and preempts:
        return Reason.PREEMPTING
    if ctx.config.tolerated_ns < event.claim.interval_ns and not _is_left_alone(ctx, verdict):
        return Reason.MASTER_TOO_SLOW
    return None


def _why_left(ctx: Context) -> Decision:
    """Return why this host does not relieve a MASTER that is weaker."""
    if ctx.environment.goes_last:
        return Decision.LEFT_TO_OTHERS
    return Decision.HANDED_OVER if ctx.environment.has_handed_over else Decision.NOT_PREEMPTING


def _is_left_alone(ctx: Context, verdict: Verdict) -> bool:
    """Return True if this host would be no faster than a MASTER that is too slow, because it is demoted as well."""
    return bool(ctx.config.dialect.yield_grace_ns) and verdict is not Verdict.STRONGER


def _bow_out_received(ctx: Context, state: Backup, event: AdvertisementReceived, *, may_be_old: bool) -> Decision:
    """Take over from a MASTER that left, unless somebody else is MASTER or should be."""
    family = event.family
    peer = ctx.peers[event.source, family]
    if ctx.config.tolerated_ns >= event.claim.interval_ns:
        # With so long an interval of its own no receiver takes a bow-out for one. Source: carp.md 5.3.
        _follow(ctx, state, event)
        return Decision.FOLLOWS_MASTER
    if ctx.config.dialect.defers_to_better_master:
        others = [each for each in _live_others(ctx, event.source) if each.family is family]
        if others:
            other = max(others, key=lambda each: each.at_ns)
            # It may have been stopped since then, and its kernel keeps the addresses until the fastest peer acts.
            fastest_ns = ctx.config.dialect.master_down_ns(other.claim.advbase, 0, ctx.config.dead_ratio)
            free_at_ns = max(ctx.now_ns + other.claim.interval_ns, other.at_ns + fastest_ns)
            _wait_for_others(ctx, state, event.family, free_at_ns)
            return Decision.NO_VACANCY
        if ctx.environment.goes_last:
            _wait_for_others(ctx, state, event.family, ctx.now_ns + ctx.claim.interval_ns)
            return Decision.LEFT_TO_OTHERS
    if may_be_old:
        # Somebody who heard it in time is MASTER by now, and has said so in a packet behind this one.
        state.master_down_at_ns[family] = state.listens_until_ns
        return Decision.STALE_BOW_OUT
    doubted = None if event.is_expected else event.source
    become_master(ctx, Reason.MASTER_LEFT, peer=peer, doubted=doubted)
    return Decision.TAKES_OVER


def _wait_for_others(ctx: Context, state: Backup, family: Family, free_at_ns: int) -> None:
    """Take over at ``free_at_ns``, in the order of the skews, unless another host shows before that it is MASTER."""
    shown_at_ns = free_at_ns + ctx.config.advskew * NS_PER_SKEW
    planned_ns = state.master_down_at_ns.get(family, shown_at_ns)
    state.master_down_at_ns[family] = min(planned_ns, shown_at_ns)


def _better_is_heard(ctx: Context, event: AdvertisementReceived) -> bool:
    """Return True if another MASTER, at least as good as this host, is heard besides the sender, in any family."""
    compare = ctx.config.dialect.compare
    return any(compare(ctx.claim, peer.claim) is not Verdict.STRONGER for peer in _live_others(ctx, event.source))


def _live_others(ctx: Context, source: Address) -> list[Peer]:
    known = live_masters(ctx.peers, ctx.now_ns, master_down_ns(ctx))
    return [peer for peer in known if peer.source != source]


def _may_be_old(ctx: Context, state: Backup) -> bool:
    """Return True if what is heard may have waited: the process stood still when it should have taken over."""
    yield_grace_ns = ctx.config.dialect.yield_grace_ns
    if yield_grace_ns and ctx.now_ns > state.deadline_ns + yield_grace_ns:
        state.listens_until_ns = ctx.now_ns + yield_grace_ns
    return ctx.now_ns < state.listens_until_ns


def _publish_master(ctx: Context, state: Backup, event: AdvertisementReceived, peer: Peer) -> None:
    """Publish another MASTER than before, once for both families of one host."""
    is_other = event.source != state.announced.get(event.family)
    if is_other and ctx.now_ns >= state.publish_again_at_ns:
        state.announced[event.family] = event.source
        name = name_of(ctx.peers, peer)
        if name != state.published:
            state.published = name
            state.publish_again_at_ns = ctx.now_ns + _PUBLISH_AGAIN_NS
            ctx.publish(MasterHeard(key=ctx.key, at_ns=ctx.now_ns, source=name, claim=event.claim))


def _follow(ctx: Context, state: Backup, event: AdvertisementReceived) -> None:
    state.master_down_at_ns[event.family] = ctx.now_ns + master_down_ns(ctx, event.claim)
    _follow_families(ctx, state)


def _follow_families(ctx: Context, state: Backup) -> None:
    """Wait for the families that peers advertise now: a change of the addresses may have added or removed one."""
    waiting = state.master_down_at_ns
    families = ctx.codec.awaited(ctx.now_ns)
    if tuple(waiting) != families:
        down_at_ns = ctx.now_ns + master_down_ns(ctx)
        state.master_down_at_ns = {family: waiting.get(family, down_at_ns) for family in families}


def time_passed(ctx: Context, state: Backup, _event: TimePassed) -> None:
    """Take over once a family was silent for the master-down time."""
    family = min(state.master_down_at_ns, key=lambda each: state.master_down_at_ns[each])
    if state.master_down_at_ns[family] <= ctx.now_ns:
        become_master(ctx, Reason.MASTER_SILENT, peer=last_heard(ctx.peers, family))


def demotion_changed(ctx: Context, state: Backup, event: DemotionChanged) -> None:
    """Claim less or more from now on; what is followed is judged anew."""
    ctx.set_demotion(event.total)
    state.followed.clear()


def environment_changed(ctx: Context, state: Backup, _event: EnvironmentChanged) -> None:
    """Leave if link or administrator are down; judge anew what is followed: the node may preempt now."""
    state.followed.clear()
    leave_unless_ready(ctx)


def reconfigured(ctx: Context, state: Backup, event: HostReconfigured) -> None:
    """Wait by the new settings from the last advertisement on.

    A MASTER that was in time must not be late because this host is less patient than the MASTER could know.
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
    """Take over because the administrator says so."""
    if event.state is State.MASTER:
        become_master(ctx, Reason.FORCED)


def actuated(ctx: Context, state: Backup, event: ActuationReported) -> None:
    """Send the farewell once the addresses are dropped."""
    if event.error is not None:
        ctx.publish_failure(event)
        return
    ctx.forget_previous(event)
    farewell = state.farewell
    if farewell is not None and event.epoch == farewell.epoch:
        state.farewell = None
        ctx.transmit(farewell.claim, counter=farewell.counter)


def disturbed(ctx: Context, state: Backup, _event: AddressesDisturbed) -> None:
    """Drop the addresses again: somebody else may have added them."""
    ctx.epoch += 1
    ctx.drop(force=True)
    _keep_farewell(ctx, state)


def _keep_farewell(ctx: Context, state: Backup) -> None:
    """Let the farewell that is owed wait for the drop that was asked for last."""
    if state.farewell is not None:
        state.farewell = replace(state.farewell, epoch=ctx.epoch)
