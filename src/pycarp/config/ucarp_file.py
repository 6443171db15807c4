"""Command lines of ucarp in a file, as in a start script or a unit of systemd: one virtual host each."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from pycarp.config import shell
from pycarp.config.model import NodeConfig
from pycarp.config.parents import Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell import Assignment, Command, Script, UnclosedQuoteError, Word
from pycarp.config.source_text import plain
from pycarp.config.ucarp_hosts import UcarpHosts
from pycarp.vocabulary import LinkFacts

_PROGRAM = "ucarp"
_STARTER = "start-stop-daemon"


def read(
    text: str, *, file: str, links: Sequence[LinkFacts] = (), renames: Mapping[str, str] | None = None
) -> NodeConfig:
    """Return the hosts of the ``ucarp`` command lines in a text; what is none is passed over.

    Arguments and errors are those of ``rcconf.read``. Scripts have no place in a configuration: notes name them.
    A command ends where the shell ends it; one that a condition, a loop or a function decides about is refused.
    """
    try:
        script = shell.read(plain(text))
    except UnclosedQuoteError as exc:
        quote = exc.quote
        problem = Problem(file, quote.line, quote.column, f"quote {quote.text} is never closed")
        raise ConfigProblems([problem]) from exc
    named = renames or {}
    hosts = UcarpHosts(file, Parents({}, links), lambda link: named.get(link, link))
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
    doubtful = [word for word in options if not word.is_certain]
    if doubtful:
        hosts.complain(where, "an option is computed by the shell", _way_out(doubtful, script))
        return
    hosts.add(where, [argument.text for word in options for argument in word.arguments()])


def _way_out(doubtful: Sequence[Assignment], script: Script) -> str:
    reasons = dict.fromkeys(word.doubt for word in doubtful if word.doubt)
    sourced = [f"{each.text} is read by the shell, but not by pycarp" for each in script.sourced()]
    return "; ".join(["write the value itself", *reasons, *sourced])
