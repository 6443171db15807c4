"""MASTER: the host advertises, holds the addresses, and answers every other host that advertises as MASTER.

**Signs of life.** A dead or frozen MASTER must not go on answering for its addresses after a peer has taken over. The
kernel and the guardian process drop the addresses when the lease ends. Every advertisement that could be sent renews
the lease. A MASTER that gave no sign of life for the whole lease has *stalled*: a peer may rightly have taken over. It
therefore first processes the packets that waited in its socket, and yields even to a weaker claim.

**Answers.** A MASTER answers a weaker one at once, which makes that one yield in milliseconds rather than after an
interval. Replayed packets must not make a host flood the segment: an answer beyond the rate limit is postponed, never
left out.

**Addresses that cannot be held.** A MASTER that cannot add its addresses serves nobody. It leaves as if the
administrator had set it down, bows out, and goes last until the engine trusts it again (``engine.py``).
"""

from pycarp.auth.reply import Reply
from pycarp.core.events import ConflictWon
from pycarp.core.host import takeover
from pycarp.core.host.context import Context
from pycarp.core.host.decision import Decision, Peer
from pycarp.core.host.states import Answering, Master, Stage
from pycarp.core.host.transitions import become_backup, has_stalled, leave, plan_renewal, yield_to
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AddressesDisturbed,
    AdvertisementReceived,
    DemotionChanged,
    HandOverAsked,
    HostReconfigured,
    RestrictionChanged,
    StateForced,
    TimePassed,
    TransmitReported,
)
from pycarp.core.slots import slot_before
from pycarp.core.state import Reason, State
from pycarp.dialects import dialect
from pycarp.dialects.dialect import Verdict
from pycarp.vocabulary import NS_PER_S

_SETTLING_NS = NS_PER_S // 10
"""How long after a takeover the advertisements of other MASTERs are not published as a conflict."""

_ANNOUNCE_AGAIN_NS = NS_PER_S // 50
"""When the winner of a conflict repeats its announcement: by then the loser has dropped the addresses."""

_EXPECTED_COST_NS, _EXPECTED_BURST_NS = NS_PER_S // 50, NS_PER_S
"""The rate limit for advertisements with an expected counter: 50 answers a second, up to 50 in a row."""

_OTHER_COST_NS, _OTHER_BURST_NS = NS_PER_S // 10, 2 * NS_PER_S
"""The rate limit for other advertisements, which may be replayed: 10 answers a second, up to 20 in a row.

As many as 20, because after a bow-out every BACKUP may become MASTER.
"""


def received(ctx: Context, state: Master, event: AdvertisementReceived, peer: Peer) -> Decision:
    """Apply an advertisement and return the decision: yield to a stronger MASTER, answer a weaker one, settle a tie."""
    if event.claim.is_bow_out or event.reply is Reply.FAREWELL:
        return _sender_left(ctx, state, event)
    verdict = ctx.config.dialect.compare(ctx.claim, event.claim)
    # First of all: a better MASTER wins whether or not this process stalled, and gets its farewell.
    if verdict is Verdict.WEAKER:
        return _yield(ctx, event, peer, Reason.BETTER_MASTER, Decision.YIELDS)
    outcome = takeover.outcome_of(ctx, state, event, verdict)
    if outcome.stage is None:
        return _yield(ctx, event, peer, Reason.TIE_LOST, outcome.decision)
    if has_stalled(ctx, state):
        # Even to a weaker one: it took over because it heard nothing of us, and clients may use it already.
        become_backup(ctx, Reason.ABSENT, peer=peer)
        return Decision.YIELDS_ABSENT
    if _is_heard_instead(ctx, state, event):
        return _yield(ctx, event, peer, Reason.CANNOT_SEND, Decision.YIELDS_UNHEARD)
    _stay(ctx, state, event, outcome)
    return outcome.decision


def _is_heard_instead(ctx: Context, state: Master, event: AdvertisementReceived) -> bool:
    """Return True if a weaker host became MASTER because we cannot send in one of our families.

    We yield to it, because its advertisements arrive in every family.
    """
    has_settled = ctx.now_ns - state.since_ns >= takeover.TIE_GRACE_NS
    is_able = bool(ctx.config.dialect.yield_grace_ns)
    return is_able and has_settled and event.is_expected and bool(ctx.environment.cannot_send)


