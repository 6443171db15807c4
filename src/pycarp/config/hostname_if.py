"""OpenBSD's ``hostname.carp0``. Source: carp.md 8.4; the order of a line: ``man 5 hostname.if``.

The interface's name is the file's. Lines with ``!`` are commands for a shell; they are passed over, with a note.

A line is read twice, as OpenBSD's netstart does: by ``read`` without ``-r``, which takes each backslash away and joins
lines that end in one, and then by ``eval`` of the whole, to which quotes and the other signs of a shell mean something.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import PurePath

from pycarp.config import carp_words
from pycarp.config.carp_words import OPENBSD_WORDS, CarpWords, Complain
from pycarp.config.host_building import build_host, complain_of_missing, complain_of_scopes, notes_of
from pycarp.config.model import NodeConfig
from pycarp.config.parents import NoParentError, Parents, unused_renames
from pycarp.config.problems import ConfigProblems, Problem
from pycarp.config.shell_script import Word
from pycarp.config.source_text import plain
from pycarp.dialects import OPENBSD, Dialect
from pycarp.vocabulary import LinkFacts

PREFIX = "hostname."

_NOT_STATIC = frozenset({"dhcp", "rtsol", "autoconf"})
_NO_LINK = "carp"
"""A placeholder for an unknown device, so that everything else is checked; the file is refused."""

_NO_BROADCAST = "NONE"
_QUOTES = "\"'"
_PROBLEMS_MAX = 100
"""The most problems of a file that are reported: with more, it is probably of another kind."""

_BLANKS = " \t\r"
_SIGNS = ";&|<>()"
_ESCAPED_IN_QUOTES = '"\\$`'


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
    config = reader.read(plain(text))
    if reader.problems:
        raise ConfigProblems(reader.problems)
    return config


class _Reader:
    """Reads one file, and collects all problems."""

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
        for line in _lines(text):
            before = len(self.problems)
            if before > _PROBLEMS_MAX:
                break
            if line and line[0].text == "!":
                notes.append(f"{self._file}:{line[0].line}: a command for a shell is passed over")
                continue
            words = _Words(line, self._complain).read()
            said.has_faults |= len(self.problems) > before
            if words:
                said.merge(self._parse(words), self._complain)
        named = [said.carpdev.text] if said.carpdev else []
        for complaint, hint in unused_renames(self._renames, named):
            self._complain(said.where, complaint, hint)
        link = self._link(said)
        complain_of_missing(said, self._complain)
        if not said.addresses and not said.has_faults:
            self._complain(said.where, "no shared address", "add inet ADDRESS NETMASK")
        if link is not None:
            complain_of_scopes(said, (link, *named, self._name), self._complain)
        known = said.carpdev.text if said.carpdev else _NO_LINK
        host = build_host(said, link=link or known, name=self._name, dialect=self._dialect, complain=self._complain)
        where = said.numbers["vhid"][0] if "vhid" in said.numbers else said.where
        return NodeConfig(
            hosts=(host,) if host else (),
            notes=(*notes, *notes_of(said, self._file)),
            places={host.key: (where.line, where.column)} if host else {},
        )

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
                return self._containing(said)
        except NoParentError as exc:
            hint = exc.hint if said.carpdev is not None else "add carpdev INTERFACE"
            if said.carpdev is not None or not said.has_faults:
                self._complain(said.carpdev or said.addresses[0][0], str(exc), hint)
            return None
        return None

    def _containing(self, said: CarpWords) -> str:
        """Return the device of the first address that says where it belongs; a link-local one does by its scope."""
        routed = [address for _word, address, _prefix in said.addresses if not address.is_link_local]
        if not routed and said.scopes:
            scope = said.scopes[0][1]
            self._parents.check(self._renames.get(scope, scope))
            return self._renames.get(scope, scope)
        return self._parents.containing((routed or [said.addresses[0][1]])[0]).link

    def _complain(self, where: Word, text: str, hint: str) -> None:
        self.problems.append(Problem(self._file, where.line, where.column, text, hint))


def _lines(text: str) -> Iterator[list[Word]]:
    """Yield the characters of each line as ``read`` gives them, without its backslashes; joined, without blanks."""
    line: list[Word] = []
    number, column, is_escaped = 1, 0, False
    for character in f"{text}\n":
        column += 1
        if character == "\\" and not is_escaped:
            is_escaped = True
            continue
        if character != "\n":
            is_blank = character in _BLANKS
            # Blanks in a row are one, also in quotes: the shell splits the line before it evaluates it.
            if not (is_blank and (not line or line[-1].text == " ")):
                line.append(Word(" " if is_blank else character, number, column))
        elif not is_escaped:
            yield line
            line = []
        if character == "\n":
            number, column = number + 1, 0
        is_escaped = False
    if line:
        yield line


class _Words:
    """Splits a line as ``eval`` does: at blanks outside of quotes, up to a word that begins with ``#``."""

    def __init__(self, line: list[Word], complain: Complain) -> None:
        self._rest = list(reversed(line))
        self._complain = complain
        self._is_faulty = False
        self._words: list[Word] = []
        self._begin: Word | None = None
        self._text = ""

    def read(self) -> list[Word]:
        """Return the words, none of a line that cannot be understood, which is complained about."""
        while self._rest:
            character = self._rest.pop()
            if character.text == "#" and self._begin is None:
                break
            if character.text == " ":
                self._end()
            else:
                self._begin = self._begin or character
                self._take(character)
        self._end()
        return [] if self._is_faulty else self._words

    def _end(self) -> None:
        if self._begin is not None:
            self._words.append(Word(self._text, self._begin.line, self._begin.column))
        self._begin, self._text = None, ""

    def _take(self, character: Word) -> None:
        if character.text in _QUOTES:
            self._take_quoted(character)
        elif character.text == "\\":
            self._text += self._rest.pop().text if self._rest else ""
        elif character.text in _SIGNS:
            self._refuse(character, f"{character.text} means something to OpenBSD's shell", "put the word into quotes")
        else:
            self._add(character)

    def _take_quoted(self, quote: Word) -> None:
        while self._rest:
            character = self._rest.pop()
            if character.text == quote.text:
                return
            if quote.text == "'":
                self._text += character.text
            elif character.text == "\\" and self._rest and self._rest[-1].text in _ESCAPED_IN_QUOTES:
                self._text += self._rest.pop().text
            else:
                self._add(character)
        self._refuse(quote, f"quote {quote.text} is never closed", "")

    def _add(self, character: Word) -> None:
        """Take a character that the shell may replace by something else."""
        is_name = bool(self._rest) and (self._rest[-1].text.isalnum() or self._rest[-1].text in "_{(?!#@*$-")
        if character.text == "`" or (character.text == "$" and is_name):
            self._refuse(character, "this is computed by OpenBSD's shell", "put the word into single quotes")
        self._text += character.text

    def _refuse(self, where: Word, text: str, hint: str) -> None:
        self._is_faulty = True
        self._complain(where, text, hint)


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
