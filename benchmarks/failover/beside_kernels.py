"""The column beside BSD kernels: measures, and prints as a table what clients noticed and what misled the switch."""

import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict

from rich.table import Table

from benchmarks.failover import kernel_trial
from benchmarks.failover.kernel_trial import UNNOTICED_S, Event, Result

_MS = 1000
_TRIES = 3
_HEADINGS = (
    "event",
    "beside",
    "runs",
    "longest gap",
    "unnoticed",
    "two owners",
    "what told the switch, in the worst run",
)

Found = dict[tuple[str, str], list[Result]]


def measure(
    events: Sequence[Event], kernels: Iterable[str], *, runs: int, jobs: int, dialect: str, prefix: str
) -> Found:
    """Return results by event and kernel; trials in which the client was stalled are made again, and then left out."""
    rows = [(event, kernel) for event in events for kernel in kernels if kernel in event.beside]
    found: Found = {(event.name, kernel): [] for event, kernel in rows}
    began_s = time.monotonic()
    pool = ThreadPoolExecutor(jobs)
    try:
        todo = {
            pool.submit(good_trial, event, kernel, dialect=dialect, prefix=f"{prefix}k{run}n{number}"): (event, kernel)
            for run in range(runs)
            for number, (event, kernel) in enumerate(rows)
        }
        for count, done in enumerate(as_completed(todo), 1):
            event, kernel = todo[done]
            result = done.result()
            found[event.name, kernel] += [result] if result else []
            said = f"{result.gap_s * _MS:.0f} ms" if result else "stalled"
            elapsed_s = time.monotonic() - began_s
            print(f"{elapsed_s:5.0f} s  {count}/{len(todo)}  {event.name}, {kernel}: {said}", file=sys.stderr)
    finally:
        # What has begun comes to its end and leaves nothing behind; the rest is not begun.
        pool.shutdown(cancel_futures=True)
    return found


def good_trial(event: Event, kernel: str, *, dialect: str = "universal", prefix: str) -> Result | None:
    """Return the result of a trial in which the client was not stalled, None after three that it was."""
    for _ in range(_TRIES):
        result = kernel_trial.run(event, kernel, dialect=dialect, prefix=prefix)
        if result is not None:
            return result
    return None


def table(found: Found) -> Table:
    """Return the results for a terminal."""
    made = Table(title="milliseconds: minimum / median / maximum")
    for heading in _HEADINGS:
        made.add_column(heading)
    for row in _rows(found):
        made.add_row(*row)
    return made


def markdown(found: Found) -> str:
    """Return the results for the documentation, without what told the switch."""
    lines = [_HEADINGS, ["---"] * len(_HEADINGS), *_rows(found)]
    return "\n".join(f"| {' | '.join(line[:-1])} |" for line in lines)


def as_json(found: Found) -> list[dict[str, object]]:
    """Return every result."""
    return [
        {"event": event, "kernel": kernel, **asdict(each)}
        for (event, kernel), results in found.items()
        for each in results
    ]


def _rows(found: Found) -> list[list[str]]:
    return [[event, kernel, *_cells(results)] for (event, kernel), results in found.items()]


def _cells(results: Sequence[Result]) -> list[str]:
    if not results:
        return ["0", "", "", "", ""]
    worst = max(results, key=lambda each: each.gap_s)
    unnoticed = sum(each.gap_s <= UNNOTICED_S for each in results)
    gaps, owners = _figures(each.gap_s for each in results), _figures(each.owners_s for each in results)
    return [str(len(results)), gaps, f"{unnoticed} of {len(results)}", owners, "\n".join(worst.frames)]


def _figures(spans_s: Iterable[float]) -> str:
    """Return minimum, median and maximum in milliseconds."""
    values = [each * _MS for each in spans_s]
    return " / ".join(f"{each:.0f}" for each in (min(values), statistics.median(values), max(values)))
