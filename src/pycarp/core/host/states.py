"""What each state of a host knows; what it does is in ``init.py``, ``backup.py``, ``master.py`` and ``takeover.py``.

Each state owns its timers, so that a timer ends with the state and nothing has to be cancelled. All times are
nanoseconds of the engine's clock.
"""

from dataclasses import dataclass, field
from enum import Enum

from pycarp.core.slots import slot_before
from pycarp.dialects.base import Claim
from pycarp.vocabulary import Address, Family


@dataclass(slots=True)
class Init:
    """Not taking part.

    ``leaving_epoch`` is the epoch of the drop that is under way; its report releases the bow-out, if one is owed. Only
    then may the host become BACKUP again or, if it is removed (``is_final``), end. A host that ``handed_over`` without
    a bow-out lets every other host take over first.
    """

    leaving_epoch: int | None = None
    owes_bow_out: bool = False
    is_final: bool = False
    handed_over: bool = False

    @property
    def deadline_ns(self) -> None:
        """Never: nothing happens to it by time alone."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """The last advertisement owed to the MASTER that this host yielded to, once the drop of ``epoch`` is reported."""

    epoch: int
    claim: Claim
    counter: int | None
    """The number of the advertisement that it answers; None sends the next number of this host."""


@dataclass(slots=True)
class Backup:
    """Listening; takes over when the deadline of any family passes.

    ``followed`` is the source followed last in each family: the same claim again costs one deadline. ``announced``
    are the MASTERs by family that observers know, under the name ``published``; another one is published from
    ``publish_again_at_ns`` on. After a stall no MASTER is preempted before ``listens_until_ns``: what waited in the
    socket is old.
    """

    master_down_at_ns: dict[Family, int]
    farewell: Farewell | None = None
    followed: dict[Family, Address] = field(default_factory=dict)
    announced: dict[Family, Address] = field(default_factory=dict)
    published: Address | None = None
    publish_again_at_ns: int = 0
    listens_until_ns: int = 0

    @property
    def deadline_ns(self) -> int:
        """When the first family is silent for too long."""
        return min(self.master_down_at_ns.values())


class Stage(Enum):
    """How far a MASTER is with its addresses; the theory is in ``takeover.py``."""

    LISTENING = "listens for others that take over as well"
    AWAITING = "waits until other masters have dropped the addresses"
    TIED = "waits for the answer to an equal claim"
    HOLDING = "the addresses are being put on the interface"
    HELD = "holds the addresses"


@dataclass(slots=True)
class Takeover:
    """The hand-shake before a new MASTER holds the addresses.

    ``hold_at_ns`` is when it holds them at the latest; None from ``HOLDING`` on. ``awaited`` are the MASTERs that may
    still hold them.
    """

    stage: Stage = Stage.HOLDING
    hold_at_ns: int | None = None
    awaited: set[Address] = field(default_factory=set)

    @property
    def is_pending(self) -> bool:
        """Whether the addresses have not been asked for yet."""
        return self.hold_at_ns is not None


@dataclass(slots=True)
class Answering:
    """When weaker MASTERs are answered: at once, unless they are heard too often; then later, but never not at all.

    ``at_ns`` is when a postponed answer is due, to the advertisement numbered ``counter``. ``expected_ns`` and
    ``other_ns`` are the theoretical arrival times of the two rate limits.
    """

    at_ns: int | None = None
    counter: int = 0
    expected_ns: int = 0
    other_ns: int = 0


@dataclass(slots=True)
class Master:
    """Advertising.

    ``advertised_at_ns`` is when it advertised last, ``alive_at_ns`` when it gave the last sign of life,
    ``was_alive_at_ns`` the one before, should the last advertisement turn out not to have been sent, and
    ``renew_at_ns`` when a sign of life is due between two advertisements. ``announce_in`` counts the advertisements
    until the announcement is repeated, ``announce_at_ns`` is when it is repeated. A conflict is published again from
    ``conflict_until_ns`` on. With a ``slot_ns`` an advertisement leaves at the last multiple of that before it is due.
    """

    since_ns: int
    advertised_at_ns: int
    alive_at_ns: int
    advertise_at_ns: int
    was_alive_at_ns: int
    takeover: Takeover = field(default_factory=Takeover)
    answering: Answering = field(default_factory=Answering)
    renew_at_ns: int | None = None
    announce_in: int | None = None
    announce_at_ns: int | None = None
    conflict_until_ns: int = 0
    slot_ns: int = 0

    @property
    def speaks_at_ns(self) -> int:
        """When the next advertisement leaves: in the slot before it is due, never after."""
        return slot_before(self.advertise_at_ns, self.slot_ns)

    @property
    def deadline_ns(self) -> int:
        """When the next thing is due."""
        due_ns = self.speaks_at_ns
        for at_ns in (self.takeover.hold_at_ns, self.renew_at_ns, self.announce_at_ns, self.answering.at_ns):
            if at_ns is not None and at_ns < due_ns:
                due_ns = at_ns
        return due_ns


StateData = Init | Backup | Master
