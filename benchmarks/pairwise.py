"""Two checkouts of pycarp in the same run: failover, floods, storms and the soak, each trial with either of them.

    sudo python -m benchmarks.pairwise --before 613fa3f7                     everything: about an hour
    sudo python -m benchmarks.pairwise --before ../older --only failover --only floods
    sudo python -m benchmarks.pairwise --before HEAD~1 --only storms --runs 2 --json pairs.json
    sudo python -m benchmarks.pairwise --before 613fa3f7 --events SIGKILL "cut off" --jobs 3 --markdown

A checkout is a folder, whose .venv is used if it has one, or a commit of this repository, which is unpacked.
What watches failovers and floods is this checkout's for both; storms and the soak are programs of each checkout, whose
plans and promises may be others. The two of a pair run at once, but in turn under floods, which take what CPU there is.
Of every quantity less is better. A pair says more than its numbers: "worse in" counts the pairs in which the checkout
after took more, which is half of them where nothing has changed. Needs root, iproute2 and nftables.
"""

import argparse
import contextlib
import functools
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import hostile
from benchmarks.checkouts import HERE, Checkout, Run, checked_out
from benchmarks.failover import trial
from benchmarks.failover.systems import BACKUP, MASTER, Pycarp
from benchmarks.failover.trial import EVENTS, Event
from benchmarks.figures import Figure, as_json
from pycarp.errors import CarpError
from pycarp.lab.lab_network import check_requirements

AREAS = ("failover", "floods", "storms", "soak")
FLOODS = (1000, 50_000)
KILLED_UNDER = 15.0
BROKE_OFF = ": broke off"

_TRIES = 3
_GAPS = {
    "gap_s": "longest gap",
    "gap_after_s": "gap after it ended",
    "owners_s": "two owners",
    "owners_after_s": "two owners after it ended",
}
_STORMS = re.compile(r"^(?P<plans>\d+) runs in .*; (?P<failed>\d+) failed$", re.MULTILINE)
_FOOTPRINT = re.compile(r"Footprint\((.*)\)")
_SAMPLE = re.compile(
    r"^round +(?P<round>\d+)  (?P<machine>\w+) +(?P<at_s>\d+) s  RSS +(?P<rss>\d+) KiB  descriptors +(?P<files>\d+)"
    r"  processes +\d+  state +(?P<state>\d+) octets$",
    re.MULTILINE,
)

Values = dict[tuple[str, str], float]
"""What a trial found, by quantity and unit."""


class Trial(NamedTuple):
    """Something that is run with either checkout; None when it says nothing about the checkout."""

    name: str
    run: Callable[[Checkout, int], Values | None]
    is_at_once: bool = True


