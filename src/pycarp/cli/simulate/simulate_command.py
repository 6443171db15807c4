"""``pycarp simulate``: what the operators' own configuration does when things go wrong, in simulated time."""

import os
import sys
from math import isnan
from pathlib import Path

import click
import msgspec
from rich.console import Console

from pycarp import dialects
from pycarp.cli.config_options import format_option, sysctl_option
from pycarp.cli.options import exit_status
from pycarp.cli.refusals import file_error
from pycarp.cli.simulate import faults as fault_words
from pycarp.cli.simulate.picture import draw
from pycarp.cli.simulate.plot import plain, plot
from pycarp.cli.simulate.session import Wishes, look_into
from pycarp.cli.simulate.simulation_report import PlanReport, ViolationRow, seconds
from pycarp.cli.simulate.tables import WIDTH, show, show_plan, takeover_tables
from pycarp.cli.simulate.worker_pool import WorkerPool
from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from pycarp.config.topology import ConfigFile, read_topology
from pycarp.errors import ConfigError, UsageError
from pycarp.sim.faults import fault_plan_file
from pycarp.sim.simulation import simulate as simulate_plan
from pycarp.system.files.bounded_read import read_at_most

_MOST_SEEDS = 1_000_000
_MOST_HOURS = 1_000_000
_EXIT_BROKEN = 1
_PLAN_OCTETS_MOST = 16 << 20

_EPILOG = """\b
Examples:
  pycarp simulate hosta.rc.conf hostb.rc.conf provider.rc.conf
  pycarp simulate fw1/hostname.carp0 fw2/hostname.carp0 --sysctl net.inet.carp.preempt=1
  pycarp simulate pycarp.toml --copies 2             a second machine with advskew raised by 100
  pycarp simulate *.toml --faults loss=20%           what if the link loses 20 % of packets?
  pycarp simulate *.toml --faults power,stop=3s,loss=5%+delay=50ms
  pycarp simulate *.toml --fastest --faults stalls=500ms,loss=1% --hours 24
  pycarp simulate *.toml --seeds 10000               is any promise ever broken?
  pycarp simulate --plan pycarp-plan.json          play a kept plan again

\b
Faults of the MASTER, some for a time as in stop=3s:
{injected_faults}

\b
Recurring faults, during which faults of the MASTER are tried and false
takeovers are counted; those joined by + come together:
{recurring_faults}

\b
Own addresses and names of interfaces are read where a file has them, and else
invented; the interfaces of this machine do not matter. Interfaces that carry a
common vhid are one segment. Times are simulated, and chance comes from seeds:
the same command prints the same.""" + exit_status("1 is a broken promise.")


def _epilog() -> str:
    rows = list(fault_words.table())
    width = max(len(word) for word, _words in rows)
    lines = [f"  {word.ljust(width)}  {words}" for word, words in rows]
    number = len(fault_words.INJECTED_FAULTS)
    return _EPILOG.format(injected_faults="\n".join(lines[:number]), recurring_faults="\n".join(lines[number:]))


