"""Command lines of ucarp in a file, as in a start script: one virtual host each."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import PurePath

from pycarp.config import ucarp
from pycarp.config.model import NodeConfig
from pycarp.config.parents import NoParentError, Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.ucarp import UcarpCommand, UcarpProblems, UcarpUsage
from pycarp.core.host_config import HostConfig
from pycarp.vocabulary import Interface, LinkFacts

_PROGRAM = "ucarp"
_COMPUTED = "$`"
_QUOTES = "'\""


def read(
    text: str, *, file: str, links: Sequence[LinkFacts] = (), renames: Mapping[str, str] | None = None
) -> NodeConfig:
    """Return the hosts of the ``ucarp`` command lines in a text; what is none is passed over.

    Arguments and errors are those of ``rcconf.read``. Scripts have no place in a configuration: notes name them.
    """
    reader = _Reader(file, links, renames or {})
    for line, words in _commands(text, reader.problems, file):
        reader.read(line, words)
    for complaint, hint in unused_renames(reader.renames, reader.named):
        reader.problems.append(Problem(file, 1, 1, complaint, hint))
    if not reader.hosts and not reader.problems:
        hint = "expected ucarp --interface=IF --srcip=IP --vhid=ID --pass=SECRET --addr=IP"
        reader.problems.append(Problem(file, 1, 1, "no ucarp is started here", hint))
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return NodeConfig(hosts=tuple(reader.hosts), notes=tuple(reader.notes), own=reader.own)


class _Reader:
    """Reads one file; collects problems instead of stopping at the first."""

    def __init__(self, file: str, links: Sequence[LinkFacts], renames: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.hosts: list[HostConfig] = []
        self.notes: list[str] = []
        self._file = file
        self._parents = Parents({}, links)
        self.renames = renames
        self.named: list[str] = []
        self.own: dict[str, tuple[Interface, ...]] = {}

    def read(self, line: int, words: list[str]) -> None:
        """Read the options of one command."""
        try:
            command = ucarp.parse(words)
            link = self._link(command)
        except UcarpUsage as exc:
            self._complain(line, exc.complaint or "ucarp would only show its usage")
        except UcarpProblems as exc:
            for problem in exc.problems:
                self._complain(line, problem)
        except NoParentError as exc:
            self._complain(line, str(exc), exc.hint)
        else:
            host = replace(command, interface=link).host()
            if host.key in [each.key for each in self.hosts]:
                self._complain(line, f"vhid {host.vhid} is used twice on {host.interface}")
            self.hosts.append(host)
            self.own.setdefault(link, (ip_interface(command.source),))
            self._note(line, command)

    def _link(self, command: UcarpCommand) -> str:
        if command.interface:
            self.named.append(command.interface)
            link = self.renames.get(command.interface, command.interface)
            self._parents.check(link)
            return link
        return self._parents.containing(command.source).link

    def _note(self, line: int, command: UcarpCommand) -> None:
        scripts = [script for script in (command.up_script, command.down_script) if script]
        if scripts:
            self.notes.append(
                f"{self._file}:{line}: {' and '.join(scripts)} will not run; pycarp moves addresses itself"
            )

    def _complain(self, line: int, text: str, hint: str = "") -> None:
        self.problems.append(Problem(self._file, line, 1, text, hint))


def _commands(text: str, problems: list[Problem], file: str) -> list[tuple[int, list[str]]]:
    """Return line and options of each command ``ucarp`` or ``pycarp ucarp``, whatever stands before it."""
    found: list[tuple[int, list[str]]] = []
    for number, line in _logical_lines(text):
        if _PROGRAM not in line:
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            problems.append(Problem(file, number, 1, "a quote is never closed"))
            continue
        at = next((index for index, word in enumerate(words) if PurePath(word).name == _PROGRAM), len(words))
        if not any(word.startswith("-") for word in words[at + 1 :]):
            continue
        if _is_computed(line):
            problems.append(Problem(file, number, 1, "an option is computed by the shell", "write the value itself"))
            continue
        found.append((number, words[at + 1 :]))
    return found


def _is_computed(line: str) -> bool:
    """Say whether a shell would put something else in the place of a part of the line: what single quotes prevent."""
    quote = ""
    for character in line:
        if character in _QUOTES and quote in ("", character):
            quote = "" if quote else character
        elif character in _COMPUTED and quote != "'":
            return True
    return False


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Return lines with those that a backslash continues joined, under the number of the first."""
    found: list[tuple[int, str]] = []
    is_continued = False
    for number, line in enumerate(text.split("\n"), start=1):
        body = line.removesuffix("\\")
        if is_continued:
            found[-1] = (found[-1][0], found[-1][1] + body)
        else:
            found.append((number, body))
        is_continued = body != line
    return found
