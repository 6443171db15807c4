"""What a sync group does at each moment: pure, driven by how its members are, their events and the time.

``share.py`` says what each member carries of the others. What a group does is said as inputs of the engine.

**Never two owners.** A dead or frozen machine keeps the addresses of each host until the lease of that host ends, which
is not the same moment for all. A member that takes over by itself waits for that. The others must wait as well: they
are pulled once the lease of their own MASTER is over, or as soon as that MASTER is heard again. It is alive then, and
drops when told. A takeover from a MASTER that is alive pulls at once the members of the same machine. On one link its
address identifies it. On different links a machine has different addresses, but a group shows which belong together: a
MASTER that leads has the others with it, and one that is without the leader is the last of all. So two MASTERs that
were both well for a while are on one machine.

**Why a group comes to rest,** whatever its members prefer. The leader carries nothing of where the others are MASTER.
It is pulled at most, and one that is pulled yields to a stronger MASTER before it has held the addresses. So every pull
that lasts makes a stronger claim MASTER of the leader, and there are only so many claims. Once the leader rests, each
other member does not preempt elsewhere, and is the last of all where it is MASTER without the leader. A machine that
gave it up so takes it from nobody that leaves. Each time it is passed on, one machine more has given it up, never the
leader's; so it reaches that one after as many steps as there are machines. Three things keep this true:

- A machine may leave a member to a better one that it has just heard, and then listens for a master-down time. What was
  given up stays so for longer.
- A leader that is pulled and yields at once was not MASTER here: what was given up stays so until it has held.
- An event may be old: a member that has yielded since pulls nobody.
- A stronger MASTER on another machine is left alone: with a dialect that does not wait, a pull would make two MASTERs
  until it advertises again, and each would pull the others.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from pycarp.core.engine import FULL_DEMOTION
from pycarp.core.events import Event, StateChange
from pycarp.core.host.decision import Peer
from pycarp.core.host.transitions import OLD_PACKETS_NS
from pycarp.core.inputs import DemotionSet, RestrictionSet, StateForced
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.dialects.dialect import Verdict
from pycarp.placement.share import PREFIX, Share, own_share, shares
from pycarp.vocabulary import NS_PER_S, Address, HostKey

WELL_S = 3.0
"""A member that was given up may be taken over again once a MASTER that is well was heard for so many seconds.

