"""``pycarp plan``: shows the changes that a configuration would make in a running daemon, and their cost."""

from pathlib import Path

import click
import msgspec

from pycarp.cli.options import control_option, exit_status
from pycarp.cli.reload import rolling_option, show
from pycarp.cli.saving import save
from pycarp.config import grammars
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import PlanReply, PlanRequest


@click.command(
    epilog="""\b
Examples:
  pycarp plan                       what a reload would change
  pycarp plan /etc/pycarp.toml.new  what this file would change in the place of the daemon's own
  pycarp plan --rolling 60          the same for a reload with --rolling 60
  pycarp plan --save                write what was changed while it ran into the daemon's file
  pycarp plan --json | jq '.changes[] | select(.leaves_master) | .name'

\b
Compared is with what runs. What pycarp ifconfig and sysctl have changed since the file was read
is shown as drift, with what a reload does to it. --save writes it into FILE, or the daemon's
own file, which must be TOML: at once, with its mode, comments and order; then the plan is shown.
FILE is read with the daemon's own --format, --map, --dialect and so on. No password is shown."""
    + exit_status("1 is that no daemon answers, 2 that the file is wrong.")
)
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@rolling_option
@click.option("--save", "is_saving", is_flag=True, help="Write live changes into FILE, or the daemon's own; TOML only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@control_option
def plan(*, file: Path | None, rolling_s: float, is_saving: bool, as_json: bool, control: Path) -> None:
    """Show what FILE, or the daemon's own file, would change in the running daemon; change nothing there."""
    saved = save(control, file) if is_saving else []
    text = None if file is None else grammars.load(file)
    message = PlanRequest(text, None if file is None else str(file.absolute()), rolling_s)
    reply = request(control, message, PlanReply)
    if as_json:
        more = {"saved": saved} if is_saving else {}
        click.echo(msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(reply) | more), indent=2))
        return
    for each in saved:
        click.echo(f"saved: {each}")
    show(reply, nothing="nothing was changed while it ran" if is_saving and not saved else "nothing would change")
