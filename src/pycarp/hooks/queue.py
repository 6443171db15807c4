"""The calls that are due for one host: in order, one at a time, and only those of the latest change. Pure.

A loss is the exception: it is due until its hooks are called, or until the host is MASTER again. A host that hands over
is in INIT for a moment and then BACKUP, and what its hooks stop on a loss must not run on.
"""

from collections import deque

import msgspec

from pycarp.core.events import Event, StateChange
from pycarp.core.state import State
from pycarp.hooks.hook import On, occasions_of


class Occasion(msgspec.Struct, frozen=True):
    """One thing that hooks are called on, and the event that it comes from."""

    on: On
    event: Event


class HookQueue:
    """What is due: a change of state replaces what is due of earlier events, but not a loss; others add, once."""

    def __init__(self) -> None:
        self._due: deque[Occasion] = deque()

    def take(self, event: Event) -> tuple[On, ...]:
        """Take an event; return what is skipped because of it, in its order."""
        occasions = occasions_of(event)
        skipped: tuple[On, ...] = ()
        if occasions and isinstance(event, StateChange):
            kept = [each for each in self._due if each.on is On.LOST and event.new is not State.MASTER]
            skipped = tuple(each.on for each in self._due if each not in kept)
            self._due = deque(kept)
        present = {each.on for each in self._due}
        self._due.extend(Occasion(on, event) for on in occasions if on not in present)
        return skipped

    def first(self) -> Occasion | None:
        """Return what is to be called now; None if nothing is due."""
        return self._due[0] if self._due else None

    def remove_first(self) -> None:
        """Remove what is to be called now."""
        self._due.popleft()

    def has_newer(self, event: Event) -> bool:
        """Return True if a change of state is due that is not this event."""
        return any(isinstance(each.event, StateChange) and each.event is not event for each in self._due)

    def is_due(self, event: Event) -> bool:
        """Return True if something of an event is still due."""
        return any(each.event is event for each in self._due)
