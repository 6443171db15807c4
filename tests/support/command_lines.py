"""The commands of pycarp in a text, parsed as far as the command itself would."""

import re
import shlex
from collections.abc import Iterable

import click

from pycarp.cli import cli

_COMMAND = re.compile(r"(sudo )?(\S+/)?pycarp [a-z-]")


def commands_in(lines: Iterable[str]) -> list[str]:
    """Return what begins with ``pycarp``, without what a shell adds."""
    found = set()
    for line in lines:
        for part in _parts(line.removeprefix("$ ")):
            if _COMMAND.match(part) and "pycarp: " not in part:
                found.add(part)
    return sorted(found)


def complaint_about(command: str) -> str:
    """Return what pycarp says of a command line, empty if it takes it; ``--help`` counts as taken."""
    words = shlex.split(re.sub(r"\[[^]]*\]", "", command), comments=True)
    words = words[1 + (words[0] == "sudo") :]
    if words[-1] in (*cli.list_commands(click.Context(cli)), "install", "uninstall"):
        words.append("--help")  # Named without its arguments.
    try:
        parse(words)
    except click.exceptions.Exit:
        return ""
    except click.ClickException as exc:
        return exc.format_message()
    return ""


def parse(words: list[str]) -> None:
    """Parse as far as the command itself would, without running it."""
    command: click.Command | None = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and words[0] not in ("--help", "--version"):
        command, words = command.get_command(context, words[0]), words[1:]
    assert command is not None, "no such command"
    command.make_context("pycarp", list(words))


def _parts(line: str) -> list[str]:
    """Split a line where the shell ends a command; quotes are kept."""
    quoted = re.compile(r"'[^']*'|\"[^\"]*\"|&&|\|\||[|;<>]|\$\(|\s#.*$")
    parts, at = [""], 0
    for each in quoted.finditer(line):
        parts[-1] += line[at : each.start()]
        if each[0][0] in "'\"":
            parts[-1] += each[0]
        else:
            parts.append("")
        at = each.end()
    parts[-1] += line[at:]
    return [part.strip() for part in parts]
