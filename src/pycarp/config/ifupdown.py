"""ucarp in Debian's /etc/network/interfaces: ``ucarp-vid`` and its company in a stanza ``iface``.

Source: carp.md 8.6, ``man 5 interfaces``, and /etc/network/if-up.d/ucarp of Debian's package, whose habits count:
``ucarp-master`` is on unless it begins with no, off, false or 0.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, ip_interface

from pycarp.config.model import NodeConfig
from pycarp.config.parents import Parents, unused_renames
from pycarp.config.problems import ConfigProblems
from pycarp.config.shell_script import Word
from pycarp.config.source_text import logical_lines, plain
from pycarp.config.ucarp_hosts import UcarpHosts
from pycarp.config.ucarp_settings import Setting, complain_of_blanks, likely, start
from pycarp.vocabulary import InterfaceAddress, LinkFacts

_PREFIX = "ucarp-"
_OPTIONS = {
    "ucarp-vid": "vhid",
    "ucarp-vip": "addr",
    "ucarp-password": "pass",
    "ucarp-advskew": "advskew",
    "ucarp-advbase": "advbase",
    "ucarp-deadratio": "deadratio",
    "ucarp-upscript": "upscript",
    "ucarp-downscript": "downscript",
    "ucarp-xparam": "xparam",
}
_SWITCHES = {"ucarp-master": "preempt", "ucarp-nomcast": "nomcast"}
_KNOWN = {*_OPTIONS, *_SWITCHES}
_REQUIRED = ("ucarp-vid", "ucarp-vip", "ucarp-password")
_OFF = re.compile(r"no|off|false|0")
_BEGINS_STANZA = re.compile(
    r"iface|auto|mapping|source|source-directory|no-auto-down|no-scripts|rename|template|allow-.+"
)
_SOURCES = ("source", "source-directory")
_COMMANDS = {"pre-up": "master", "up": "master", "post-up": "master"} | dict.fromkeys(
    ("down", "pre-down", "post-down"), "lost"
)
"""Lines that ifupdown runs, and the hook that takes their place in the stanza of the shared address."""

_QUOTES = "\"'"
_LABEL = ":ucarp"
"""The stanza that Debian's own script brings up for the shared address."""


@dataclass(slots=True)
class _Stanza:
    """``iface NAME FAMILY METHOD`` with its options; those that came twice are problems, and commands may."""

    where: Word
    link: str
    options: dict[str, tuple[Word, Word]] = field(default_factory=dict)
    repeated: list[Word] = field(default_factory=list)
    commands: list[tuple[Word, Word]] = field(default_factory=list)

    @property
    def own(self) -> InterfaceAddress | None:
        """The stanza's address with its prefix, None without one."""
        if "address" not in self.options:
            return None
        address = self.options["address"][1].text
        netmask = self.options["netmask"][1].text if "netmask" in self.options else ""
        try:
            return ip_interface(address if "/" in address or not netmask else f"{address}/{netmask}")
        except ValueError:
            return None


def read(
    text: str, *, file: str, links: Sequence[LinkFacts] = (), renames: Mapping[str, str] | None = None
) -> NodeConfig:
    """Return the hosts of the stanzas with ``ucarp-`` options; arguments and errors are those of ``rcconf.read``.

    Files that the text includes are named, not read.
    """
    named = renames or {}
    hosts = UcarpHosts(file, Parents({}, links), lambda link: named.get(link, link))
    stanzas, sources = _stanzas(plain(text))
    for stanza in stanzas:
        if any(name.startswith(_PREFIX) for name in stanza.options):
            _start(stanza, hosts, stanzas)
    for complaint, hint in unused_renames(named, [stanza.link for stanza in stanzas]):
        hosts.complain(Word("", 1, 1), complaint, hint)
    if not hosts.hosts and not hosts.problems:
        for each in sources:
            hosts.complain(each, f"{each.text} is read by ifupdown here", "give pycarp that file")
        if not sources:
            hint = "expected iface IF inet static with address, ucarp-vid, ucarp-vip and ucarp-password"
            hosts.complain(Word("", 1, 1), "no ucarp is configured here", hint)
    if hosts.problems:
        raise ConfigProblems(hosts.problems)
    for each in sources:
        hosts.note(each.line, f"{each.text} is read by ifupdown here, but not by pycarp")
    own = {named.get(each.link, each.link): (each.own,) for each in stanzas if each.own and ":" not in each.link}
    return NodeConfig(hosts=tuple(hosts.hosts), notes=tuple(hosts.notes), own={**hosts.own, **own}, places=hosts.places)