Or for the longest master-down time of the members, if that is longer.
"""

_MEANS_ONE_HOST = frozenset({Reason.FORCED, Reason.GROUPED})
"""After these a MASTER does not pull the other members: an administrator means one host, and a group has pulled all."""

_MAY_BE_DEAD = frozenset({Reason.MASTER_SILENT, Reason.MASTER_LEFT})
"""After these the machine that was MASTER may be dead or frozen: its guardian sends bow-outs, too."""

_LISTEN_S = 1.0
"""So often a group looks whether a member that was given up hears a MASTER that is well."""

_HELD_S = 0.1
"""A leader that is MASTER for so long has not just tried to take over: the hand-shake is over."""

_LATE_NS = NS_PER_S // 10
"""An advertisement that is so late is missing."""

_SETTLED_S = 1.0
"""For so long two MASTERs on different links must have been well before they count as one machine."""

_LOOK_AGAIN_S = 0.1
"""So often a group looks whether a member that it is to pull hears its MASTER again."""

GroupInput: TypeAlias = DemotionSet | RestrictionSet | StateForced


class _Pull(NamedTuple):
    """A takeover that waits: until ``due_s``, when the lease is over that ends at ``held_until_ns``.

    Or until a MASTER is heard later than at ``heard_ns``.
    """

    due_s: float
    held_until_ns: int
    heard_ns: int

    def updated(self, held_until_ns: int) -> "_Pull":
        """Return the takeover if the lease ends at another time now."""
        later_s = (held_until_ns - self.held_until_ns) / NS_PER_S
        return self._replace(due_s=self.due_s + later_s, held_until_ns=held_until_ns)


class _GivenUp(NamedTuple):
    """A member that was given up: since when a MASTER is heard that is well, None if none is, and the last time."""

    since_s: float | None = None
    heard_ns: int = -1


class _Followed(NamedTuple):
    """The addresses of the MASTER that a member follows, since when it has been heard to be well, and until when.

    ``until_s`` is when the member became MASTER itself; None while it is BACKUP.
    """

    sources: frozenset[Address]
    since_s: float
    until_s: float | None = None

    def was_settled(self, now_s: float) -> bool:
        """Return True if the MASTER has been well for a while, up to now."""
        until_s = now_s if self.until_s is None else self.until_s
        return until_s - self.since_s >= _SETTLED_S and now_s - until_s < _HELD_S


class GroupState:
    """What a group has made its members carry, which of them it has given up, and which it is to pull.

    ``members`` are always those that are there, in the order of the group: the leading one first. Seconds are those of
    any monotonic clock.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_force: dict[HostKey, Share] = {}
        self._given_up: dict[HostKey, _GivenUp] = {}
        self._pulls: dict[HostKey, _Pull] = {}
        self._followed: dict[HostKey, _Followed] = {}
        self._looked_s = 0.0
        self._well_s = WELL_S
        self._leads_since_s: float | None = None
        self._listening: frozenset[HostKey] = frozenset()

    @property
    def looks_at_s(self) -> float | None:
        """When ``carry`` is due although nothing has happened; None if time changes nothing."""
        times_s = [each.since_s + self._well_s for each in self._given_up.values() if each.since_s is not None]
        unheard = {key for key, each in self._given_up.items() if each.since_s is None}
        times_s += [self._looked_s + _LISTEN_S for _key in unheard & self._listening]
        if self._given_up and self._leads_since_s is not None:
            times_s.append(self._leads_since_s + _HELD_S)
        times_s += [min(pull.due_s, self._looked_s + _LOOK_AGAIN_S) for pull in self._pulls.values()]
        return min(times_s, default=None)

    def pull(self, event: Event, members: Sequence[HostSnapshot], now_s: float) -> list[GroupInput]:
        """Return what lets all take over when one has: its MASTER is gone, or leaves this group to us.

        A MASTER that is stronger keeps its addresses, and the member yields before it has held them. ``carry`` is due
        after every event, once this is done.
        """
        if not isinstance(event, StateChange) or event.new is not State.MASTER or event.reason in _MEANS_ONE_HOST:
            return []
        if not any(member.key == event.key and member.state is State.MASTER for member in members):
            # It has yielded since: whoever it yielded to decides about the others.
            return []
        if not all(own_share(member).is_able for member in members):
            return []
        inputs: list[GroupInput] = []
        for member in members:
            if member.state is State.BACKUP:
                is_alive = event.reason not in _MAY_BE_DEAD and self._is_as_alive(member, event, now_s)
                until_ns = _held_until_ns(member)
                if until_ns > event.at_ns and not is_alive:
                    due_s = now_s + (until_ns - event.at_ns) / NS_PER_S
                    heard_ns = max(_heard_ns(member), event.at_ns + OLD_PACKETS_NS)
                    self._pulls[member.key] = _Pull(due_s, until_ns, heard_ns)
                else:
                    inputs += _taking_over(member)
        return inputs

    def _is_as_alive(self, member: HostSnapshot, event: StateChange, now_s: float) -> bool:
        """Return True if the MASTER of a member advertised in time, and is on the machine that was relieved."""
        heard = member.master
        if heard is None:
            return False
        return event.at_ns - heard.at_ns <= _longest_silence_ns(member, heard) and self._is_of_relieved(
            member, heard.source, event, now_s
        )

    def _is_of_relieved(self, member: HostSnapshot, source: Address, event: StateChange, now_s: float) -> bool:
        if member.key.link == event.key.link:
            return event.peer in {None, source, member.name_of(source)}
        relieved, followed = self._followed.get(event.key), self._followed.get(member.key)
        if relieved is None or followed is None or event.peer not in relieved.sources or source not in followed.sources:
            return False
        return relieved.was_settled(now_s) and followed.was_settled(now_s)

    def carry(self, members: Sequence[HostSnapshot], now_s: float) -> list[GroupInput]:
        """Return what makes every member carry what the others say now, and what pulls those that have waited."""
        return [*self._pull_due(members, now_s), *self._carry(members, now_s)]

    def _pull_due(self, members: Sequence[HostSnapshot], now_s: float) -> list[GroupInput]:
        self._looked_s = now_s
        leads = any(member.state is State.MASTER for member in members)
        if not leads or not all(own_share(member).is_able for member in members):
            self._pulls.clear()
        waiting = [member for member in members if member.key in self._pulls and member.state is State.BACKUP]
        # Another machine may have taken the member since, and died as well.
        pulls = {member.key: self._pulls[member.key].updated(_held_until_ns(member)) for member in waiting}
        due = [member for member in waiting if _is_due(pulls[member.key], member, now_s)]
        self._pulls = {key: pull for key, pull in pulls.items() if key not in {member.key for member in due}}
        return [each for member in due if not _is_kept(pulls[member.key], member) for each in _taking_over(member)]

    def _carry(self, members: Sequence[HostSnapshot], now_s: float) -> list[GroupInput]:
        self._note_followed(members, now_s)
        self._note_given_up(members, now_s)
        given_up = frozenset(self._given_up)
        wanted = zip(members, shares(self._name, members, given_up), strict=True)
        return [each for member, share in wanted for each in self._become(member, share)]

    def end(self, members: Iterable[HostSnapshot]) -> list[GroupInput]:
        """Return what leaves each member on its own again."""
        return [each for member in members for each in self._become(member, Share())]

    def _note_followed(self, members: Sequence[HostSnapshot], now_s: float) -> None:
        """Note the MASTER of each member that is BACKUP; one that is the last of all is not well."""
        before, self._followed = self._followed, {}
        for member in members:
            heard, known = member.master, before.get(member.key)
            if member.state is State.MASTER and known is not None:
                # The event of its takeover may be handled after another one of the same step.
                self._followed[member.key] = known if known.until_s is not None else known._replace(until_s=now_s)
            elif member.state is State.BACKUP and heard is not None and not heard.claim.is_last:
                sources = frozenset(
                    peer.source for peer in member.peers if not peer.has_left and peer.claim == heard.claim
                )
                goes_on = known is not None and known.until_s is None and not sources.isdisjoint(known.sources)
                since_s = known.since_s if known is not None and goes_on else now_s
                self._followed[member.key] = _Followed(sources, since_s)

    def _note_given_up(self, members: Sequence[HostSnapshot], now_s: float) -> None:
        """Note which members are here without the leader; forget those that have been well elsewhere for a while."""
        present = {member.key for member in members}
        self._in_force = {key: share for key, share in self._in_force.items() if key in present}
        self._given_up = {key: each for key, each in self._given_up.items() if key in present}
        self._listening = frozenset(member.key for member in members if member.state is State.BACKUP)
        self._well_s = max([WELL_S, *(member.config.master_down_ns / NS_PER_S for member in members)])
        leading = members[0].state if members else State.INIT
        if leading is not State.MASTER:
            self._leads_since_s = None
        elif self._leads_since_s is None:
            self._leads_since_s = now_s
        for member in members:
            if self._leads_since_s is not None:
                if now_s >= self._leads_since_s + _HELD_S:
                    self._given_up.pop(member.key, None)
            elif leading is State.BACKUP and member.state is State.MASTER:
                self._given_up[member.key] = _GivenUp()
            elif member.key in self._given_up:
                self._given_up[member.key] = given_up = self._heard_well(member, now_s)
                if given_up.since_s is not None and now_s >= given_up.since_s + self._well_s:
                    del self._given_up[member.key]

    def _heard_well(self, member: HostSnapshot, now_s: float) -> _GivenUp:
        """Return since when a MASTER of a member that was given up is heard that is not the last of all.

        Whoever was heard last is MASTER: a stronger one that was heard before may just have tried to take over. One
        that has fallen silent is none.
        """
        heard, known = _heard(member), self._given_up[member.key]
        if member.state is not State.BACKUP or heard is None or heard.claim.is_last:
            return _GivenUp(heard_ns=known.heard_ns)
        if known.since_s is None:
            return _GivenUp(now_s, heard.at_ns) if heard.at_ns > known.heard_ns else known
        due_ns = known.heard_ns + round((now_s - known.since_s) * NS_PER_S) - _longest_silence_ns(member, heard)
        return known if heard.at_ns >= due_ns else _GivenUp(heard_ns=heard.at_ns)

    def _become(self, member: HostSnapshot, share: Share) -> list[GroupInput]:
        """Return what makes a member carry exactly this; a cause that another part removed is put back."""
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


