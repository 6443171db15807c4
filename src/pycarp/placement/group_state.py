"""What a sync group does at each moment: pure, driven by how its members are, their events and the time.

``share.py`` says what each member carries of the others. What a group does is said as inputs of the engine.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from pycarp.core.engine import FULL_DEMOTION
from pycarp.core.events import Event, StateChange
from pycarp.core.inputs import DemotionSet, RestrictionSet, StateForced
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.placement.share import PREFIX, Share, own_share, shares
from pycarp.vocabulary import HostKey

WELL_S = 3.0
"""A member that was given up may be taken over again once a MASTER that is well was heard for so many seconds."""

_MEANS_ONE_HOST = frozenset({Reason.FORCED, Reason.GROUPED})
"""After these a MASTER does not pull the other members: an administrator means one host, and a group has pulled all."""

GroupInput: TypeAlias = DemotionSet | RestrictionSet | StateForced


class GroupState:
    """What a group has made its members carry, and which of them it has given up.

    ``members`` are always those that are there, in the order of the group: the leading one first. Seconds are those of
    any monotonic clock.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_force: dict[HostKey, Share] = {}
        self._given_up: dict[HostKey, float | None] = {}

    @property
    def looks_at_s(self) -> float | None:
        """When ``carry`` is due although nothing has happened; None if time changes nothing."""
        return min((since_s + WELL_S for since_s in self._given_up.values() if since_s is not None), default=None)

    def pull(self, event: Event, members: Sequence[HostSnapshot]) -> list[GroupInput]:
        """Return what lets all take over when one has: its MASTER is gone, or leaves this group to us.

        A MASTER that is stronger keeps its addresses, and the member yields before it has held them. ``carry`` is due
        after every event, once this is done.
        """
        if not isinstance(event, StateChange) or event.new is not State.MASTER or event.reason in _MEANS_ONE_HOST:
            return []
        if not all(own_share(member).is_able for member in members):
            return []
        return [each for member in members if member.state is State.BACKUP for each in _taking_over(member)]

    def carry(self, members: Sequence[HostSnapshot], now_s: float) -> list[GroupInput]:
        """Return what makes every member carry what the others say now."""
        self._note_given_up(members, now_s)
        given_up = frozenset(self._given_up)
        wanted = zip(members, shares(self._name, members, given_up), strict=True)
        return [each for member, share in wanted for each in self._become(member, share)]

    def end(self, members: Iterable[HostSnapshot]) -> list[GroupInput]:
        """Return what leaves each member on its own again."""
        return [each for member in members for each in self._become(member, Share())]

    def _note_given_up(self, members: Sequence[HostSnapshot], now_s: float) -> None:
        """Note which members are here without the leader; forget those that have been well elsewhere for a while."""
        present = {member.key for member in members}
        self._in_force = {key: share for key, share in self._in_force.items() if key in present}
        self._given_up = {key: since_s for key, since_s in self._given_up.items() if key in present}
        leader = members[0] if members else None
        for member in members:
            if leader is None or leader.state is State.MASTER:
                self._given_up.pop(member.key, None)
            elif leader.state is State.BACKUP and member is not leader and member.state is State.MASTER:
                self._given_up[member.key] = None
            elif member.key in self._given_up:
                self._given_up[member.key] = since_s = self._well_since_s(member, now_s)
                if since_s is not None and now_s >= since_s + WELL_S:
                    del self._given_up[member.key]

    def _well_since_s(self, member: HostSnapshot, now_s: float) -> float | None:
        """Return since when a MASTER of a member that was given up is heard that is not the last of all."""
        if member.state is not State.BACKUP or member.master is None or member.master.claim.is_last:
            return None
        before_s = self._given_up[member.key]
        return now_s if before_s is None else before_s

    def _become(self, member: HostSnapshot, share: Share) -> list[GroupInput]:
        """Return what makes a member carry exactly this; a cause that somebody else removed is put back."""
        key, before = member.key, self._in_force.get(member.key, Share())
        self._in_force[key] = share
        demotions, restrictions = dict(member.demotion), dict(member.restrictions)
        # What is added comes first, so that no moment lies between two causes.
        changes: list[GroupInput] = [
            DemotionSet(key, cause, FULL_DEMOTION if amount is None else amount, is_last=amount is None)
            for cause, amount in share.demotions.items()
            if cause not in demotions or cause not in before.demotions or before.demotions[cause] != amount
        ]
        changes += [
            RestrictionSet(key, cause, restriction)
            for cause, restriction in share.restrictions.items()
            if cause not in restrictions or before.restrictions.get(cause) is not restriction
        ]
        changes += [DemotionSet(key, cause, 0) for cause in sorted(before.demotions.keys() - share.demotions.keys())]
        changes += [
            RestrictionSet(key, cause, None) for cause in before.restrictions if cause not in share.restrictions
        ]
        return changes


def _taking_over(member: HostSnapshot) -> list[GroupInput]:
    """Return what lets a member take over: all are able, so what a group still forbids it is what was true before."""
    outdated: list[GroupInput] = [
        RestrictionSet(member.key, cause, None)
        for cause, restriction in member.restrictions
        if cause.startswith(PREFIX) and restriction is Restriction.BACKUP_ONLY
    ]
    return [*outdated, StateForced(member.key, State.MASTER, is_for_group=True)]
