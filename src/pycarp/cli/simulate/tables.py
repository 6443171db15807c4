"""The report of ``pycarp simulate`` for people: sentences, tables and plots of a width that every terminal has."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pycarp.cli.simulate.simulation_report import (
    AdvbaseRow,
    BrokenRow,
    FailbackRow,
    FastestRow,
    GroupRow,
    HostRow,
    IsolationRow,
    PlanReport,
    Report,
    TakeoverRow,
    WatchRow,
)

WIDTH = 100
_FIGURES = frozenset(
    {"vhid", "median", "worst", "no owner", "two owners", "afterwards", "hours", "false takeovers", "a day"}
)
_MS = 0.001
_MOST_LINES = 40


def show(console: Console, report: Report, *, example: Sequence[Text], broken: Sequence[Text]) -> None:
    """Print the whole report; ``example`` and ``broken`` are plots with their colours."""
    for part in _parts(report, example=example, broken=broken):
        console.print(part, soft_wrap=isinstance(part, str | Text))


def show_plan(console: Console, report: PlanReport, plotted: Sequence[Text]) -> None:
    """Print the history of one plan, its plot, and every broken promise."""
    for line in [*map(Text, report.lines), Text(), *plotted, Text()]:
        console.print(line, soft_wrap=True)
    for violation in report.violations:
        summary = f"{violation.at_s:.3f} s: {violation.promise}: {violation.machine or 'nobody'} {violation.text}"
        console.print(f"[bold red]BROKEN[/bold red] {escape(summary)}", soft_wrap=True)
    if not report.violations:
        console.print("All promises are [green]kept[/green].")


def takeover_tables(report: Report) -> Iterator[RenderableType]:
    """Yield a heading and a table for each condition and each group of vhids with the same settings."""
    groups = dict.fromkeys((row.condition, tuple(row.vhids)) for row in report.takeovers)
    for condition, vhids in groups:
        rows = [row for row in report.takeovers if (row.condition, tuple(row.vhids)) == (condition, vhids)]
        numbers = ", ".join(map(str, vhids))
        alike = f"vhid {numbers}" if len(vhids) == 1 else f"vhids {numbers} (alike)"
        yield f"\n[bold]Faults of the MASTER of {alike}: {condition}, {rows[0].trials} trials each[/bold]"
        yield _takeovers(rows)


def _parts(report: Report, *, example: Sequence[Text], broken: Sequence[Text]) -> Iterator[RenderableType]:
    yield from _findings(report)
    yield _machines(report)
    yield from takeover_tables(report)
    if report.groups:
        yield "\n[bold]Sync groups: one link of the MASTER is cut[/bold]"
        yield _groups(report.groups)
    if report.failbacks:
        yield "\n[bold]Failback: the preferred machine is back after 10 s without power[/bold]"
        yield _failbacks(report.failbacks)
    if report.isolations:
        yield "\n[bold]Isolation: the MASTER reaches no witness[/bold]"
        yield _isolations(report.isolations)
    if report.watched:
        yield "\n[bold]False takeovers: how often a BACKUP takes over from a MASTER that lives[/bold]"
        yield _watched(report.watched)
        yield from _bounds(report.watched)
    if report.fastest is not None:
        yield "\n[bold]How fast can it be? Worst takeover after a power cut, and false takeovers a day[/bold]"
        yield _advbases(report.fastest.advbases)
        yield _fastest(report.fastest)
    yield ""
    yield from _promises(report, broken)
    if report.example is not None:
        yield f"\n[bold]{report.example.title}[/bold]"
        yield from example
    if report.interrupted:
        yield "\n[red]interrupted: this is what was known by then[/red]"


def _findings(report: Report) -> Iterator[RenderableType]:
    for finding in report.findings:
        mark = "[bold red]WRONG[/bold red]" if finding.serious else "[yellow]note [/yellow]"
        yield f"{mark} {escape(finding.text)}"
    if report.findings:
        yield ""


def _machines(report: Report) -> Table:
    table = _table(
        "machine", "own addresses", "vhid", "shared addresses", "advbase/skew", "takes over after", "dialect"
    )
    for machine in report.machines:
        own = ", ".join(each.partition("/")[0] for owns in machine.own.values() for each in owns)
        for number, host in enumerate(machine.hosts):
            name = [escape(machine.name), own] if number == 0 else ["", ""]
            table.add_row(*name, *_host_cells(host))
    return table


def _host_cells(host: HostRow) -> tuple[str, ...]:
    shared = ", ".join(each.partition("/")[0] for each in host.addresses)
    claim = f"{host.advbase}/{host.advskew}{' preempts' if host.preempt else ''}"
    return str(host.vhid), shared, claim, f"{host.master_down_s:.3f} s", host.dialect


def _takeovers(rows: Iterable[TakeoverRow]) -> Table:
    table = _table("fault", "expected", "median", "worst", "no owner", "two owners", "afterwards", "by")
    for row in rows:
        lasts = f" {row.fault_s:g} s" if row.fault_s else ""
        by = ", ".join(f"{name} ({count})" if len(row.by) > 1 else name for name, count in row.by.items())
        missed = f" {row.taken_over} of {row.trials}" if 0 < row.taken_over < row.trials else ""
        table.add_row(
            f"{row.fault}{lasts}",
            _expected(row.expected_s),
            _span(row.median_s),
            _span(row.worst_s),
            _span(row.ownerless_s),
            _span(row.two_owners_s),
            _span(row.ownerless_afterwards_s),
            escape(f"{by}{missed}") if by else "nobody",
        )
    return table


def _groups(rows: Iterable[GroupRow]) -> Table:
    table = _table("group", "link of", "worst", "no owner", "on one machine")
    for row in rows:
        whole = f"{row.together} of {row.trials}"
        table.add_row(escape(row.group), f"vhid {row.cut_vhid}", _span(row.worst_s), _span(row.ownerless_s), whole)
    return table


def _failbacks(rows: Iterable[FailbackRow]) -> Table:
    table = _table("machine", "vhid", "expected", "median", "worst", "failback")
    for row in rows:
        expected = "never" if row.expected_s is None else _expected(row.expected_s)
        numbers = ", ".join(map(str, row.vhids))
        times = _span(row.median_s), _span(row.worst_s)
        table.add_row(escape(row.machine), numbers, expected, *times, escape(row.policy))
    return table


def _isolations(rows: Iterable[IsolationRow]) -> Table:
    table = _table("vhid", "because", "expected", "median", "worst", "no owner", "two owners", "let go")
    because = {"cut-off": "cut off", "witnesses": "no witness answers"}
    for row in rows:
        times = _span(row.median_s), _span(row.worst_s), _span(row.ownerless_s), _span(row.two_owners_s)
        whole = f"{row.released} of {row.trials}"
        table.add_row(str(row.vhid), because[row.what], _expected(row.expected_s), *times, whole)
    return table


def _expected(span_s: tuple[float, float] | None) -> str:
    if span_s is None:
        return "nobody"
    return "at once" if span_s[1] == 0 else f"{span_s[0]:.3f}-{span_s[1]:.3f} s"


def _watched(rows: Iterable[WatchRow]) -> Table:
    table = _table("condition", "hours", "false takeovers", "a day", "longest without owner")
    for row in rows:
        table.add_row(row.condition, f"{row.hours:g}", str(row.false_takeovers), _a_day(row), _span(row.ownerless_s))
    return table


def _a_day(row: WatchRow) -> str:
    return f"{row.a_day:.4g}" if row.below_a_day is None else f"< {row.below_a_day:.4g}"


def _bounds(rows: Sequence[WatchRow]) -> Iterator[str]:
    seen = [row for row in rows if row.below_a_day is not None]
    if seen:
        yield (
            f"None in {seen[0].hours:g} h means, with 95 % confidence, less than {seen[0].below_a_day:.4g} a day; "
            "more --hours lower this bound."
        )


def _advbases(rows: Sequence[AdvbaseRow]) -> Table:
    conditions = [row.condition for row in rows[0].watched] if rows else []
    table = _table("advbase", "worst takeover", "hours", *conditions, "broken")
    for row in rows:
        hours = f"{row.watched[0].hours:.2g}" if row.watched else "-"
        table.add_row(
            advbase_name(row), _span(row.worst_s), hours, *(_a_day(each) for each in row.watched), str(row.broken)
        )
    return table


def advbase_name(row: AdvbaseRow) -> str:
    """Return the name of an advbase in a table."""
    return (
        str(row.advbase) if row.advskew_step is None else f"0 (advskew {row.advskew_step}, {2 * row.advskew_step} ...)"
    )


def _fastest(found: FastestRow) -> str:
    if found.fastest is None:
        return "[red]Every advbase had false takeovers, or broke promises, in these conditions.[/red]"
    row = found.advbases[found.fastest]
    bound = max((each.below_a_day or 0.0 for each in row.watched), default=0.0)
    hours = row.watched[0].hours if row.watched else 0
    return (
        f"The fastest without any is advbase [bold]{advbase_name(row)}[/bold]: none in {hours:g} h of each condition, "
        f"so less than {bound:.4g} a day with 95 % confidence."
    )


def _promises(report: Report, plot: Sequence[Text]) -> Iterator[RenderableType]:
    found = report.promises
    if found.broken is None:
        yield f"Promises: [green]all kept[/green] in {found.kept} of {found.plans} simulated plans."
        return
    broken = found.broken
    yield f"Promises: kept in {found.kept} of {found.plans} simulated plans."
    yield f"[bold red]BROKEN[/bold red] in {broken.plans}, first of all:"
    yield f"  {broken.promise}"
    yield escape(f"  {broken.at_s:.3f} s: {broken.machine or 'nobody'} {broken.text}")
    yield "\n[bold]The shortest plan of it[/bold]"
    yield from _lines(broken)
    yield ""
    yield from plot
    if broken.file is not None:
        yield f"\nkept in {escape(broken.file)}; again: pycarp simulate --plan {escape(broken.file)}"


def _lines(broken: BrokenRow) -> Iterator[Text]:
    """Yield the lines up to the broken promise, at most the last 40."""
    end = next((number for number, line in enumerate(broken.lines) if " BROKEN: " in line), len(broken.lines)) + 1
    begin = max(end - _MOST_LINES, 0)
    if begin:
        yield Text(f"... {begin} lines before, which --plan shows")
    yield from map(Text, broken.lines[begin:end])


def _span(span_s: float | None) -> str:
    if span_s is None:
        return "-"
    if span_s == 0:
        return "0"
    if span_s < _MS:
        return "< 1 ms"
    return f"{span_s / _MS:.0f} ms" if span_s < 0.1 else f"{span_s:.3f} s"


def _table(*headings: str) -> Table:
    """Return a table without frame, whose figures stand right; only the last column may have to wrap."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        is_last = heading == headings[-1]
        table.add_column(heading, justify="right" if heading in _FIGURES else "left", no_wrap=not is_last)
    return table
