"""Makes a regression test of a recording: the same inputs, the same transitions."""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import click

from pycarp import __version__
from pycarp.cli.refusals import file_error
from pycarp.errors import CarpError, UsageError
from pycarp.recording import Played, Recording
from pycarp.recording.replay import transition_line
from pycarp.system.files import safe_files
from pycarp.system.files.bounded_read import open_to_read

_EMBEDDED_OCTETS = 8192
"""A recording up to this size is written into the test; a larger one beside it."""

_TEXT = '''"""A regression test made by pycarp {version} from a recording of {began}: the same transitions."""

# ruff: noqa: E501
{imports}from pycarp.recording import read, transitions

RECORDING = {recording}

TRANSITIONS = {transitions}


def test_{name}_has_the_same_transitions() -> None:
{body}
'''

_BODY_OF_FILE = """    with RECORDING.open("rb") as lines:
        assert transitions(read(lines, file=RECORDING.name)) == TRANSITIONS"""
_BODY_EMBEDDED = """    assert transitions(read(RECORDING, file="the recording")) == TRANSITIONS"""


def write_test(test: Path, file: Path, steps: Iterable[Played], recording: Recording) -> None:
    """Write a test of these steps; CarpError when they differ from the recorded ones, ConfigError for a bad path."""
    if test.suffix != ".py":
        raise UsageError(f"{test} does not end in .py; pytest finds names like test_incident.py")
    changes, last_line = [], 2
    for played in steps:
        if played.difference is not None:
            what = f"line {played.difference.line}: {played.difference.what}"
            raise CarpError(f"no test was written, for the replay differs from what was recorded, at {what}")
        changes += [transition_line(change, recording.head.at) for change in played.changes]
        last_line = played.line
    beside = test.with_suffix(".jsonl")
    try:
        with open_to_read(file) as recorded:
            lines = list(islice(recorded, last_line))
        is_embedded = sum(map(len, lines)) <= _EMBEDDED_OCTETS
        if not is_embedded:
            _write_beside(beside, file, lines)
        text = _text_of(test, recording, changes, lines if is_embedded else None)
        safe_files.write(test, text.encode(), mode=safe_files.SHARED)
    except OSError as exc:
        raise file_error(f"cannot write {exc.filename or test}", exc) from exc
    where = "" if is_embedded else f" and {beside}"
    click.echo(f"wrote {test}{where}: {len(changes)} transitions; run it with: pytest {test}")


def _write_beside(beside: Path, file: Path, lines: list[bytes]) -> None:
    if beside.exists() and beside.samefile(file):
        raise UsageError(f"{beside} would be written over itself; give the test another name")
    safe_files.write(beside, b"".join(lines), mode=safe_files.SHARED)


def _text_of(test: Path, recording: Recording, changes: list[str], embedded: list[bytes] | None) -> str:
    beside = f"Path(__file__).with_name({test.with_suffix('.jsonl').name!r})"
    return _TEXT.format(
        version=__version__,
        began=recording.head.began.isoformat(sep=" ", timespec="seconds"),
        imports="" if embedded else "from pathlib import Path\n\n",
        recording=_listed(embedded) if embedded else beside,
        transitions=_listed(changes),
        name=re.sub(r"\W+", "_", test.stem.removeprefix("test_")).lower(),
        body=_BODY_EMBEDDED if embedded else _BODY_OF_FILE,
    )


def _listed(items: Iterable[object]) -> str:
    inside = "".join(f"    {item!r},\n" for item in items)
    return f"[\n{inside}]" if inside else "[]"
