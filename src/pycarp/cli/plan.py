"""``pycarp plan``: what a configuration would change in a running daemon, and what that costs."""

from pathlib import Path

import click

from pycarp.cli.options import control_option, exit_status
from pycarp.cli.reload import rolling_option
from pycarp.config import grammars
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import PlanReply, PlanRequest


@click.command(
    epilog="""\b
Examples:
  pycarp plan                       what a reload would change
  pycarp plan /etc/pycarp.toml.new  what this file would change in the place of the daemon's own
  pycarp plan --rolling 60          the same for a reload with --rolling 60

\b
Compared is with what runs, so that changes by pycarp ifconfig are shown as well.
FILE is read with the daemon's own --format, --map, --dialect and so on. No password is shown."""
    + exit_status("1 is that no daemon answers, 2 that the file is wrong.")
)
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@rolling_option
@control_option
def plan(*, file: Path | None, rolling_s: float, control: Path) -> None:
    """Show what FILE, or the daemon's own file, would change in the running daemon; change nothing."""
    text = None if file is None else grammars.load(file)
    message = PlanRequest(text, None if file is None else str(file.absolute()), rolling_s)
    click.echo("\n".join(request(control, message, PlanReply).changes) or "nothing would change")
