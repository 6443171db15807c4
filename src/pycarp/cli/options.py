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