def _yield(ctx: Context, event: AdvertisementReceived, peer: Peer, reason: Reason, decision: Decision) -> Decision:
    if ctx.config.dialect.farewell is dialect.Farewell.BEFORE:
        ctx.transmit(ctx.claim, owns=True)
    yield_to(ctx, reason, event, peer)
    return decision


def _sender_left(ctx: Context, state: Master, event: AdvertisementReceived) -> Decision:
    """Record that another MASTER has dropped the addresses; announce them, as clients may still use its MAC address."""
    takeover.sender_left(ctx, state, event.source)
    hold_if_due(ctx, state)
    if ctx.config.dialect.reasserts and state.takeover.stage is Stage.HELD and state.announce_in is None:
        _announce_twice(ctx, state)
    return Decision.SENDER_LEFT


def _stay(ctx: Context, state: Master, event: AdvertisementReceived, outcome: takeover.Outcome) -> None:
    assert outcome.stage is not None
    dialect, before = ctx.config.dialect, state.takeover.stage
    was_listening = before is Stage.LISTENING
    takeover.await_drop(ctx, state, event.source, outcome.stage)
    if outcome.stage is Stage.TIED and before is not Stage.TIED:
        # The other one may still have been BACKUP when it heard our first advertisement; it answers this one.
        ctx.advertise(state.takeover)
    is_conflict = not state.takeover.is_pending and ctx.now_ns - state.since_ns > _SETTLING_NS
    if is_conflict:
        _publish_conflict(ctx, state, event)
    # A copy was answered already: answers to copies, copied in turn, use up the rate limit within microseconds.
    if outcome.answers and dialect.answers_weaker and not event.is_copy:
        # A host that took over in the same moment will receive our first advertisement, and most likely yields to it.
        not_before_ns = state.since_ns + dialect.takeover_listen_ns if was_listening and event.reply is None else 0
        is_tie = outcome.decision is Decision.TIE_WON
        _answer(ctx, state, event, not_before_ns=0 if is_tie else not_before_ns)
    if dialect.reasserts and state.takeover.stage is Stage.HELD and state.announce_in is None:
        _announce_twice(ctx, state)
        if is_conflict and dialect.answers_weaker:
            state.announce_at_ns = ctx.now_ns + _ANNOUNCE_AGAIN_NS


def _publish_conflict(ctx: Context, state: Master, event: AdvertisementReceived) -> None:
    if ctx.now_ns >= state.conflict_until_ns:
        ctx.publish(ConflictWon(key=ctx.key, at_ns=ctx.now_ns, source=event.source, claim=event.claim))
    state.conflict_until_ns = ctx.now_ns + ctx.config.master_down_ns


# Answers


def _answer(ctx: Context, state: Master, event: AdvertisementReceived, *, not_before_ns: int) -> None:
    """Answer another MASTER, at once or as soon as the rate limit allows."""
    answering = state.answering
    at_ns = max(_allowed_at_ns(answering, ctx.now_ns, is_expected=event.is_expected), not_before_ns)
    answering.counter = event.counter
    if at_ns <= ctx.now_ns:
        _send_answer(ctx, state)
    elif answering.at_ns is None or at_ns < answering.at_ns:
        answering.at_ns = at_ns


def _allowed_at_ns(answering: Answering, now_ns: int, *, is_expected: bool) -> int:
    """Return when the next answer may be sent, and charge for it unless one is due already.

    Both limits are the generic cell rate algorithm: ``expected_ns`` and ``other_ns`` are theoretical arrival times, and
    an answer may be early by the burst.
    """
    if is_expected:
        at_ns = max(now_ns, answering.expected_ns - _EXPECTED_BURST_NS)
        answering.expected_ns = max(now_ns, answering.expected_ns) + _EXPECTED_COST_NS
        return at_ns
    at_ns = max(now_ns, answering.other_ns - _OTHER_BURST_NS)
    if answering.at_ns is None:
        answering.other_ns = max(now_ns, answering.other_ns) + _OTHER_COST_NS
    return at_ns


def _send_answer(ctx: Context, state: Master) -> None:
    state.answering.at_ns = None
    replies = bool(ctx.config.dialect.yield_grace_ns)
    advertise(ctx, state, ctx.now_ns, counter=Reply.ANSWER.to(state.answering.counter) if replies else None)


