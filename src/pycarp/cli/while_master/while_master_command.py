"""``pycarp while-master``: run a command while a host of the running daemon is MASTER."""

import shutil
from pathlib import Path

import click

from pycarp.cli.daemons import one_for
from pycarp.cli.options import Duration, control_option, exit_status
from pycarp.cli.while_master.runner import Runner
from pycarp.errors import ConfigError

STOP_TIMEOUT_MOST_S = 3600


@click.command(
    name="while-master",
    epilog="""\b
Examples:
  pycarp while-master carp0 -- /usr/local/bin/scheduler
  pycarp while-master carp0 --stop-timeout 30s -- setpriv --reuid jobs --clear-groups scheduler
  pycarp while-master carp0 --once -- sh -c 'nightly-job --fencing-token $PYCARP_TOKEN'
  pycarp while-master 1@eth0 -- dnsmasq --keep-in-foreground

\b
The command starts when HOST is MASTER and holds its addresses, and is told
PYCARP_TOKEN (a number that grows from mastership to mastership, on any host),
PYCARP_HOST, PYCARP_VHID, PYCARP_INTERFACE, PYCARP_ADDRESSES and PYCARP_EPOCH.
When the mastership is lost, the command and all that it started get SIGTERM, and
SIGKILL before a peer may act: with advbase 1 after 0.34 s, however long
--stop-timeout is. The same if the daemon dies or hangs.
A command that ends by itself starts again after 1 s, then 2 s, up to 30 s.
SIGTERM and SIGINT stop the command and end; a second one kills it. SIGHUP,
SIGUSR1 and SIGUSR2 go to the command."""
    + exit_status("0 after SIGTERM or SIGINT; with --once that of the command, 128 and more for a signal."),
)
@click.argument("host")
@click.argument("argv", nargs=-1, required=True, metavar="-- COMMAND [ARGUMENT]...", type=click.UNPROCESSED)
@click.option(
    "--stop-timeout",
    "stop_timeout_s",
    type=Duration(most_s=STOP_TIMEOUT_MOST_S),
    default="10s",
    show_default=True,
    metavar="TIME",
    help="Time from SIGTERM to SIGKILL, as far as the mastership lasts so long.",
)
@click.option("--once", is_flag=True, help="End with the command when that ends by itself, in place of a new start.")
@control_option
def while_master(*, host: str, argv: tuple[str, ...], stop_timeout_s: float, once: bool, control: Path) -> None:
    """Run a command while HOST of the running daemon is MASTER, and only then."""
    if shutil.which(argv[0]) is None:
        raise ConfigError(f"{argv[0]} is no program that can be run here")
    runner = Runner(one_for(control, host), host, argv, stop_timeout_s=stop_timeout_s, once=once)
    click.get_current_context().exit(runner.run())
