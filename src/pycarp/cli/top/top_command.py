"""``pycarp top``: all hosts of the running daemons on a terminal."""

import sys
from pathlib import Path

import click

from pycarp.cli.daemons import paths_of
from pycarp.cli.options import control_option, exit_status
from pycarp.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  pycarp top
  pycarp top --control /run/pycarp/other.sock
  ssh -t web1 sudo pycarp top

\b
Keys: ? for help, arrows to choose a host, d drain, u undrain, m demote, r restore, h hand over,
/ search, p only problems, q quit. Nothing is changed without a question. A mouse is not needed.
A daemon that ends, hangs or is started again is shown as that, and asked again.
For scripts: pycarp status --json, pycarp events --follow --json.
It comes with an extra: pip install 'pycarp[top]'."""
    + exit_status("2 is that standard input or output is no terminal.")
)
@control_option
def top(*, control: Path) -> None:
    """Show all hosts as they change, with their peers, timers, checks and alarms.

    Without --control these are the hosts of pycarp run and of every pycarp ucarp of this network namespace.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("pycarp top needs a terminal; for scripts: pycarp status --watch --json")
    # Imported here because it comes with an extra, and takes a fifth of a second.
    from pycarp.cli.top.top_app import Top  # noqa: PLC0415

    context = click.get_current_context()

    def paths() -> list[Path]:
        with context:
            return paths_of(control)

    Top(paths).run()