def _hours(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if isnan(value) or not 0.01 <= value <= _MOST_HOURS:
        raise click.BadParameter(f"{value:g} is outside 0.01-{_MOST_HOURS}")
    return value


@click.command(epilog=_epilog())
@click.argument(
    "files", metavar="CONFIG...", nargs=-1, type=click.Path(path_type=Path, readable=False, allow_dash=False)
)
@click.option(
    "--seeds", type=click.IntRange(1, _MOST_SEEDS), default=20, show_default=True, help="Trials of each kind."
)
@click.option(
    "--hours",
    type=float,
    callback=_hours,
    default=1.0,
    show_default=True,
    help="Simulated hours in which false takeovers are counted, for each condition.",
)
@click.option("--faults", metavar="LIST", help="What to try instead of the usual: see below.")
@click.option("--fastest", is_flag=True, help="Look for the fastest advbase without false takeovers.")
@click.option(
    "--copies",
    type=click.IntRange(1, 255),
    default=1,
    help="Make so many machines of each, with advskew raised by 100 each.",
)
@format_option
@click.option(
    "--dialect",
    type=click.Choice([each.name for each in dialects.ALL]),
    show_default="universal for rc.conf, openbsd for hostname.carp",
    help="The dialect of the hosts; TOML and ucarp name it themselves.",
)
@sysctl_option
@click.option(
    "--plan", type=click.Path(path_type=Path, readable=False), metavar="FILE", help="Play one kept plan instead."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    default=Path("pycarp-plan.json"),
    show_default=True,
    metavar="FILE",
    help="Where the shortest plan of a broken promise is written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    metavar="FILE",
    help="Write the plot, and the table of takeovers, as a picture.",
)
@click.option("--jobs", type=click.IntRange(1, 256), show_default="one a processor", help="Processes that simulate.")
def simulate(
    *,
    files: tuple[Path, ...],
    seeds: int,
    hours: float,
    faults: str | None,
    fastest: bool,
    copies: int,
    grammar: str | None,
    dialect: str | None,
    assignments: tuple[tuple[str, int], ...],
    plan: Path | None,
    keep: Path,
    as_json: bool,
    svg: Path | None,
    jobs: int | None,
) -> None:
    """Find out what your configuration does when something fails: CONFIG are its files, one for each machine.

    Every machine runs the engine of pycarp; its operating system and the network between the machines are simulated.
    The report shows expected and worst takeover times, false takeovers, and whether every promise is kept.
    """
    if svg is not None and not svg.absolute().parent.is_dir():
        raise UsageError(f"--svg {svg}: there is no folder {svg.parent}")
    if plan is not None:
        if files:
            raise UsageError("give either configurations or --plan FILE: a plan has its own machines")
        sys.exit(_play(plan, as_json=as_json, svg=svg))
    if not files:
        raise UsageError("name the configurations of at least two machines, or one with --copies 2; see --help")
    wishes = Wishes(seeds=seeds, hours=hours, faults=fault_words.parse(faults), seeks_fastest=fastest, keep=keep)
    topology = read_topology(
        [ConfigFile(str(path), grammars.load(path)) for path in files],
        grammar=Grammar(grammar) if grammar else None,
        dialect=dialects.by_name(dialect) if dialect else None,
        copies=copies,
        sysctls=dict(assignments),
    )
    for note in topology.notes:
        click.echo(f"pycarp: {note}", err=True)
    found = look_into(topology.members, wishes, WorkerPool(jobs or _processors()))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found.report), indent=2))
    else:
        show(_console(), found.report, example=found.example, broken=found.broken)
        click.echo(f"simulated {found.report.simulated_h:g} h", err=True)
    if svg is not None:
        draw(svg, [*takeover_tables(found.report), "", *(found.broken or found.example)])
    sys.exit(0 if found.report.promises.broken is None else _EXIT_BROKEN)


def _play(path: Path, *, as_json: bool, svg: Path | None) -> int:
    """Simulate a kept plan, print what happened, and return the exit status."""
    try:
        octets = read_at_most(path, _PLAN_OCTETS_MOST + 1)
    except OSError as exc:
        raise file_error(f"cannot read {path}", exc) from exc
    if len(octets) > _PLAN_OCTETS_MOST:
        raise ConfigError(f"cannot read {path}: it has more than {_PLAN_OCTETS_MOST >> 20} MiB")
    outcome = simulate_plan(fault_plan_file.decode(octets, file=str(path)), narrates=True)
    plotted = plot(outcome)
    report = PlanReport(
        file=str(path),
        violations=[
            ViolationRow(promise=each.promise.value, at_s=seconds(each.at_ns), machine=each.node, text=each.words)
            for each in outcome.violations
        ],
        lines=list(outcome.lines),
        plot=plain(plotted),
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        show_plan(_console(), report, plotted)
    if svg is not None:
        draw(svg, plotted)
    return _EXIT_BROKEN if report.violations else 0


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
