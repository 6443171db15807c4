"""FreeBSD's rc.conf, of both generations. Source: carp.md 8.1 to 8.3; network.subr for what rc makes of the lines.

Up to FreeBSD 9 each ``carpN`` is a cloned interface with its own line; from FreeBSD 10 on a vhid stands on addresses
of the real interface. Lines that are not about carp are passed over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pycarp.config import carp_words, shell_script, ucarp_variables
from pycarp.config.carp_words import CLONE, CarpWords
from pycarp.config.host_building import build_host, complain_of_missing, complain_of_scopes, notes_of
from pycarp.config.interface_names import InterfaceNames
from pycarp.config.model import NodeConfig
from pycarp.config.parents import NoParentError, Parents
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell_script import Assignment, Command, Script, UnclosedQuoteError, Word
from pycarp.config.source_text import plain
from pycarp.config.ucarp_hosts import UcarpHosts
from pycarp.core.host_config import HostConfig
from pycarp.dialects import UNIVERSAL, Dialect
from pycarp.vocabulary import Address, HostKey, InterfaceAddress, LinkFacts

_IFCONFIG = re.compile(
    r"ifconfig_(?P<link>[A-Za-z0-9_]+?)"
    r"(?:_alias(?P<number>\d+)|_(?P<kind>aliases|ipv6|name|descr|description|fib|vnet|media))?"
)
_IPV6_IFCONFIG = re.compile(r"ipv6_ifconfig_(?P<link>[A-Za-z0-9_]+?)(?:_alias(?P<number>\d+))?")
_ADDRESSES = re.compile(r"ipv(?P<version>[46])_addrs_(?P<link>[A-Za-z0-9_]+)")
_NOT_ADDRESSES = frozenset({"name", "descr", "description", "fib", "vnet", "media"})
_EVALUATED = frozenset("\"'$`\\")
_ABOUT_INTERFACES = re.compile(r"(ipv6_)?ifconfig_|cloned_interfaces|ipv[46]_addrs_|vlans_")


def read(
    text: str,
    *,
    file: str,
    links: Sequence[LinkFacts] = (),
    renames: Mapping[str, str] | None = None,
    dialect: Dialect = UNIVERSAL,
) -> NodeConfig:
    """Return the virtual hosts that an rc.conf configures, those of ucarp's rc script (``ucarp_enable``) among them.

    ``file`` is named in problems. ``links`` are the network devices of this machine; without any, the file's own
    interfaces are believed. ``renames`` says what the file's interfaces are called here.

    Raises ConfigProblems with everything that is wrong.
    """
    try:
        script = shell_script.read(plain(text))
    except UnclosedQuoteError as exc:
        quote = exc.quote
        problem = Problem(file, quote.line, quote.column, f"quote {quote.text} is never closed", exc.hint)
        raise ConfigProblems([problem]) from exc
    reader = _Reader(file, script, links, renames or {}, dialect)
    config = reader.read()
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return config


class _Line(msgspec.Struct, frozen=True):
    """A line about an interface. ``number`` is that of an alias; ``rank`` is when rc reads it, among others.

    ``prefix`` is the family that rc writes before its words.
    """

    assignment: Assignment
    rank: int = 0
    number: int | None = None
    prefix: str = ""

    @property
    def name(self) -> Word:
        """The variable and its place."""
        return self.assignment.name

    def words(self) -> list[Word]:
        """Return the words of all specifications."""
        return [word for each in self.specifications() for word in each]

    def specifications(self) -> list[list[Word]]:
        """Return the arguments that rc passes to ifconfig, one tuple per call."""
        words = self.assignment.words()
        if self.rank == _RANK_ADDRESSES:
            return [[Word(self.prefix, each.line, each.column), each] for each in words]
        if self.prefix and words and words[0].text != self.prefix:
            words = [Word(self.prefix, words[0].line, words[0].column), *words]
        return carp_words.specifications(words)


_RANK_PLAIN, _RANK_IPV6, _RANK_LIST, _RANK_ALIAS, _RANK_ALIAS_IPV6, _RANK_ADDRESSES = range(6)
_NUMBERED = (_RANK_ALIAS, _RANK_ALIAS_IPV6)


def _lines_of(variables: Mapping[str, Assignment]) -> dict[str, list[_Line]]:
    """Return the lines of each interface, by its name in variables, in the order in which rc reads them."""
    lines: dict[str, list[_Line]] = {}
    for name, assignment in variables.items():
        if found := _line_of(name, assignment):
            lines.setdefault(found[0], []).append(found[1])
    return {link: sorted(each, key=lambda line: (line.rank, line.number or 0)) for link, each in lines.items()}


def _line_of(name: str, assignment: Assignment) -> tuple[str, _Line] | None:
    if match := _IPV6_IFCONFIG.fullmatch(name):
        rank = _RANK_IPV6 if match["number"] is None else _RANK_ALIAS_IPV6
        return match["link"], _Line(assignment, rank, _number(match["number"]), "inet6")
    if match := _ADDRESSES.fullmatch(name):
        return match["link"], _Line(assignment, _RANK_ADDRESSES, None, "inet" if match["version"] == "4" else "inet6")
    match = _IFCONFIG.fullmatch(name)
    if match is None or match["kind"] in _NOT_ADDRESSES:
        return None
    if match["number"]:
        return match["link"], _Line(assignment, _RANK_ALIAS, _number(match["number"]))
    rank = {"aliases": _RANK_LIST, "ipv6": _RANK_IPV6, None: _RANK_PLAIN}[match["kind"]]
    return match["link"], _Line(assignment, rank)


def _number(digits: str | None) -> int | None:
    return int(digits[:9]) if digits else None


class _Reader:
    """Reads one file, and collects all problems."""

    def __init__(
        self,
        file: str,
        script: Script,
        links: Sequence[LinkFacts],
        renames: Mapping[str, str],
        dialect: Dialect,
    ) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._script = script
        self._variables = {each.name.text: each for each in script.assignments}
        self._renames = renames
        self._dialect = dialect
        self._lines = _lines_of(self._variables)
        self._names = InterfaceNames(self._variables, links, renames)
        self._parents = Parents(self._declared(), links)
        self._places: dict[HostKey, Word] = {}
        self._shared: dict[tuple[str, Address], HostKey] = {}
        self._notes: list[str] = []
        self._about_carp = {
            each.name.text for each in script.assignments if carp_words.is_about_carp(each.words())
        } & self._variables.keys()
        """The variables of which a value, maybe not the last one, is about carp."""

    def read(self) -> NodeConfig:
        """Return the hosts that could be understood."""
        self._check_renames()
        self._check_commands()
        clones = [host for name in self._clones() for host in self._read_clone(name)]
        attached = [host for link in self._lines if not CLONE.fullmatch(link) for host in self._read_attached(link)]
        ucarp = UcarpHosts(self._file, self._parents, self._names.here)
        why_no_ucarp = ucarp_variables.read(self._variables, ucarp)
        self.problems += ucarp.problems
        hosts = (*clones, *attached, *ucarp.hosts)
        self._check_doubtful(is_all=not hosts and not self.problems)
        if not hosts and not self.problems:
            self._complain_of_nothing(why_no_ucarp)
        own = {link: tuple(owns) for link, owns in self._parents.declared.items()}
        return NodeConfig(
            hosts=hosts,
            hostname=self._hostname(),
            own={**ucarp.own, **own},
            notes=(*self._notes, *self._notes_of_overruled(), *self._notes_of_sourced(), *ucarp.notes),
            places={key: (word.line, word.column) for key, word in self._places.items()} | ucarp.places,
            secret_files=ucarp.secret_files,
        )

    def _hostname(self) -> str:
        """Return what the file calls its machine; empty where only a running shell would know."""
        said = self._variables.get("hostname")
        return said.value.strip() if said and said.is_certain else ""

    # Commands

    def _check_commands(self) -> None:
        """Report commands that would change variables of interfaces."""
        for command in self._script.commands:
            for assigned in command.assigned:
                if _ABOUT_INTERFACES.match(assigned.name.text):
                    hint = "put the whole value into quotes"
                    self._complain(assigned.name, f"{assigned.name.text} is given to a command alone", hint)
            self._check_blank(command)
            text = " ".join(each.value for each in command.words[1:])
            if command.where.text == "eval" and _ABOUT_INTERFACES.search(text):
                self._complain(command.where, "eval is computed by the shell", "write the lines themselves")
            if command.where.text in ("return", "exit") and not command.condition.startswith("a function"):
                self._check_end(command.where)

    def _check_blank(self, command: Command) -> None:
        """Complain about ``NAME = value``, in which the shell takes the name for a command."""
        follows = command.words[1].value if len(command.words) > 1 else ""
        if _ABOUT_INTERFACES.match(command.where.text) and follows.startswith("="):
            text = f"a blank stands before the = of {command.where.text}, so that the shell assigns nothing"
            self._complain(command.where, text, "write NAME=VALUE without blanks around the =")

    def _check_end(self, where: Word) -> None:
        """Complain about a command that ends the file, or does so on some machines, if lines about carp follow."""
        below = [self._variables[name].name.line for name in self._about_carp]
        if any(line > where.line for line in below):
            hint = "write what this machine has into a file of its own"
            self._complain(where, f"the shell may end here with {where.text}, and lines about carp follow", hint)

    def _notes_of_overruled(self) -> Iterator[str]:
        """Yield a note for each line about carp that a later one of the same name replaces: it may be a slip."""
        for each in self._script.assignments:
            name = each.name.text
            last = self._variables.get(name, each)
            is_lost = last is not each and each.is_certain and last.is_certain and each.value.strip() not in last.value
            if is_lost and _ABOUT_INTERFACES.match(name) and carp_words.is_about_carp(each.words()):
                text = f"{name} is given again in line {last.name.line}, which alone counts"
                yield f"{self._file}:{each.name.line}: {text}"

    def _notes_of_sourced(self) -> list[str]:
        return [
            f"{self._file}:{each.line}: {each.text} is read by the shell here, but not by pycarp"
            for each in self._script.sourced()
        ]

    def _complain_of_nothing(self, why_no_ucarp: str) -> None:
        """Report where carp may be configured, or what such a line looks like."""
        for each in self._script.sourced():
            self._complain(each, f"{each.text} is read by the shell here", "give pycarp that file")
        if self._script.sourced():
            return
        if why_no_ucarp:
            self._complain(Word("", 1, 1), why_no_ucarp, 'write ucarp_enable="YES"')
            return
        hint = 'expected cloned_interfaces="carp0" with ifconfig_carp0="vhid 1 pass SECRET ADDRESS/LENGTH", '
        hint += 'or ifconfig_IF_alias0="inet vhid 1 pass SECRET alias ADDRESS/32"'
        self._complain(Word("", 1, 1), "no carp is configured here", hint)

    def _check_doubtful(self, *, is_all: bool) -> None:
        """Refuse aliases that may be about carp if nothing else ``is_all`` there is, else note that they were not read.

        An alias of which some value is about carp is always refused.
        """
        for line in self._doubtful():
            if line.name.text in self._about_carp or is_all:
                self._complain_of_doubt(line)
            elif _IFCONFIG.fullmatch(line.name.text):
                self._notes.append(f"{self._file}:{line.name.line}: passed over: {line.why_uncertain()}")

    # The first generation: cloned interfaces

    def _clones(self) -> list[str]:
        """Return the carpN that are cloned and configured; complain about those that are only one of both."""
        cloned = self._variables.get("cloned_interfaces")
        words = {each.text.partition(":")[0]: each for each in (cloned.words() if cloned else ())}
        words = {name: word for name, word in words.items() if CLONE.fullmatch(name)}
        if cloned and not cloned.is_certain and any(CLONE.fullmatch(name) for name in self._lines):
            self._complain_of_doubt(cloned)
            return []
        for name, word in words.items():
            if name not in self._lines:
                self._complain(word, f"{name} is cloned but not configured", f'add ifconfig_{name}="vhid ..."')
        for name, lines in self._lines.items():
            if CLONE.fullmatch(name) and name not in words:
                hint = f'add it: cloned_interfaces="{name}"'
                self._complain(lines[0].name, f"{name} is configured but not in cloned_interfaces", hint)
        return [name for name in words if name in self._lines]

    def _read_clone(self, name: str) -> list[HostConfig]:
        said = CarpWords(self._lines[name][0].name)
        for line in self._without_gap(name):
            said.merge(self._parse(line.assignment, line.words()), self._complain)
        parent = self._parent_of(said)
        return self._build(said, link=parent, name=name, names=(parent, name)) if parent else []

    def _parent_of(self, said: CarpWords) -> str | None:
        """Return the device of the first address and give every address without a prefix that of its subnet."""
        link: str | None = None
        found = [self._place_of(word, address, said) for word, address, _prefix in said.addresses]
        for index, parent in enumerate(found):
            word, address, prefix = said.addresses[index]
            if parent is None:
                continue
            link = link or parent[0]
            if parent[0] != link:
                hint = "give it a carp interface of its own"
                self._complain(word, f"{address} belongs to {parent[0]}, the address before it to {link}", hint)
            said.addresses[index] = (word, address, parent[1] if prefix is None else prefix)
        if not said.addresses and not said.has_faults:
            self._complain(said.where, "no shared address", "add ADDRESS/LENGTH")
        return link

    def _place_of(self, word: Word, address: Address, said: CarpWords) -> tuple[str, int] | None:
        """Return the device in whose subnet an address lies, and the prefix; a link-local one names its device."""
        if address.version == 6 and address.is_link_local:
            scope = next((scope for where, scope in said.scopes if where is word), "")
            others = [each for _word, each, _prefix in said.addresses if not each.is_link_local]
            if scope and not others:
                return self._names.here(scope), 64
            if others:
                return None
        try:
            parent = self._parents.containing(address)
        except NoParentError as exc:
            doubts = [each.why_uncertain() for each in self._doubtful()]
            self._complain(word, str(exc), "; ".join([exc.hint, *doubts]))
            return None
        return parent.link, parent.prefix

    def _doubtful(self) -> list[Assignment]:
        """Return the lines about own addresses that are passed over, because only a running shell would know them."""
        return [
            line.assignment
            for link, lines in self._lines.items()
            for line in lines
            if not CLONE.fullmatch(link) and not line.assignment.is_certain
        ]

    # The second generation: a vhid on addresses of a real interface

    def _read_attached(self, link: str) -> list[HostConfig]:
        by_vhid: dict[int, CarpWords] = {}
        for line in self._without_gap(link):
            if not carp_words.is_about_carp(line.words()):
                continue
            if line.rank == _RANK_LIST:
                self._check_begin(line)
            for words in line.specifications():
                if carp_words.is_about_carp(words):
                    self._add(self._parse(line.assignment, words, vhid_first=True), line, by_vhid)
        return [host for said in by_vhid.values() for host in self._build_attached(link, said)]

    def _add(self, said: CarpWords, line: _Line, by_vhid: dict[int, CarpWords]) -> None:
        if said.passphrase and set(said.passphrase.text) & _EVALUATED:
            note = "newer releases of FreeBSD evaluate the line once more: quotes, $ and \\ of the pass are theirs"
            self._notes.append(f"{self._file}:{said.passphrase.line}: {note}")
        # Lines without a readable vhid belong to nobody else: each gets a number that no vhid has.
        vhid = said.number("vhid", -len(by_vhid))
        into = by_vhid.setdefault(vhid, CarpWords(line.name))
        for family in {each.version for _word, each, _prefix in said.addresses}:
            if family in into.spoken_of and family not in said.spoken_of and into.peers:
                note = "FreeBSD's ifconfig goes back to multicast at a line that names no peer; pycarp keeps the peer"
                self._notes.append(f"{self._file}:{line.name.line}: {note}")
        into.merge(said, self._complain)

    def _check_begin(self, line: _Line) -> None:
        first = line.assignment.words()[0]
        if first.text not in carp_words.FAMILIES:
            hint = "begin each address with inet or inet6"
            self._complain(first, "FreeBSD passes over what stands before the first inet", hint)

    def _build_attached(self, link: str, said: CarpWords) -> list[HostConfig]:
        here = self._names.here(link)
        for ending in ("_alias", "_ipv6_alias"):
            if link.endswith(ending):
                hint = f"write ifconfig_{link}0, or ifconfig_{link}es for a list"
                self._complain(said.where, f"ifconfig_{link} has no number, so FreeBSD reads it as an interface", hint)
                return []
        if not said.addresses and not said.has_faults:
            self._complain(said.where, "no shared address", "add alias ADDRESS/32")
        try:
            self._parents.check(here)
        except NoParentError as exc:
            self._complain(said.where, str(exc), exc.hint)
            return []
        return self._build(said, link=here, name="", names=(here, self._names.device(link), link))

    # Both

    def _without_gap(self, link: str) -> Iterator[_Line]:
        """Yield the lines of an interface, complaining about carp lines that FreeBSD never reads."""
        expected = dict.fromkeys(_NUMBERED, 0)
        for line in self._lines[link]:
            number = line.number
            if number is not None and number == expected[line.rank]:
                expected[line.rank] += 1
            matters = CLONE.fullmatch(link) or carp_words.is_about_carp(line.words())
            if matters and number is not None and number >= expected[line.rank]:
                last = expected[line.rank]
                self._complain(line.name, f"alias{number} comes after a gap", f"FreeBSD stops before alias{last}")
            yield line

    def _declared(self) -> dict[str, list[InterfaceAddress]]:
        """Return the plain addresses of the file's real interfaces, under their names here."""
        return {
            self._names.here(link): [
                own
                for line in _read_by_rc(lines)
                if line.assignment.is_certain
                for words in line.specifications()
                if not carp_words.is_about_carp(words)
                for own in carp_words.own_addresses(words)
            ]
            for link, lines in self._lines.items()
            if not CLONE.fullmatch(link)
        }

    def _parse(self, line: Assignment, words: list[Word], *, vhid_first: bool = False) -> CarpWords:
        if not line.is_certain:
            # The rest of the value would lead to problems about words that are not in the file.
            self._complain_of_doubt(line)
            return CarpWords(line.name, has_faults=True)
        return carp_words.parse(words, line.name, self._complain, vhid_first=vhid_first)

    def _complain_of_doubt(self, line: Assignment) -> None:
        sourced = [each.text for each in self._script.sourced()]
        hint = "write the value itself"
        if line.doubt.endswith("in this file") and sourced:
            hint += f"; {', '.join(sourced)} is read by the shell, but not by pycarp"
        problem = Problem(self._file, line.name.line, line.name.column, line.why_uncertain(), hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def _build(self, said: CarpWords, *, link: str, name: str, names: Sequence[str]) -> list[HostConfig]:
        """Return the host; None, with a problem reported, if something is missing."""
        complain_of_missing(said, self._complain)
        complain_of_scopes(said, names, self._complain)
        self._notes += notes_of(said, self._file)
        if "vhid" in said.numbers and said.addresses:
            self._check_unique(HostKey(link, said.number("vhid", 0)), said)
        host = build_host(said, link=link, name=name, dialect=self._dialect, complain=self._complain)
        return [host] if host else []

    def _check_unique(self, key: HostKey, said: CarpWords) -> None:
        for word, address, _prefix in said.addresses:
            # A link-local address is another one on each link.
            where = key.link if address.is_link_local else ""
            if self._parents.is_own(address):
                hint = "a shared address is one more, which moves between the hosts"
                self._complain(word, f"{address} is this machine's own address", hint)
            elif self._shared.setdefault((where, address), key) != key:
                hint = "give each vhid addresses of its own"
                owner = self._shared[where, address]
                self._complain(word, f"{address} is shared by vhid {owner.vhid} already", hint)
        first = self._places.setdefault(key, said.where)
        if first is not said.where:
            hint = f"first used in line {first.line}; every pair of hosts needs a vhid of its own"
            self._complain(said.numbers["vhid"][0], f"vhid {key.vhid} is used twice on {key.link}", hint)

    def _check_renames(self) -> None:
        links = [link for link in self._lines if not CLONE.fullmatch(link)]
        links += ucarp_variables.interfaces(self._variables)
        for old, new in self._renames.items():
            if not self._names.knows(old, links):
                known = ", ".join(dict.fromkeys(map(self._names.device, links))) or "none"
                self._complain(Word("", 1, 1), f"--map {old}={new}: no line is about {old}", f"there are: {known}")
                continue
            try:
                self._parents.check(new)
            except NoParentError as exc:
                self._complain(Word("", 1, 1), f"--map {old}={new}: {exc}", "")

    def _complain(self, where: Word, text: str, hint: str) -> None:
        self.problems.append(Problem(self._file, where.line, where.column, text, hint))


def _read_by_rc(lines: Sequence[_Line]) -> Iterator[_Line]:
    """Yield the lines that FreeBSD reads: it stops at the first number that is missing."""
    expected = dict.fromkeys(_NUMBERED, 0)
    for line in lines:
        if line.number is None or line.number == expected[line.rank]:
            if line.number is not None:
                expected[line.rank] += 1
            yield line