def _start(stanza: _Stanza, hosts: UcarpHosts, stanzas: Sequence[_Stanza]) -> None:
    meant = _check_options(stanza, hosts)
    missing = [name for name in _REQUIRED if not stanza.options.get(name, (stanza.where, Word("", 0, 0)))[1].text]
    for name in (each for each in missing if each not in meant):
        hosts.complain(stanza.where, f"{name} is missing, and without it ucarp is not started", f"add {name}")
    if "address" not in stanza.options:
        hosts.complain(stanza.where, "address is missing, which ucarp is given as its own", "add address ADDRESS")
    settings = {
        option: Setting(name, stanza.options[name][1], hosts.file)
        for name, option in _OPTIONS.items()
        if name in stanza.options and stanza.options[name][1].text
    }
    complain_of_blanks(hosts, settings, "Debian's script")
    for each in settings.values():
        if each.value.text[0] in _QUOTES:
            hosts.note(each.value.line, f"the quotes belong to the value of {each.name}: ifupdown takes none away")
    settings["interface"] = Setting("iface", Word(stanza.link, stanza.where.line, stanza.where.column), hosts.file)
    if "address" in stanza.options:
        keyword, address = stanza.options["address"]
        own = Word(address.text.partition("/")[0], address.line, address.column)
        settings["srcip"] = Setting(keyword.text, own, hosts.file)
    flags = [flag for name, flag in _SWITCHES.items() if name in stanza.options and _is_on(stanza.options[name][1])]
    start(hosts, stanza.where, settings, flags=flags, prefix=_prefix(stanza, settings.get("addr"), stanzas))
    label = _label(stanza, stanzas)
    if label and not {"ucarp-upscript", "ucarp-downscript"} & stanza.options.keys():
        _note_differences(label, settings.get("addr"), hosts)


def _note_differences(label: _Stanza, address: Setting | None, hosts: UcarpHosts) -> None:
    """Name what Debian's own script does with the stanza of the shared address, and pycarp does not."""
    if address and label.own and str(label.own.ip) != address.value.text:
        hosts.note(label.where.line, f"{label.link} brings up {label.own.ip}; pycarp shares {address.value.text}")
    for keyword, command in label.commands:
        hook = f'a [[host.hook]] with on = ["{_COMMANDS[keyword.text]}"] can run it'
        hosts.note(keyword.line, f"{keyword.text} {command.text} will not run; {hook}")


def _check_options(stanza: _Stanza, hosts: UcarpHosts) -> set[str]:
    """Complain about options that are unknown or stand twice; return those that were meant by unknown ones."""
    unknown = {name: likely(name, _KNOWN) for name in stanza.options if name.startswith(_PREFIX) and name not in _KNOWN}
    for each in stanza.repeated:
        hosts.complain(each, f"{each.text} stands twice in this stanza", "leave one of them")
    for name, meant in unknown.items():
        hint = f"did you mean {meant}?" if meant else f"there are: {', '.join(sorted(_KNOWN))}"
        hosts.complain(stanza.options[name][0], f"unknown option {name}", hint)
    return set(unknown.values())


def _is_on(value: Word) -> bool:
    return bool(value.text) and not _OFF.match(value.text)


def _prefix(stanza: _Stanza, address: Setting | None, stanzas: Sequence[_Stanza]) -> int | None:
    """Return the length that the stanza of the shared address gives it; None where there is no such stanza."""
    label = _label(stanza, stanzas)
    own = label.own if label else None
    if address and isinstance(own, IPv4Interface) and str(own.ip) == address.value.text:
        return own.network.prefixlen
    return None


def _label(stanza: _Stanza, stanzas: Sequence[_Stanza]) -> _Stanza | None:
    return next((each for each in stanzas if each.link == stanza.link + _LABEL), None)


def _stanzas(text: str) -> tuple[list[_Stanza], list[Word]]:
    """Return the stanzas, and the files that are to be included."""
    stanzas: list[_Stanza] = []
    sources: list[Word] = []
    present: _Stanza | None = None
    for keyword, value in _lines(text):
        if keyword.text in _SOURCES:
            sources.append(value)
        if _BEGINS_STANZA.fullmatch(keyword.text):
            link = value.text.partition(" ")[0]
            present = _Stanza(keyword, link) if keyword.text == "iface" else None
            stanzas += [present] if present else []
        elif present and keyword.text in _COMMANDS:
            present.commands.append((keyword, value))
        elif present and keyword.text in present.options and keyword.text.startswith(_PREFIX):
            present.repeated.append(keyword)
        elif present:
            present.options[keyword.text] = (keyword, value)
    return stanzas, sources


def _lines(text: str) -> Iterator[tuple[Word, Word]]:
    """Yield the first word of each line and the rest, with blanks at its ends taken away."""
    for number, line in logical_lines(text):
        begin = len(line) - len(line.lstrip())
        keyword, _blank, rest = line.strip().replace("\t", " ").partition(" ")
        if keyword and not keyword.startswith("#"):
            column = begin + len(keyword) + 1 + len(rest) - len(rest.lstrip()) + 1
            yield Word(keyword, number, begin + 1), Word(rest.strip(), number, column)
