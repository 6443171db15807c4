"""``pycarp status``: who is master, since when, and why."""

import contextlib
import datetime
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycarp.cli import EXIT_FAILED
from pycarp.cli.daemons import Answers, ask_all, chosen_of, merged
from pycarp.cli.options import EXIT_NOT_WELL, control_option, exit_status
from pycarp.core.restriction import Restriction
from pycarp.core.state import State
from pycarp.daemon.control_messages import Cause, CheckStatus, HostStatus, RestrictionStatus, StatusReply
from pycarp.daemon.wellness import what_is_wrong
from pycarp.errors import ControlError

_WATCH_S = 1.0

_COLOURS = {"MASTER": "green", "BACKUP": "yellow", "INIT": "red"}


@click.command(
    epilog="""\b
Examples:
  pycarp status
  pycarp status carp0             one host, or those of an interface
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
    answers = ask_all(control)
    reply = _chosen(answers, name)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2))
    else:
        _print(reply)
    if not answers.is_complete:
        click.get_current_context().exit(EXIT_FAILED)
    if any(map(what_is_wrong, reply.hosts)):
        click.get_current_context().exit(EXIT_NOT_WELL)


def _chosen(answers: Answers, name: str | None) -> StatusReply:
    reply = merged(answers.daemons)
    return msgspec.structs.replace(reply, hosts=chosen_of(reply, name))


def _watch(name: str | None, control: Path, *, as_json: bool) -> None:
    """Show the status again and again; a daemon that does not answer is said to, and asked again."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                reply = _chosen(ask_all(control), name)
            except ControlError as exc:
                _begin_again(as_json=as_json)
                click.echo(f"pycarp: {exc}", err=True)
            else:
                _begin_again(as_json=as_json)
                if as_json:
                    click.echo(msgspec.json.encode(reply).decode())
                else:
                    _print(reply)
            time.sleep(_WATCH_S)


def _begin_again(*, as_json: bool) -> None:
    """Clear a terminal; elsewhere write the time above what follows."""
    if as_json:
        return
    if sys.stdout.isatty():
        click.clear()
    at = datetime.datetime.now().astimezone()
    click.echo(at.strftime("%Y-%m-%d %H:%M:%S"))


def _print(reply: StatusReply) -> None:
    # A pipe gets whole lines: cutting them to the width of a terminal that is not there would lose words.
    console = Console(highlight=False, width=None if Console().is_terminal else 200)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("HOST", "VHID", "STATE", "FOR", "MASTER", "ADVERTISES", "ADDRESSES", "WHY"):
        table.add_column(heading, overflow="fold")
    for host in reply.hosts:
        table.add_row(*_row(host))
    console.print(table)
    for line in _remarks(reply):
        console.print(line, soft_wrap=True, markup=False)


def _remarks(reply: StatusReply) -> Iterator[str]:
    for host in reply.hosts:
        if host.location:
            yield f"{host.name}: addresses on {host.location}"
        if host.missing:
            pause = "put back after a pause, which grows each time that others remove it"
            yield f"{host.name}: missing now: {', '.join(host.missing)}; {pause}"
        if host.address_error:
            yield f"{host.name}: {host.address_error}"
        for remark in (*_alarm_remarks(host), *_service_remarks(host), *_restriction_remarks(host)):
            yield f"{host.name}: {remark}"
        for cause in host.demotion:
            yield f"{host.name}: demoted by {cause.amount}: {cause.cause}{_end_of(cause)}"
        if host.rejected:
            yield f"{host.name}: {host.rejected} advertisements not authentic: another pass or other addresses"
        if host.contested:
            yield f"{host.name}: others changed its addresses {_times(host.contested)}"


def _alarm_remarks(host: HostStatus) -> Iterator[str]:
    for alarm in host.alarms:
        yield f"ALARM {alarm.name}: {alarm.text}{f'; next: {alarm.command}' if alarm.command else ''}"
    for warning in host.warnings:
        yield f"warning: {warning}"


def in_effect(host: HostStatus) -> Iterator[RestrictionStatus]:
    """Yield the restrictions that matter now: who is MASTER has nobody to preempt."""
    for each in host.restrictions:
        if host.state != State.MASTER or each.to != Restriction.NO_PREEMPT:
            yield each


def _restriction_remarks(host: HostStatus) -> Iterator[str]:
    whats = {"no-preempt": "preempts nobody", "backup-only": "is BACKUP only"}
    for each in in_effect(host):
        yield f"{whats.get(each.to, each.to)}: {each.cause}{_end_of(each)}"


def _service_remarks(host: HostStatus) -> Iterator[str]:
    for check in host.checks:
        if not check.passes:
            yield _failing(check)
    for hook in host.hooks:
        if hook.error:
            yield f"hook {hook.name} on {hook.last_on}: {hook.error}"
        if hook.is_running:
            yield f"hook {hook.name} is running"
    for command in host.commands:
        verb = "runs" if command.is_running else "waits for this host to be MASTER"
        yield f"{command.name} {verb} (while-master, pid {command.pid})"


def _failing(check: CheckStatus) -> str:
    """Say since when a check fails, why, and what follows."""
    since = "has not passed yet" if check.s_ago is None else f"fails for {_age(check.s_ago)}"
    why = f": {check.detail}" if check.detail else ""
    fate = "this host is the last of all" if check.by is None else f"demoted by {check.by}"
    fate = "this host is not MASTER meanwhile" if check.releases else fate
    return f"check {check.name} {since}{why}; {fate}"


def _end_of(cause: Cause | RestrictionStatus) -> str:
    return "" if cause.ends_in_s is None else f" (ends in {_age(cause.ends_in_s)})"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _row(host: HostStatus) -> tuple[Text, ...]:
    # Text and not str: rich would take brackets in a name or a reason for its markup.
    return (
        Text(host.name),
        Text(f"{host.vhid}@{host.interface}"),
        Text(host.state, style=_COLOURS[host.state]),
        Text(_age(host.last_change.s_ago) if host.last_change else ""),
        Text(host.master or "unknown"),
        Text(f"{host.effective_advbase}+{host.effective_advskew}/256 s"),
        Text(" ".join(host.addresses)),
        Text(host.last_change.explanation if host.last_change else ""),
    )


def _age(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{int(seconds * 10) / 10:.1f}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h" if days else f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
