"""The result of the lab for people and for scripts."""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from msgspec import structs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pycarp.lab.machines import WEB_A, WEB_B
from pycarp.lab.requests import Request
from pycarp.lab.trial import Event, Expectation, Result

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (?:carp: )?(.*)")


def show(console: Console, result: Result, logs: Mapping[str, str]) -> None:
    """Print the time line, the table, and the expectations."""
    console.print("\n[bold]time line[/bold]")
    for line in timeline(result, logs):
        console.print(line, soft_wrap=True)
    console.print()
    console.print(table(result))
    console.print()
    for expectation in result.expectations:
        mark = _mark(expectation)
        console.print(f"{mark} {escape(expectation.text)}", soft_wrap=True)


def _mark(expectation: Expectation) -> str:
    if expectation.is_met:
        return "[green]met         [/green]"
    return "[yellow]inconclusive[/yellow]" if expectation.is_inconclusive else "[red]NOT MET     [/red]"


def timeline(result: Result, logs: Mapping[str, str]) -> list[str]:
    """Return what happened in the order of time, in rich's markup, seconds from the beginning.

    ``logs`` are the daemons' logs by machine. What the lab did comes before what else happened in the same millisecond.
    """
    entries = [(_cut(event.at_s), f"[bold]{event.name}[/bold]") for event in result.events[1:]]
    for machine, log in logs.items():
        entries += [(_cut(at_s), f"  {machine:<9} {escape(text)}") for at_s, text in _log_entries(log)]
    entries += [(_cut(at_s), text) for at_s, text in _failure_entries(result)]
    entries.sort(key=lambda entry: entry[0])
    return [f"{at_s - result.began_s:8.3f} s  {text}" for at_s, text in entries]


def table(result: Result) -> Table:
    """Return what each event cost the client."""
    found = Table(title="what each event cost", title_justify="left")
    headings = ("event", "outcome", "takeover", f"longest gap {WEB_A}", f"longest gap {WEB_B}", "failed", "slow")
    for heading in headings:
        found.add_column(heading, justify="left" if heading in headings[:3] else "right")
    for event in result.events:
        found.add_row(*_row(result, event))
    return found


def as_json(result: Result) -> dict[str, object]:
    """Return the same for scripts; times are of the wall clock, in seconds."""
    return {
        "events": [
            {
                **asdict(event),
                "service": {address: structs.asdict(result.service(event, address)) for address in (WEB_A, WEB_B)},
            }
            for event in result.events
        ],
        "expectations": [structs.asdict(each) for each in result.expectations],
        "requests": len(result.requests),
        "failed": sum(not each.is_ok for each in result.requests),
        "users_without_page": sum(not each.is_served for each in result.requests),
    }


def _row(result: Result, event: Event) -> tuple[str, ...]:
    a, b = (result.service(event, address) for address in (WEB_A, WEB_B))
    takeover = "" if event.takeover_s is None else f"{_span(event.takeover_s)} after {event.takeover_since}"
    return (
        event.name,
        event.outcome,
        takeover,
        _span(a.gap_s),
        _span(b.gap_s),
        str(a.failed + b.failed),
        str(a.slow + b.slow),
    )


def _span(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _cut(at_s: float) -> float:
    """Return a time cut to milliseconds, as the logs do; the hundredth of one undoes the rounding of a float."""
    return int(at_s * 1000 + 0.01) / 1000


def _log_entries(log: str) -> list[tuple[float, str]]:
    matches = [_STAMP.match(line) for line in log.splitlines()]
    return [(datetime.datetime.fromisoformat(match[1]).timestamp(), match[2]) for match in matches if match]


def _failure_entries(result: Result) -> list[tuple[float, str]]:
    """Return one entry for each run of failed requests, at its first."""
    entries = []
    for event in result.events:
        failed = [each for each in result.requests if not each.is_ok and event.at_s <= each.at_s < event.until_s]
        if failed:
            entries.append((failed[0].at_s, f"  [red]client    {_failures(failed)}[/red]"))
    return entries


def _failures(failed: Sequence[Request]) -> str:
    addresses = ", ".join(sorted({each.address or "the name server" for each in failed}))
    if len(failed) == 1:
        return f"1 request to {addresses} fails"
    return f"{len(failed)} requests to {addresses} fail, for {_span(failed[-1].at_s - failed[0].at_s)}"
