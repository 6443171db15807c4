"""``pycarp replay``: repeats a recorded incident, and shows it."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from pycarp import __version__
from pycarp.cli.options import exit_status
from pycarp.cli.refusals import file_error
from pycarp.cli.replay.output import HumanOutput, JsonOutput, Output
from pycarp.cli.replay.regression import write_test
from pycarp.cli.replay.replay_why import show_why
from pycarp.cli.replay.steps import walk
from pycarp.errors import CarpError, UsageError
from pycarp.recording import Played, Recording, Replay, read
from pycarp.system.files.bounded_read import bounded_lines, open_to_read
from pycarp.vocabulary import NS_PER_S

_PROGRESS_FROM_OCTETS = 1 << 20
_LINE_OCTETS_MOST = 64 << 20
"""The longest line in octets: a checkpoint of a thousand hosts is one line of some MiB."""
_DAY = timedelta(days=1)


@click.command(
    epilog="""\b
Examples:
  pycarp replay incident.jsonl
  pycarp replay incident.jsonl --from 02:14:00 --until 02:14:30
  pycarp replay incident.jsonl --why carp0 --at 12.5
  pycarp replay incident.jsonl --step --from 12
  pycarp replay incident.jsonl --pytest tests/test_incident.py
  pycarp replay incident.jsonl --json | jq -r 'select(.new == "MASTER") | .time'

\b
T is seconds since the beginning of the recording, or a time of day as in the log.
Nothing of this touches any interface, and no privileges are needed."""
    + exit_status("1 is that something differs, or that a recording is damaged.")
)
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--from", "begin", metavar="T", help="Show nothing before; all is replayed nevertheless.")
@click.option("--until", metavar="T", help="Stop there.")
@click.option("--step", "by_steps", is_flag=True, help="Walk: Enter for the next step, h for what else there is.")
@click.option("--why", metavar="HOST", help="Explain the state of a host, by its name or vhid@interface.")
@click.option("--at", metavar="T", show_default="the end", help="The instant that --why is about.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a transition, and one at the end.")
@click.option(
    "--pytest", "test", type=click.Path(path_type=Path), metavar="OUT.py", help="Write a regression test for pytest."
)
def replay(
    file: Path,
    *,
    begin: str | None,
    until: str | None,
    by_steps: bool,
    why: str | None,
    at: str | None,
    as_json: bool,
    test: Path | None,
) -> None:
    """Repeat what FILE recorded, compare every step, and print what happened.

    FILE was written by pycarp run --record, or by the flight recorder of a daemon.
    """
    if sum((by_steps, why is not None, test is not None)) > 1:
        raise UsageError("--step, --why and --pytest exclude each other")
    if at is not None and why is None:
        raise UsageError("--at belongs to --why HOST; to stop earlier, use --until")
    if as_json and (by_steps or test is not None):
        raise UsageError("--json goes with neither --step nor --pytest")
    with _opened(file) as lines:
        recording = read(lines, file=str(file))
        begin_ns, until_ns, at_ns = (_instant(each, recording) for each in (begin, until, at))
        played = Replay(recording)
        if why is not None:
            steps = played.steps(until_ns=until_ns if at_ns is None else at_ns)
            show_why(why, played, recording.head, steps, at_ns, as_json=as_json)
        elif test is not None:
            write_test(test, file, played.steps(until_ns=until_ns), recording)
        elif by_steps:
            walk(played, recording, played.steps(until_ns=until_ns), begin_ns)
        else:
            _tell(played.steps(until_ns=until_ns), recording, begin_ns, as_json=as_json)


def _tell(steps: Iterable[Played], recording: Recording, begin_ns: int | None, *, as_json: bool) -> None:
    output: Output = JsonOutput(recording.head) if as_json else HumanOutput(recording.head, recording.checkpoint)
    output.begin(recording.file)
    differs = False
    for played in steps:
        if begin_ns is None or played.at_ns >= begin_ns:
            output.show(played)
        else:
            output.pass_over(played)
        if played.difference is not None:
            differs = True
            break
    if not output.finish():
        raise CarpError(
            _hint(recording) if differs else "the daemon did not do all of this, a bug of pycarp: report it"
        )


def _hint(recording: Recording) -> str:
    if recording.head.pycarp == __version__:
        return "the replay differs from what was recorded"
    return f"pycarp {__version__} does something else here than pycarp {recording.head.pycarp}, which recorded this"


def _instant(text: str | None, recording: Recording) -> int | None:
    """Return the time of the recorded clock for a T; raises UsageError for a malformed one."""
    if text is None:
        return None
    head = recording.head
    try:
        if ":" not in text:
            return head.at + int(Decimal(text) * NS_PER_S)
        began = head.began.astimezone()
        of_day = datetime.strptime(text, "%H:%M:%S.%f" if "." in text else "%H:%M:%S")
        at = datetime.combine(began.date(), of_day.time(), began.tzinfo)
    except (ValueError, InvalidOperation, OverflowError):
        raise UsageError(f"{text!r} is no time: write seconds, as in 12.5, or a time of day, as in 02:14:07") from None
    # A time of day before the beginning of the recording means that of the next day.
    span = (at if at >= began.replace(microsecond=0) else at + _DAY) - began
    return head.at + span // timedelta(microseconds=1) * 1000


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Iterator[bytes]]:
    """Open a file; show progress if nothing else is printed meanwhile."""
    try:
        with open_to_read(file) as octets:
            size = os.fstat(octets.fileno()).st_size
            lines = bounded_lines(octets, _LINE_OCTETS_MOST)
            if size < _PROGRESS_FROM_OCTETS or not sys.stderr.isatty() or sys.stdout.isatty():
                yield lines
                return
            with click.progressbar(length=size, label=f"replaying {file}", file=sys.stderr) as bar:
                yield _advancing(lines, bar.update)
    except OSError as exc:
        raise file_error(f"cannot read {file}", exc) from exc


def _advancing(lines: Iterable[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for line in lines:
        advance(len(line))
        yield line
