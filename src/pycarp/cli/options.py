"""Options that several sub-commands share; imports little, because commands must start quickly."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pycarp.cli import EXIT_STATUS
from pycarp.daemon.control_client import default_path
from pycarp.daemon.control_paths import refuse_too_long
from pycarp.durations import parse_duration
from pycarp.errors import ConfigError
from pycarp.system.files import safe_files
from pycarp.system.recovery import state_folder


def _socket_path(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    refuse_too_long(value)
    return value


_SHORTEST_S = 0.001

if TYPE_CHECKING:
    _DurationType = click.ParamType[float]
else:
    _DurationType = click.ParamType


class Duration(_DurationType):
    """A duration such as ``10s``, ``500ms`` or ``1h30m``; the value is in seconds."""

    name = "time"

    def __init__(self, *, most_s: float) -> None:
        self._most_s = most_s

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; fails for what is no duration, for nothing, and for more than the limit."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = None
        try:
            return parse_duration(
                value if seconds is None else seconds, name="time", least_s=_SHORTEST_S, most_s=self._most_s
            )
        except ConfigError as exc:
            self.fail(str(exc), param, ctx)


EXIT_NOT_WELL = 3


def exit_status(here: str = "") -> str:
    """Return the end of an epilog: the meaning of exit statuses; ``here`` has those of this command."""
    return f"\n\n\b\n{EXIT_STATUS}" + (f"\nHere: {here}" if here else "")


control_option = click.option(
    "--control",
    type=click.Path(path_type=Path, readable=False),
    callback=_socket_path,
    default=default_path,
    envvar="PYCARP_CONTROL",
    metavar="PATH",
    show_default="/run/pycarp/pycarp.sock, or in XDG_RUNTIME_DIR; PYCARP_CONTROL",
    help="Control socket of the daemon.",
)


def _own_folder(_context: click.Context, _parameter: click.Parameter, value: Path) -> Path:
    """Return an absolute path; BadParameter when a symbolic link of another user is in it."""
    try:
        return safe_files.resolved(value)
    except OSError as exc:
        raise click.BadParameter(f"{value}: {exc.strerror or exc}") from exc


state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    callback=_own_folder,
    default=state_folder.DEFAULT,
    envvar="PYCARP_STATE",
    metavar="DIR",
    show_default=f"{state_folder.DEFAULT}; PYCARP_STATE",
    help="Folder in which daemons note what they have on this machine.",
)
