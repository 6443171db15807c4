"""Asks for confirmation before a command does something that may disturb other hosts."""

import sys
from collections.abc import Sequence

import click

yes_option = click.option(
    "--yes", "--force", "is_sure", is_flag=True, help="Do not ask before something that may disturb other hosts."
)


def confirm(warnings: Sequence[str], *, is_sure: bool) -> bool:
    """Show warnings; in a terminal ask whether to go on, elsewhere go on. No-op with ``is_sure``.

    Returns True if the user has confirmed: by ``is_sure``, or when asked.
    """
    if is_sure or not warnings:
        return is_sure
    for warning in warnings:
        click.echo(f"pycarp: warning: {warning}", err=True)
    return can_ask() and ask("")


def can_ask() -> bool:
    """Return True if a user is at a terminal, sees a question on standard error, and can answer it."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def ask(consequence: str) -> bool:
    """Show a consequence, a sentence or nothing, and ask whether to go on; return True, or abort the command."""
    return click.confirm(f"{consequence} Go on?".lstrip(), abort=True, err=True)
