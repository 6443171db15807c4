"""``pycarp run``: the daemon, in the foreground."""

import asyncio
import gc
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from pycarp import actuators, dialects, transports
from pycarp.cli.config_options import RegisteredName, format_option, map_option, sysctl_option
from pycarp.cli.options import control_option, exit_status, state_option
from pycarp.config.grammars import Grammar
from pycarp.daemon.app import DaemonOptions, serve
from pycarp.daemon.callers import SERVICE_GROUP
from pycarp.daemon.config_source import ConfigSource
from pycarp.daemon.log_output import LEVELS, LogFormat, logging_to_stderr
from pycarp.daemon.unprivileged import Paths, become_unprivileged
from pycarp.errors import CarpError, UsageError
from pycarp.system.files import safe_files
from pycarp.system.files.rotated_file import RotatedFile
from pycarp.system.privileges import group_id
from pycarp.vocabulary import MacMode

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_RECORD_LEAST, _RECORD_MOST = 1 << 16, 1 << 40


def readers(group: str | None) -> int | None:
    """Return the number of the group that may read; raises UsageError if the named one does not exist."""
    found = group_id(group or SERVICE_GROUP)
    if group is not None and found is None:
        raise UsageError(f"there is no group {group!r} on this machine; make it, or name another --control-group")
    return found


def _octets(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    number, unit = (value[:-1], value[-1].upper()) if value[-1:].isalpha() else (value, "")
    if not (number.isdecimal() and unit in _UNITS):
        raise click.BadParameter(f"{value!r} is no size: write octets, or a number with K, M or G, as in 16M")
    octets = int(number) * _UNITS[unit]
    if not _RECORD_LEAST <= octets <= _RECORD_MOST:
        raise click.BadParameter(f"{value} is outside 64K-1024G")
    return octets


def _absolute(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return None if value is None else safe_files.absolute(value)


@click.command(
    epilog="""\b
Examples:
  pycarp run /etc/pycarp.toml
  pycarp run --rc-conf /etc/rc.conf
  pycarp run /etc/hostname.carp0 --map em0=eth0
  pycarp run --rc-conf hosta.rc.conf --map fxp0=eth0
  pycarp run --rc-conf /etc/rc.conf --sysctl net.inet.carp.preempt=1
  pycarp run /etc/pycarp.toml --record /var/log/pycarp/decisions.jsonl
  pycarp run /etc/pycarp.toml --user carp --control-group staff

\b
Started by root, it becomes the user pycarp if there is one (useradd --system pycarp),
or that of --user, and keeps no capability but CAP_NET_ADMIN and CAP_NET_RAW.
Stops on SIGTERM and SIGINT within a second: addresses dropped first, then the
bow-out that lets the next host take over at once. SIGHUP reads the file again,
as pycarp reload does; pycarp plan shows what that would change.
A vhid on an interface is run by one process of a machine: who comes second says
who is in the way, and ends."""
    + exit_status()
)
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The same as FILE.",
)
@click.option(
    "--rc-conf",
    "rc_conf",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="FreeBSD rc.conf with carp lines, of either generation, whatever its name.",
)
@format_option
@map_option
@sysctl_option
@click.option(
    "--dialect",
    type=click.Choice([each.name for each in dialects.ALL]),
    show_default="universal for rc.conf, openbsd for hostname.carp",
    help="Whose habits to have where systems differ; TOML and ucarp say it themselves.",
)
@click.option(
    "--transport",
    type=RegisteredName(transports.NAMES, transports.names),
    show_default="auto",
    help="How packets are sent and received.",
)
@click.option(
    "--actuator",
    type=RegisteredName(actuators.NAMES, actuators.names),
    show_default="auto",
    help="Who adds and removes the shared addresses; null for taking part without touching any.",
)
@click.option(
    "--mac-mode",
    type=click.Choice([each.value for each in MacMode]),
    show_default="what FILE says, else auto",
    help="Whose MAC address answers for shared addresses: 00:00:5e:00:01:VHID, the interface's, or what a probe says.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, readable=False),
    callback=_absolute,
    metavar="FILE",
    help="Write all that the daemon decides, and why, to FILE, without secrets, for pycarp replay.",
)
@click.option(
    "--record-size",
    callback=_octets,
    metavar="SIZE",
    default="16M",
    show_default=True,
    help="Begin a new FILE at so many octets; the former one becomes FILE.1, and so on.",
)
@click.option(
    "--record-files",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=4,
    show_default=True,
    help="Keep so many files, FILE included.",
)
@click.option(
    "--log-format",
    type=click.Choice([each.value for each in LogFormat]),
    show_default="journald where the journal reads, else text",
    help="How the log is written: lines of text, a JSON object a line, or to systemd's journal with fields.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="The least level that is logged; debug has every request on the control socket as well.",
)
@click.option(
    "--user",
    metavar="USER",
    show_default="pycarp if there is such a user and it can read and write what it must, else root",
    help="Who to be, once started, with CAP_NET_ADMIN and CAP_NET_RAW alone.",
)
@click.option(
    "--control-group",
    metavar="GROUP",
    show_default="pycarp if there is such a group, else nobody",
    help="Whose members may look: pycarp status, netstat, and the like. Root and USER may change things.",
)
@control_option
@state_option
def run(
    *,
    record: Path | None,
    record_size: int,
    record_files: int,
    assignments: tuple[tuple[str, int], ...],
    log_format: str | None,
    log_level: str,
    user: str | None,
    control_group: str | None,
    control: Path,
    state: Path,
    **said: Any,
) -> None:
    """Share addresses as FILE says, in the foreground; log one line a transition to standard error.

    FILE is an rc.conf of FreeBSD, a hostname.carp of OpenBSD, TOML, or a script that starts ucarp.
    """
    # Until all hosts run, as ``pycarp.daemon.scheduling.settling`` says.
    gc.disable()
    source = source_of(said)
    config = source.read()
    options = DaemonOptions(
        control=control,
        state=state,
        source=source,
        sysctls=assignments,
        record=RotatedFile(record, size=record_size, files=record_files) if record else None,
        readers=readers(control_group),
    )
    paths = Paths(config=source.file, control=control, state=state, record=record)
    options = replace(options, privileges=become_unprivileged(config, paths, user=user, readers=options.readers))
    with logging_to_stderr(LogFormat(log_format) if log_format else None, level=log_level) as log:
        log.make_room(len(config.hosts))
        for note in config.notes:
            logging.getLogger("pycarp").warning("%s", note)
        try:
            asyncio.run(serve(config, options))
        except TimeoutError as exc:
            raise CarpError(f"{exc}; look at 'ip address'") from exc


def source_of(said: Mapping[str, Any]) -> ConfigSource:
    """Return the source of the configuration from the options; raises UsageError unless there is exactly one."""
    given = [each for each in map(said.get, ("file", "config_file", "rc_conf")) if each is not None]
    if len(given) != 1:
        raise UsageError("name one configuration: pycarp run FILE, or --config FILE, or --rc-conf FILE")
    grammar = Grammar.RC_CONF.value if said["rc_conf"] is not None else said["grammar"]
    return ConfigSource(
        file=given[0],
        grammar=Grammar(grammar) if grammar else None,
        renames=said["renames"],
        dialect=dialects.by_name(said["dialect"]) if said["dialect"] else None,
        mac_mode=MacMode(said["mac_mode"]) if said["mac_mode"] else None,
        transport=said["transport"] or "",
        actuator=said["actuator"] or "",
    )