# Time


def repeat(ctx: Context, state: Master) -> int | None:
    """Advertise, and return when this MASTER is due again; change nothing and return None if it has more to do.

    Nearly every time at which a MASTER is due it repeats what it did an interval before. ``time_passed`` would have the
    same result: this is quicker, because it touches little else than what changes.
    """
    now_ns, environment, answering = ctx.now_ns, ctx.environment, state.answering
    announce_at_ns = state.announce_at_ns
    if (
        state.takeover.stage is not Stage.HELD
        or answering.at_ns is not None
        or state.renew_at_ns is not None
        or state.announce_in is not None
        or (announce_at_ns is not None and announce_at_ns <= now_ns)
        or now_ns - state.alive_at_ns >= ctx.lease.timeout_ns
        or environment.cannot_send
        or environment.wants_send_reports
    ):
        return None
    slot_ns = ctx.slot_ns
    next_ns = ctx.due_after(state.advertise_at_ns)
    speaks_at_ns = slot_before(next_ns, slot_ns)
    if speaks_at_ns <= now_ns or slot_before(state.advertise_at_ns, state.slot_ns) > now_ns:
        return None
    if ctx.lease.pause_ns(0, speaks_at_ns - now_ns) is not None:
        return None
    ctx.transmit(ctx.claim, owns=True)
    state.slot_ns, state.advertise_at_ns = slot_ns, next_ns
    state.was_alive_at_ns = state.alive_at_ns
    state.advertised_at_ns = state.alive_at_ns = now_ns
    ctx.renew()
    return speaks_at_ns if announce_at_ns is None else min(speaks_at_ns, announce_at_ns)


def time_passed(ctx: Context, state: Master, _event: TimePassed) -> None:
    """Do whatever is due: hold, answer, advertise or renew the lease, announce."""
    if state.takeover.hold_at_ns is not None:
        hold_if_due(ctx, state)
    if state.answering.at_ns is not None and state.answering.at_ns <= ctx.now_ns:
        _send_answer(ctx, state)
    if state.speaks_at_ns <= ctx.now_ns:
        was_stalled = has_stalled(ctx, state)
        advertise(ctx, state, state.advertise_at_ns)
        if was_stalled and not ctx.is_unheard:
            # No peer has taken over, but the guardian or the kernel may have dropped the addresses.
            _hold_again(ctx, state)
    elif state.renew_at_ns is not None and state.renew_at_ns <= ctx.now_ns:
        _renew(ctx, state)
    if state.announce_at_ns is not None and state.announce_at_ns <= ctx.now_ns:
        state.announce_at_ns = ctx.announce(again=True)


def hold_if_due(ctx: Context, state: Master) -> None:
    """Request the addresses if the hand-shake is over; the announcement follows the report of the hold."""
    hold_at_ns = state.takeover.hold_at_ns
    if hold_at_ns is not None and hold_at_ns <= ctx.now_ns:
        state.takeover.hold_at_ns = None
        state.takeover.awaited.clear()
        _hold(ctx, state)


def _hold(ctx: Context, state: Master, *, force: bool = False) -> None:
    state.takeover.stage = Stage.HOLDING
    state.announce_in = state.announce_at_ns = None
    ctx.hold(force=force)


def _hold_again(ctx: Context, state: Master, *, force: bool = True) -> None:
    """Request the addresses under a new epoch, unless the hand-shake is pending and will request them."""
    if not state.takeover.is_pending:
        ctx.epoch += 1
        _hold(ctx, state, force=force)


def advertise(ctx: Context, state: Master, due_ns: int, *, counter: int | None = None) -> None:
    """Advertise, and plan the next advertisement one interval after ``due_ns``, or after now if that is past."""
    ctx.advertise(state.takeover, counter=counter)
    now_ns = ctx.now_ns
    state.advertised_at_ns, state.slot_ns = now_ns, ctx.slot_ns
    next_ns = ctx.due_after(due_ns)
    state.advertise_at_ns = next_ns if slot_before(next_ns, ctx.slot_ns) > now_ns else ctx.due_after(now_ns)
    _renew(ctx, state)
    if state.announce_in is not None:
        state.announce_in -= 1
        if state.announce_in <= 0:
            state.announce_in = None
            state.announce_at_ns = ctx.announce(again=True)


