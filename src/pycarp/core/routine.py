"""The shortest way for MASTERs that repeat themselves: what each advertisement needs, kept from the one before.

When a MASTER has repeated its advertisement with nothing else to do (``host/master.py``), it has a routine until any
other input reaches it. The full processing would have the same result. Checkpoints do not contain it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycarp.core.effects import RenewAddresses, Transmit
from pycarp.core.slots import Phase, is_in_phase

if TYPE_CHECKING:
    from pycarp.core.host.context import Context, Outbox
    from pycarp.core.host.states import Master


@dataclass(slots=True)
class Routine:
    """What repeats: a MASTER that has its addresses, owes nobody an answer, and can send.

    ``slot_ns`` is at least 1. The next advertisement comes at most ``quiet_ns`` later, so no renewal is due before.
    """

    ctx: "Context"
    state: "Master"
    renewal: RenewAddresses
    phase: Phase
    is_regular: bool
    interval_ns: int
    slot_ns: int
    timeout_ns: int
    quiet_ns: int

    def repeat(self, now_ns: int, out: "Outbox") -> int | None:
        """Advertise, and return when this MASTER is due again; change nothing and return None if it has more to do."""
        state, slot_ns, announce_at_ns = self.state, self.slot_ns, self.state.announce_at_ns
        due_ns = state.advertise_at_ns
        next_ns = due_ns + self.interval_ns
        anchor_ns = self.phase.anchor_ns
        if self.is_regular and anchor_ns is not None:
            next_ns -= (next_ns - anchor_ns) % self.phase.span_ns
        speaks_at_ns = next_ns - next_ns % slot_ns
        if (
            due_ns - due_ns % slot_ns > now_ns
            or not 0 < speaks_at_ns - now_ns <= self.quiet_ns
            or now_ns - state.alive_at_ns >= self.timeout_ns
            or (announce_at_ns is not None and announce_at_ns <= now_ns)
        ):
            return None
        ctx = self.ctx
        key = ctx.key
        for advert in ctx.codec.composed(ctx.claim, ctx.environment.own, now_ns, owns=True):
            out.append(Transmit(key, advert))
        out.append(self.renewal)
        state.advertise_at_ns = next_ns
        state.was_alive_at_ns = state.alive_at_ns
        state.advertised_at_ns = state.alive_at_ns = now_ns
        return speaks_at_ns if announce_at_ns is None or speaks_at_ns < announce_at_ns else announce_at_ns


def routine_of(ctx: "Context", state: "Master") -> Routine:
    """Return the routine of a MASTER that has just repeated itself."""
    return Routine(
        ctx=ctx,
        state=state,
        renewal=ctx.renewal,
        phase=ctx.phase,
        is_regular=ctx.slot_ns > 0 and is_in_phase(ctx.phase.span_ns, ctx.interval_ns),
        interval_ns=ctx.interval_ns,
        slot_ns=ctx.slot_ns or 1,
        timeout_ns=ctx.lease.timeout_ns,
        quiet_ns=ctx.lease.quiet_ns,
    )
