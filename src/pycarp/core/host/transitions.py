"""The transitions between states. Only ``enter`` changes the state of a host."""

from pycarp.auth.reply import Reply
from pycarp.core.events import StateChange
from pycarp.core.host import takeover
from pycarp.core.host.context import Context
from pycarp.core.host.decision import Peer, last_heard, name_of
from pycarp.core.host.states import Backup, Farewell, Init, Master, StateData
from pycarp.core.inputs import AdvertisementReceived
from pycarp.core.slots import slot_before, slot_for
from pycarp.core.state import EDGES, Reason, State
from pycarp.dialects import dialect
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import NS_PER_S, Address

_GOES_LAST_NS = NS_PER_S
"""How much longer a host waits before it takes over if it could not serve its addresses lately."""

OLD_PACKETS_NS = NS_PER_S // 100
"""For so long after a stall what is received may have waited in the socket before it."""

_LARGEST_ADVSKEW = 254

_LEAVES_TO_OTHERS = frozenset({Reason.HANDED_OVER, Reason.RESTRICTED})
"""Reasons of a MASTER to leave although it could go on."""

_STATES = {Init: State.INIT, Backup: State.BACKUP, Master: State.MASTER}


def state_of(state: StateData) -> State:
    """Return the state that data belong to."""
    return _STATES[type(state)]


def enter(ctx: Context, state: StateData, reason: Reason, *, peer: Peer | None = None) -> None:
    """Change the state: a new MASTER advertises first, then the addresses are held or dropped, then it is published."""
    old, new = state_of(ctx.state), state_of(state)
    assert reason in EDGES[old, new], f"{old} -> {new} ({reason})"
    ctx.state = state
    ctx.epoch += 1
    if isinstance(state, Master):
        ctx.codec.begin_mastership()
        ctx.advertise(state.takeover)
        if not state.takeover.is_pending:
            ctx.hold()
    elif reason is not Reason.READY or (ctx.config.dialect.drops_at_start and not ctx.config.neutral):
        ctx.drop()
    publish_change(ctx, old, reason, peer=peer)


def publish_change(ctx: Context, old: State, reason: Reason, *, peer: Peer | None = None) -> None:
    """Publish the change from ``old`` to the present state; ``peer`` caused it, by default the peer heard last."""
    cause = peer or last_heard(ctx.peers)
    ctx.last_change = StateChange(
        key=ctx.key,
        at_ns=ctx.now_ns,
        old=old,
        new=state_of(ctx.state),
        reason=reason,
        epoch=ctx.epoch,
        peer=name_of(ctx.peers, cause) if cause else None,
        silent_ns=ctx.now_ns - cause.at_ns if cause else None,
    )
    ctx.publish(ctx.last_change)


def become_backup(ctx: Context, reason: Reason, *, peer: Peer | None = None) -> None:
    """Become BACKUP; a MASTER that stalled distrusts the packets that waited in its socket, whatever makes it yield."""
    down_at_ns = ctx.now_ns + master_down_ns(ctx, peer.claim if peer else None)
    state = Backup(dict.fromkeys(ctx.codec.awaited(ctx.now_ns), down_at_ns))
    if isinstance(ctx.state, Master) and has_stalled(ctx, ctx.state):
        state.listens_until_ns = ctx.now_ns + OLD_PACKETS_NS
    enter(ctx, state, reason, peer=peer)


def has_stalled(ctx: Context, state: Master) -> bool:
    """Return True if the last sign of life is so long ago that a peer may rightly have taken over."""
    return ctx.now_ns - state.alive_at_ns >= ctx.lease.timeout_ns


def yield_to(ctx: Context, reason: Reason, event: AdvertisementReceived, peer: Peer) -> None:
    """Become BACKUP of a MASTER, and owe it a farewell once the addresses are dropped.

    The farewell claims one unit less than the winner: enough to distinguish the two, too little to make a third host
    preempt or a kernel yield (carp.md section 12). It carries the winner's demote octet (carp.md 15).
    """
    become_backup(ctx, reason, peer=peer)
    claim = takeover.weaker_than(event.claim)
    owes_farewell = ctx.config.dialect.farewell is dialect.Farewell.DROPPED
    if owes_farewell and claim is not None and isinstance(ctx.state, Backup):
        ctx.state.farewell = Farewell(ctx.epoch, claim, Reply.FAREWELL.to(event.counter))


