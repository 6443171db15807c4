"""Floor 10: the ``pycarp`` command. It parses, calls one function, renders, and exits with a documented code.

0: done. 1: it failed while running. 2: usage or configuration is wrong.
"""

from typing import Any

import click

from pycarp import __version__
from pycarp.cli.check import check
from pycarp.cli.convert import convert
from pycarp.cli.decode import decode
from pycarp.cli.demo import demo
from pycarp.cli.handover import handover
from pycarp.cli.ifconfig import ifconfig
from pycarp.cli.lab import lab
from pycarp.cli.netstat import netstat
from pycarp.cli.plan import plan
from pycarp.cli.refusals import is_about_output, refusal
from pycarp.cli.release import release
from pycarp.cli.reload import reload
from pycarp.cli.replay.command import replay
from pycarp.cli.run import run
from pycarp.cli.service import service
from pycarp.cli.simulate.command import simulate
from pycarp.cli.status import status
from pycarp.cli.sysctl import sysctl
from pycarp.cli.ucarp import ucarp
from pycarp.errors import CarpError, ConfigError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2


class _Group(click.Group):
    """Turns pycarp's own errors into one clear message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a sub-command."""
        try:
            return super().invoke(ctx)
        except CarpError as exc:
            click.echo(f"pycarp: {exc}", err=True)
            ctx.exit(EXIT_USAGE if isinstance(exc, ConfigError | UsageError) else EXIT_FAILED)
        except OSError as exc:
            if is_about_output(exc):
                raise
            click.echo(f"pycarp: {refusal(exc)}", err=True)
            ctx.exit(EXIT_FAILED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pycarp")
def cli() -> None:
    """CARP, the Common Address Redundancy Protocol: shared IP addresses that move when a host fails.

    \b
    See it without privileges:     pycarp demo
    See it with real packets:      sudo pycarp lab
    Run it:                        sudo pycarp run --rc-conf /etc/rc.conf --map fxp0=eth0
    Run it as a service:           sudo pycarp service install /etc/pycarp.toml
    Look before you run it:        pycarp check /etc/rc.conf
    What if it fails:              pycarp simulate hosta.rc.conf hostb.rc.conf
    Other words for the same:      pycarp convert /etc/rc.conf --to toml
    In the place of ucarp:         sudo pycarp ucarp --srcip=... --vhid=... --addr=... (see its --help)
    Ask who is master, and why:    sudo pycarp status
    Change it while it runs:       sudo pycarp plan && sudo pycarp reload
    Ask what was dropped, and why: sudo pycarp netstat
    Explain what is on the wire:   sudo pycarp decode -i eth0
    Leave an address to the next:  sudo pycarp handover carp0
    Set a host down, and up:       sudo pycarp ifconfig carp0 down && sudo pycarp ifconfig carp0 up
    Clean up after a crash:        sudo pycarp release
    Let an incident happen again:  pycarp replay FILE
    """  # noqa: D301  \b is click's mark for lines that are not rewrapped


for _command in (
    run,
    service,
    check,
    status,
    plan,
    reload,
    handover,
    ifconfig,
    sysctl,
    netstat,
    decode,
    ucarp,
    convert,
    release,
    replay,
    demo,
    lab,
    simulate,
):
    cli.add_command(_command)
