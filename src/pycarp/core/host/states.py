"""The data of each state of a host; its behaviour is in ``init.py``, ``backup.py``, ``master.py`` and ``takeover.py``.

Each state owns its timers: a timer ends with the state, and no code has to cancel it. All times are nanoseconds of the
engine's clock.
"""

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from pycarp.core.slots import slot_before
from pycarp.dialects.dialect import Claim
from pycarp.vocabulary import Address, Family


@dataclass(slots=True)
class Init:
    """The data of INIT, where a host neither sends nor listens.

    ``leaving_epoch`` is the epoch of the drop that is under way; after its report the host sends the bow-out, if it
    owes one. Only then may it become BACKUP again or, if it is removed (``is_final``), end. A host that
    ``handed_over`` without a bow-out waits longer than every other host.
    """

    leaving_epoch: int | None = None
    owes_bow_out: bool = False
    is_final: bool = False
    handed_over: bool = False

    @property
    def deadline_ns(self) -> None:
        """None: no timer runs in INIT."""


class Farewell(msgspec.Struct, frozen=True):
    """The last advertisement owed to the MASTER that this host yielded to, once the drop of ``epoch`` is reported."""

    epoch: int
    claim: Claim
    counter: int | None
    """The counter that marks it as the reply to the winner; None sends the next counter of this host."""


@dataclass(slots=True)
class Backup:
    """The data of BACKUP, where a host listens and takes over when the deadline of any family passes.

    ``followed`` is the source of the followed MASTER in each family: if it repeats its claim, only a deadline changes.
    ``announced`` are the MASTERs by family that were published, under the name ``published``; another one is published
    from ``publish_again_at_ns`` on. After a stall the host preempts no MASTER before ``listens_until_ns``, because the
    packets that waited in the socket are old.
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
        """When the first master-down time runs out."""
        return min(self.master_down_at_ns.values())


class Stage(Enum):
    """How far a MASTER has come with holding its addresses; the theory is in ``takeover.py``."""

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
        """Whether the addresses have not been requested yet."""
        return self.hold_at_ns is not None


@dataclass(slots=True)
class Answering:
    """The rate limits of answers to weaker MASTERs: an answer beyond the limit is postponed, never left out.

    ``at_ns`` is when a postponed answer is due, to the advertisement with ``counter``. ``expected_ns`` and ``other_ns``
    are the theoretical arrival times of the two rate limits.
    """

    at_ns: int | None = None
    counter: int = 0
    expected_ns: int = 0
    other_ns: int = 0


@dataclass(slots=True)
class Master:
    """The data of MASTER, where a host advertises.

    ``advertised_at_ns`` is the time of the last advertisement and ``alive_at_ns`` that of the last sign of life.
    ``was_alive_at_ns`` is the sign of life before; it counts if the last advertisement could not be sent.
    ``renew_at_ns`` is when a sign of life is due between two advertisements. ``announce_in`` counts the advertisements
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
        """When the next advertisement leaves: at the beginning of the slot in which it is due."""
        return slot_before(self.advertise_at_ns, self.slot_ns)

    @property
    def deadline_ns(self) -> int:
        """When the first timer is due."""
        due_ns = self.speaks_at_ns
        for at_ns in (self.takeover.hold_at_ns, self.renew_at_ns, self.announce_at_ns, self.answering.at_ns):
            if at_ns is not None and at_ns < due_ns:
                due_ns = at_ns
        return due_ns


StateData = Init | Backup | Master
