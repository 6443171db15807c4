"""The theory of the machine: states, the phases that own their timers, and the edges between them.

A virtual host is in one of three states. In INIT it does nothing, because its link or its administrator says
so. In BACKUP it listens, and waits for the master-down time of each family to run out. In MASTER it advertises and
answers for the shared addresses. There is no way from INIT to MASTER: a lone host waits as well (carp.md 5.3).

Each state is an object that owns its data, so a timer dies with the state that owns it, and nothing is ever
cancelled. ``EDGES`` names the reasons for which each edge may be walked; the machine checks it on every transition,
and the documentation draws its diagram from it.
"""

from copy import copy
from dataclasses import dataclass, field, fields
from enum import StrEnum

from pycarp.vocabulary import Address, Family


class State(StrEnum):
    """The three states of the field."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"


class Reason(StrEnum):
    """Why a transition happened; the value is how logs say it."""

    ADDED = "virtual host added"
    READY = "initialization complete"
    MASTER_SILENT = "master timed out"
    MASTER_LEFT = "master bowed out"
    MASTER_TOO_SLOW = "master announces too slowly"
    MASTER_DEMOTED = "master is more demoted"
    PREEMPTING = "preempting a slower master"
    BETTER_MASTER = "more frequent advertisement received"
    ABSENT = "was not scheduled while a peer took over"
    FORCED = "user requested"
    LINK_DOWN = "hardware interface down"
    ADMIN_DOWN = "administratively down"
    HANDED_OVER = "handed over"
    REMOVED = "virtual host removed"


OF_THE_LIVING = frozenset({Reason.PREEMPTING, Reason.MASTER_TOO_SLOW, Reason.MASTER_DEMOTED, Reason.FORCED})
"""Reasons for which a MASTER that lives is relieved: it shall drop the addresses before they are held here."""


@dataclass(slots=True)
class Init:
    """Not taking part.

    ``leaving_epoch`` is set while the drop of the addresses is on its way; its report releases the bow-out, if one is
    due, and only then may the host become BACKUP again or, if ``is_final``, go: never two owners on purpose.
    """

    leaving_epoch: int | None = None
    owes_bow_out: bool = False
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Rival:
    """Who advertised, how often it says that it does, and when."""

    source: Address
    interval_ns: int
    at_ns: int


@dataclass(slots=True)
class Backup:
    """Listening; takes over when the deadline of any family passes.

    ``better`` is who claimed at least as much as we do last, by family, and ``latest`` whoever was heeded last.
    ``masters`` is who was told to be MASTER last, by family; another is told of from ``tell_again_at_ns`` on.
    Nobody is relieved before ``listens_until_ns``: what waited in the socket of a host that stood still is old.
    ``farewell_epoch`` is set as long as the one that we yielded to is to be told that the addresses are dropped.
    """

    master_down_at_ns: dict[Family, int]
    farewell_epoch: int | None = None
    better: dict[Family, Rival] = field(default_factory=dict)
    latest: dict[Family, Rival] = field(default_factory=dict)
    masters: dict[Family, Address] = field(default_factory=dict)
    tell_again_at_ns: int = 0
    listens_until_ns: int = 0


@dataclass(slots=True)
class Master:
    """Advertising.

    ``advertised_at_ns`` is when it did so last, ``alive_at_ns`` when it gave the last sign of life, ``was_alive_at_ns``
    the one before, should the last turn out to be none, and ``prolong_at_ns`` when one is due between two
    advertisements. ``hold_at_ns`` is set as long as others who were, or took themselves for, MASTER are given time to
    drop the addresses first; ``awaited`` are those heard.
    ``announce_in`` counts the advertisements until the announcement is repeated, ``announce_at_ns`` is when it is;
    None for no repetition. What a weaker MASTER says is answered again, and told again, from ``answer_again_at_ns`` and
    ``conflict_until_ns`` on.
    """

    since_ns: int
    advertised_at_ns: int
    alive_at_ns: int
    advertise_at_ns: int
    was_alive_at_ns: int = 0
    hold_at_ns: int | None = None
    awaited: set[Address] = field(default_factory=set)
    prolong_at_ns: int | None = None
    is_held: bool = False
    announce_in: int | None = None
    announce_at_ns: int | None = None
    answer_again_at_ns: int = 0
    conflict_until_ns: int = 0

    @property
    def deadline_ns(self) -> int:
        """When the next thing is due."""
        due = (self.advertise_at_ns, self.hold_at_ns, self.prolong_at_ns, self.announce_at_ns)
        return min(at_ns for at_ns in due if at_ns is not None)


Phase = Init | Backup | Master

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
        }
    ),
    (State.MASTER, State.BACKUP): frozenset({Reason.BETTER_MASTER, Reason.ABSENT, Reason.FORCED}),
    (State.BACKUP, State.INIT): frozenset({Reason.LINK_DOWN, Reason.ADMIN_DOWN, Reason.REMOVED}),
    (State.MASTER, State.INIT): frozenset({Reason.LINK_DOWN, Reason.ADMIN_DOWN, Reason.HANDED_OVER, Reason.REMOVED}),
    # No transitions, but told like them: the first entry of every log, and the end of a host that was INIT already.
    (State.INIT, State.INIT): frozenset({Reason.ADDED, Reason.REMOVED}),
}


def copy_of(phase: Phase) -> Phase:
    """Return a phase that is equal and shares nothing that changes."""
    copied = copy(phase)
    for each in fields(copied):
        setattr(copied, each.name, copy(getattr(copied, each.name)))
    return copied


def state_of(phase: Phase) -> State:
    """Return the state that a phase object belongs to."""
    if isinstance(phase, Init):
        return State.INIT
    return State.BACKUP if isinstance(phase, Backup) else State.MASTER
