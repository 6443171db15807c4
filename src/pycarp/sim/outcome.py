"""The outcome of a plan: transitions, owners, and broken promises."""

from enum import StrEnum

import msgspec

from pycarp.core.events import StateChange
from pycarp.sim.faults.fault_plan import FaultPlan
from pycarp.vocabulary import HostKey


class Promise(StrEnum):
    """The promises that are checked; the value of each is its wording for people."""

    ONE_OWNER = "at most one owner among those who hear each other, when the time to settle is over"
    AN_OWNER = "an owner within the computed time"
    OWNER_IS_MASTER = "who owns the addresses is MASTER, or is about to drop them"
    DROPPED_FIRST = "who bows out has dropped the addresses"
    HELD_FIRST = "who announces the addresses holds them"
    ORDERLY = "never two owners while only people act and processes die or stop"
    REACHABLE = "after planned events and healed splits clients' frames go to the wrong port for one wire delay at most"
    NO_FALSE_TAKEOVER = "nobody takes over from a MASTER that lives and is heard"
    RIGHT_MASTER = "where all preempt, the preferred host is MASTER in the end"
    RESTRICTED = "a host that is restricted to backup never becomes MASTER"
    HELD_BACK = "a host whose failback waits does not preempt before its time"
    ISOLATED = "a machine that reaches no witness lets go of its addresses within the computed time"
    GROUPED = "in the end one machine is MASTER of a whole sync group"
    NO_STRANDED_DEMOTION = "no demotion and no restriction outlives its cause"
    PUBLISHED = "every transition is published, and follows from the one before"
    ALIVE = "an engine never raises, and never wants to be called again at once"


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A broken promise: when, by which node, and in words how."""

    promise: Promise
    at_ns: int
    node: str
    words: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A transition of a node's virtual host, at the plan's time."""

    at_ns: int
    node: str
    event: StateChange


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """A span in which a node answered for the addresses of a virtual host; ``until_ns`` None: to the end."""

    key: HostKey
    node: str
    from_ns: int
    until_ns: int | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a plan. ``steps`` counts the inputs that engines have handled; ``lines`` are for people."""

    plan: FaultPlan
    changes: tuple[Change, ...]
    ownerships: tuple[Ownership, ...]
    violations: tuple[Violation, ...]
    steps: int
    lines: tuple[str, ...] = ()
