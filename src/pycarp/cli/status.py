"""``pycarp status``: who is master, since when, and why."""

import contextlib
import datetime
import sys
import time
from pathlib import Path

import click
import msgspec

from pycarp.cli import EXIT_FAILED
from pycarp.cli.daemons import Answers, ask_all, chosen_of, merged
from pycarp.cli.options import EXIT_NOT_WELL, control_option, exit_status
from pycarp.daemon.control_messages import StatusReply
from pycarp.daemon.wellness import what_is_wrong
from pycarp.errors import ControlError

_WATCH_S = 1.0


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
        _show(reply, with_details=name is not None)
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
                    _show(reply, with_details=name is not None)
            time.sleep(_WATCH_S)


def _begin_again(*, as_json: bool) -> None:
    """Clear a terminal; elsewhere write the time above what follows."""
    if as_json:
        return
    if sys.stdout.isatty():
        click.clear()
    at = datetime.datetime.now().astimezone()
    click.echo(at.strftime("%Y-%m-%d %H:%M:%S"))


def _show(reply: StatusReply, *, with_details: bool) -> None:
    # Imported here, because scripts need no table: it takes a fifth of the time of the command.
    from pycarp.cli.status_table import print_table  # noqa: PLC0415

    print_table(reply, with_details=with_details)
