"""Compares a counter with earlier ones; keeps a bounded number of them for each vhid.

A counter that was used before is not always a replay. Every system but OpenBSD continues from the last number that it
heard. Two hosts that did not hear each other for a while have both counted on from the same number, and when they hear
each other again, one of them goes on with numbers that it or the other has used. Source: carp.md section 3.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum

from pycarp.auth.reply import Reply
from pycarp.vocabulary import Address, Family

_REMEMBERED = 256
_MOST_GROUPS = 1024
_RECENT = 8
_STEPS = 8
"""How far a counter may be ahead of the one that it continues: both families count with one, and packets are lost."""

_MODULUS = 1 << 64


class Repetition(Enum):
    """The relation of a counter to earlier ones."""

    NEW = "new"
    CONSTANT = "constant"
    """The sender's counter has never changed: OpenBSD's cookie, or a replay of one packet."""

    REPLAYED = "replayed"
    """The sender's counter changes, and this one was used before."""

    FROM_ANOTHER = "from another"
    """Another sender used it before."""

    CONTINUED = "continued"
    """It was used before, but counts on from the sender's own last one, or from what another sent just now."""


@dataclass(slots=True)
class _Sender:
    last: int
    is_changing: bool = False
    is_replaying: bool = False


@dataclass(slots=True)
class _Group:
    users: OrderedDict[int, Address] = field(default_factory=OrderedDict)
    """Who used a counter first; the last 256 counters."""

    senders: OrderedDict[Address, _Sender] = field(default_factory=OrderedDict)
    """The last 256 of them."""

    recent: deque[tuple[Address, int]] = field(default_factory=lambda: deque(maxlen=_RECENT))
    """What was sent last, which others may have adopted."""


class CounterHistory:
    """The counters of each vhid and family on each VLAN."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[tuple[int, ...], int, Family], _Group] = OrderedDict()

    def add(self, group: tuple[tuple[int, ...], int, Family], source: Address, counter: int) -> Repetition:
        """Store a counter, and return its relation to earlier ones of the same VLAN, vhid and family."""
        found = self._group(group)
        repetition = _repetition(found, source, counter)
        sender = found.senders.get(source)
        if sender is None:
            sender = found.senders[source] = _Sender(counter)
        sender.is_changing |= counter != sender.last
        sender.is_replaying = repetition in (Repetition.REPLAYED, Repetition.FROM_ANOTHER)
        sender.last = counter
        found.senders.move_to_end(source)
        found.users.setdefault(counter, source)
        found.recent.append((source, counter))
        for remembered in (found.users, found.senders):
            if len(remembered) > _REMEMBERED:
                remembered.popitem(last=False)
        return repetition

    def is_farewell(self, group: tuple[tuple[int, ...], int, Family], source: Address, counter: int) -> bool:
        """Return whether a counter answers one of another host as pycarp's farewell does: its sender has yielded."""
        answered = Reply.FAREWELL.answered(counter)
        # 0 is answered by 1, which follows it anyway.
        return answered != 0 and self._group(group).users.get(answered, source) != source

    def _group(self, key: tuple[tuple[int, ...], int, Family]) -> _Group:
        group = self._groups.setdefault(key, _Group())
        self._groups.move_to_end(key)
        if len(self._groups) > _MOST_GROUPS:
            self._groups.popitem(last=False)
        return group


def _repetition(group: _Group, source: Address, counter: int) -> Repetition:
    first = group.users.get(counter)
    if first is None:
        return Repetition.NEW
    if _is_continued(group, source, counter):
        return Repetition.CONTINUED
    if first != source:
        return Repetition.FROM_ANOTHER
    return Repetition.REPLAYED if group.senders[source].is_changing else Repetition.CONSTANT


def _is_continued(group: _Group, source: Address, counter: int) -> bool:
    sender = group.senders.get(source)
    if sender is None:
        return False
    if not sender.is_replaying and _follows(counter, sender.last):
        return True
    # A kernel adopts whatever verifies, replays included: the problem is theirs who sent those.
    latest = {each: sent for each, sent in group.recent if each != source}
    return any(_follows(counter, sent) for sent in latest.values())


def _follows(counter: int, earlier: int) -> bool:
    return 1 <= (counter - earlier) % _MODULUS <= _STEPS
