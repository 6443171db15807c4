"""``pycarp reload``: let a running daemon read its configuration again."""

from pathlib import Path

import click

from pycarp.aio.host import ROLLING_MAX_S
from pycarp.cli.options import control_option, exit_status
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import PlanReply, ReloadRequest

TIMEOUT_S = 60.0
"""Hundreds of hosts may come and go."""

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

\b
All or nothing: when the file is wrong, or a change fails, everything is as before.
Hosts whose settings did not change keep their state and their addresses."""
    + exit_status("1 is that a change failed or no daemon answers, 2 that the file is wrong.")
)
@rolling_option
@control_option
def reload(*, rolling_s: float, control: Path) -> None:
    """Let the running daemon read its configuration again, and show what was changed."""
    reply = request(control, ReloadRequest(rolling_s), PlanReply, timeout_s=TIMEOUT_S)
    click.echo("\n".join(reply.changes) or "nothing has changed")
