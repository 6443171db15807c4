"""Layer 10: the ``pycarp`` command. It parses, calls one function, renders, and exits with a documented code.

0: done. 1: it failed while running. 2: usage or configuration is wrong.
"""

import difflib
from importlib import import_module
from typing import Any

import click

from pycarp import __version__
from pycarp.cli.refusals import is_about_output, refusal
from pycarp.errors import CarpError, ConfigError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2

_COMMANDS = {
    "run": "pycarp.cli.run",
    "service": "pycarp.cli.service",
    "init": "pycarp.cli.init",
    "check": "pycarp.cli.check",
    "status": "pycarp.cli.status",
    "why": "pycarp.cli.why",
    "events": "pycarp.cli.events",
    "plan": "pycarp.cli.plan",
    "reload": "pycarp.cli.reload",
    "handover": "pycarp.cli.handover",
    "drain": "pycarp.cli.maintenance",
    "undrain": "pycarp.cli.maintenance",
    "demote": "pycarp.cli.maintenance",
    "restore": "pycarp.cli.maintenance",
    "failback": "pycarp.cli.maintenance",
    "ifconfig": "pycarp.cli.ifconfig",
    "sysctl": "pycarp.cli.sysctl",
    "netstat": "pycarp.cli.netstat",
    "decode": "pycarp.cli.decode",
    "doctor": "pycarp.cli.doctor",
    "scan": "pycarp.cli.scan",
    "who": "pycarp.cli.who",
    "ucarp": "pycarp.cli.ucarp",
    "convert": "pycarp.cli.convert",
    "release": "pycarp.cli.release",
    "replay": "pycarp.cli.replay.replay_command",
    "demo": "pycarp.cli.demo",
    "lab": "pycarp.cli.lab",
    "simulate": "pycarp.cli.simulate.simulate_command",
    "while-master": "pycarp.cli.while_master.while_master_command",
}
"""The module of each sub-command, in which it has its own name. Imported with its first use: all take half a second."""


class _Group(click.Group):
    """Imports sub-commands when they are used; turns pycarp's own errors into one clear message and an exit code."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of all sub-commands."""
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a sub-command, None if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the sub-command and its arguments; a name that is unknown ends with the one that was meant."""
        if not ctx.resilient_parsing and args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

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
    Write its first configuration: pycarp init
    Run it:                        sudo pycarp run --rc-conf /etc/rc.conf --map fxp0=eth0
    Run it as a service:           sudo pycarp service install /etc/pycarp.toml
    Look before you run it:        pycarp check /etc/rc.conf
    What if it fails:              pycarp simulate hosta.rc.conf hostb.rc.conf
    Other words for the same:      pycarp convert /etc/rc.conf --to toml
    In the place of ucarp:         sudo pycarp ucarp --srcip=... --vhid=... --addr=... (see its --help)
    Ask who is master, and why:    sudo pycarp status
    Why it is so, what happened:   sudo pycarp why carp0; sudo pycarp events
    Change it while it runs:       sudo pycarp plan && sudo pycarp reload
    Ask what was dropped, and why: sudo pycarp netstat
    What is wrong here:            sudo pycarp doctor
    Who is master out there:       sudo pycarp scan eth0
    Who answers for an address:    sudo pycarp who 192.168.1.50
    Explain what is on the wire:   sudo pycarp decode -i eth0
    Leave an address to the next:  sudo pycarp handover carp0
    Run a program on the MASTER:   sudo pycarp while-master carp0 -- COMMAND
    Take it out of service:        sudo pycarp drain --all, later sudo pycarp undrain --all
    Set a host down, and up:       sudo pycarp ifconfig carp0 down && sudo pycarp ifconfig carp0 up
    Clean up after a crash:        sudo pycarp release
    Let an incident happen again:  pycarp replay FILE
    """  # noqa: D301  \b is click's mark for lines that are not rewrapped
