"""Options of the sub-commands that read configurations."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from pycarp.config.grammars import Grammar
from pycarp.daemon import sysctls
from pycarp.errors import UsageError

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    # Older versions of click have no generic types.
    _TextType = click.ParamType


class RegisteredName(_TextType):
    """One of pycarp's own names, or one that another package registers; those are looked up for unknown names only."""

    name = "name"

    def __init__(self, own: Sequence[str], names: Callable[[], Sequence[str]]) -> None:
        self.own = own
        self._names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return pycarp's own names for the help."""
        return f"[{'|'.join(self.own)}|NAME]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; fails, with all names, for an unknown one."""
        if value not in self.own and value not in (known := self._names()):
            self.fail(f"{value!r} is not one of {', '.join(known)}.", param, ctx)
        return value


format_option = click.option(
    "--format",
    "grammar",
    type=click.Choice([each.value for each in Grammar]),
    help="The grammar of the files; without it their names or texts tell.",
)


def _renames(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for old, equals, new in pairs:
        if not (old and equals and new):
            raise click.BadParameter(f"{old + equals + new!r} is not OLD=NEW, as in fxp0=eth0")
    return {old: new for old, _equals, new in pairs}


map_option = click.option(
    "--map",
    "renames",
    multiple=True,
    callback=_renames,
    metavar="OLD=NEW",
    help="The file's interface OLD is called NEW here; may be repeated.",
)


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


sysctl_option = click.option(
    "--sysctl",
    "assignments",
    multiple=True,
    callback=_assignments,
    metavar="NAME=VALUE",
    help="Set a switch, as pycarp sysctl does; may be repeated.",
)
