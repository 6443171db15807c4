"""The assignments of a shell script such as rc.conf, without running it.

Every character of a value remembers where it stands, so that a problem can point at the very word. What is no
assignment is passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_ENDS_WORD = frozenset(" \t\n;&|()<>")
_ESCAPED_IN_QUOTES = frozenset('"\\$`\n')
_ENDS_COMMAND = frozenset("\n;&|()")
_BEFORE_COMMAND = frozenset(
    {"export", "readonly", "local", "if", "then", "else", "elif", "do", "while", "until", "{", "!"}
)
_COMPUTED_AFTER_DOLLAR = frozenset("({?!#@*$-0123456789")
_EXPANSION_MAX = 10_000
_BLANKS = frozenset(" \t\r\n")


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of text and where it begins; line and column count from 1."""

    text: str
    line: int
    column: int


@dataclass(slots=True)
class Assignment:
    """``NAME=value``; ``is_computed`` when only a running shell would know the value."""

    name: Word
    characters: list[Word] = field(default_factory=list)
    is_computed: bool = False

    @property
    def value(self) -> str:
        """The whole value."""
        return "".join(each.text for each in self.characters)

    def words(self) -> list[Word]:
        """Return the words of the value, split at blanks as rc does: quotes inside the value mean themselves."""
        return list(_split(self.characters))


class UnclosedQuoteError(Exception):
    """A quote that is never closed."""

    def __init__(self, quote: Word) -> None:
        super().__init__(quote.text)
        self.quote = quote


def assignments(text: str) -> list[Assignment]:
    """Return the assignments in their order; raises UnclosedQuoteError."""
    return _Scanner(text).scan()


def _split(characters: list[Word]) -> Iterator[Word]:
    word: list[Word] = []
    for character in [*characters, Word(" ", 0, 0)]:
        if character.text not in _BLANKS:
            word.append(character)
        elif word:
            yield Word("".join(each.text for each in word), word[0].line, word[0].column)
            word = []


class _Scanner:
    """Walks through the text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._column = 1
        self._found: list[Assignment] = []
        self._may_assign = True
        """Whether a command may begin here; in ``echo a=b`` the second word is only an argument."""

    def scan(self) -> list[Assignment]:
        """Return all assignments."""
        while self._at < len(self._text):
            if self._next() in _ENDS_WORD:
                self._may_assign |= self._take().text in _ENDS_COMMAND
            elif self._text.startswith("\\\n", self._at):
                self._take()
                self._take()
            elif self._next() == "#":
                self._skip_comment()
            else:
                self._scan_word()
        return self._found

    def _scan_word(self) -> None:
        match = _NAME.match(self._text, self._at) if self._may_assign else None
        name = Word(match.group()[:-1] if match else "", self._line, self._column)
        for _ in range(match.end() - match.start() if match else 0):
            self._take()
        assignment = Assignment(name)
        self._scan_value(assignment)
        if match:
            self._found.append(assignment)
        else:
            self._may_assign = self._may_assign and assignment.value in _BEFORE_COMMAND

    def _scan_value(self, into: Assignment) -> None:
        while self._at < len(self._text) and self._next() not in _ENDS_WORD:
            character = self._take()
            match character.text:
                case "'":
                    self._scan_single(character, into)
                case '"':
                    self._scan_double(character, into)
                case "\\":
                    self._scan_escape(into)
                case _:
                    self._add(character, into)

    def _scan_single(self, quote: Word, into: Assignment) -> None:
        while (character := self._take_inside(quote)).text != "'":
            into.characters.append(character)

    def _scan_double(self, quote: Word, into: Assignment) -> None:
        while (character := self._take_inside(quote)).text != '"':
            if character.text == "\\" and self._next() in _ESCAPED_IN_QUOTES:
                self._scan_escape(into)
            else:
                self._add(character, into)

    def _scan_escape(self, into: Assignment) -> None:
        """Take what follows a backslash as it is; a line end after it joins the lines."""
        if self._at < len(self._text):
            character = self._take()
            if character.text != "\n":
                into.characters.append(character)

    def _add(self, character: Word, into: Assignment) -> None:
        """Take a character that may begin an expansion."""
        reference = _REFERENCE.match(self._text, self._at - 1) if character.text == "$" else None
        if reference is None:
            into.is_computed |= character.text == "`" or (
                character.text == "$" and self._next() in _COMPUTED_AFTER_DOLLAR
            )
            into.characters.append(character)
            return
        for _ in range(len(reference.group()) - 1):
            self._take()
        name = reference.group(1) or reference.group(2)
        meant = next((each for each in reversed(self._found) if each.name.text == name), None)
        if meant is not None and len(into.characters) + len(meant.characters) > _EXPANSION_MAX:
            # Forty lines that each double the one before would need all the memory there is.
            into.is_computed = True
        elif meant is not None:
            into.is_computed |= meant.is_computed
            into.characters += [Word(each, character.line, character.column) for each in meant.value]

    def _skip_comment(self) -> None:
        while self._at < len(self._text) and self._next() != "\n":
            self._take()

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take_inside(self, quote: Word) -> Word:
        if self._at >= len(self._text):
            raise UnclosedQuoteError(quote)
        return self._take()

    def _take(self) -> Word:
        character = Word(self._text[self._at], self._line, self._column)
        self._at += 1
        if character.text == "\n":
            self._line, self._column = self._line + 1, 1
        else:
            self._column += 1
        return character