def become_master(ctx: Context, reason: Reason, *, peer: Peer | None = None, doubted: Address | None = None) -> None:
    """Become MASTER: advertise at once, hold the addresses after the hand-shake; for ``doubted`` see ``takeover``."""
    assert not ctx.is_backup_only, f"{ctx.key} must not be MASTER"
    now_ns = ctx.now_ns
    state = Master(
        since_ns=now_ns,
        advertised_at_ns=now_ns,
        alive_at_ns=now_ns,
        advertise_at_ns=ctx.due_after(now_ns),
        was_alive_at_ns=now_ns,
        takeover=takeover.begin(ctx, doubted=doubted),
        slot_ns=ctx.slot_ns,
    )
    enter(ctx, state, reason, peer=peer)
    plan_renewal(ctx, state)


def leave(ctx: Context, reason: Reason) -> None:
    """Go to INIT; a bow-out that is owed follows the report of the drop."""
    present = ctx.state
    if isinstance(present, Init):
        owes_bow_out = present.owes_bow_out
    else:
        owes_bow_out = isinstance(present, Master) and ctx.config.dialect.bow_out is not None
    state = Init(
        leaving_epoch=ctx.epoch + 1,
        owes_bow_out=owes_bow_out,
        is_final=reason is Reason.REMOVED,
        handed_over=reason in _LEAVES_TO_OTHERS and not owes_bow_out,
    )
    enter(ctx, state, reason)


def leave_unless_ready(ctx: Context) -> None:
    """Go to INIT if the link or the administrator is down."""
    environment = ctx.environment
    if environment.is_ready:
        return
    if not environment.admin_is_up:
        leave(ctx, Reason.ADMIN_DOWN)
    else:
        leave(ctx, Reason.LINK_DOWN if environment.link_exists else Reason.LINK_DELETED)


def master_down_ns(ctx: Context, master: Claim | None = None) -> int:
    """Return how long a BACKUP waits for the next advertisement, of a certain ``master`` if one is known.

    With advbase 0 the time follows from the advskew alone (carp.md 5.2). A demoted host advertises less often than its
    configured advskew says. The BACKUP therefore waits ``dead_ratio`` times the slower of the two claims, its own and
    the MASTER's, if that is longer.
    """
    config, down_ns = ctx.config, ctx.config.master_down_ns
    if not config.advbase and config.dialect.yield_grace_ns:
        # What a MASTER claims that is last says nothing about its pace, which is below a second as well.
        heard_ns = 0 if master is None else NS_PER_S if master.is_last else master.interval_ns
        slowest_ns = max(ctx.interval_ns, heard_ns)
        down_ns = max(down_ns, config.dead_ratio * slowest_ns)
    return down_ns + (_GOES_LAST_NS if ctx.environment.goes_last else 0)


def wait_for_every_other(ctx: Context) -> None:
    """Wait longer than any other host of the vhid: without a bow-out each of them waits its master-down time."""
    config = ctx.config
    assert isinstance(ctx.state, Backup)
    longest_ns = config.dialect.master_down_ns(config.advbase, _LARGEST_ADVSKEW, config.dead_ratio) + _GOES_LAST_NS
    ctx.state.master_down_at_ns = dict.fromkeys(ctx.state.master_down_at_ns, ctx.now_ns + longest_ns)


def plan_renewal(ctx: Context, state: Master) -> None:
    """Plan a renewal before the next advertisement if that comes too late for the lease and the margin allows it."""
    since_ns, until_ns = ctx.now_ns - state.advertised_at_ns, state.speaks_at_ns - ctx.now_ns
    pause_ns = ctx.lease.pause_ns(since_ns, until_ns)
    if pause_ns is None:
        state.renew_at_ns = None
        return
    slot_ns = slot_for(state.slot_ns, pause_ns, ctx.config.dead_ratio)
    state.renew_at_ns = slot_before(ctx.now_ns + pause_ns, slot_ns)
