"""``pycarp run``: the daemon, in the foreground."""

import asyncio
import logging
import sys
from pathlib import Path

import click

from pycarp import actuators, dialects, transports
from pycarp.cli.options import control_option
from pycarp.config import NodeConfig, rcconf
from pycarp.daemon import sysctls
from pycarp.daemon.app import Daemon, DaemonOptions
from pycarp.errors import CarpError, ConfigError, UsageError
from pycarp.system.interfaces import interfaces


def _renames(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for old, equals, new in pairs:
        if not (old and equals and new):
            raise click.BadParameter(f"{old + equals + new!r} is not OLD=NEW, as in fxp0=eth0")
    return {old: new for old, _equals, new in pairs}


def _assignments(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    parsed = []
    for value in values:
        try:
            name, number = sysctls.parse(value)
        except UsageError as exc:
            raise click.BadParameter(str(exc)) from exc
        if number is None:
            raise click.BadParameter(f"{value!r} has no value; write {value}=1 for one")
        parsed.append((name, number))
    return tuple(parsed)


@click.command(
    epilog="""\b
Examples:
  pycarp run --rc-conf /etc/rc.conf
  pycarp run --rc-conf hosta.rc.conf --map fxp0=eth0
  pycarp run --rc-conf /etc/rc.conf --sysctl net.inet.carp.preempt=1

\b
Stops on SIGTERM and SIGINT within a second: addresses dropped first, then the
bow-out that lets the next host take over at once.
Exit status: 0 stopped, 1 failed while running, 2 wrong usage or configuration."""
)
@click.option(
    "--rc-conf",
    "rc_conf",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    metavar="FILE",
    help="FreeBSD rc.conf with carp lines, of either generation.",
)
@click.option(
    "--map",
    "renames",
    multiple=True,
    callback=_renames,
    metavar="OLD=NEW",
    help="The file's interface OLD is called NEW here; may be repeated.",
)
@click.option(
    "--sysctl",
    "assignments",
    multiple=True,
    callback=_assignments,
    metavar="NAME=VALUE",
    help="Set a switch, as pycarp sysctl does; may be repeated.",
)
@click.option(
    "--dialect",
    type=click.Choice([each.name for each in dialects.ALL]),
    default="universal",
    show_default=True,
    help="Whose habits to have where systems differ.",
)
@click.option(
    "--transport",
    type=click.Choice(transports.NAMES),
    default="auto",
    show_default=True,
    help="How packets are sent and received.",
)
@click.option(
    "--actuator",
    type=click.Choice(actuators.NAMES),
    default="auto",
    show_default=True,
    help="Who adds and removes the shared addresses; null for taking part without touching any.",
)
@control_option
def run(
    rc_conf: Path,
    renames: dict[str, str],
    assignments: tuple[tuple[str, int], ...],
    dialect: str,
    transport: str,
    actuator: str,
    control: Path,
) -> None:
    """Share addresses as an rc.conf says, in the foreground; log one line a transition to standard error."""
    config = _read(rc_conf, renames, dialect)
    _log_to_stderr()
    options = DaemonOptions(control=control, transport=transport, actuator=actuator, sysctls=assignments)
    try:
        asyncio.run(_serve(config, options))
    except TimeoutError as exc:
        raise CarpError(f"{exc}; look at 'ip address'") from exc


async def _serve(config: NodeConfig, options: DaemonOptions) -> None:
    await Daemon(config, options).run()


def _read(rc_conf: Path, renames: dict[str, str], dialect: str) -> NodeConfig:
    try:
        text = rc_conf.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError(f"cannot read {rc_conf}: {why}") from exc
    return rcconf.read(text, file=str(rc_conf), links=interfaces(), renames=renames, dialect=dialects.by_name(dialect))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(message)s")
    formatter.default_msec_format = "%s.%03d"
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
