"""The states of a virtual host, the reasons to change between them, and the edges.

A virtual host is in one of three states. In INIT it does nothing, because its link or its administrator is down. In
BACKUP it listens, and waits for the master-down time of each family to run out. In MASTER it advertises and answers for
the shared addresses. No edge leads from INIT to MASTER: a lone host waits as well (carp.md 5.3).

``EDGES`` names the allowed reasons of each edge. Every transition is checked against it, and the diagram of the
documentation is drawn from it. ``core/host`` implements the states.
"""

from enum import StrEnum


class State(StrEnum):
    """The three states of the field."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"


class Reason(StrEnum):
    """Why a transition happened; the value is the text in logs."""

    ADDED = "virtual host added"
    READY = "initialization complete"
    MASTER_SILENT = "master timed out"
    MASTER_LEFT = "master bowed out"
    MASTER_TOO_SLOW = "master announces too slowly"
    MASTER_DEMOTED = "master is more demoted"
    PREEMPTING = "preempting a slower master"
    BETTER_MASTER = "more frequent advertisement received"
    TIE_LOST = "equal advertisement received"
    CANNOT_SEND = "own advertisements cannot be sent, those of a peer are"
    ABSENT = "was not scheduled while a peer took over"
    FORCED = "user requested"
    GROUPED = "moves with its sync group"
    LINK_DOWN = "hardware interface down"
    LINK_DELETED = "interface does not exist"
    ADMIN_DOWN = "administratively down"
    HANDED_OVER = "handed over"
    NOT_HELD = "addresses cannot be held"
    RESTRICTED = "restricted to backup"
    REMOVED = "virtual host removed"
    NODE_FAILED = "node failed"
    """Published by the node and not by the engine, which may have failed itself; so no edge has it."""


TAKES_OVER_FROM_LIVE_MASTER = frozenset(
    {Reason.PREEMPTING, Reason.MASTER_TOO_SLOW, Reason.MASTER_DEMOTED, Reason.FORCED, Reason.GROUPED}
)
"""Reasons to take over from a live MASTER, which must drop the addresses before this host holds them."""

EDGES: dict[tuple[State, State], frozenset[Reason]] = {
    (State.INIT, State.BACKUP): frozenset({Reason.READY}),
    (State.BACKUP, State.MASTER): frozenset(
        {
            Reason.MASTER_SILENT,
            Reason.MASTER_LEFT,
            Reason.MASTER_TOO_SLOW,
            Reason.MASTER_DEMOTED,
            Reason.PREEMPTING,
            Reason.FORCED,
            Reason.GROUPED,
        }
    ),
    (State.MASTER, State.BACKUP): frozenset(
        {Reason.BETTER_MASTER, Reason.TIE_LOST, Reason.CANNOT_SEND, Reason.ABSENT, Reason.FORCED, Reason.GROUPED}
    ),
    (State.BACKUP, State.INIT): frozenset({Reason.LINK_DOWN, Reason.LINK_DELETED, Reason.ADMIN_DOWN, Reason.REMOVED}),
    (State.MASTER, State.INIT): frozenset(
        {
            Reason.LINK_DOWN,
            Reason.LINK_DELETED,
            Reason.ADMIN_DOWN,
            Reason.HANDED_OVER,
            Reason.NOT_HELD,
            Reason.RESTRICTED,
            Reason.REMOVED,
        }
    ),
    # No transitions, but published as such: the first event of every host, and the removal of a host in INIT.
    (State.INIT, State.INIT): frozenset({Reason.ADDED, Reason.REMOVED}),
}
