"""``pycarp check``: reports mistakes in configurations, and what will not work, before a daemon is started."""

import json
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import click

from pycarp import dialects
from pycarp.cli.config_options import format_option, map_option
from pycarp.cli.config_reading import read_as_it_stands
from pycarp.cli.options import exit_status
from pycarp.cli.refusals import refusal
from pycarp.config import ConfigProblems, NodeConfig, Problem, grammars
from pycarp.config.config_check import CheckedFile, Finding, Severity, count
from pycarp.config.config_check import check as findings_of
from pycarp.config.grammars import Grammar
from pycarp.daemon.planning import obstacle
from pycarp.errors import ConfigError
from pycarp.system.addresses.interfaces import own_interfaces
from pycarp.vocabulary import LinkFacts

EXIT_WARNINGS = 1
EXIT_ERRORS = 2

_OTHERS = stat.S_IROTH | stat.S_IWOTH


@click.command(
    epilog="""\b
Examples:
  pycarp check /etc/pycarp.toml
  pycarp check /etc/rc.conf --map em0=eth0
  pycarp check --elsewhere fw1/rc.conf fw2/rc.conf
  pycarp check --strict --json /etc/pycarp.toml | jq '.problems[].text'

\b
Several files are compared: equal advskews, other intervals, passwords or
addresses for the same vhid are warned about. Passwords are never printed."""
    + exit_status("1 is warnings with --strict, 2 is errors in a file.")
)
@click.argument("files", type=click.Path(path_type=Path, readable=False), nargs=-1, required=True, metavar="FILE...")
@format_option
@click.option(
    "--dialect",
    type=click.Choice([each.name for each in dialects.ALL]),
    show_default="universal for rc.conf, openbsd for hostname.carp",
    help="As for pycarp run.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if there are warnings.")
@click.option("--elsewhere", is_flag=True, help="The files are for other machines: look for no interfaces here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
@map_option
def check(
    files: tuple[Path, ...],
    grammar: str | None,
    dialect: str | None,
    strict: bool,  # noqa: FBT001  (click passes by name)
    elsewhere: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    renames: dict[str, str],
) -> None:
    """Report all that is wrong in FILEs, with line and column, and what will not work although it is taken.

    Nothing is started and nothing is changed. Give the files of all machines that share addresses to compare them.
    """
    links = () if elsewhere else _links()
    checked = [_checked(path, grammar, dialect, renames, links) for path in files]
    found = findings_of(checked, links, obstacle=obstacle, no_program=_runnable if elsewhere else _no_program)
    click.echo(_json(checked, found) if as_json else _text(checked, found))
    if count(found, Severity.ERROR):
        click.get_current_context().exit(EXIT_ERRORS)
    if strict and count(found, Severity.WARNING):
        click.get_current_context().exit(EXIT_WARNINGS)


def _runnable(_name: str) -> str:
    """Return nothing: the programs of other machines cannot be checked here."""
    return ""


def _no_program(name: str) -> str:
    """Return why a program cannot be run on this machine, empty if it can."""
    if shutil.which(name) is not None:
        return ""
    return f"{name} may not be executed" if Path(name).exists() else f"there is no program {name}"


def _links() -> Sequence[LinkFacts]:
    """Return the interfaces of this machine; none, with a warning, where a sandbox hides them."""
    try:
        return own_interfaces()
    except OSError as exc:
        click.echo(f"pycarp: warning: cannot see the interfaces of this machine: {refusal(exc)}", err=True)
        return ()


def _checked(
    path: Path, said: str | None, dialect: str | None, renames: dict[str, str], links: Sequence[LinkFacts]
) -> CheckedFile:
    name = str(path)
    try:
        text = grammars.load(path)
        grammar = Grammar(said) if said else grammars.recognise(name, text)
        config = read_as_it_stands(text, grammar, name, dialect, renames, links)
    except ConfigProblems as exc:
        return CheckedFile(path=name, problems=exc.problems)
    except ConfigError as exc:
        return CheckedFile(path=name, problems=(Problem(name, 1, 1, str(exc)),))
    return CheckedFile(
        path=name, config=config, exposed=_exposed(path, config), says_preempt=grammar in grammars.SAY_PREEMPT
    )


def _exposed(path: Path, config: NodeConfig) -> tuple[str, ...]:
    """Return the files with passwords that others than owner and group can read or write."""
    elsewhere = {*config.secret_files, *config.secret_variables}
    inline = [path] if any(host.key not in elsewhere for host in config.hosts) else []
    return tuple(str(each) for each in dict.fromkeys([*inline, *config.secrets]) if _is_exposed(each))


def _is_exposed(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False


def _text(checked: Sequence[CheckedFile], found: Sequence[Finding]) -> str:
    hosts = sum(len(file.config.hosts) for file in checked if file.config)
    numbers = [
        _number(len(checked), "file"),
        _number(hosts, "virtual host"),
        _number(count(found, Severity.ERROR), "error"),
        _number(count(found, Severity.WARNING), "warning"),
    ]
    return "\n".join([*map(str, found), ", ".join(numbers)])


def _number(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def _json(checked: Sequence[CheckedFile], found: Sequence[Finding]) -> str:
    hosts = [
        {
            "file": file.path,
            "name": host.name,
            "interface": host.interface,
            "vhid": host.vhid,
            "advbase": host.advbase,
            "advskew": host.advskew,
            "addresses": [str(each) for each in host.addresses],
        }
        for file in checked
        for host in (file.config.hosts if file.config else ())
    ]
    problems = [
        {
            "severity": each.severity.value,
            "file": each.problem.file,
            "line": each.problem.line,
            "column": each.problem.column,
            "text": each.problem.text,
            "hint": each.problem.hint,
        }
        for each in found
    ]
    numbers = {"errors": count(found, Severity.ERROR), "warnings": count(found, Severity.WARNING)}
    return json.dumps(
        {"files": [file.path for file in checked], "hosts": hosts, "problems": problems, **numbers}, indent=2
    )
