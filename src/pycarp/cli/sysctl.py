"""``pycarp sysctl``: the sysctls of a running daemon."""

from pathlib import Path

import click

from pycarp.cli.daemons import one_for
from pycarp.cli.options import control_option, exit_status
from pycarp.daemon import sysctls
from pycarp.daemon.control_client import request
from pycarp.daemon.control_messages import StatusReply, StatusRequest, SysctlReply, SysctlRequest
from pycarp.errors import UsageError

_TREES = (sysctls.PREFIX, sysctls.PREFIX.rstrip("."))
"""The name that stands for all sysctls."""


@click.command(
    epilog="""\b
Examples:
  pycarp sysctl                                  show all, as -a and net.inet.carp do
  pycarp sysctl net.inet.carp.preempt            show one
  pycarp sysctl -n net.inet.carp.preempt         show its value alone, for scripts
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
@click.option("-a", "is_all", is_flag=True, help="Show all sysctls, as without a name.")
@click.option("-n", "is_bare", is_flag=True, help="Show values without names.")
@control_option
def sysctl(assignments: tuple[str, ...], *, is_all: bool, is_bare: bool, control: Path) -> None:
    """Show or set the sysctls net.inet.carp.*: allow, preempt, log, demotion, and what two failures add to that."""
    # Everything is understood before anything is set.
    parsed = [None if each in _TREES else sysctls.parse(each) for each in assignments]
    if is_all and parsed:
        raise UsageError("-a shows all sysctls; leave it out to show or set some")
    control = one_for(control)
    for assignment in parsed or [None]:
        if assignment is None:
            _show_all(control, is_bare=is_bare)
            continue
        name, value = assignment
        reply = request(control, SysctlRequest(name, value), SysctlReply)
        said = str(reply.value) if value is None else f"{reply.before} -> {reply.value}"
        click.echo(said if is_bare else f"{name}: {said}")
        if reply.warning:
            click.echo(f"pycarp: warning: {reply.warning}", err=True)


def _show_all(control: Path, *, is_bare: bool) -> None:
    for name, now in request(control, StatusRequest(), StatusReply).sysctls.items():
        click.echo(str(now) if is_bare else f"{name}: {now}")
