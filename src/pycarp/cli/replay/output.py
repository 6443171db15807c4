"""The output of ``pycarp replay``: a time line for people, or objects for scripts."""

import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Protocol

import click
import msgspec

from pycarp.aio.log_records import explain
from pycarp.core.checkpoint import Checkpoint
from pycarp.core.events import StateChange
from pycarp.core.inputs import HostAdded
from pycarp.recording import Played
from pycarp.recording.lines import Head
from pycarp.sim.scenario.transcript import Transcript
from pycarp.sim.scenario.world import WorldRecord
from pycarp.vocabulary import NS_PER_S, HostKey

_NODE = "this host"

_LATE_NS = NS_PER_S // 10
"""How late a real host may be without a line for every advertisement, in nanoseconds."""


class Output(Protocol):
    """The protocol of the outputs."""

    def begin(self, file: str) -> None:
        """Show what is replayed."""

    def show(self, played: Played) -> None:
        """Print what happened in a step."""

    def pass_over(self, played: Played) -> None:
        """Count a step, and print nothing."""

    def finish(self) -> bool:
        """Show how many steps there were; return whether all were as recorded."""


class Clock:
    """Converts times of the recorded clock into wall-clock times."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def since_ns(self, at_ns: int) -> int:
        """Return the time since the beginning."""
        return at_ns - self._head.at

    def seconds(self, at_ns: int) -> str:
        """Return the seconds since the beginning, with three decimal places."""
        return f"{self.since_ns(at_ns) / NS_PER_S:.3f}"

    def local(self, at_ns: int) -> datetime:
        """Return the local time."""
        return self._head.began.astimezone() + timedelta(microseconds=self.since_ns(at_ns) / 1000)

    def of_day(self, at_ns: int) -> str:
        """Return the local time of day, to the millisecond."""
        return self.local(at_ns).isoformat(timespec="milliseconds")[11:23]


class Tally:
    """Counts inputs, effects, and steps that differ from the recorded ones; keeps the first difference."""

    def __init__(self, clock: Clock) -> None:
        self.inputs = self.effects = 0
        self.difference = ""
        self.unlike = 0
        self._clock = clock

    def take(self, played: Played) -> None:
        """Count a step."""
        self.inputs += 1
        self.effects += len(played.effects)
        self.unlike += bool(played.unlike)
        if played.difference is not None:
            at = self._clock.seconds(played.at_ns)
            self.difference = f"line {played.difference.line}, {at} s: {played.difference.what}"

    def __str__(self) -> str:
        counted = f"{_counted(self.inputs, 'input')}, {_counted(self.effects, 'effect')}"
        result = f"DIFFERENT at {self.difference}" if self.difference else "identical"
        unlike = f"; at {_counted(self.unlike, 'step')} the daemon did something else" if self.unlike else ""
        return f"{counted}: {result}{unlike}"

    @property
    def is_as_recorded(self) -> bool:
        """True if every step was as recorded, and as in the daemon."""
        return not self.difference and not self.unlike


class StepWords:
    """Makes the lines for a step, in the words of the simulator."""

    def __init__(self, head: Head, checkpoint: Checkpoint) -> None:
        self._clock = Clock(head)
        self._names = {each.host.config.key: each.host.config.name for each in checkpoint.hosts}
        self._transcript = Transcript(self._label, tolerance_ns=_LATE_NS, slot_ns=checkpoint.slot_ns)

    def lines(self, played: Played) -> list[str]:
        """Return the effects of a step, each line with the time of day and the seconds since the beginning."""
        if isinstance(played.event, HostAdded):
            self._names[played.event.config.key] = played.event.config.name
        at_ns = self._clock.since_ns(played.at_ns)
        record = WorldRecord(
            at_ns=at_ns, node=_NODE, event=played.event, effects=played.effects, dropped=played.dropped
        )
        self._transcript.write_record(record)
        if played.raised:
            self._transcript.write(at_ns, "!", f"the engine raises {played.raised}")
        if played.unlike:
            self._transcript.write(at_ns, "!", f"the daemon did something else: {played.unlike}")
        time = self._clock.of_day(played.at_ns)
        lines, self._transcript.lines = self._transcript.lines, []
        return [f"{time} {line}" for line in lines]

    def _label(self, _node: str, key: HostKey) -> str:
        return self._names.get(key, str(key))


class HumanOutput:
    """One line per fact, and a summary."""

    def __init__(self, head: Head, checkpoint: Checkpoint) -> None:
        self._head = head
        self._clock = Clock(head)
        self._tally = Tally(self._clock)
        self._words = StepWords(head, checkpoint)

    def begin(self, file: str) -> None:
        """Show who recorded it, and when."""
        click.echo(opening(file, self._head))

    def show(self, played: Played) -> None:
        """Print what happened."""
        self._tally.take(played)
        for line in self._words.lines(played):
            click.echo(line)

    def pass_over(self, played: Played) -> None:
        """Skip what was printed before, because it is played again."""
        self._tally.take(played)
        self._words.lines(played)

    def finish(self) -> bool:
        """Print the summary."""
        click.echo(str(self._tally))
        return self._tally.is_as_recorded


class JsonOutput:
    """One object per transition, and at the end one that tells whether all was as recorded."""

    def __init__(self, head: Head) -> None:
        self._clock = Clock(head)
        self._tally = Tally(self._clock)

    def begin(self, file: str) -> None:
        """Print nothing."""

    def show(self, played: Played) -> None:
        """Print the transitions."""
        self._tally.take(played)
        print_objects(change_object(change, self._clock) for change in played.changes)

    def pass_over(self, played: Played) -> None:
        """Count it."""
        self._tally.take(played)

    def finish(self) -> bool:
        """Print the last object."""
        tally = self._tally
        last = {"inputs": tally.inputs, "effects": tally.effects, "identical": not tally.difference}
        print_objects([last | {"difference": tally.difference or None, "unlike": tally.unlike}])
        return tally.is_as_recorded


def opening(file: str, head: Head) -> str:
    """Return the first line for people."""
    began = Clock(head).local(head.at).isoformat(sep=" ", timespec="milliseconds")
    return f"{file}: recorded by pycarp {head.pycarp}, begins {began}"


def change_object(change: StateChange, clock: Clock) -> dict[str, Any]:
    """Return a transition for scripts."""
    return {
        "s": clock.since_ns(change.at_ns) / NS_PER_S,
        "time": clock.local(change.at_ns).isoformat(timespec="microseconds"),
        "vhid": change.key.vhid,
        "interface": change.key.link,
        "old": change.old.value,
        "new": change.new.value,
        "reason": change.reason.value,
        "explanation": explain(change),
        "peer": str(change.peer) if change.peer else None,
    }


def print_objects(objects: Iterable[dict[str, Any]]) -> None:
    """Print the objects, one per line."""
    for each in objects:
        sys.stdout.write(msgspec.json.encode(each).decode() + "\n")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
