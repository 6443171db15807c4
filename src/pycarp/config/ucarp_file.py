"""Command lines of ucarp in a file, as in a start script or a unit of systemd: one virtual host each."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath

from pycarp.config import shell_script, ucarp_options
from pycarp.config.model import NodeConfig
from pycarp.config.parents import Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell_script import Assignment, Command, Script, UnclosedQuoteError, Word
from pycarp.config.source_text import plain
from pycarp.config.ucarp_hosts import UcarpHosts
from pycarp.vocabulary import LinkFacts

_PROGRAM = "ucarp"
_OPTION_NAME = re.compile(r"-[A-Za-z]|--[a-z-]+")
_STARTER = "start-stop-daemon"


def read(
    text: str, *, file: str, links: Sequence[LinkFacts] = (), renames: Mapping[str, str] | None = None
) -> NodeConfig:
    """Return the hosts of the ``ucarp`` command lines in a text; what is none is passed over.

    Arguments and errors are those of ``rcconf.read``. Scripts have no place in a configuration: notes name them.
    A command ends where the shell ends it; one that a condition, a loop or a function decides about is refused.
    """
    try:
        script = shell_script.read(plain(text))
    except UnclosedQuoteError as exc:
        quote = exc.quote
        problem = Problem(file, quote.line, quote.column, f"quote {quote.text} is never closed", exc.hint)
        raise ConfigProblems([problem]) from exc
    named = renames or {}
    hosts = UcarpHosts(file, Parents({}, links), lambda link: named.get(link, link), takes_prefix=True)
    for command in script.commands:
        _read(command, script, hosts)
    for complaint, hint in unused_renames(named, hosts.named):
        hosts.complain(Word("", 1, 1), complaint, hint)
    if not hosts.hosts and not hosts.problems:
        _complain_of_nothing(script, hosts)
    if hosts.problems:
        raise ConfigProblems(hosts.problems)
    for each in script.sourced():
        hosts.note(each.line, f"{each.text} is read by the shell here, but not by pycarp")
    return NodeConfig(
        hosts=tuple(hosts.hosts),
        notes=tuple(hosts.notes),
        own=hosts.own,
        places=hosts.places,
        secret_files=hosts.secret_files,
    )


def _complain_of_nothing(script: Script, hosts: UcarpHosts) -> None:
    for each in script.sourced():
        hosts.complain(each, f"{each.text} is read by the shell here", "give pycarp that file")
    if not script.sourced():
        hint = "expected ucarp --interface=IF --srcip=IP --vhid=ID --pass=SECRET --addr=IP"
        hosts.complain(Word("", 1, 1), "no ucarp is started here", hint)


def _read(command: Command, script: Script, hosts: UcarpHosts) -> None:
    """Read a command ``ucarp`` or ``pycarp ucarp``, whatever stands before it."""
    words = [*command.assigned, *command.words]
    at = next((index for index, word in enumerate(words) if PurePath(word.value).name == _PROGRAM), len(words))
    options = words[at + 1 :]
    if any(PurePath(word.value).name == _STARTER for word in words[:at]):
        # Its own options end at "--", those of ucarp begin there.
        options = options[next((i + 1 for i, word in enumerate(options) if word.value == "--"), len(options)) :]
    if not any(word.value.startswith("-") or not word.is_certain for word in options):
        return
    where = words[0].name
    if command.condition:
        hint = "put what this machine starts into a file of its own"
        hosts.complain(where, f"this ucarp depends on {command.condition}", hint)
        return
    if not all(word.is_certain for word in options):
        _complain_of_doubt(options, script, hosts)
        return
    places = {name: (hosts.file, place) for name, place in _places(options).items()}
    hosts.add(where, [argument.text for word in options for argument in word.arguments()], places=places)


def _complain_of_doubt(options: Sequence[Assignment], script: Script, hosts: UcarpHosts) -> None:
    """Complain about each word that only a running shell would know, by the option that it belongs to."""
    sourced = [f"{each.text} is read by the shell, but not by pycarp" for each in script.sourced()]
    for before, word in pairwise([None, *options]):
        if word is None or word.is_certain:
            continue
        name, equals, _value = word.value.partition("=")
        if not (name.startswith("--") and equals):
            # Of -pSECRET, or of a variable with all options, nothing may be shown.
            is_name = before is not None and _OPTION_NAME.fullmatch(before.value)
            name = before.value if before is not None and is_name else "an option"
        way_out = ["write the value itself", *([word.doubt] if word.doubt else []), *sourced]
        hosts.complain(word.name, f"{name.partition('=')[0]} is computed by the shell", "; ".join(way_out))


def _places(options: Sequence[Assignment]) -> dict[str, Word]:
    """Return where each option stands, by its long name, and by what is written."""
    found: dict[str, Word] = {}
    for word in options:
        written = word.value.partition("=")[0].removeprefix("--")
        if word.value.startswith("--"):
            known = [each for each in ucarp_options.LONG_OPTIONS if each.startswith(written)]
            names = [written, *(known if len(known) == 1 else ())]
        else:
            names = [name for letter in written[1:2] for name in (letter, ucarp_options.long_name(letter))]
        found |= dict.fromkeys(names if word.value.startswith("-") else (), word.name)
    return found
