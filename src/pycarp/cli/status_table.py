"""The table that ``pycarp status`` prints, and the lines below it."""

from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycarp.cli.host_words import age, details_of, is_alarm, names_of_addresses, reason_of, remarks_of
from pycarp.daemon.control_messages import HostStatus, StatusReply
from pycarp.dialects.dialect import LAST_ADVBASE

_PIPE_WIDTH = 1000
_WIDE = 160
"""Columns from which on a terminal has place for sentences in a table."""

_HEADINGS = ("HOST", "VHID", "STATE", "FOR", "MASTER", "ADVERTISES", "ADDRESSES", "WHY")
_NEVER_WRAPPED = frozenset({"VHID", "STATE", "FOR", "ADVERTISES"})

_COLOURS = {"MASTER": "green", "BACKUP": "yellow", "INIT": "red"}


def print_table(reply: StatusReply, *, with_details: bool) -> None:
    """Print a line for each host, and below what an operator should know; with details also who was heard."""
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
            text = f"{host.name}: {line}"
            if is_alarm(line):
                console.print(text, soft_wrap=True, markup=False, style="bold red")
            else:
                # The same, in a tenth of the time.
                click.echo(text)


def _interval(host: HostStatus) -> str:
    """Return how often a host advertises; the last of all claims 255 s, and keeps its pace."""
    if host.effective_advbase == LAST_ADVBASE != host.advbase:
        return "last"
    return f"{host.effective_advbase}+{host.effective_advskew}/256 s"


def _row(host: HostStatus, names: Mapping[str, str]) -> tuple[Text, ...]:
    # Text and not str: rich would take brackets in a name or a reason for its markup.
    return (
        Text(host.name),
        Text(f"{host.vhid}@{host.interface}"),
        Text(host.state, style=_COLOURS[host.state]),
        Text(age(host.last_change.s_ago) if host.last_change else ""),
        Text(host.master or "unknown"),
        Text(_interval(host)),
        Text(" ".join(host.addresses)),
        Text(reason_of(host, names)),
    )
