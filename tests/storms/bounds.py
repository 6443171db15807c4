"""How long two hosts may own an address under each fault, computed from the settings; nothing else is excused.

The derivations are in ``docs/explanation/never-two-owners.md``; a function here is a line there.
"""

from math import inf

from pycarp.dialects import UNIVERSAL
from pycarp.vocabulary import NS_PER_S
from tests.storms.plan import CLOCKS_MAX, HEALTHY_MAX_US, Action, Plan
from tests.storms.record import Record
from tests.storms.spans import Spans

GRACE_S = UNIVERSAL.yield_grace_ns / NS_PER_S
"""After this time a MASTER that relieves a living one holds the addresses anyway: ``Dialect.yield_grace_ns``."""

LISTEN_S = UNIVERSAL.takeover_listen_ns / NS_PER_S
"""So long a MASTER that knows of no other one listens before it holds: ``Dialect.takeover_listen_ns``."""

BACK_OFF_S = 5.0
"""A failed actuation is tried again within this time."""

ROLLING_S = 10.0
"""So long both ways of signing are accepted in a rolling change."""

CLOCK_S = 2e-6
"""The virtual clock advances by a microsecond at least: what is shorter is one moment."""

HOLDING_S = 10.0
"""Within this time a MASTER whose holds fail leaves the addresses to a BACKUP that is well."""

HANGING_S = 25.0
"""The same where holds hang: they are given up after 15 s."""


def one_way_s(plan: Plan) -> float:
    """Return the longest time that a datagram takes while nothing is wrong: D."""
    return (plan.delay_us + plan.jitter_us) / 1e6


def settling_s(record: Record) -> float:
    """Return how long two owners may go on once they hear each other.

    One of them advertises within its interval; the stronger answers at once, the weaker drops. ``I + 2D + grace``.
    """
    return record.intervals_s + 2 * one_way_s(record.plan) + GRACE_S


def late_s(record: Record, *, is_tie: bool) -> float:
    """Return how long two owners overlap because datagrams took longer than 1 ms; 0 if none did.

    ``2D'``; ``3D'`` between equal claims.
    """
    delays = [each.action.amount for each in record.done if each.action.do == "delay"]
    longest_us = max(delays, default=0) + record.plan.jitter_us
    return (3 if is_tie else 2) * longest_us / 1e6 if longest_us > HEALTHY_MAX_US else 0.0


def kernel_lifetime_s(plan: Plan) -> float | None:
    """Return how long the addresses outlive a process that stands still; None where no whole second fits.

    Whole seconds below the shortest master-down time, less what the kernel rounds: ``floor(3 x advbase - 1/4)``.
    """
    if not plan.advbase:
        return None
    rolls = any(each.do == "roll" and each.name == "advbase" for each in plan.actions)
    return 3.0 * (2 if rolls else plan.advbase) - 1


# When something was wrong


def segment_faults(record: Record) -> Spans:
    """Return when datagrams were lost, and until the owners of the time have settled it."""
    faults = record.spans(lambda each: each.do in ("loss", "partition"), "heal")
    return tuple((begin, end + settling_s(record)) for begin, end in faults)


def unreached(record: Record) -> Spans:
    """Return when a host signed in a way that the others had ceased to accept, and until the owners have settled it.

    A rolling change must reach every host while both ways are accepted; one that was stopped meanwhile is not reached.
    """
    late = [(began_s + ROLLING_S, ended_s) for began_s, ended_s in record.rolls if ended_s - began_s > ROLLING_S]
    return tuple((begin, end + settling_s(record)) for begin, end in late)


def delays(record: Record) -> Spans:
    """Return when datagrams took longer than 1 ms, and until the last of them has arrived."""
    return tuple(
        (begin, end + late_s(record, is_tie=True))
        for begin, end in record.spans(lambda each: each.do == "delay", "heal")
    )


def standstills(record: Record, who: int) -> Spans:
    """Return when a stopped process may have kept addresses: its kernel does so for a lifetime."""
    lifetime_s = kernel_lifetime_s(record.plan)
    more_s = 2 * one_way_s(record.plan)
    stops = record.spans(lambda each: each.do == "stop", "continue_", "kill", "guardian", who=who)
    return tuple(
        (begin, end + more_s if lifetime_s is None else min(end + more_s, begin + lifetime_s)) for begin, end in stops
    )


def silences(record: Record, who: int) -> Spans:
    """Return when a member could not send, in any family, and until what came of it is settled."""
    mute = record.spans(lambda each: each.do == "fail_sends", "repair_sends", who=who)
    return tuple((begin, end + settling_s(record)) for begin, end in mute)


def stuck_drops(record: Record, who: int) -> Spans:
    """Return when drops failed, and until they have been tried again.

    A host that leaves meanwhile leaves its addresses to its kernel; where that has no lifetime for them, to nobody.
    """
    stuck = record.spans(is_stuck, "repair", who=who)
    left = any(each.action.do in ("leave", "remove") and each.action.who == who for each in record.done)
    is_abandoned = left and kernel_lifetime_s(record.plan) is None
    return tuple((begin, inf if is_abandoned else end + BACK_OFF_S + slow_s(record, who)) for begin, end in stuck)


def is_stuck(action: Action) -> bool:
    """Say whether drops fail or hang; a hold or an announcement that hangs is no excuse, for it can be given up."""
    return action.do in ("fail", "hang") and action.name == "drop"


def grace_s(record: Record) -> float:
    """Return how short the grace may be: G, by the clock of the one who waits."""
    return GRACE_S / (1 + CLOCKS_MAX / 1000) if record.plan.clocks else GRACE_S


def listen_s(record: Record) -> float:
    """Return how short a host listens that knows of no MASTER: C, by its own clock."""
    return LISTEN_S / (1 + CLOCKS_MAX / 1000) if record.plan.clocks else LISTEN_S


def heard_s(record: Record) -> float:
    """Return within which time a host that starts hears of every MASTER, by a clock that may be slow: ``I + D``."""
    interval_s = record.intervals_s / (1 - CLOCKS_MAX / 1000) if record.plan.clocks else record.intervals_s
    return interval_s + one_way_s(record.plan)


def slow_s(record: Record, who: int, name: str = "drop") -> float:
    """Return how long a drop takes at most: T, by the member's own clock. It waits for no hold."""
    slow = [each.action for each in record.done if each.action.do == "slow" and each.action.who == who]
    clock_rate = 1 - CLOCKS_MAX / 1000 if record.plan.clocks else 1.0
    return max((each.amount for each in slow if each.name == name), default=0) / 1000 / clock_rate
