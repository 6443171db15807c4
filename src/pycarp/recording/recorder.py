"""Stands before an engine and gives every step away."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from pycarp.core.calm import SettledHosts
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.effects import Step
from pycarp.core.engine import Engine
from pycarp.core.inputs import DatagramsReceived, Input
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot
from pycarp.vocabulary import HostKey


class Entry(NamedTuple):
    """One step as it was: for memory only, because inputs and effects may hold passphrases and digests.

    ``drawn`` is the entropy that it took. Either there is a ``step``, or the engine raised what ``raised`` says.
    """

    at_ns: int
    event: Input
    drawn: tuple[int, ...]
    step: Step | None
    raised: str = ""

    @property
    def size(self) -> int:
        """How much of a bound it uses up: one for each datagram that it is about."""
        return max(len(self.event.datagrams), 1) if isinstance(self.event, DatagramsReceived) else 1


class Sink(Protocol):
    """Takes entries in, at once: it stands in the way of every step, so it neither waits nor raises."""

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the next entry is to be preceded by a checkpoint; always so before the first."""

    def begin(self, checkpoint: Checkpoint) -> None:
        """Take what the engine knows before the next entry."""

    def take(self, entry: Entry) -> None:
        """Take the next entry."""


class Recorder:
    """An engine that is recorded: the same door, the same views, the same steps."""

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
        """Do what ``Engine.handle`` does."""
        for sink in self._sinks:
            if sink.wants_checkpoint:
                sink.begin(self._engine.checkpoint())
        try:
            step = self._engine.handle(event, now_ns)
        except Exception as bug:
            self._give(Entry(now_ns, event, tuple(self._drawn), None, told(bug)))
            raise
        self._give(Entry(now_ns, event, tuple(self._drawn), step))
        return step

    def snapshot(self) -> EngineSnapshot:
        """Do what ``Engine.snapshot`` does."""
        return self._engine.snapshot()

    def host_snapshot(self, key: HostKey) -> HostSnapshot:
        """Do what ``Engine.host_snapshot`` does."""
        return self._engine.host_snapshot(key)

    def can_send(self, key: HostKey) -> bool:
        """Do what ``Engine.can_send`` does."""
        return self._engine.can_send(key)

    @property
    def settled(self) -> SettledHosts:
        """What ``Engine.settled`` is."""
        return self._engine.settled

    def _give(self, entry: Entry) -> None:
        self._drawn.clear()
        for sink in self._sinks:
            sink.take(entry)

    def _draw(self) -> int:
        number = self._entropy()
        self._drawn.append(number)
        return number


def told(bug: Exception) -> str:
    """Return what an engine raised in one line: its kind and, for an assertion of ours, which one.

    Nothing else of its text: what a bug says may hold anything.
    """
    return f"{type(bug).__name__}: {bug}".splitlines()[0] if isinstance(bug, AssertionError) else type(bug).__name__
