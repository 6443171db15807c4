"""``pycarp reload``: makes a running daemon read its configuration again."""

from pathlib import Path

import click
import msgspec

from pycarp.aio.virtual_host import ROLLING_MAX_S
from pycarp.cli.confirmation import confirm, yes_option
from pycarp.cli.options import control_option, exit_status
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import PlanReply, PlanRequest, ReloadRequest
from pycarp.daemon.planning import lines
from pycarp.errors import ControlError, UsageError

TIMEOUT_S = 60.0
"""Seconds to wait for the reply: a reload may add and remove hundreds of hosts."""

rolling_option = click.option(
    "--rolling",
    "rolling_s",
    type=click.FloatRange(0, ROLLING_MAX_S),
    default=0,
    metavar="SECONDS",
    help="Sign as before for so long, until every host has the new addresses and password; pycarp only.",
)


@click.command(
    epilog="""\b
Examples:
  pycarp plan                   what a reload would change
  pycarp reload                 the same as kill -HUP, and says what was changed
  pycarp reload --rolling 60    addresses or a password changed: do so on every host within a minute
  pycarp reload --yes           from a script: no question, no warning
  pycarp reload --force         the same: hosts that the file has no longer end

\b
All or nothing: when the file is wrong, or a change fails, everything is as before.
Hosts whose settings did not change keep their state and their addresses.
What was changed while it ran is set back, where the file says otherwise; pycarp plan --save keeps it.
Hosts that the file has no longer end: it asks in a terminal, and needs --force elsewhere.
Other addresses or another password without --rolling, while other hosts are heard or may listen: it
asks in a terminal, and warns elsewhere."""
    + exit_status("1 is that a change failed or no daemon answers, 2 that the file is wrong.")
)
@rolling_option
@yes_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def reload(*, rolling_s: float, is_sure: bool, as_json: bool, control: Path) -> None:
    """Make the running daemon read its configuration again, and show what was changed."""
    is_forced = is_sure or confirm(_warnings(control, rolling_s), is_sure=is_sure)
    reply = request(control, ReloadRequest(rolling_s, is_forced), PlanReply, timeout_s=TIMEOUT_S)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reply), indent=2))
    else:
        click.echo("\n".join(lines(reply)) or "nothing has changed")


def _warnings(control: Path, rolling_s: float) -> list[str]:
    """Return the warnings of a reload; none if it will be refused, because the daemon logs the refusal."""
    try:
        return request(control, PlanRequest(rolling_s=rolling_s), PlanReply).warnings
    except (UsageError, ControlError):
        return []


def show(reply: PlanReply, *, nothing: str) -> None:
    """Print a plan: changes and drift to standard output, warnings to standard error."""
    for warning in reply.warnings:
        click.echo(f"pycarp: warning: {warning}", err=True)
    click.echo("\n".join(lines(reply)) or nothing)