class Compared(NamedTuple):
    """The values of one quantity, a pair for each run."""

    quantity: str
    unit: str
    pairs: tuple[tuple[float, float], ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """After divided by before, of the pairs where both are more than nothing."""
        return tuple(after / before for before, after in self.pairs if before > 0 and after > 0)

    @property
    def worse(self) -> int:
        """In how many pairs the checkout after took more."""
        return sum(after > before for before, after in self.pairs)

    @property
    def cells(self) -> list[str]:
        """A row of the table."""
        columns = [_spread([pair[side] for pair in self.pairs]) for side in (0, 1)]
        return [
            f"{self.quantity}, {self.unit}" if self.unit else self.quantity,
            *columns,
            _spread(self.ratios) if self.ratios else "",
            f"{self.worse} of {len(self.pairs)}",
        ]


HEAD = ["quantity", "before", "after", "after / before", "worse in"]


# Trials


def failover_trial(event: Event) -> Trial:
    """Return the trial of one event on the MASTER."""

    def run(checkout: Checkout, number: int) -> Values | None:
        kind = functools.partial(Pycarp, program=checkout.program)
        prefix = f"pw{os.getpid()}{checkout.name[0]}{EVENTS.index(event)}n{number}"
        tries = (trial.run(kind, event, prefix=prefix) for _ in range(_TRIES))
        found = next((each for each in tries if each is not None), None)
        if found is None:
            return None
        seconds = {what: getattr(found, field) for field, what in _GAPS.items()}
        return {(f"{event.name}: {what}", "ms"): 1000 * each for what, each in seconds.items() if each is not None}

    return Trial(event.name, run)


def flood_trial(rates: Sequence[int], seconds: float) -> Trial:
    """Return the trial that floods a pair with bad packets, and kills its MASTER in the last flood."""

    def run(checkout: Checkout, _number: int) -> Values:
        found: Values = {}
        kind = functools.partial(Pycarp, program=checkout.program)
        with tempfile.TemporaryDirectory() as folder, hostile.arena(kind, Path(folder)) as fight:
            for rate in rates:
                found |= _flooded(fight.attack(rate, seconds, hostile.SAFE_KINDS))
            took_s = fight.kill_under_fire(rates[-1], KILLED_UNDER, hostile.SAFE_KINDS)
        # Nobody took over while it was watched.
        found["MASTER killed in a flood: takeover", "s"] = KILLED_UNDER if took_s is None else took_s
        return found

    return Trial("floods", run, is_at_once=False)


def _flooded(outcome: hostile.Outcome) -> Values:
    values = {
        ("advertisements missed", ""): max(outcome.expected - outcome.advertisements, 0),
        ("latest advertisement", "ms"): outcome.late_ms,
        ("sent by the BACKUP", ""): outcome.from_backup,
        ("CPU of the MASTER", "%"): 100 * outcome.cpu[MASTER],
        ("CPU of the BACKUP", "%"): 100 * outcome.cpu[BACKUP],
        ("memory more", "KiB"): max(outcome.grown_kib.values()),
        ("log lines", ""): outcome.log_lines,
    }
    return {(f"flood of {outcome.rate:,}: {what}", unit): value for (what, unit), value in values.items()}


def storm_trial(plans: int) -> Trial:
    """Return the trial that runs plans by chance on clusters in virtual time."""

    def run(checkout: Checkout, number: int) -> Values:
        with tempfile.TemporaryDirectory() as kept:
            words = ["--seeds", str(plans), "--first", str(number * plans), "--jobs", "1", "--shrink", "0"]
            return storm_values(checkout.run(["tests.storms", *words, "--keep", kept]))

    return Trial("storms", run)


def storm_values(ended: Run) -> Values:
    """Return what storms printed; CarpError when they did not come to their end."""
    told = _STORMS.search(ended.output)
    if told is None:
        raise CarpError(f"the storms broke off: {ended.output[-500:]}")
    plans = int(told["plans"])
    return {
        (f"{plans} storms: broken promises", ""): float(told["failed"]),
        ("storms: CPU of a plan", "ms"): 1000 * ended.cpu_s / plans,
    }


def virtual_soak_trial() -> Trial:
    """Return the trial of more than a day of takeovers in virtual time, as short as the soak can be."""

    def run(checkout: Checkout, _number: int) -> Values:
        return virtual_soak_values(checkout.run(["benchmarks.soak", "virtual", "--seconds", "1"]))

    return Trial("virtual soak", run)


def virtual_soak_values(ended: Run) -> Values:
    """Return what the virtual soak printed: by how much the process has grown; CarpError when it broke off."""
    footprints = [dict(each.split("=") for each in line.split(", ")) for line in _FOOTPRINT.findall(ended.output)]
    if ended.code or len(footprints) != 2:
        raise CarpError(f"the soak broke off: {ended.output[-500:]}")
    units = {"blocks": "", "rss_kib": "KiB", "objects": "", "tasks": "", "descriptors": ""}
    before, after = footprints
    grown = {
        (f"virtual soak: {name.removesuffix('_kib')} more", unit): float(after[name]) - float(before[name])
        for name, unit in units.items()
    }
    return grown | {("virtual soak: CPU", "s"): ended.cpu_s}


def real_soak_trial(minutes: float) -> Trial:
    """Return the trial of two daemons that take over from each other for some minutes."""

    def run(checkout: Checkout, _number: int) -> Values:
        return real_soak_values(checkout.run(["benchmarks.soak", "real", "--minutes", str(minutes)]))

    return Trial("soak", run)


def real_soak_values(ended: Run) -> Values:
    """Return what the soak printed: by how much daemons have grown since the first round; CarpError if it broke off."""
    samples = list(_SAMPLE.finditer(ended.output))
    if ended.code or not samples:
        raise CarpError(f"the soak broke off: {ended.output[-500:]}")
    last = samples[-1]
    found: Values = {("soak: a round", "s"): int(last["at_s"]) / int(last["round"])}
    for machine, role in ((MASTER, "MASTER"), (BACKUP, "BACKUP")):
        first, *_, last = [each for each in samples if each["machine"] == machine] * 2
        for field, what, unit in (
            ("rss", "memory more", "KiB"),
            ("files", "descriptors more", ""),
            ("state", "state more", "octets"),
        ):
            found[f"soak: {what}, {role}", unit] = int(last[field]) - int(first[field])
    return found


# Pairs


def measure(
    trials: Sequence[Trial],
    checkouts: tuple[Checkout, Checkout],
    *,
    runs: int,
    jobs: int = 1,
    say: Callable[[str], None] = print,
) -> list[Compared]:
    """Return the pairs of every quantity; ``jobs`` pairs at a time. A trial that broke off is a quantity as well."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    pool = ThreadPoolExecutor(jobs)
    try:
        todo = {pool.submit(_pair, each, checkouts, number): each.name for number in range(runs) for each in trials}
        for count, done in enumerate(as_completed(todo), 1):
            pairs = _shared(*done.result())
            for key, pair in pairs.items():
                found.setdefault(key, []).append(pair)
            say(f"{count}/{len(todo)}  {todo[done]}: {_said(todo[done], pairs) if pairs else 'the client was stalled'}")
    finally:
        # What has begun comes to its end and leaves nothing behind; the rest is not begun.
        pool.shutdown(cancel_futures=True)
    compared = (Compared(quantity, unit, tuple(pairs)) for (quantity, unit), pairs in found.items())
    return [each for each in compared if not each.quantity.endswith(BROKE_OFF) or any(map(any, each.pairs))]


def _said(name: str, pairs: Mapping[tuple[str, str], tuple[float, float]]) -> str:
    """Return the pairs in words, without those that are as they should be: nothing."""
    shown = {what.removeprefix(f"{name}: "): (unit, pair) for (what, unit), pair in pairs.items() if any(pair)}
    return "; ".join(
        f"{what} {before:.4g} / {after:.4g} {unit}".rstrip() for what, (unit, (before, after)) in shown.items()
    )


def _shared(before: Values | None, after: Values | None) -> dict[tuple[str, str], tuple[float, float]]:
    if before is None or after is None:
        return {}
    return {key: (value, after[key]) for key, value in before.items() if key in after}


def _pair(each: Trial, checkouts: tuple[Checkout, Checkout], number: int) -> tuple[Values | None, Values | None]:
    """Return what both found; in turn, who begins changes from run to run."""
    before, after = checkouts
    if each.is_at_once:
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.submit(_run, each, before, number), pool.submit(_run, each, after, number)
            return one.result(), other.result()
    if number % 2 == 0:
        first = _run(each, before, number)
        return first, _run(each, after, number)
    first = _run(each, after, number)
    return _run(each, before, number), first


def _run(each: Trial, checkout: Checkout, number: int) -> Values | None:
    """Return what a trial found, and whether it broke off: of either checkout that is a result, and not the end."""
    try:
        found = each.run(checkout, number)
    except (CarpError, AssertionError) as exc:
        print(f"{each.name}, {checkout.name}: {exc}", file=sys.stderr, flush=True)
        return {(f"{each.name}{BROKE_OFF}", ""): 1.0}
    return None if found is None else found | {(f"{each.name}{BROKE_OFF}", ""): 0.0}


def _spread(values: Sequence[float]) -> str:
    numbers = [
        f"{each:.3g}" if abs(each) < 1000 else f"{each:.0f}"
        for each in (min(values), statistics.median(values), max(values))
    ]
    return numbers[0] if len(set(numbers)) == 1 else " / ".join(numbers)


def table(found: Sequence[Compared]) -> Table:
    """Return the table for a terminal."""
    made = Table(title="least / median / most")
    for heading in HEAD:
        made.add_column(heading)
    for each in found:
        made.add_row(*each.cells)
    return made


def markdown(found: Sequence[Compared]) -> str:
    """Return the table for the documentation."""
    rows = [HEAD, ["---"] * len(HEAD), *(each.cells for each in found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def compared_json(found: Sequence[Compared], checkouts: Sequence[Checkout], named: Sequence[str]) -> str:
    """Return every value as JSON, and what was compared."""
    figures = [
        Figure(each.quantity, checkout.name, 1, each.unit, tuple(pair[side] for pair in each.pairs))
        for each in found
        for side, checkout in enumerate(checkouts)
    ]
    whole = {"checkouts": {each.name: name for each, name in zip(checkouts, named, strict=True)}}
    return json.dumps(whole | json.loads(as_json(figures)), indent=1) + "\n"


def main() -> None:
    """Compare what is asked for and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pairwise", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, metavar="CHECKOUT", help="a folder, or a commit")
    parser.add_argument("--after", default=str(HERE), metavar="CHECKOUT", help="a folder, or a commit (this checkout)")
    parser.add_argument("--only", action="append", choices=AREAS, help="an area; may be repeated")
    names = [each.name for each in EVENTS]
    parser.add_argument(
        "--events", nargs="+", choices=names, metavar="EVENT", help=f"of failover: {', '.join(map(repr, names))}"
    )
    parser.add_argument(
        "--runs", type=_positive, default=6, help="pairs of each event; a third of that of the rest (6)"
    )
    parser.add_argument("--jobs", type=_positive, default=1, help="pairs of failover at a time (1)")
    parser.add_argument("--plans", type=_positive, default=200, help="of each run of storms (200)")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each real soak (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value")
    parser.add_argument("--markdown", action="store_true", help="print the table for the documentation")
    chosen = parser.parse_args()
    try:
        check_requirements("nft")
        found = _compare(chosen)
    except CarpError as exc:
        sys.exit(f"benchmarks.pairwise: {exc}")
    if chosen.markdown:
        print(markdown(found))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(found))


def _compare(chosen: argparse.Namespace) -> list[Compared]:
    areas = {
        "failover": [failover_trial(each) for each in EVENTS if each.name in (chosen.events or [each.name])],
        "floods": [flood_trial(FLOODS, 10)],
        "storms": [storm_trial(chosen.plans)],
        "soak": [virtual_soak_trial(), real_soak_trial(chosen.minutes)],
    }
    began_s = time.monotonic()
    found: list[Compared] = []
    with contextlib.ExitStack() as stack:
        checkouts = (
            stack.enter_context(checked_out("before", chosen.before)),
            stack.enter_context(checked_out("after", chosen.after)),
        )
        for name in chosen.only or AREAS:

            def say(words: str, name: str = name) -> None:
                print(f"{time.monotonic() - began_s:5.0f} s  {name}  {words}", file=sys.stderr, flush=True)

            is_failover = name == "failover"
            runs, jobs = (chosen.runs, chosen.jobs) if is_failover else (max(1, chosen.runs // 3), 1)
            found += measure(areas[name], checkouts, runs=runs, jobs=jobs, say=say)
            if chosen.json:
                chosen.json.write_text(compared_json(found, checkouts, [chosen.before, chosen.after]))
    return found


def _positive(word: str) -> int:
    if (number := int(word)) < 1:
        raise argparse.ArgumentTypeError(f"{word}: at least 1")
    return number


if __name__ == "__main__":
    main()
