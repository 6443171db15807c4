"""The braces of keepalived.conf: statements of words, each alone on its line or with a block of further statements.

Source: keepalived.conf(5). ``#`` and ``!`` begin a comment outside of quotes; ``$NAME=VALUE`` defines what ``$NAME``
and ``${NAME}`` stand for below it; ``@ID`` before a statement makes it hold only where keepalived is started as ID.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pycarp.config.carp_words import Complain
from pycarp.config.shell_script import Word
from pycarp.config.source_text import plain

_DEFINITION = re.compile(r"\s*\$([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_TEMPLATE = re.compile(r"\{\{|\{%|<%")
_SEQUENCE = re.compile(r"~(SEQ|LST)\b")
_QUOTES = "\"'"
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_ESCAPED = re.compile(r"\\([\"'\\])")
_COMMENTS = "#!"
_SIGNED = "auth_pass"
_EXPANSION_MAX = 100_000
"""The most characters after the substitution of variables."""


@dataclass(slots=True)
class Statement:
    """A keyword and its words; ``block`` is None without braces."""

    words: list[Word]
    block: "list[Statement] | None" = field(default=None)

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0].text

    @property
    def where(self) -> Word:
        """The place of the first word."""
        return self.words[0]

    @property
    def inner(self) -> "list[Statement]":
        """The statements of the block; none without one."""
        return self.block or []

    def all_words(self) -> Iterator[Word]:
        """Yield its words and those of all that is inside."""
        left = [self]
        while left:
            statement = left.pop()
            yield from statement.words
            left += statement.inner


def parse(text: str, complain: Complain) -> list[Statement]:
    """Return the statements of a file; what cannot be understood is complained about."""
    parser = _Parser(complain)
    for number, line, is_as_written in _Lines(plain(text), complain):
        parser.take(number, line, is_as_written=is_as_written)
    return parser.finish()


class _Lines:
    """The lines without definitions, with the values of variables put in."""

    def __init__(self, text: str, complain: Complain) -> None:
        self._text = text
        self._complain = complain
        self._values: dict[str, str] = {}
        self._expanded = 0

    def __iter__(self) -> Iterator[tuple[int, str, bool]]:
        lines = iter(enumerate(self._text.split("\n"), start=1))
        for number, line in lines:
            if definition := _DEFINITION.match(line):
                value = definition[2]
                while value.endswith("\\"):
                    _number, more = next(lines, (number, ""))
                    value = f"{value[:-1]}\n{more}"
                self._values[definition[1]] = self._expand(value.strip(), number)
                continue
            expanded = self._expand(line, number)
            for each in expanded.split("\n"):
                yield number, each, expanded == line

    def _expand(self, line: str, number: int) -> str:
        def value_of(match: re.Match[str]) -> str:
            value = self._values.get(match[1] or match[2])
            if value is None:
                return match[0]
            self._expanded += len(value)
            return value if self._expanded <= _EXPANSION_MAX else ""

        was_too_much = self._expanded > _EXPANSION_MAX
        line = _REFERENCE.sub(value_of, line)
        if self._expanded > _EXPANSION_MAX and not was_too_much:
            self._complain(Word("", number, 1), "the variables make too much text of this", "write it without them")
        return line


class _Parser:
    """Puts words into statements, and statements into blocks."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._root: list[Statement] = []
        self._open: list[tuple[Word, list[Statement]]] = []
        """The blocks that are not closed yet, with the place where each begins."""
        self._is_template = False

    def take(self, number: int, line: str, *, is_as_written: bool) -> None:
        """Take a line; the columns of one that is not as written are unknown."""
        if self._is_template:
            return
        words: list[Word] = []
        for word, is_brace in _words(number, line, self._complain):
            place = word if is_as_written else Word(word.text, word.line, 1)
            if _TEMPLATE.match(line, word.column - 1):
                self._is_template = True
                self._complain(place, "this is a template, not a configuration", "fill it in first")
                return
            if not is_brace:
                words.append(place)
            elif place.text == "{":
                self._begin(words, place)
                words = []
            else:
                self._add(words)
                words = []
                self._end(place)
        self._add(words)

    def finish(self) -> list[Statement]:
        """Return the statements of the file, none of a template; complain about a block that nothing closes."""
        if self._is_template:
            return []
        if self._open:
            where, _statements = self._open[-1]
            self._complain(where, f"the block of {where.text} is never closed", "add }")
        return self._root

    @property
    def _present(self) -> list[Statement]:
        return self._open[-1][1] if self._open else self._root

    def _add(self, words: list[Word]) -> None:
        if not words:
            return
        first = words[0]
        if first.text.startswith("@"):
            machine = first.text.lstrip("@^")
            hint = f"in a copy for this machine take {first.text} away where it holds, and the line where it does not"
            self._complain(first, f"this line depends on the machine: keepalived --config-id {machine}", hint)
            words = words[1:]
        elif _SEQUENCE.match(first.text):
            self._complain(first, f"{first.text} makes several lines of one", "write them out")
            return
        if words:
            self._present.append(Statement(words))

    def _begin(self, words: list[Word], brace: Word) -> None:
        self._add(words)
        before = self._present[-1] if self._present else None
        if before is None or before.block is not None:
            self._complain(brace, "{ has no keyword before it", "remove it with its }")
            before = Statement([brace])
        before.block = []
        self._open.append((before.where, before.block))

    def _end(self, brace: Word) -> None:
        if self._open:
            self._open.pop()
        else:
            self._complain(brace, "} closes no block", "remove it, or the } above that stands one block too early")


def _words(number: int, line: str, complain: Complain) -> Iterator[tuple[Word, bool]]:
    """Yield the words of a line, without quotes and comments, and whether each is a brace."""
    at = 0
    while at < len(line):
        character = line[at]
        if character.isspace():
            at += 1
        elif character in _COMMENTS:
            return
        elif character in "{}":
            yield Word(character, number, at + 1), True
            at += 1
        elif character in _QUOTES:
            quoted = _QUOTED.match(line, at)
            if quoted is None:
                complain(Word("", number, at + 1), f"quote {character} is never closed", "close it on this line")
                return
            yield Word(_ESCAPED.sub(r"\1", quoted[0][1:-1]), number, at + 1), False
            at = quoted.end()
        else:
            end = _end_of_word(line, at)
            _check_references(Word(line[at:end], number, at + 1), complain, is_secret=_SIGNED in line[:at])
            yield Word(line[at:end], number, at + 1), False
            at = end


def _check_references(word: Word, complain: Complain, *, is_secret: bool) -> None:
    """Report a variable without a value; in a password only if it is the whole password, without showing it."""
    if is_secret and _REFERENCE.fullmatch(word.text):
        hint = "write the password; in quotes, if it is meant as it stands"
        complain(word, f"{_SIGNED} is a variable that has no value in this file", hint)
    elif not is_secret and (unknown := _REFERENCE.search(word.text)):
        complain(word, f"{unknown[0]} has no value in this file", "write the value")


def _end_of_word(line: str, at: int) -> int:
    """Return where a word ends; the braces of ``${NAME}`` belong to it."""
    in_reference = False
    while at < len(line):
        character = line[at]
        if character == "{" and line[at - 1 : at] == "$":
            in_reference = True
        elif character == "}" and in_reference:
            in_reference = False
        elif character.isspace() or character in _COMMENTS or character in "{}":
            return at
        at += 1
    return at
