"""The format of recordings: JSON lines. The first is the head, the second the checkpoint, each other one a step.

::

    {"pycarp_recording": 2, "pycarp": "0.1.0", "began": "2026-01-02T03:04:05.678901+00:00", "at": 8123456789}
    {"checkpoint": {...}}
    {"at": 8123456789, "in": {"is": "TimePassed"}, "drew": [], "do": [...], "next": 9123456789}

``at`` and ``next`` are nanoseconds of the recorded clock, whose zero is arbitrary; ``began`` is the wall-clock time of
the first step. ``drew`` is the entropy that the step took, ``next`` its deadline. ``raised`` replaces ``do`` if the
engine raised an exception. If the writer could not reproduce a step, the line has what happens when it is repeated, and
``unlike`` says in words what the engine did. ``values.py`` has the form of values. ``FORMAT`` rises with every change
of names or forms; a field that is left out in most lines may be added.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from pycarp.core.checkpoint import Checkpoint
from pycarp.core.effects import Step
from pycarp.core.host_table import without_rest
from pycarp.core.inputs import Input
from pycarp.errors import CarpError, RecordingError, RecordingFileError
from pycarp.recording.values import (
    pack_checkpoint,
    pack_effects,
    pack_host,
    pack_input,
    unpack_checkpoint,
    unpack_input,
)

FORMAT = 3
T = TypeVar("T")

_OPENING = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Head(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The first line."""

    pycarp_recording: int
    pycarp: str
    began: datetime
    at: int


class _Beginning(msgspec.Struct, forbid_unknown_fields=True):
    checkpoint: Any


class _StepLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    at: int
    event: Any = msgspec.field(name="in")
    drew: list[int] = []
    do: list[Any] = []
    next: int | None = None
    raised: str = ""
    unlike: str = ""


class StepResult(NamedTuple):
    """The result of a step as written: packed effects, the deadline, and the exception of the engine, if any."""

    effects: list[Any]
    deadline_ns: int | None
    raised: str


class RecordedStep(NamedTuple):
    """One step of a recording, and the number of its line."""

    line: int
    at_ns: int
    event: Input
    drawn: tuple[int, ...]
    result: StepResult
    unlike: str = ""


def result_of(step: Step | None, raised: str = "") -> StepResult:
    """Return the result of a step as written; ``step`` is None if the engine raised ``raised``."""
    if step is None:
        return StepResult([], None, raised)
    return StepResult(pack_effects(step.effects), step.deadline_ns, "")


def head_of(*, version: str, at_ns: int, wall_ns: int) -> bytes:
    """Return the first line; ``wall_ns`` is the wall-clock time at ``at_ns``, since 1970."""
    began = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    return _line(Head(pycarp_recording=FORMAT, pycarp=version, began=began, at=at_ns))


def checkpoint_line(checkpoint: Checkpoint, rest: Callable[[], object] = without_rest) -> bytes:
    """Return the second line; ``rest`` is called after each host is written."""
    hosts = []
    for each in checkpoint.hosts:
        hosts.append(msgspec.Raw(msgspec.json.encode(pack_host(each))))
        rest()
    packed = pack_checkpoint(msgspec.structs.replace(checkpoint, hosts=()))
    return _line(_Beginning(packed | {"hosts": hosts} if hosts else packed))


def step_line(at_ns: int, event: Input, drawn: Iterable[int], result: StepResult, unlike: str = "") -> bytes:
    """Return the line of a step; ``unlike`` says what the engine did if the result is another one."""
    return _line(_StepLine(at_ns, pack_input(event), list(drawn), *result, unlike=unlike))


class Recording(msgspec.Struct, frozen=True):
    """An open recording, whose steps are read on demand."""

    file: str
    head: Head
    checkpoint: Checkpoint
    _numbered: Iterator[tuple[int, bytes]]

    def steps(self) -> Iterator[RecordedStep]:
        """Yield the steps, once; RecordingError at a line that is not a step."""
        last_ns = self.head.at
        for number, line in self._numbered:
            step = _step(self.file, number, line)
            if step.at_ns < last_ns:
                raise _broken(self.file, number, f"time goes back from {last_ns} to {step.at_ns}")
            last_ns = step.at_ns
            yield step


def read(lines: Iterable[bytes], *, file: str) -> Recording:
    """Return the recording in the lines; ``file`` is for messages.

    Raises RecordingFileError for another file and another format, RecordingError for a bad checkpoint.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    opening = [line for _number, line in islice(numbered, _OPENING)]
    if not opening:
        raise RecordingFileError(f"{file} is empty; name a file that pycarp run --record or a flight recorder wrote")
    head = _head(file, opening[0])
    if len(opening) < _OPENING:
        raise RecordingError(f"{file}:2: there is no checkpoint: nothing was recorded before the writer ended")
    beginning = _decoded(file, 2, opening[1], _Beginning)
    try:
        return Recording(file, head, unpack_checkpoint(beginning.checkpoint), numbered)
    except (ValueError, CarpError) as exc:
        raise _broken(file, 2, str(exc), head) from exc


def _head(file: str, line: bytes) -> Head:
    try:
        values = msgspec.json.decode(line)
        number, writer = values.get("pycarp_recording"), values.get("pycarp")
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, RecursionError) as exc:
        raise RecordingFileError(f"{file}:1: not a recording of pycarp; name a file that --record wrote") from exc
    if not isinstance(number, int):
        raise RecordingFileError(f"{file}:1: not a recording of pycarp; name a file that --record wrote")
    if number != FORMAT:
        name = f"pycarp {writer}" if isinstance(writer, str) else "an unknown pycarp"
        raise RecordingFileError(
            f"{file}:1: {name} wrote this recording in format {number}; this pycarp can replay format {FORMAT} only; "
            "replay it with the pycarp that wrote it"
        )
    return _decoded(file, 1, line, Head)


def _step(file: str, number: int, line: bytes) -> RecordedStep:
    decoded = _decoded(file, number, line, _StepLine)
    try:
        event = unpack_input(decoded.event)
    except (ValueError, CarpError) as exc:
        raise _broken(file, number, str(exc)) from exc
    result = StepResult(decoded.do, decoded.next, decoded.raised)
    return RecordedStep(number, decoded.at, event, tuple(decoded.drew), result, decoded.unlike)


def _decoded(file: str, number: int, line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.ValidationError as exc:
        raise _broken(file, number, str(exc)) from exc
    except RecursionError as exc:
        raise _broken(file, number, "values are nested too deeply") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        cut = "" if line.endswith(b"\n") else "the line is cut short; "
        raise _broken(file, number, f"{cut}{exc}") from exc


def _broken(file: str, number: int, what: str, head: Head | None = None) -> RecordingError:
    written = f" (written by pycarp {head.pycarp})" if head else ""
    way_out = "replay it with the pycarp that wrote it" if number <= _OPENING else "delete this line and those below it"
    return RecordingError(f"{file}:{number}: {what}{written}; {way_out}")


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"
