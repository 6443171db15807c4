"""``pycarp man``: the man pages of the commands and of the configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

import click

from pycarp.cli import cli
from pycarp.cli.command_page import command_pages
from pycarp.cli.man_page import COMMANDS_SECTION, FILES_SECTION, man_page
from pycarp.cli.options import exit_status
from pycarp.cli.toml_man_page import NAME as TOML
from pycarp.cli.toml_man_page import toml_man_page
from pycarp.errors import UsageError
from pycarp.spelling import meant
from pycarp.system.files import safe_files


@click.command(
    epilog="""\b
Examples:
  pycarp man                               the page of pycarp
  pycarp man service install               the page of a command
  pycarp man pycarp.toml                   the page of the configuration
  sudo pycarp man --output /usr/local/share/man   then also: man pycarp-run, man pycarp.toml"""
    + exit_status()
)
@click.argument("words", nargs=-1, metavar="[COMMAND|pycarp.toml]...")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write every page below DIR, into man1 and man5.",
)
def man(*, words: tuple[str, ...], output: Path | None) -> None:
    """Show the man page of a command, or write all of them.

    In a terminal man shows the page; otherwise its source in roff is printed.
    """
    pages = man_pages()
    if output is not None:
        if words:
            raise UsageError("--output writes every page; leave the name out")
        _write(pages, output)
        return
    _show(pages[_file_of(words, pages)])


def man_pages() -> dict[str, str]:
    """Return the source of every page by its file's name, such as ``pycarp-run.1``."""
    commands = tuple(command_pages(cli, "pycarp"))
    pages = {f"{page.file_name}.{COMMANDS_SECTION}": man_page(page, commands) for page in commands}
    return {**pages, f"{TOML}.{FILES_SECTION}": toml_man_page()}


def _file_of(words: tuple[str, ...], pages: dict[str, str]) -> str:
    by_words = {file.rpartition(".")[0]: file for file in pages}
    name = "-".join(words)
    for each in (name, f"pycarp-{name}", "pycarp" if not words else ""):
        if each in by_words:
            return by_words[each]
    shown = [each.removeprefix("pycarp-") for each in by_words]
    close = meant(name, shown)
    hint = f"did you mean {close}?" if close else f"there are: {', '.join(sorted(shown))}"
    raise UsageError(f"there is no page {' '.join(words)!r}; {hint}")


def _write(pages: dict[str, str], folder: Path) -> None:
    for file, source in pages.items():
        section = folder / f"man{file.rpartition('.')[2]}"
        section.mkdir(parents=True, exist_ok=True)
        safe_files.write(section / file, source.encode(), mode=safe_files.SHARED)
    click.echo(f"{len(pages)} pages are written below {folder}")


def _show(source: str) -> None:
    viewer = shutil.which("man") if sys.stdout.isatty() else None
    if viewer is None:
        click.echo(source, nl=False)
        return
    subprocess.run([viewer, "-l", "-"], input=source.encode(), check=False)  # noqa: S603  no shell, and the page is ours
