"""Recordings made in memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pycarp.core import Engine, Step
from pycarp.core.checkpoint import Checkpoint, PendingCheckpoint
from pycarp.core.inputs import Action, ActuationReported, DatagramReceived, HostAdded, Input, LinkChanged, TimePassed
from pycarp.recording import Difference, Entry, Recorder, Recording, Replay, Writer, read
from tests.support.histories import entropy
from tests.support.hosts import KEY, advert, config, link, seconds

WALL_NS = 1_700_000_000 * seconds(1)


@dataclass(slots=True)
class Kept:
    """A sink that keeps all in one section."""

    checkpoint: Checkpoint | None = None
    entries: list[Entry] = field(default_factory=list)

    @property
    def wants_checkpoint(self) -> bool:
        """Only before the first entry."""
        return self.checkpoint is None

    def begin(self, checkpoint: PendingCheckpoint) -> None:
        """Keep it."""
        self.checkpoint = checkpoint.complete()

    def take(self, entry: Entry) -> None:
        """Keep it."""
        self.entries.append(entry)


def written(checkpoint: Checkpoint, entries: Iterable[Entry], *, seed: int = 99) -> list[bytes]:
    """Return the lines of what was kept."""
    entries = list(entries)
    writer = Writer(checkpoint, entropy=entropy(seed))
    opening = writer.opening(version="0.1.0", at_ns=entries[0].at_ns, wall_ns=WALL_NS)
    return [*opening.splitlines(keepends=True), *(writer.line(each) for each in entries)]


def entries_of(engine: Engine, numbers: list[int], events: Iterable[tuple[Input, int]]) -> list[Entry]:
    """Feed an engine that notes what it draws in ``numbers``; return the entries."""
    entries = []
    for event, at_ns in events:
        numbers.clear()
        step: Step = engine.handle(event, at_ns)
        entries.append(Entry(at_ns, event, tuple(numbers), step))
    return entries


def noting(source: Callable[[], int], numbers: list[int]) -> Callable[[], int]:
    """Return the source, noting what is drawn."""

    def draw() -> int:
        numbers.append(source())
        return numbers[-1]

    return draw


def recorded(events: Iterable[tuple[Input, float]]) -> Kept:
    """Let inputs happen, each at its second, to an engine that is recorded."""
    kept = Kept()
    recorder = Recorder([kept], entropy=entropy(1))
    for event, at_s in events:
        recorder.handle(event, seconds(at_s))
    return kept


def lines_of(events: Iterable[tuple[Input, float]]) -> list[bytes]:
    """Return the recording of inputs."""
    kept = recorded(events)
    assert kept.checkpoint is not None
    return written(kept.checkpoint, kept.entries)


def played(lines: Iterable[bytes]) -> Recording:
    """Return lines as a recording in a file ``incident``."""
    return read(lines, file="incident")


def differences(lines: Iterable[bytes]) -> list[Difference]:
    """Return in what a replay of the lines differs from what they say."""
    return [step.difference for step in Replay(played(lines)).steps() if step.difference]


def a_takeover(**settings: object) -> list[tuple[Input, float]]:
    """Return the inputs of a host that hears a MASTER until second 3, and takes over when that is silent."""
    return [
        (LinkChanged(link()), 1),
        (HostAdded(config(advskew=100, **settings)), 1),  # type: ignore[arg-type]
        (ActuationReported(KEY, 1, Action.DROP, None), 1.001),
        (DatagramReceived(advert(counter=1)), 2),
        (DatagramReceived(advert(counter=2)), 3),
        (TimePassed(), 6.390625),
        (TimePassed(), 6.393625),
        (ActuationReported(KEY, 2, Action.HOLD, None), 6.4),
        (TimePassed(), 7.79),
    ]
