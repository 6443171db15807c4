"""``pycarp sysctl``: the switches of a running daemon."""

from pathlib import Path

import click

from pycarp.cli.daemons import one_for
from pycarp.cli.options import control_option, exit_status
from pycarp.daemon import sysctls
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest, SysctlReply, SysctlRequest


@click.command(
    epilog="""\b
Examples:
  pycarp sysctl                                  show all
  pycarp sysctl net.inet.carp.preempt            show one
  pycarp sysctl net.inet.carp.preempt=1          a faster host takes over from a slower MASTER
  pycarp sysctl net.inet.carp.demotion=50        add 50 to the demotion, as on FreeBSD
  pycarp sysctl net.inet.carp.demotion=-50       take it back
  pycarp sysctl net.inet.carp.ifdown_demotion_factor=100
                                                 what a dead interface adds, for each virtual host on it
  pycarp sysctl net.inet.carp.log=2              0 nothing, 1 state changes, 2 also bad packets

\b
allow=0 ignores what is received and keeps sending what is due."""
    + exit_status()
)
@click.argument("assignments", nargs=-1, metavar="[NAME[=VALUE]]...")
@control_option
def sysctl(assignments: tuple[str, ...], control: Path) -> None:
    """Show or set net.inet.carp.{allow,preempt,log,demotion,senderr_demotion_factor,ifdown_demotion_factor}."""
    parsed = [sysctls.parse(each) for each in assignments]
    control = one_for(control)
    if not parsed:
        for name, now in request(control, StatusRequest(), StatusReply).sysctls.items():
            click.echo(f"{name}: {now}")
    for name, value in parsed:
        reply = request(control, SysctlRequest(name, value), SysctlReply)
        click.echo(f"{name}: {reply.value}" if value is None else f"{name}: {reply.before} -> {reply.value}")
        if reply.warning:
            click.echo(f"pycarp: warning: {reply.warning}", err=True)
