"""ucarp in /etc/ucarp of RedHat and its relatives: ``vip-001.conf``, on top of ``vip-common.conf``.

Assignments of a shell: ``VIP_ADDRESS="192.0.2.1"``. The number in the file's name is the vhid. ``vip-common.conf`` of
the same folder is read first if it exists, as the start script reads it. Without SOURCE_ADDRESS the own address of the
interface is used there; pycarp asks the interface itself.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pycarp.config import shell_script
from pycarp.config.model import NodeConfig
from pycarp.config.parents import Parents, unused_renames
from pycarp.config.problems import ConfigProblems
from pycarp.config.shell_script import Assignment, UnclosedQuoteError, Word
from pycarp.config.source_text import load, plain
from pycarp.config.ucarp_hosts import UcarpHosts
from pycarp.config.ucarp_settings import Setting, likely, start
from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts

COMMON = "vip-common.conf"

_NUMBERED = re.compile(r"vip-(\d+)\.conf", re.ASCII)
_OPTIONS = {
    "ID": "vhid",
    "VHID": "vhid",
    "VID": "vhid",
    "VIP_ID": "vhid",
    "BIND_INTERFACE": "interface",
    "SOURCE_ADDRESS": "srcip",
    "VIP_ADDRESS": "addr",
    "PASSWORD": "pass",
    "PASSFILE": "passfile",
    "UPSCRIPT": "upscript",
    "DOWNSCRIPT": "downscript",
}
_WORDS = "OPTIONS"
_KNOWN = {*_OPTIONS, _WORDS}


def read(
    text: str, *, file: str, links: Sequence[LinkFacts] = (), renames: Mapping[str, str] | None = None
) -> NodeConfig:
    """Return the host of a vip-NNN.conf; arguments and errors are those of ``rcconf.read``."""
    named = renames or {}
    hosts = UcarpHosts(file, Parents({}, links), lambda link: named.get(link, link))
    settings, options, unread = _settings(text, hosts)
    if Path(file).name == COMMON:
        hosts.complain(Word("", 1, 1), f"{COMMON} is no virtual host by itself", "give vip-001.conf beside it")
    else:
        _start(settings, options, unread, hosts)
    for complaint, hint in unused_renames(named, hosts.named):
        hosts.complain(Word("", 1, 1), complaint, hint)
    if hosts.problems:
        raise ConfigProblems(hosts.problems)
    return NodeConfig(
        hosts=tuple(hosts.hosts),
        notes=tuple(hosts.notes),
        own=hosts.own,
        places=hosts.places,
        secret_files=hosts.secret_files,
    )


def _start(
    settings: dict[str, Setting], options: Assignment | None, unread: Collection[str], hosts: UcarpHosts
) -> None:
    """Add the host; what was meant by a variable that could not be read, ``unread``, is not missing."""
    top = Word("", 1, 1)
    number = _NUMBERED.fullmatch(Path(hosts.file).name)
    if number and "vhid" not in settings:
        settings["vhid"] = Setting(
            "the number in the file's name", Word(number[1].lstrip("0") or "0", 1, 1), hosts.file
        )
    for option, name in (("addr", "VIP_ADDRESS"), ("interface", "BIND_INTERFACE"), ("vhid", "ID")):
        if option not in settings and option not in unread:
            hosts.complain(top, f"{name} is missing", f'add {name}="..." here or in {COMMON}')
    if not {"pass", "passfile"} & {*settings, *unread}:
        hosts.complain(top, "PASSWORD is missing", f'add PASSWORD="SECRET" here or in {COMMON}')
    more = [word.text for word in options.words()] if options else []
    start(hosts, settings["addr"].value if "addr" in settings else top, settings, more=more)
    if "pass" in settings and settings["pass"].file != hosts.file:
        hosts.secret_files |= {host.key: Path(settings["pass"].file) for host in hosts.hosts}


def _settings(text: str, hosts: UcarpHosts) -> tuple[dict[str, Setting], Assignment | None, set[str]]:
    """Return the settings of both files by ucarp's options, the finished words, and the options that are unreadable."""
    settings: dict[str, Setting] = {}
    unread: set[str] = set()
    options: Assignment | None = None
    found = [*_common(hosts), *_assignments(text, hosts.file, hosts)]
    if hosts.problems:
        # What a file says that cannot be read at all is not missing.
        unread.update(_OPTIONS.values())
    for file, each in found:
        name = each.name.text
        if name in _KNOWN and not each.is_certain:
            hosts.complain(each.name, each.why_uncertain(), "write the value itself", file=file)
            unread.add(_OPTIONS.get(name, ""))
        elif name == _WORDS:
            options = each
        elif name in _OPTIONS:
            first = each.characters[0] if each.characters else each.name
            settings[_OPTIONS[name]] = Setting(name, Word(each.value, first.line, first.column), file)
        elif meant := likely(name, _KNOWN):
            hosts.complain(each.name, f"unknown variable {name}", f"did you mean {meant}?", file=file)
            unread.add(_OPTIONS.get(meant, ""))
    # One that is empty is as good as none, with which the other file may be overruled.
    return {option: each for option, each in settings.items() if each.value.text}, options, unread


def _common(hosts: UcarpHosts) -> list[tuple[str, Assignment]]:
    path = Path(hosts.file).parent / COMMON
    if path.name == Path(hosts.file).name:
        return []
    if not path.exists():
        return []
    try:
        text = load(path)
    except ConfigError as exc:
        hosts.complain(Word("", 1, 1), str(exc))
        return []
    return _assignments(text, str(path), hosts)


def _assignments(text: str, file: str, hosts: UcarpHosts) -> list[tuple[str, Assignment]]:
    try:
        script = shell_script.read(plain(text))
    except UnclosedQuoteError as exc:
        hosts.complain(exc.quote, f"quote {exc.quote.text} is never closed", exc.hint, file=file)
        return []
    for each in script.sourced():
        hosts.note(each.line, f"{each.text} is read by the shell in {file}, but not by pycarp")
    last = {each.name.text: each for each in script.assignments}
    return [(file, each) for each in last.values()]
