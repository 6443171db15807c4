"""The state changes of each host within the last day, kept for the page; older ones, and all but the last, go."""

from collections.abc import Callable
from typing import TypeAlias

from pycarp.aio.log_records import explain
from pycarp.core.events import Event, StateChange
from pycarp.daemon.control_messages import HostStatus
from pycarp.vocabulary import NS_PER_S, HostKey

SPAN_S = 24 * 3600
KEPT = 100
"""Changes that are kept of each host: of one that flaps, the last."""

TimelineEntry: TypeAlias = tuple[float, str, str]
"""How long ago in seconds, the new state, and why, for people."""


class StateTimeline:
    """Takes the events of all hosts; ``now_s`` is the engine's time in seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._changes: dict[HostKey, list[StateChange]] = {}
        self._present: dict[tuple[str, int], HostKey] = {}
        self._called: dict[HostKey, set[tuple[str, int]]] = {}

    def take(self, event: Event) -> None:
        """Keep a state change."""
        if isinstance(event, StateChange):
            changes = self._changes.setdefault(event.key, [])
            changes.append(event)
            del changes[:-KEPT]

    def forget(self, key: HostKey) -> None:
        """Forget a host that has departed."""
        self._changes.pop(key, None)
        for called in self._called.pop(key, ()):
            if self._present.get(called) == key:
                del self._present[called]

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Note what a host is called in its status: its interface may have another name than at the start."""
        called = (status.interface, status.vhid)
        self._present[called] = key
        self._called.setdefault(key, set()).add(called)

    def key_of(self, status: HostStatus) -> HostKey | None:
        """Return the key of a host that runs by its status; None for one that waits for its interface."""
        return self._present.get((status.interface, status.vhid))

    def of(self, status: HostStatus) -> list[TimelineEntry]:
        """Return the changes of a host, the earliest first; the first one may be older than a day, no other one is."""
        key = self.key_of(status)
        changes = self._changes.get(key) if key is not None else None
        if changes is None:
            return []
        begin_ns = int((self._now_s() - SPAN_S) * NS_PER_S)
        # The state that a host was in when the day began is that of the last change before.
        while len(changes) > 1 and changes[1].at_ns <= begin_ns:
            del changes[0]
        now_ns = int(self._now_s() * NS_PER_S)
        return [(round((now_ns - each.at_ns) / NS_PER_S, 3), each.new.value, explain(each)) for each in changes]
