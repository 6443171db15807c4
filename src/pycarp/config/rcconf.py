"""FreeBSD's rc.conf, of both generations. Source: carp.md 8.1 to 8.3.

Up to FreeBSD 9 each ``carpN`` is a cloned interface with its own line; from FreeBSD 10 on a vhid stands on addresses
of the real interface. Lines that are not about carp are passed over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pycarp.config import carp_words
from pycarp.config.carp_words import CarpWords
from pycarp.config.host_building import build_host, complain_of_missing
from pycarp.config.model import NodeConfig
from pycarp.config.parents import NoParentError, Parents
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell import Assignment, UnclosedQuoteError, Word, assignments
from pycarp.core.host_config import HostConfig
from pycarp.dialects import UNIVERSAL, Dialect
from pycarp.vocabulary import Address, HostKey, Interface, LinkFacts

_IFCONFIG = re.compile(r"ifconfig_(?P<link>[A-Za-z0-9_]+?)(?:_alias(?P<number>\d+)|_ipv6)?")
_CLONE = re.compile(r"carp\d+")


def read(
    text: str,
    *,
    file: str,
    links: Sequence[LinkFacts] = (),
    renames: Mapping[str, str] | None = None,
    dialect: Dialect = UNIVERSAL,
) -> NodeConfig:
    """Return the virtual hosts that an rc.conf configures.

    ``file`` is named in problems. ``links`` are the network devices of this machine; without any, the file's own
    interfaces are believed. ``renames`` says what the file's interfaces are called here.

    Raises ConfigProblems with everything that is wrong.
    """
    try:
        found = assignments(text)
    except UnclosedQuoteError as exc:
        quote = exc.quote
        raise ConfigProblems([Problem(file, quote.line, quote.column, f"quote {quote.text} is never closed")]) from exc
    reader = _Reader(file, found, links, renames or {}, dialect)
    hosts = reader.read()
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return NodeConfig(hosts=tuple(hosts), hostname=reader.hostname, own=reader.own)


class _Reader:
    """Reads one file; collects problems instead of stopping at the first."""

    def __init__(
        self,
        file: str,
        found: list[Assignment],
        links: Sequence[LinkFacts],
        renames: Mapping[str, str],
        dialect: Dialect,
    ) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._variables = {each.name.text: each for each in found}
        self._renames = renames
        self._dialect = dialect
        self._lines = self._ifconfig_lines()
        self._parents = Parents(self._declared(), links)
        self._places: dict[HostKey, Word] = {}
        self._shared: dict[Address, HostKey] = {}

    @property
    def hostname(self) -> str:
        """What the file calls its machine; empty where only a running shell would know."""
        said = self._variables.get("hostname")
        return said.value.strip() if said and not said.is_computed else ""

    @property
    def own(self) -> dict[str, tuple[Interface, ...]]:
        """The machine's own addresses by interface, under its name here."""
        return {link: tuple(owns) for link, owns in self._parents.declared.items()}

    def read(self) -> list[HostConfig]:
        """Return the hosts that could be understood."""
        self._check_renames()
        clones = [host for name in self._clones() for host in self._read_clone(name)]
        attached = [host for link in self._lines if not _CLONE.fullmatch(link) for host in self._read_attached(link)]
        if not clones and not attached and not self.problems:
            hint = 'expected cloned_interfaces="carp0" with ifconfig_carp0="vhid 1 pass SECRET ADDRESS/LENGTH", '
            hint += 'or ifconfig_IF_alias0="inet vhid 1 pass SECRET alias ADDRESS/32"'
            self._complain(Word("", 1, 1), "no carp is configured here", hint)
        return clones + attached

    # The first generation: cloned interfaces

    def _clones(self) -> list[str]:
        """Return the carpN that are cloned and configured; complain about those that are only one of both."""
        cloned = self._variables.get("cloned_interfaces")
        words = {word.text: word for word in (cloned.words() if cloned else ()) if _CLONE.fullmatch(word.text)}
        if cloned and cloned.is_computed and any(_CLONE.fullmatch(name) for name in self._lines):
            self._complain_about_computed(cloned)
            return []
        for name, word in words.items():
            if name not in self._lines:
                self._complain(word, f"{name} is cloned but not configured", f'add ifconfig_{name}="vhid ..."')
        for name, lines in self._lines.items():
            if _CLONE.fullmatch(name) and name not in words:
                hint = f'add it: cloned_interfaces="{name}"'
                self._complain(lines[0][1].name, f"{name} is configured but not in cloned_interfaces", hint)
        return [name for name in words if name in self._lines]

    def _read_clone(self, name: str) -> list[HostConfig]:
        said = CarpWords(self._lines[name][0][1].name)
        for line in self._without_gap(name):
            said.merge(self._parse(line), self._complain)
        parent = self._parent_of(said)
        return self._build(said, link=parent, name=name) if parent else []

    def _parent_of(self, said: CarpWords) -> str | None:
        """Return the device of the first address and give every address without a prefix that of its subnet."""
        link: str | None = None
        for index, (word, address, prefix) in enumerate(said.addresses):
            try:
                parent = self._parents.containing(address)
            except NoParentError as exc:
                self._complain(word, str(exc), exc.hint)
                continue
            link = link or parent.link
            if parent.link != link:
                hint = "give it a carp interface of its own"
                self._complain(word, f"{address} belongs to {parent.link}, the address before it to {link}", hint)
            said.addresses[index] = (word, address, parent.prefix if prefix is None else prefix)
        if not said.addresses and not said.has_faults:
            self._complain(said.where, "no shared address", "add ADDRESS/LENGTH")
        return link

    # The second generation: a vhid on addresses of a real interface

    def _read_attached(self, link: str) -> list[HostConfig]:
        by_vhid: dict[int, CarpWords] = {}
        for line in self._without_gap(link):
            if not carp_words.is_about_carp(line.words()):
                continue
            said = self._parse(line, vhid_first=True)
            # Lines without a readable vhid belong to nobody else: each gets a number that no vhid has.
            into = by_vhid.setdefault(said.number("vhid", -len(by_vhid)), CarpWords(line.name))
            into.merge(said, self._complain)
        return [host for said in by_vhid.values() for host in self._build_attached(link, said)]

    def _build_attached(self, link: str, said: CarpWords) -> list[HostConfig]:
        here = self._renames.get(link, link)
        if not said.addresses and not said.has_faults:
            self._complain(said.where, "no shared address", "add alias ADDRESS/32")
        try:
            self._parents.check(here)
        except NoParentError as exc:
            self._complain(said.where, str(exc), exc.hint)
            return []
        return self._build(said, link=here, name="")

    # Both

    def _ifconfig_lines(self) -> dict[str, list[tuple[int | None, Assignment]]]:
        """Return the lines of each interface: the plain one first, then the aliases by number."""
        lines: dict[str, list[tuple[int | None, Assignment]]] = {}
        for name, assignment in self._variables.items():
            match = _IFCONFIG.fullmatch(name)
            if match:
                number = int(match["number"][:9]) if match["number"] else None
                lines.setdefault(match["link"], []).append((number, assignment))
        return {link: sorted(each, key=lambda line: -1 if line[0] is None else line[0]) for link, each in lines.items()}

    def _without_gap(self, link: str) -> Iterator[Assignment]:
        """Yield the lines of an interface, complaining about carp lines that FreeBSD never reads."""
        expected = 0
        for number, line in self._lines[link]:
            if number is not None and number == expected:
                expected += 1
            matters = _CLONE.fullmatch(link) or carp_words.is_about_carp(line.words())
            if matters and number is not None and number >= expected:
                self._complain(line.name, f"alias{number} comes after a gap", f"FreeBSD stops before alias{expected}")
            yield line

    def _declared(self) -> dict[str, list[Interface]]:
        """Return the plain addresses of the file's real interfaces, under their names here."""
        return {
            self._renames.get(link, link): [
                own
                for _number, line in lines
                if not carp_words.is_about_carp(line.words())
                for own in carp_words.own_addresses(line.words())
            ]
            for link, lines in self._lines.items()
            if not _CLONE.fullmatch(link)
        }

    def _parse(self, line: Assignment, *, vhid_first: bool = False) -> CarpWords:
        if line.is_computed:
            # What the scanner left of the value would only lead to complaints about words nobody wrote.
            self._complain_about_computed(line)
            return CarpWords(line.name, has_faults=True)
        return carp_words.parse(line.words(), line.name, self._complain, vhid_first=vhid_first)

    def _complain_about_computed(self, line: Assignment) -> None:
        self._complain(line.name, f"{line.name.text} is computed by the shell", "write the value itself")

    def _build(self, said: CarpWords, *, link: str, name: str) -> list[HostConfig]:
        """Return the host, or nothing when something is missing, which is complained about."""
        complain_of_missing(said, self._complain)
        if "vhid" not in said.numbers or said.passphrase is None or not said.addresses:
            return []
        self._check_unique(HostKey(link, said.number("vhid", 0)), said)
        host = build_host(said, link=link, name=name, dialect=self._dialect, complain=self._complain)
        return [host] if host else []

    def _check_unique(self, key: HostKey, said: CarpWords) -> None:
        for word, address, _prefix in said.addresses:
            if self._parents.is_own(address):
                hint = "a shared address is one more, which moves between the hosts"
                self._complain(word, f"{address} is this machine's own address", hint)
            elif self._shared.setdefault(address, key) != key:
                hint = "give each vhid addresses of its own"
                self._complain(word, f"{address} is shared by vhid {self._shared[address].vhid} already", hint)
        first = self._places.setdefault(key, said.where)
        if first is not said.where:
            hint = f"first used in line {first.line}; every pair of hosts needs a vhid of its own"
            self._complain(said.numbers["vhid"][0], f"vhid {key.vhid} is used twice on {key.link}", hint)

    def _check_renames(self) -> None:
        for old, new in self._renames.items():
            if old not in self._lines:
                known = ", ".join(link for link in self._lines if not _CLONE.fullmatch(link)) or "none"
                self._complain(Word("", 1, 1), f"--map {old}={new}: no line is about {old}", f"there are: {known}")
                continue
            try:
                self._parents.check(new)
            except NoParentError as exc:
                self._complain(Word("", 1, 1), f"--map {old}={new}: {exc}", "")

    def _complain(self, where: Word, text: str, hint: str) -> None:
        self.problems.append(Problem(self._file, where.line, where.column, text, hint))
