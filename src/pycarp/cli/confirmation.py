"""What is asked before something that may disturb others is done."""

import sys
from collections.abc import Sequence

import click

yes_option = click.option(
    "--yes", "--force", "is_sure", is_flag=True, help="Do not ask before something that may disturb other hosts."
)


def confirm(warnings: Sequence[str], *, is_sure: bool) -> bool:
    """Show warnings; in a terminal go on only when that is wanted, elsewhere go on. Nothing with ``is_sure``.

    Returns True if somebody has said that it is meant: by ``is_sure``, or when asked.
    """
    if is_sure or not warnings:
        return is_sure
    for warning in warnings:
        click.echo(f"pycarp: warning: {warning}", err=True)
    if sys.stdin.isatty() and sys.stderr.isatty():
        return click.confirm("Go on?", abort=True, err=True)
    return False
