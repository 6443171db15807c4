"""OpenBSD's ``hostname.carp0``. Source: carp.md 8.4; the order of a line: ``man 5 hostname.if``.

The interface's name is the file's. Lines with ``!`` are commands for a shell; they are passed over, with a note.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import PurePath

from pycarp.config import carp_words
from pycarp.config.carp_words import OPENBSD_WORDS, CarpWords
from pycarp.config.host_building import build_host, complain_of_missing
from pycarp.config.model import NodeConfig
from pycarp.config.parents import NoParentError, Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell import Word
from pycarp.dialects import OPENBSD, Dialect
from pycarp.vocabulary import LinkFacts

PREFIX = "hostname."

_NOT_STATIC = frozenset({"dhcp", "rtsol", "autoconf"})
_NO_BROADCAST = "NONE"
_QUOTES = "\"'"


def read(
    text: str,
    *,
    file: str,
    links: Sequence[LinkFacts] = (),
    renames: Mapping[str, str] | None = None,
    dialect: Dialect = OPENBSD,
) -> NodeConfig:
    """Return the virtual host that a hostname.carp0 configures.

    Arguments and errors are those of ``rcconf.read``; without ``carpdev`` the device is the one of ``links`` in whose
    subnet the first address lies, as OpenBSD finds it.
    """
    reader = _Reader(file, links, renames or {}, dialect)
    config = reader.read(text)
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return config


class _Reader:
    """Reads one file; collects problems instead of stopping at the first."""

    def __init__(self, file: str, links: Sequence[LinkFacts], renames: Mapping[str, str], dialect: Dialect) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._name = PurePath(file).name.removeprefix(PREFIX)
        self._parents = Parents({}, links)
        self._renames = renames
        self._dialect = dialect

    def read(self, text: str) -> NodeConfig:
        """Return the host that could be understood, and notes about what was passed over."""
        said = CarpWords(Word("", 1, 1))
        notes: list[str] = []
        for number, line in enumerate(text.split("\n"), start=1):
            before = len(self.problems)
            words = self._words(line, number)
            said.has_faults |= len(self.problems) > before
            if words and words[0].text.startswith("!"):
                notes.append(f"{self._file}:{number}: a command for a shell is passed over")
            elif words:
                said.merge(self._parse(words), self._complain)
        named = [said.carpdev.text] if said.carpdev else []
        for complaint, hint in unused_renames(self._renames, named):
            self._complain(said.where, complaint, hint)
        link = self._link(said)
        complain_of_missing(said, self._complain)
        if not said.addresses and not said.has_faults:
            self._complain(said.where, "no shared address", "add inet ADDRESS NETMASK")
        if link is None:
            return NodeConfig(hosts=())
        host = build_host(said, link=link, name=self._name, dialect=self._dialect, complain=self._complain)
        return NodeConfig(hosts=(host,) if host else (), notes=tuple(notes))

    def _words(self, line: str, number: int) -> list[Word]:
        """Split a line as a shell would: at blanks outside of quotes, up to a word that begins with ``#``."""
        words: list[Word] = []
        characters: list[str] = []
        begin, quote, quote_column = 0, "", 0
        for column, character in enumerate(f"{line} ", start=1):
            if quote:
                if character == quote:
                    quote = ""
                else:
                    characters.append(character)
            elif character in _QUOTES:
                begin, quote, quote_column = begin or column, character, column
            elif character in " \t\r":
                if begin:
                    words.append(Word("".join(characters), number, begin))
                begin, characters = 0, []
            elif character == "#" and not begin:
                break
            else:
                begin = begin or column
                characters.append(character)
        if quote:
            self._complain(Word(quote, number, quote_column), f"quote {quote} is never closed", "")
            return []
        return words

    def _parse(self, words: list[Word]) -> CarpWords:
        """Parse a line: an address in its positions first, then options in ifconfig's words."""
        first, rest = words[0], words
        if first.text in _NOT_STATIC or (
            first.text in ("inet", "inet6") and words[1:2] and words[1].text in _NOT_STATIC
        ):
            self._complain(first, "a shared address cannot be leased or found", "write inet ADDRESS NETMASK")
            return CarpWords(first, has_faults=True)
        if first.text in ("inet", "inet6"):
            rest = _with_keywords(words)
        return carp_words.parse(rest, first, self._complain, vocabulary=OPENBSD_WORDS)

    def _link(self, said: CarpWords) -> str | None:
        try:
            if said.carpdev is not None:
                link = self._renames.get(said.carpdev.text, said.carpdev.text)
                self._parents.check(link)
                return link
            if said.addresses:
                return self._parents.containing(said.addresses[0][1]).link
        except NoParentError as exc:
            hint = exc.hint if said.carpdev is not None else "add carpdev INTERFACE"
            self._complain(said.carpdev or said.addresses[0][0], str(exc), hint)
            return None
        return None

    def _complain(self, where: Word, text: str, hint: str) -> None:
        self.problems.append(Problem(self._file, where.line, where.column, text, hint))


def _with_keywords(words: list[Word]) -> list[Word]:
    """Return ``inet [alias] ADDRESS MASK BROADCAST`` with its keywords: what stands after an address is its mask."""
    found: list[Word] = []
    rest = list(words)
    while rest and rest[0].text in ("inet", "inet6", "alias"):
        found.append(rest.pop(0))
    if not rest:
        return found
    found.append(rest.pop(0))
    if not rest:
        return found
    if found[0].text == "inet6":
        keyword = "prefixlen" if rest[0].text.isdecimal() else ""
    else:
        keyword = "netmask" if _looks_like_mask(rest[0].text) else ""
    if keyword:
        mask = rest.pop(0)
        found += [Word(keyword, mask.line, mask.column), mask]
        if rest and (rest[0].text == _NO_BROADCAST or _looks_like_mask(rest[0].text)):
            rest.pop(0)
    return found + rest


def _looks_like_mask(text: str) -> bool:
    if text.lower().startswith("0x"):
        return True
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False
