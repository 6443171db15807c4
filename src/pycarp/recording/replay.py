"""Replays a recording in a new engine, and compares every step bit for bit."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from pycarp.core.effects import Effect, Publish, Step
from pycarp.core.engine import Engine
from pycarp.core.events import StateChange
from pycarp.core.inputs import DatagramReceived, DatagramsReceived, Input
from pycarp.core.snapshot import EngineSnapshot, HostSnapshot
from pycarp.core.statistics import DropReason
from pycarp.errors import RecordingError
from pycarp.recording.lines import RecordedStep, Recording, StepResult, result_of
from pycarp.recording.recorded_entropy import RecordedEntropy
from pycarp.recording.recorder import exception_line
from pycarp.vocabulary import NS_PER_S

_SHOWN = 160


class Difference(NamedTuple):
    """The first difference between a recorded step and its replay, in words."""

    line: int
    at_ns: int
    what: str


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A replayed step; ``number`` counts from 1."""

    number: int
    line: int
    at_ns: int
    event: Input
    effects: tuple[Effect, ...]
    deadline_ns: int | None
    difference: Difference | None
    raised: str = ""
    dropped: DropReason | None = None
    """The reason for which the engine dropped the datagram of this step, if it did."""
    unlike: str = ""
    """What the recorded engine did, in words, if the recording says that it did something else."""

    @property
    def changes(self) -> list[StateChange]:
        """The transitions of the step."""
        events = [effect.event for effect in self.effects if isinstance(effect, Publish)]
        return [event for event in events if isinstance(event, StateChange) and event.old is not event.new]


class Replay:
    """One pass through a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._draws = RecordedEntropy()
        try:
            self._engine = Engine.from_checkpoint(recording.checkpoint, entropy=self._draws)
        except Exception as exc:
            raise RecordingError(f"{recording.file}:2: no engine has ever known this: {exception_line(exc)}") from exc

    @property
    def began_ns(self) -> int:
        """The time of the recorded clock at the beginning."""
        return self._recording.head.at

    def snapshot(self) -> EngineSnapshot:
        """Return the snapshot of the engine after the last replayed step."""
        return self._engine.snapshot()

    def host(self, name: str) -> HostSnapshot | None:
        """Return the host with this name or ``vhid@interface``; None if it is absent now."""
        hosts = self._engine.snapshot().hosts
        return next((each for each in hosts if name in (each.config.name, str(each.key))), None)

    def steps(self, *, until_ns: int | None = None) -> Iterator[Played]:
        """Yield each step after it has happened, differing ones too; after one in which the engine raises none.

        What was recorded after ``until_ns`` does not happen.
        """
        for number, recorded in enumerate(self._recording.steps(), 1):
            if until_ns is not None and recorded.at_ns > until_ns:
                return
            played = self._play(number, recorded)
            yield played
            if played.raised:
                return

    def _play(self, number: int, recorded: RecordedStep) -> Played:
        self._draws.refill(recorded.drawn)
        drops = self._drops(recorded.event)
        step, raised = Step((), None), ""
        try:
            step = self._engine.handle(recorded.event, recorded.at_ns)
        except Exception as bug:  # noqa: BLE001  that it raises may be just what is to be reproduced
            raised = exception_line(bug)
        now = result_of(None if raised else step, raised)
        what = _difference(recorded.result, now) or ("" if self._draws.were_right else "it takes other entropy")
        return Played(
            number=number,
            line=recorded.line,
            at_ns=recorded.at_ns,
            event=recorded.event,
            effects=step.effects,
            deadline_ns=step.deadline_ns,
            difference=Difference(recorded.line, recorded.at_ns, what) if what else None,
            raised=raised,
            dropped=next(iter(self._drops(recorded.event) - drops), None),
            unlike=recorded.unlike,
        )

    def _drops(self, event: Input) -> Counter[DropReason]:
        match event:
            case DatagramReceived(datagram) | DatagramsReceived((datagram, *_)):
                return self._engine.drops(datagram.link)
            case _:
                return Counter()


def transitions(recording: Recording) -> list[str]:
    """Return the transitions that a recording leads to now, whatever else differs: what a regression test asserts.

    Each is a line: seconds since the beginning, host, states, reason.
    """
    replay = Replay(recording)
    return [transition_line(change, replay.began_ns) for played in replay.steps() for change in played.changes]


def transition_line(change: StateChange, began_ns: int) -> str:
    """Return a transition as ``transitions`` does."""
    since_ns = change.at_ns - began_ns
    time = f"{since_ns // NS_PER_S}.{since_ns % NS_PER_S:09}"
    return f"{time} {change.key} {change.old} -> {change.new} ({change.reason})"


def _difference(recorded: StepResult, now: StepResult) -> str:
    """Return the first difference in words; empty if there is none."""
    if recorded.raised != now.raised:
        return f"recorded: {_raising(recorded.raised)}; now: {_raising(now.raised)}"
    for number, (before, after) in enumerate(zip(recorded.effects, now.effects, strict=False), 1):
        if before != after:
            return f"effect {number}: " + _of_values(before, after)
    if len(recorded.effects) != len(now.effects):
        more, which = (recorded, "was recorded") if len(recorded.effects) > len(now.effects) else (now, "happens now")
        effect = more.effects[min(len(recorded.effects), len(now.effects))]
        return f"{len(recorded.effects)} effects were recorded, {len(now.effects)} happen now: {_text(effect)} {which}"
    if recorded.deadline_ns != now.deadline_ns:
        return f"deadline: recorded {recorded.deadline_ns} ns, now {now.deadline_ns} ns"
    return ""


def _of_values(before: Any, after: Any) -> str:
    """Return the path and the values of the first difference between two packed values."""
    if isinstance(before, dict) and isinstance(after, dict) and before.get("is") == after.get("is"):
        for name in (*before, *(each for each in after if each not in before)):
            if before.get(name) != after.get(name):
                kind = f"{before['is']} " if "is" in before else ""
                return f"{kind}{name}: " + _of_values(before.get(name), after.get(name))
    return f"recorded {_text(before)}, now {_text(after)}"


def _raising(raised: str) -> str:
    return f"the engine raises {raised}" if raised else "it goes on"


def _text(packed: Any) -> str:
    text = msgspec.json.encode(packed).decode()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