def advertise_change(ctx: Context, state: Master) -> None:
    """Advertise a new claim at once; after a stall wait for the packets in the socket, because a peer may be MASTER."""
    if has_stalled(ctx, state):
        state.advertise_at_ns = ctx.now_ns
    else:
        advertise(ctx, state, ctx.now_ns)


# Signs of life


def _renew(ctx: Context, state: Master) -> None:
    """Renew the lease of the addresses; the runtime ignores that if it cannot send the advertisement of this step."""
    if not ctx.is_unheard:
        _live(ctx, state)
        if not state.takeover.is_pending:
            ctx.renew()
    plan_renewal(ctx, state)


def _live(ctx: Context, state: Master) -> None:
    state.was_alive_at_ns, state.alive_at_ns = state.alive_at_ns, ctx.now_ns


def sent(ctx: Context, state: Master, _event: TransmitReported) -> None:
    """Count an advertisement as a sign of life only if it was sent."""
    if ctx.is_unheard:
        state.alive_at_ns = state.was_alive_at_ns
        return
    was_stalled = has_stalled(ctx, state)
    _live(ctx, state)
    if was_stalled:
        _hold_again(ctx, state)


# Administrators, actuators and other programs


def demotion_changed(ctx: Context, state: Master, event: DemotionChanged) -> None:
    """Set the demotion, and advertise a weaker claim at once rather than at the interval. Source: carp.md 6.1, 6.2."""
    before = ctx.claim
    ctx.set_demotion(event.total)
    dialect = ctx.config.dialect
    if dialect.advertises_recovery or dialect.compare(ctx.claim, before) is Verdict.WEAKER:
        advertise_change(ctx, state)


def reconfigured(ctx: Context, state: Master, event: HostReconfigured) -> None:
    """Apply the settings and stay MASTER; kernels go through BACKUP and lose three seconds (carp.md 5.3).

    A new lease or passphrase requests the addresses again, because that arms the guardian with the new bow-out.
    """
    lease, secret = ctx.lease, ctx.config.passphrase
    if ctx.reconfigure(event):
        _hold_unless_pending(ctx, state)
    elif ctx.lease != lease or ctx.config.passphrase != secret:
        ctx.epoch += 1
        _hold_unless_pending(ctx, state)
    advertise_change(ctx, state)


def _hold_unless_pending(ctx: Context, state: Master) -> None:
    """Request the addresses of the new settings, unless the hand-shake is pending and will request them."""
    if not state.takeover.is_pending:
        _hold(ctx, state)


def forced(ctx: Context, _state: Master, event: StateForced) -> None:
    """Become BACKUP if the administrator or the sync group asks for it."""
    if event.state is State.BACKUP:
        become_backup(ctx, Reason.GROUPED if event.is_for_group else Reason.FORCED)


def actuated(ctx: Context, state: Master, event: ActuationReported) -> None:
    """Announce the addresses once they are held; leave if they cannot be held."""
    if event.error is not None:
        ctx.publish_failure(event)
        if event.epoch == ctx.epoch and event.action is Action.HOLD:
            leave(ctx, Reason.NOT_HELD)
    elif event.epoch == ctx.epoch and event.action is Action.HOLD:
        ctx.forget_previous(event)
        state.takeover.stage = Stage.HELD
        _announce_twice(ctx, state)


def _announce_twice(ctx: Context, state: Master) -> None:
    state.announce_at_ns = ctx.announce()
    state.announce_in = ctx.config.dialect.announce_again_after


def handed_over(ctx: Context, _state: Master, _event: HandOverAsked) -> None:
    """Leave as if set down; the host becomes BACKUP again once the addresses are dropped and it has bowed out."""
    leave(ctx, Reason.HANDED_OVER)


def restriction_changed(ctx: Context, _state: Master, event: RestrictionChanged) -> None:
    """Set the restriction; leave if this host must not be MASTER, as with a hand-over."""
    ctx.restriction = event.restriction
    if ctx.is_backup_only:
        leave(ctx, Reason.RESTRICTED)


def disturbed(ctx: Context, state: Master, _event: AddressesDisturbed) -> None:
    """Hold the addresses again; no-op after a stall, because a peer may be MASTER now."""
    if not has_stalled(ctx, state):
        _hold_again(ctx, state)
