"""What each member of a group carries of the others: a pure function of how they are now.

Nothing is counted up and down, so nothing can drift: whatever is true of the members now says what each must carry.

**A member that is not able** makes the others carry the same. If it is in INIT, the last of all or demoted by 240, all
are last; if it is demoted by less or restricted, so are they. All members therefore leave as soon as a peer is there to
take over, and none comes back before all are able. A cause that a member has by itself, such as one of the whole node,
is not carried twice, and what a group made a member carry is never carried further.

**The first member leads.** If it is MASTER on another machine, the others preempt nobody here, and one that is MASTER
here is the last of all. So two machines that each have a part of the group agree on where it belongs, even if their
preferences contradict each other. A member that was given up for that reason stays the last of all until a MASTER has
been heard for a while that is not: otherwise machines that all lack the leader would pass it on for ever.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from pycarp.core.engine import FULL_DEMOTION
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.vocabulary import HostKey

PREFIX = "group "
"""How the causes of groups begin."""

LAST = None
"""The amount of a demotion that makes its host the last of all."""


class SyncGroupConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that move together, the leading one first."""

    name: str
    hosts: tuple[HostKey, ...]


class Share(msgspec.Struct, frozen=True):
    """Causes with the amounts of demotions (``LAST`` for the last of all), and with restrictions."""

    demotions: dict[str, int | None] = msgspec.field(default_factory=dict)
    restrictions: dict[str, Restriction] = msgspec.field(default_factory=dict)

    @property
    def is_able(self) -> bool:
        """Whether a host that carries this may take over and keep its addresses."""
        return LAST not in self.demotions.values() and Restriction.BACKUP_ONLY not in self.restrictions.values()


def shares(name: str, members: Sequence[HostSnapshot], given_up: Collection[HostKey] = ()) -> list[Share]:
    """Return what each member of the group ``name`` must carry, in their order; the first one leads.

    ``given_up`` are members that were MASTER here without the leader, and must not take their addresses again yet.
    """
    own = [own_share(member) for member in members]
    made = [Share() for _member in members]
    for target, share in enumerate(made):
        for other, member in enumerate(members):
            whose = f"{PREFIX}{name}: {member.config.name}"
            if other != target:
                _carry(share, own[other], but=own[target], whose=whose)
            else:
                share.demotions.update(_made_last(member, whose))
        if target and members[0].state is State.BACKUP:
            leader = f"{PREFIX}{name}: {members[0].config.name} is not MASTER here"
            share.restrictions[leader] = Restriction.NO_PREEMPT
            if members[target].state is State.MASTER or members[target].key in given_up:
                share.demotions[leader] = LAST
    return made


def own_share(member: HostSnapshot) -> Share:
    """Return what speaks against a host by itself: what no group made it carry."""
    share = Share()
    if member.state is State.INIT:
        share.demotions["is down"] = LAST
    for cause, amount in member.demotion:
        if not cause.startswith(PREFIX) and amount > 0:
            is_last = amount >= FULL_DEMOTION or cause in member.last_causes
            share.demotions[cause] = LAST if is_last else amount
    share.restrictions.update(_of_itself(member))
    return share


def _of_itself(member: HostSnapshot) -> Iterator[tuple[str, Restriction]]:
    return (each for each in member.restrictions if not each[0].startswith(PREFIX))


def _made_last(member: HostSnapshot, whose: str) -> Iterator[tuple[str, int | None]]:
    """Yield the full demotions of a member that makes the others last: it leaves with them, to the other host."""
    for cause, amount in member.demotion:
        if not cause.startswith(PREFIX) and amount >= FULL_DEMOTION and cause not in member.last_causes:
            yield f"{whose}: {cause}", LAST


def _carry(share: Share, other: Share, *, but: Share, whose: str) -> None:
    """Add what another member has, unless the target has the same by itself."""
    for cause, amount in other.demotions.items():
        if cause not in but.demotions or but.demotions[cause] != amount:
            share.demotions[f"{whose}: {cause}"] = amount
    for cause, restriction in other.restrictions.items():
        if but.restrictions.get(cause) is not restriction:
            share.restrictions[f"{whose}: {cause}"] = restriction
