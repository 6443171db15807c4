"""Reads the assignments and commands of a shell script such as rc.conf, without running it.

Every character of a value remembers where it stands, so that a problem can point at the very word. A value that a
running shell alone would know is marked, with the reason: it is computed, or it is given in a branch, a loop, a
function or a subshell, so that reading the file from top to bottom would only find the last of several.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_ASSIGNMENT_BELOW = re.compile(r"\n[ \t]*[A-Za-z_][A-Za-z0-9_]*=")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_DEFAULT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):?=")
_HERE = re.compile(r"<<(-?)[ \t]*(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\s;&|()<>]+))")
_REDIRECTION = re.compile(r"<<<|<<|<>|<&|>&|>>|>\||<|>")
_FUNCTION = re.compile(r"\([ \t]*\)")
_ENDS_WORD = frozenset(" \t\n;&|()<>")
_ESCAPED_IN_QUOTES = frozenset('"\\$`\n')
_DECLARATIONS = frozenset({"export", "readonly", "local", "declare", "typeset"})
_COMPUTED_AFTER_DOLLAR = frozenset("({?!#@*$-0123456789")
_OPENS = {")": "(", "}": "{"}
_EXPANSION_MAX = 10_000
_BLANKS = frozenset(" \t\r\n")
_COMPOUNDS = {
    "if": ("fi", "a condition of the shell"),
    "case": ("esac", "a condition of the shell"),
    "while": ("done", "a loop of the shell"),
    "until": ("done", "a loop of the shell"),
    "for": ("done", "a loop of the shell"),
    "select": ("done", "a loop of the shell"),
    "{": ("}", ""),
}
"""What begins a compound command: the word that ends it, and what its assignments depend on."""

_WITH_ARGUMENTS = frozenset({"case", "for", "select"})
_PASSED_OVER = frozenset({"then", "else", "elif", "do", "!", "time"})
_ENDS_COMPOUND = frozenset({"fi", "esac", "done", "}"})


class Word(msgspec.Struct, frozen=True):
    """A piece of text and where it begins; line and column count from 1."""

    text: str
    line: int
    column: int


@dataclass(slots=True)
class Assignment:
    """``NAME=value``, or a word of a command, which has no name.

    ``is_computed`` when only a running shell would know the value; ``doubt`` says why, where more is known than that.
    ``splits`` are the blanks, by index, at which the shell would split the word, because they come from a variable.
    """

    name: Word
    characters: list[Word] = field(default_factory=list)
    is_computed: bool = False
    doubt: str = ""
    splits: set[int] = field(default_factory=set)

    @property
    def value(self) -> str:
        """The whole value."""
        return "".join(each.text for each in self.characters)

    @property
    def is_certain(self) -> bool:
        """Whether the value is the same whatever happens when the shell runs."""
        return not (self.is_computed or self.doubt)

    def why_uncertain(self) -> str:
        """Return in words why the value is not certain."""
        return self.doubt or f"{self.name.text} is computed by the shell"

    def words(self) -> list[Word]:
        """Return the words of the value, split at blanks as rc does: quotes inside the value mean themselves."""
        return list(_split((each, each.text in _BLANKS) for each in self.characters))

    def arguments(self) -> list[Word]:
        """Return what a word of a command becomes: itself, unless a variable without quotes brought blanks in."""
        if not self.splits:
            return [Word(self.value, self.name.line, self.name.column)]
        marked = zip(self.characters, (at in self.splits for at in range(len(self.characters))), strict=True)
        return list(_split(marked))


class Command(msgspec.Struct, frozen=True):
    """A simple command: its words, and the assignments before it, which hold for it alone.

    ``condition`` says in words what decides whether it runs at all; empty where nothing does.
    """

    words: list[Assignment]
    assigned: list[Assignment]
    condition: str

    @property
    def where(self) -> Word:
        """The place of its first word, with the name of the command."""
        first = self.words[0]
        return Word(first.value, first.name.line, first.name.column)


@dataclass(slots=True)
class Script:
    """What a script assigns, in its order, and its commands."""

    assignments: list[Assignment] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def sourced(self) -> list[Word]:
        """Return the files that the script has read in its own place: ``. FILE`` and ``source FILE``."""
        return [
            Word(each.words[1].value, each.where.line, each.where.column)
            for each in self.commands
            if each.where.text in (".", "source") and len(each.words) > 1
        ]


class UnclosedQuoteError(Exception):
    """A quote that is never closed; ``hint`` names an earlier line where it may be missing, empty for none."""

    def __init__(self, quote: Word, hint: str = "") -> None:
        super().__init__(quote.text)
        self.quote = quote
        self.hint = hint


def read(text: str) -> Script:
    """Return the assignments and the commands of a script; raises UnclosedQuoteError."""
    return _Scanner(text).scan()


def _split(characters: Iterable[tuple[Word, bool]]) -> Iterator[Word]:
    """Yield words from characters, each with whether it stands between two words."""
    word: list[Word] = []
    for character, is_between in [*characters, (Word(" ", 0, 0), True)]:
        if not is_between:
            word.append(character)
        elif word:
            yield Word("".join(each.text for each in word), word[0].line, word[0].column)
            word = []


class _Compound(msgspec.Struct, frozen=True):
    """A compound command that is not yet closed; ``what`` is empty for ``{`` alone, which decides nothing."""

    closer: str
    what: str
    line: int


class _Scanner:
    """Walks through the text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._column = 1
        self._script = Script()
        self._latest: dict[str, Assignment] = {}
        """The last assignment of each variable."""
        self._words: list[Assignment] = []
        """The words of the simple command that is being read; of ``echo a=b`` the second is only an argument."""
        self._assigned: list[Assignment] = []
        self._present = Assignment(Word("", 1, 1))
        """The word that is being read."""
        self._kept: list[Assignment] = []
        """All assignments that held when they were read, those that were taken back since as well."""
        self._list_begins = [0]
        """How many were kept before the present list of commands, at each depth of compound commands."""
        self._pipeline_begins = [0]
        """The same for the present pipeline."""
        self._open: list[_Compound] = []
        self._after_and_or = 0
        """The line of the ``&&`` or ``||`` before this command; 0 for none."""
        self._in_pipeline = False
        self._is_continued = False
        """Whether the next line belongs to this list, because an operator stands at the end of the line."""
        self._defines_function = False
        self._here: list[tuple[str, bool]] = []
        self._word_ended_at = -1

    def scan(self) -> Script:
        """Return everything."""
        while self._at < len(self._text):
            if self._text.startswith("\\\n", self._at):
                self._skip(2)
            elif self._next() == "#":
                self._skip_to_end_of_line()
            elif self._next() in " \t\r":
                self._take()
            elif self._next() in "<>":
                self._scan_redirection()
            elif self._next() in _ENDS_WORD:
                self._scan_operator()
            else:
                self._scan_word()
        self._end_command()
        return self._script

    # Operators

    def _scan_operator(self) -> None:
        function = _FUNCTION.match(self._text, self._at)
        if function and len(self._words) == 1 and not self._assigned:
            self._skip(len(function.group()))
            self._words, self._defines_function = [], True
            return
        operator = self._text[self._at : self._at + 2]
        if operator == "&>":
            self._take()
            return
        is_pipe = operator.startswith("|") and operator != "||"
        self._in_pipeline |= is_pipe
        self._end_command()
        if is_pipe:
            self._doubt(self._pipeline_begins[-1], "in a pipeline")
        self._in_pipeline = is_pipe or (self._in_pipeline and operator[0] == "\n" and self._is_continued)
        if operator in ("&&", "||"):
            self._after_and_or, self._is_continued = self._line, True
            self._pipeline_begins[-1] = len(self._kept)
            self._skip(2)
            return
        self._scan_single_operator()

    def _scan_single_operator(self) -> None:
        operator = self._take().text
        if operator == "|":
            self._is_continued = True
        elif not (operator == "\n" and self._is_continued):
            self._after_and_or = 0
        if operator == "&":
            self._doubt(self._list_begins[-1], "in the background, in a child of the shell")
        if operator in ";&" or (operator == "\n" and not self._is_continued):
            self._list_begins[-1] = self._pipeline_begins[-1] = len(self._kept)
        if operator == "(":
            self._begin(")", "a subshell")
        elif operator == ")":
            self._end(")")
        elif operator == "\n":
            self._skip_here_documents()

    def _doubt(self, begin: int, where: str) -> None:
        """Doubt what was kept from ``begin`` on: the shell assigns it in a child of its own."""
        for each in self._kept[begin:]:
            each.doubt = each.doubt or f"{each.name.text} is given {where}"

    def _scan_redirection(self) -> None:
        """Pass over a redirection with its target, which is no argument; of ``2>&1`` also the number."""
        if self._words and self._word_ended_at == self._at and self._words[-1].value.isdecimal():
            self._words.pop()
        here = _HERE.match(self._text, self._at) if not self._text.startswith("<<<", self._at) else None
        if here:
            self._here.append((here[2] or here[3] or (here[4] or "").replace("\\", ""), bool(here[1])))
            self._skip(len(here.group()))
            return
        operator = _REDIRECTION.match(self._text, self._at)
        self._skip(len(operator.group()) if operator else 1)
        while self._next() and self._next() in " \t":
            self._take()
        if self._next() and self._next() not in _ENDS_WORD:
            self._scan_value(Assignment(Word("", self._line, self._column)))

    def _skip_here_documents(self) -> None:
        for delimiter, strips_tabs in self._here:
            while self._at < len(self._text):
                begin = self._at
                self._skip_to_end_of_line()
                line = self._text[begin : self._at]
                self._skip(1)
                if (line.lstrip("\t") if strips_tabs else line) == delimiter:
                    break
        self._here = []

    # Commands

    def _begin(self, closer: str, what: str) -> None:
        if self._defines_function:
            what = "a function of the shell"
        elif not what and self._after_and_or:
            what = "a condition of the shell"
        self._open.append(_Compound(closer, what, self._line))
        self._list_begins.append(len(self._kept))
        self._pipeline_begins.append(len(self._kept))
        self._defines_function, self._after_and_or = False, 0

    def _end(self, closer: str) -> None:
        if self._open and self._open[-1].closer == closer:
            self._open.pop()
            self._list_begins.pop()
            self._pipeline_begins.pop()

    def _condition(self) -> str:
        """Return what decides whether the present command runs, with its line; empty for nothing."""
        if self._after_and_or:
            return f"a condition of the shell in line {self._after_and_or}"
        deciding = next((each for each in reversed(self._open) if each.what), None)
        return f"{deciding.what} in line {deciding.line}" if deciding else ""

    def _end_command(self) -> None:
        words, assigned, condition = self._words, self._assigned, self._condition()
        self._words, self._assigned, self._word_ended_at = [], [], -1
        is_declaration = bool(words) and words[0].value in _DECLARATIONS
        for each in assigned if self._in_pipeline else ():
            each.doubt = each.doubt or f"{each.name.text} is given in a pipeline"
        if not words or is_declaration:
            self._keep(assigned)
        if words and not is_declaration:
            self._script.commands.append(Command(words, assigned, condition))
            self._forget(words, condition)

    def _forget(self, words: list[Assignment], condition: str) -> None:
        """Forget the value of a variable that ``unset`` or ``read`` changes."""
        if words[0].value not in ("unset", "read"):
            return
        names = {each.value for each in words[1:]}
        if words[0].value == "unset" and not condition:
            for name in names & self._latest.keys():
                del self._latest[name]
                self._script.assignments = [each for each in self._script.assignments if each.name.text != name]
            return
        doubt = f"depends on {condition}" if condition else "is read by the shell"
        where = words[0].name
        places = [Word(name, where.line, where.column) for name in sorted(names) if name in self._latest]
        self._keep([Assignment(place, doubt=f"{place.text} {doubt}") for place in places])

    def _keep(self, assigned: list[Assignment]) -> None:
        self._script.assignments += assigned
        self._kept += assigned
        self._latest |= {each.name.text: each for each in assigned}

    def _scan_word(self) -> None:
        may_assign = not self._words or self._words[0].value in _DECLARATIONS
        match = _NAME.match(self._text, self._at) if may_assign else None
        begin = self._at
        word = Assignment(Word(match[1] if match else "", self._line, self._column))
        self._skip(len(match.group()) if match else 0)
        self._present = word
        self._scan_value(word)
        self._word_ended_at, self._is_continued = self._at, False
        if match:
            self._assign(word, is_appended=bool(match[2]))
        elif self._words or self._assigned or not self._take_keyword(self._text[begin : self._at]):
            self._words.append(word)

    def _assign(self, word: Assignment, *, is_appended: bool) -> None:
        name = word.name.text
        if condition := self._condition():
            word.doubt = f"{name} depends on {condition}"
        elif is_appended:
            word.doubt = f"{name} is appended to, which FreeBSD's shell does not know"
        self._assigned.append(word)

    def _take_keyword(self, text: str) -> bool:
        """Take a first word that is the shell's own; False for the name of a command."""
        text = text.rstrip("\r")
        if text in _COMPOUNDS:
            self._begin(*_COMPOUNDS[text])
            return text not in _WITH_ARGUMENTS
        if text in _ENDS_COMPOUND:
            self._end(text)
            return True
        if text == "function":
            self._skip_function_name()
            return True
        return text in _PASSED_OVER

    def _skip_function_name(self) -> None:
        while self._next() and self._next() in " \t":
            self._take()
        while self._next() and self._next() not in _ENDS_WORD:
            self._take()
        if after := re.compile(r"[ \t]*\([ \t]*\)").match(self._text, self._at):
            self._skip(len(after.group()))
        self._defines_function = True

    # Values

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
                case "\r" if self._next() in ("", "\n"):
                    pass
                case _:
                    self._add(character, into, is_quoted=False)

    def _scan_single(self, quote: Word, into: Assignment) -> None:
        while (character := self._take_inside(quote)).text != "'":
            into.characters.append(character)

    def _scan_double(self, quote: Word, into: Assignment) -> None:
        while (character := self._take_inside(quote)).text != '"':
            if character.text == "\\" and self._next() in _ESCAPED_IN_QUOTES:
                self._scan_escape(into)
            else:
                self._add(character, into, is_quoted=True)

    def _scan_escape(self, into: Assignment) -> None:
        """Take what follows a backslash as it is; a line end after it joins the lines."""
        if self._at < len(self._text):
            character = self._take()
            if character.text != "\n":
                into.characters.append(character)

    def _add(self, character: Word, into: Assignment, *, is_quoted: bool) -> None:
        """Take a character that may begin an expansion."""
        reference = _REFERENCE.match(self._text, self._at - 1) if character.text == "$" else None
        if reference is None:
            into.characters.append(character)
            is_expansion = character.text == "$" and self._next() in _COMPUTED_AFTER_DOLLAR
            if is_expansion or character.text == "`":
                into.is_computed = True
                begin = self._at - 1
                self._skip_expansion(character)
                self._keep_default(character, self._text[begin : self._at])
            return
        self._skip(len(reference.group()) - 1)
        self._expand(reference.group(1) or reference.group(2), character, into, is_quoted=is_quoted)

    def _keep_default(self, where: Word, expansion: str) -> None:
        """Keep what ``${NAME:=value}`` assigns if the variable has no value before."""
        match = _DEFAULT.match(expansion)
        if match is None:
            return
        name = match[1]
        before = self._latest.get(name)
        if before is not None and before.is_certain and before.value:
            return
        value = expansion[match.end() :].removesuffix("}").replace('"', "").replace("'", "")
        characters = [Word(each, where.line, where.column) for each in value]
        doubt = f"{name} is given by the shell as a default, with ${{{name}:=...}}"
        self._keep([Assignment(Word(name, where.line, where.column), characters, doubt=doubt)])

    def _expand(self, name: str, where: Word, into: Assignment, *, is_quoted: bool) -> None:
        meant = next((each for each in reversed(self._assigned) if each.name.text == name), self._latest.get(name))
        if meant is None:
            into.doubt = into.doubt or f"{name} has no value in this file"
        elif len(into.characters) + len(meant.characters) > _EXPANSION_MAX:
            # Forty lines that each double the one before would need all the memory there is.
            into.is_computed = True
        else:
            into.is_computed |= meant.is_computed
            into.doubt = into.doubt or meant.doubt
            for each in meant.value:
                if each in _BLANKS and not is_quoted:
                    into.splits.add(len(into.characters))
                into.characters.append(Word(each, where.line, where.column))

    def _skip_expansion(self, begin: Word) -> None:
        """Pass over what is in ``$(...)``, ``${...}`` and between backquotes: its blanks end no word."""
        if begin.text == "`":
            end = self._text.find("`", self._at)
            self._skip(max(end + 1 - self._at, 0))
            return
        pair = {"(": ")", "{": "}"}.get(self._next())
        depth = 0
        while pair and self._at < len(self._text):
            depth += {_OPENS[pair]: 1, pair: -1}.get(self._take().text, 0)
            if not depth:
                return

    def _skip_to_end_of_line(self) -> None:
        while self._at < len(self._text) and self._next() != "\n":
            self._take()

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, length: int) -> None:
        for _ in range(min(length, len(self._text) - self._at)):
            self._take()

    def _take_inside(self, quote: Word) -> Word:
        if self._at >= len(self._text):
            raise UnclosedQuoteError(quote, self._where_it_may_miss())
        return self._take()

    def _where_it_may_miss(self) -> str:
        """Return a hint to the first value that goes on over a later assignment: its quote is missing."""
        swallowing = (
            each for each in [*self._kept, *self._assigned, self._present] if _ASSIGNMENT_BELOW.search(each.value)
        )
        first = next(swallowing, None)
        return (
            f"maybe the quote of line {first.name.line} is missing, whose value goes over several lines"
            if first
            else ""
        )

    def _take(self) -> Word:
        character = Word(self._text[self._at], self._line, self._column)
        self._at += 1
        if character.text == "\n":
            self._line, self._column = self._line + 1, 1
        else:
            self._column += 1
        return character
