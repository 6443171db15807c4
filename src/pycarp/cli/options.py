"""Options that several sub-commands share."""

from pathlib import Path

import click

from pycarp.daemon.control_client import default_path

control_option = click.option(
    "--control",
    type=click.Path(path_type=Path, readable=False),
    default=default_path,
    envvar="PYCARP_CONTROL",
    metavar="PATH",
    show_default="/run/pycarp.sock for root, else in XDG_RUNTIME_DIR; PYCARP_CONTROL",
    help="Control socket of the daemon.",
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