def _is_due(pull: _Pull, member: HostSnapshot, now_s: float) -> bool:
    return now_s >= pull.due_s or not pull.held_until_ns or _heard_ns(member) > pull.heard_ns


def _is_kept(pull: _Pull, member: HostSnapshot) -> bool:
    """Return True if a stronger MASTER was heard again: a member that took over now would yield to it at once."""
    heard = member.master
    if heard is None or heard.at_ns <= pull.heard_ns:
        return False
    return member.config.dialect.compare(member.claim, heard.claim) is Verdict.WEAKER


def _longest_silence_ns(member: HostSnapshot, peer: Peer) -> int:
    """Return how old the last advertisement of a MASTER may be that is well."""
    return min(peer.claim.interval_ns, (member.config.advbase + 1) * NS_PER_S) + _LATE_NS


def _heard(member: HostSnapshot) -> Peer | None:
    """Return the MASTER that a member heard last; None if none."""
    return max((peer for peer in member.peers if not peer.has_left), key=lambda peer: peer.at_ns, default=None)


def _heard_ns(member: HostSnapshot) -> int:
    """Return when a member heard its MASTER last; 0 if there is none.

    A weaker one may be heard later: a host that yields advertises once more in the dialect of ucarp.
    """
    return 0 if member.master is None else member.master.at_ns


def _held_until_ns(member: HostSnapshot) -> int:
    """Return until when a MASTER may hold the addresses if it is dead now; 0 if there is none.

    The lease ends before the fastest peer takes over. A member that has just begun to listen may have missed a MASTER.
    """
    config, began = member.config, member.last_change
    until_ns = [
        peer.at_ns + _fastest_ns(member, config.advbase if peer.claim.is_last else peer.claim.advbase)
        for peer in member.peers
        if not peer.has_left
    ]
    if began is not None and began.old is State.INIT:
        until_ns.append(began.at_ns + _fastest_ns(member, config.advbase))
    return max(until_ns, default=0)


def _fastest_ns(member: HostSnapshot, advbase: int) -> int:
    return member.config.dialect.master_down_ns(advbase, 0, member.config.dead_ratio)


def _taking_over(member: HostSnapshot) -> list[GroupInput]:
    """Return what lets a member take over: all are able, so what a group still forbids it is what was true before."""
    outdated: list[GroupInput] = [
        RestrictionSet(member.key, cause, None)
        for cause, restriction in member.restrictions
        if cause.startswith(PREFIX) and restriction is Restriction.BACKUP_ONLY
    ]
    return [*outdated, StateForced(member.key, State.MASTER, is_for_group=True)]
