"""Wraps an engine and passes every step to sinks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from pycarp.core.calm import SettledHosts
from pycarp.core.checkpoint import PendingCheckpoint
from pycarp.core.effects import Effect, RenewAddresses, Step, Transmit
from pycarp.core.engine import Engine
from pycarp.core.inputs import DatagramsReceived, Input
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot
from pycarp.core.statistics import Statistics
from pycarp.vocabulary import HostKey

_ROUTINE = frozenset((Transmit, RenewAddresses))
"""The effects of nearly every step of a MASTER."""


def is_routine(effects: Sequence[Effect]) -> bool:
    """Return True if effects are advertisements and renewals only."""
    return _ROUTINE.issuperset(map(type, effects))


class Entry(NamedTuple):
    """One step with its secrets: for memory only, because inputs and effects may have passphrases and digests.

    ``drawn`` is the entropy that it took. Either there is a ``step``, or the engine raised what ``raised`` says.
    ``routine`` counts the effects of the step that ``brief`` left out.
    """

    at_ns: int
    event: Input
    drawn: tuple[int, ...]
    step: Step | None
    raised: str = ""
    routine: int = 0

    def brief(self) -> "Entry":
        """Return the entry without the effects of its step if all are advertisements and renewals.

        These are nearly all that a MASTER does, take ten times the memory of the rest, and follow from the input.
        """
        step = self.step
        if step is None or not step.effects or not is_routine(step.effects):
            return self
        return Entry(self.at_ns, self.event, self.drawn, Step((), step.deadline_ns), routine=len(step.effects))

    def unpacked(self) -> "Entry":
        """Return the entry itself."""
        return self

    @property
    def size(self) -> int:
        """The share of a bound that the entry takes: one for each of its datagrams."""
        return max(len(self.event.datagrams), 1) if isinstance(self.event, DatagramsReceived) else 1


class Sink(Protocol):
    """Receives entries. Every step of the engine calls it, so it must neither wait nor raise."""

    @property
    def wants_checkpoint(self) -> bool:
        """True if the sink needs a checkpoint before the next entry; always so before the first."""

    def begin(self, checkpoint: PendingCheckpoint) -> None:
        """Receive the checkpoint of the engine before the next entry."""

    def take(self, entry: Entry) -> None:
        """Receive the next entry."""


class Recorder:
    """A recorded engine, with the methods, snapshots and steps of the engine itself."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        entropy: Callable[[], int],
        settings: Settings | None = None,
        slot_ns: int = 0,
    ) -> None:
        self._sinks = tuple(sinks)
        self._entropy = entropy
        self._drawn: list[int] = []
        self._engine = Engine(entropy=self._draw, settings=settings, slot_ns=slot_ns)

    def handle(self, event: Input, now_ns: int) -> Step:
        """Return the step of ``Engine.handle``, and pass it to the sinks."""
        for sink in self._sinks:
            if sink.wants_checkpoint:
                sink.begin(self._engine.begin_checkpoint())
        try:
            step = self._engine.handle(event, now_ns)
        except Exception as bug:
            self._give(Entry(now_ns, event, tuple(self._drawn), None, exception_line(bug)))
            raise
        self._give(Entry(now_ns, event, tuple(self._drawn), step))
        return step

    def snapshot(self) -> EngineSnapshot:
        """Return ``Engine.snapshot``."""
        return self._engine.snapshot()

    def host_snapshot(self, key: HostKey) -> HostSnapshot:
        """Return ``Engine.host_snapshot``."""
        return self._engine.host_snapshot(key)

    def can_send(self, key: HostKey) -> bool:
        """Return ``Engine.can_send``."""
        return self._engine.can_send(key)

    def statistics(self) -> Statistics:
        """Return ``Engine.statistics``."""
        return self._engine.statistics()

    @property
    def deadline_ns(self) -> int | None:
        """Return ``Engine.deadline_ns``."""
        return self._engine.deadline_ns

    @property
    def settled(self) -> SettledHosts:
        """Return ``Engine.settled``."""
        return self._engine.settled

    def _give(self, entry: Entry) -> None:
        self._drawn.clear()
        for sink in self._sinks:
            sink.take(entry)

    def _draw(self) -> int:
        number = self._entropy()
        self._drawn.append(number)
        return number


def exception_line(bug: Exception) -> str:
    """Return what an engine raised in one line: its kind and, for an assertion of ours, which one.

    Nothing else of its text: what a bug says may hold anything.
    """
    return f"{type(bug).__name__}: {bug}".splitlines()[0] if isinstance(bug, AssertionError) else type(bug).__name__
