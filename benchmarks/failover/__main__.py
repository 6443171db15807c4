"""What clients notice when something happens to the MASTER, beside ucarp and keepalived in the same run. Needs root.

    sudo python -m benchmarks.failover                                      ten runs of everything: over an hour
    sudo python -m benchmarks.failover --runs 1 --systems pycarp            quickly
    sudo python -m benchmarks.failover --only SIGKILL --only "cut off"      some events
    sudo python -m benchmarks.failover --jobs 4                             four trials at a time, for idle machines
    sudo python -m benchmarks.failover --idle 600                           false takeovers at the fastest setting
    sudo python -m benchmarks.failover --kernel-peer                        pycarp beside BSD kernels, ten minutes a run

Two machines and a client in network namespaces around a switch; the client asks the shared address every 5 ms. Per
event and system: the longest time without an answer, and the time for which both machines had the address while both
could be reached. With --kernel-peer pycarp is beside a program that behaves on the wire as the kernels of NetBSD,
FreeBSD and OpenBSD do, and the table says which frames told the switch where to send what the client asked.
Trials in which the client itself was stalled are made again. apt install ucarp keepalived nftables.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.failover import beside_kernels, idle, kernel_events, trial
from benchmarks.failover.kernel_election import KERNELS
from benchmarks.failover.systems import PROGRAMS, SYSTEMS, versions
from benchmarks.failover.trial import EVENTS, Event, Result
from pycarp.lab.lab_network import check_requirements

_MS = 1000
_TRIES = 3
_COLUMNS = {
    "gap_s": "longest gap",
    "gap_after_s": "gap after it ended",
    "owners_s": "two owners",
    "owners_after_s": "two owners after it ended",
}

Found = dict[tuple[str, str], list[Result]]


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="trials an event and system (10)")
    parser.add_argument("--peer-runs", type=int, metavar="N", help="trials of ucarp and keepalived, if not as many")
    names = [each.name for each in (*EVENTS, *kernel_events.EVENTS)]
    parser.add_argument("--only", action="append", choices=names, help="an event; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time (1)")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help=f"some of {','.join(SYSTEMS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every result")
    parser.add_argument("--markdown", action="store_true", help="print the table for the documentation")
    parser.add_argument("--idle", type=float, metavar="SECONDS", help="watch the fastest setting do nothing instead")
    parser.add_argument("--kernel-peer", action="store_true", help="measure beside BSD kernels instead")
    parser.add_argument("--kernels", default=",".join(KERNELS), help=f"some of {','.join(KERNELS)}")
    parser.add_argument("--dialect", default="universal", help="what pycarp speaks beside them (universal)")
    chosen = parser.parse_args()
    if unknown := set(chosen.kernels.split(",")) - set(KERNELS):
        parser.error(f"unknown kernel {', '.join(unknown)}; there are {', '.join(KERNELS)}")
    systems = chosen.systems.split(",")
    if unknown := set(systems) - set(SYSTEMS):
        parser.error(f"unknown system {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    if chosen.kernel_peer:
        _measure_beside_kernels(chosen)
        return
    check_requirements("nft", *filter(None, (PROGRAMS[name] for name in systems)))
    if chosen.idle:
        for name in systems:
            if name != "ucarp":
                print(f"{name}: {idle.takeovers(SYSTEMS[name], chosen.idle, prefix=_prefix())} in {chosen.idle:g} s")
        return
    events = [each for each in EVENTS if not chosen.only or each.name in chosen.only]
    runs = {name: chosen.runs if name == "pycarp" else chosen.peer_runs or chosen.runs for name in systems}
    found = _measure(runs, events, chosen.jobs)
    if chosen.json:
        rows = [
            {"system": name, "event": event, **asdict(each)}
            for (name, event), results in found.items()
            for each in results
        ]
        chosen.json.write_text(json.dumps({"versions": versions(systems), "results": rows}, indent=1))
    print(", ".join(versions(systems)))
    if chosen.markdown:
        print(_markdown(found))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(_table(found))


def _measure_beside_kernels(chosen: argparse.Namespace) -> None:
    check_requirements("nft")
    found = beside_kernels.measure(
        [each for each in kernel_events.EVENTS if not chosen.only or each.name in chosen.only],
        chosen.kernels.split(","),
        runs=chosen.runs,
        jobs=chosen.jobs,
        dialect=chosen.dialect,
        prefix=_prefix(),
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(beside_kernels.as_json(found), indent=1))
    if chosen.markdown:
        print(beside_kernels.markdown(found))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(beside_kernels.table(found))


def _measure(runs: Mapping[str, int], events: Sequence[Event], jobs: int) -> Found:
    """Return the results, taken in turns, so that whatever else the machine does bears on all alike."""
    suited = [(name, event) for event in events for name in runs if _suits(name, event)]
    found: Found = {(name, event.name): [] for name, event in suited}
    began_s = time.monotonic()
    pool = ThreadPoolExecutor(jobs)
    try:
        todo = {
            pool.submit(_good_trial, name, event, f"{run}n{number}"): (name, event)
            for run in range(max(runs.values()))
            for number, (name, event) in enumerate(suited)
            if run < runs[name]
        }
        for count, done in enumerate(as_completed(todo), 1):
            name, event = todo[done]
            result = done.result()
            found[name, event.name] += [result] if result else []
            values = _values(result) if result else []
            said = ", ".join(f"{_COLUMNS[key]} {value * _MS:.1f} ms" for key, value in values) or "stalled"
            elapsed_s = time.monotonic() - began_s
            print(f"{elapsed_s:5.0f} s  {count}/{len(todo)}  {event.name}, {name}: {said}", file=sys.stderr, flush=True)
    finally:
        # What has begun comes to its end and leaves nothing behind; the rest is not begun.
        pool.shutdown(cancel_futures=True)
    return found


def _good_trial(name: str, event: Event, number: str) -> Result | None:
    """Return the result of a trial in which the client was not stalled, None after three that it was."""
    for _ in range(_TRIES):
        result = trial.run(SYSTEMS[name], event, prefix=f"{_prefix()}n{number}")
        if result is not None:
            return result
    return None


def _suits(name: str, event: Event) -> bool:
    return event.only in ("", name) and not (event.is_fast and name == "ucarp")


def _values(result: Result) -> list[tuple[str, float]]:
    return [(key, value) for key in _COLUMNS if (value := getattr(result, key)) is not None]


def _cell(results: Sequence[Result], key: str) -> str:
    """Return minimum, median and maximum in milliseconds."""
    values = [value * _MS for each in results if (value := getattr(each, key)) is not None]
    if not values:
        return ""
    return " / ".join(f"{each:.0f}" for each in (min(values), statistics.median(values), max(values)))


def _rows(found: Found) -> list[list[str]]:
    return [
        [event, name, str(len(results)), *(_cell(results, key) for key in _COLUMNS)]
        for (name, event), results in found.items()
    ]


def _table(found: Found) -> Table:
    table = Table(title="milliseconds: minimum / median / maximum")
    for heading in ("event on the MASTER", "system", "runs", *_COLUMNS.values()):
        table.add_column(heading)
    for row in _rows(found):
        table.add_row(*row)
    return table


def _markdown(found: Found) -> str:
    head = ["event on the MASTER", "system", "runs", *_COLUMNS.values()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *_rows(found)])


def _prefix() -> str:
    return f"fo{os.getpid()}"


if __name__ == "__main__":
    main()
