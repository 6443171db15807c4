"""``pycarp status``: who is master, since when, and why."""

import contextlib
import datetime
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycarp.cli import EXIT_FAILED
from pycarp.cli.daemons import Answers, ask_all, chosen_of, merged
from pycarp.cli.host_words import age, details_of, is_alarm, names_of_addresses, reason_of, remarks_of
from pycarp.cli.options import EXIT_NOT_WELL, control_option, exit_status
from pycarp.daemon.control_messages import HostStatus, StatusReply
from pycarp.daemon.wellness import what_is_wrong
from pycarp.errors import ControlError

_WATCH_S = 1.0

_PIPE_WIDTH = 1000
_WIDE = 160
"""Columns from which on a terminal has place for sentences in a table."""

_HEADINGS = ("HOST", "VHID", "STATE", "FOR", "MASTER", "ADVERTISES", "ADDRESSES", "WHY")
_NEVER_WRAPPED = frozenset({"VHID", "STATE", "FOR", "ADVERTISES"})

_COLOURS = {"MASTER": "green", "BACKUP": "yellow", "INIT": "red"}


@click.command(
    epilog="""\b
Examples:
  pycarp status
  pycarp status carp0             one host, or those of an interface, with their peers and checks
  pycarp status --watch           again each second, until Ctrl-C
  pycarp status --json | jq -r '.hosts[] | "\\(.name) \\(.state) \\(.master)"'"""
    + exit_status(
        "1 is that no daemon answers (the state is unknown then), 3 that a host does not take\n"
        "part, has an alarm, misses addresses or is demoted, and no administrator wanted that."
    )
)
@click.argument("name", required=False, metavar="[HOST]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@click.option("--watch", "-w", is_flag=True, help="Show it again each second; with --json one object a line.")
@control_option
def status(name: str | None, *, as_json: bool, watch: bool, control: Path) -> None:
    """Show every virtual host that runs here: its state, who is master, and why it changed last.

    HOST is the name of one, its vhid@interface, or an interface.
    Without --control that is all of pycarp run and of every pycarp ucarp of this network namespace.
    """
    if watch:
        _watch(name, control, as_json=as_json)
        return
    answers, reply = _asked(control, name)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2))
    else:
        _print(reply, with_details=name is not None)
    if not answers.is_complete:
        click.get_current_context().exit(EXIT_FAILED)
    if any(map(what_is_wrong, reply.hosts)):
        click.get_current_context().exit(EXIT_NOT_WELL)


def _asked(control: Path, name: str | None) -> tuple[Answers, StatusReply]:
    """Ask every process, and return all that is wanted as one reply, whose age begins with the question."""
    began_s = time.monotonic()
    answers = ask_all(control)
    reply = merged(answers.daemons)
    hosts = chosen_of(reply, name)
    return answers, msgspec.structs.replace(reply, hosts=hosts, age_s=round(time.monotonic() - began_s, 6))


def _watch(name: str | None, control: Path, *, as_json: bool) -> None:
    """Show the status again and again; a daemon that does not answer is said to, and asked again."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                _answers, reply = _asked(control, name)
            except ControlError as exc:
                _begin_again(as_json=as_json)
                click.echo(f"pycarp: {exc}", err=True)
            else:
                _begin_again(as_json=as_json)
                if as_json:
                    click.echo(msgspec.json.encode(reply).decode())
                else:
                    _print(reply, with_details=name is not None)
            time.sleep(_WATCH_S)


def _begin_again(*, as_json: bool) -> None:
    """Clear a terminal; elsewhere write the time above what follows."""
    if as_json:
        return
    if sys.stdout.isatty():
        click.clear()
    at = datetime.datetime.now().astimezone()
    click.echo(at.strftime("%Y-%m-%d %H:%M:%S"))


def _print(reply: StatusReply, *, with_details: bool = False) -> None:
    terminal = Console(highlight=False)
    # A pipe gets whole lines: cutting them to the width of a terminal that is not there would lose words.
    console = terminal if terminal.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
    is_narrow = console.width < _WIDE
    names = names_of_addresses()
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Of sentences a column is for wide terminals only; elsewhere they are lines below.
    for heading in _HEADINGS[:-1] if is_narrow else _HEADINGS:
        table.add_column(heading, overflow="fold", no_wrap=heading in _NEVER_WRAPPED)
    for host in reply.hosts:
        cells = _row(host, names)
        table.add_row(*(cells[:-1] if is_narrow else cells))
    console.print(table)
    for host in reply.hosts:
        lines = [reason_of(host, names)] if is_narrow else []
        lines += remarks_of(host)
        lines += details_of(host, names) if with_details else []
        for line in filter(None, lines):
            style = "bold red" if is_alarm(line) else None
            console.print(f"{host.name}: {line}", soft_wrap=True, markup=False, style=style)


def _row(host: HostStatus, names: Mapping[str, str]) -> tuple[Text, ...]:
    # Text and not str: rich would take brackets in a name or a reason for its markup.
    return (
        Text(host.name),
        Text(f"{host.vhid}@{host.interface}"),
        Text(host.state, style=_COLOURS[host.state]),
        Text(age(host.last_change.s_ago) if host.last_change else ""),
        Text(host.master or "unknown"),
        Text(f"{host.effective_advbase}+{host.effective_advskew}/256 s"),
        Text(" ".join(host.addresses)),
        Text(reason_of(host, names)),
    )
