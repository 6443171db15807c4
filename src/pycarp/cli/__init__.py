"""Layer 10: the ``pycarp`` command. It parses, calls one function, renders, and exits with a documented code.

0: done. 1: it failed while running. 2: usage or configuration is wrong.
"""

import gc
from importlib import import_module
from typing import Any

import click

from pycarp import __version__
from pycarp.cli.refusals import is_about_output, refusal
from pycarp.cli.usage_errors import restyled
from pycarp.errors import CarpError, ConfigError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2

EXIT_STATUS = """\
Exit status: 0 well, 1 failed while running, 2 wrong usage or configuration,
3 running but not well. A file that cannot be opened, or is of another kind, is 2."""
"""The exit statuses of every command, as its help lists them."""

GROUPS = {
    "Run": {
        "run": "pycarp.cli.run",
        "service": "pycarp.cli.service",
        "plan": "pycarp.cli.plan",
        "reload": "pycarp.cli.reload",
        "while-master": "pycarp.cli.while_master.while_master_command",
        "ucarp": "pycarp.cli.ucarp",
    },
    "Look": {
        "status": "pycarp.cli.status",
        "top": "pycarp.cli.top.top_command",
        "why": "pycarp.cli.why",
        "events": "pycarp.cli.events",
        "doctor": "pycarp.cli.doctor",
        "netstat": "pycarp.cli.netstat",
        "scan": "pycarp.cli.scan",
        "who": "pycarp.cli.who",
        "decode": "pycarp.cli.decode",
        "replay": "pycarp.cli.replay.replay_command",
    },
    "Maintain": {
        "handover": "pycarp.cli.handover",
        "drain": "pycarp.cli.maintenance",
        "undrain": "pycarp.cli.maintenance",
        "demote": "pycarp.cli.maintenance",
        "restore": "pycarp.cli.maintenance",
        "failback": "pycarp.cli.maintenance",
        "ifconfig": "pycarp.cli.ifconfig",
        "sysctl": "pycarp.cli.sysctl",
        "release": "pycarp.cli.release",
    },
    "Try before": {
        "demo": "pycarp.cli.demo",
        "lab": "pycarp.cli.lab",
        "simulate": "pycarp.cli.simulate.simulate_command",
    },
    "Write and check configurations": {
        "init": "pycarp.cli.init",
        "check": "pycarp.cli.check",
        "convert": "pycarp.cli.convert",
    },
    "Learn": {
        "man": "pycarp.cli.man",
        "completion": "pycarp.cli.completion",
    },
}
"""The sub-commands by what people want, with the module of each, in which it has its own name."""

_COMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}
"""The module of each sub-command. Imported with its first use: all take half a second."""

_SUMMARY_LIMIT = 200
"""Characters of a summary: no first sentence has as many, and none is cut off."""


class _Group(click.Group):
    """Imports sub-commands when they are used; turns pycarp's own errors into one clear message and an exit code."""

    groups = GROUPS

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of all sub-commands."""
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a sub-command, None if there is none of this name."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sub-commands by what people want, each with its whole first sentence."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self._summary(ctx, name)) for name in names])

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(_SUMMARY_LIMIT) if command is not None else ""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the sub-command and its arguments; a name that is unknown ends with the one that was meant."""
        if not ctx.resilient_parsing and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415  only mistakes need it

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the words before the sub-command."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as exc:
            raise restyled(exc) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a sub-command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as exc:
            raise restyled(exc) from None
        except CarpError as exc:
            click.echo(f"pycarp: {exc}", err=True)
            ctx.exit(EXIT_USAGE if isinstance(exc, ConfigError | UsageError) else EXIT_FAILED)
        except OSError as exc:
            if is_about_output(exc):
                raise
            click.echo(f"pycarp: {refusal(exc)}", err=True)
            ctx.exit(EXIT_FAILED)


@click.group(
    "pycarp",
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"""\b
Examples:
  pycarp demo                                    see it, without privileges
  sudo pycarp lab                                see it with real packets
  pycarp init                                    write a first configuration
  pycarp check /etc/pycarp.toml                  look at a configuration before it runs
  sudo pycarp run /etc/pycarp.toml               run it
  sudo pycarp service install /etc/pycarp.toml   run it as a service of systemd
  sudo pycarp status                             who is MASTER, and why
  sudo pycarp drain --all                        take this machine out of service
  pycarp run --help                              the options of a command, and more examples

\b
{EXIT_STATUS}""",
)
@click.version_option(__version__, prog_name="pycarp")
def cli() -> None:
    """CARP, the Common Address Redundancy Protocol: shared IP addresses that move when a host fails."""
