"""The calls that are due for one host: in order, one at a time, and only those of the latest change. Pure."""

from collections import deque
from dataclasses import dataclass

from pycarp.core.events import Event
from pycarp.hooks.hook import On, occasions_of


@dataclass(frozen=True, slots=True)
class Occasion:
    """One thing that hooks are called on, and the event that it comes from."""

    on: On
    event: Event


class HookQueue:
    """What is due: a change replaces what is due of an earlier one; a conflict that was won is added once."""

    def __init__(self) -> None:
        self._due: deque[Occasion] = deque()

    def take(self, event: Event) -> tuple[On, ...]:
        """Take an event; return what is skipped because of it, in its order."""
        occasions = occasions_of(event)
        skipped: tuple[On, ...] = ()
        if occasions and occasions != (On.CONFLICT_WON,):
            skipped = tuple(each.on for each in self._due)
            self._due.clear()
        elif any(each.on is On.CONFLICT_WON for each in self._due):
            return ()
        self._due.extend(Occasion(on, event) for on in occasions)
        return skipped

    def next(self) -> Occasion | None:
        """Return and remove what is to be called now; None if nothing is due."""
        return self._due.popleft() if self._due else None

    @property
    def is_outdated(self) -> bool:
        """True if something newer is due than what runs."""
        return bool(self._due)

    def is_due(self, event: Event) -> bool:
        """Return True if something of an event is still due."""
        return any(each.event is event for each in self._due)
