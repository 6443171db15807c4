"""Compares a counter with earlier ones; keeps a bounded number of them for each vhid."""

from collections import OrderedDict
from enum import Enum
from typing import NamedTuple

from pycarp.vocabulary import Address, Family

_REMEMBERED = 256
_MOST_GROUPS = 1024


class Repetition(Enum):
    """The relation of a counter to earlier ones."""

    NEW = "new"
    CONSTANT = "constant"
    """The sender's counter has never changed: OpenBSD's cookie, or a replay of one packet."""

    REPLAYED = "replayed"
    """The sender's counter changes, and this one was used before."""

    FROM_ANOTHER = "from another"
    """Another sender used it before."""


class _Group(NamedTuple):
    senders: OrderedDict[int, Address]
    """Who used a counter first; the last 256 counters."""

    changing: OrderedDict[Address, bool]
    """The senders, and whether their counters change; the last 256 of them."""


class CounterHistory:
    """The counters of each vhid and family on each VLAN."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[tuple[int, ...], int, Family], _Group] = OrderedDict()

    def add(self, group: tuple[tuple[int, ...], int, Family], source: Address, counter: int) -> Repetition:
        """Store a counter, and return its relation to earlier ones of the same VLAN, vhid and family."""
        senders, changing = self._group(group)
        first = senders.get(counter)
        if first is None:
            changing[source] = source in changing
            senders[counter] = source
            for remembered in (senders, changing):
                if len(remembered) > _REMEMBERED:
                    remembered.popitem(last=False)
            return Repetition.NEW
        if first != source:
            return Repetition.FROM_ANOTHER
        return Repetition.REPLAYED if changing.get(source) else Repetition.CONSTANT

    def _group(self, key: tuple[tuple[int, ...], int, Family]) -> _Group:
        group = self._groups.setdefault(key, _Group(OrderedDict(), OrderedDict()))
        self._groups.move_to_end(key)
        if len(self._groups) > _MOST_GROUPS:
            self._groups.popitem(last=False)
        return group
