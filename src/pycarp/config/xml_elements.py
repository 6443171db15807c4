"""Elements of an XML file with their places; a file that declares a document type or an entity is refused.

Without entities of its own a text cannot grow while it is read, and nothing is read from elsewhere.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Never
from xml.parsers import expat

_DEPTH_MOST = 50
_ELEMENTS_MOST = 100_000


class XmlError(Exception):
    """The text is no XML, or more than is looked at; ``line`` and ``column`` count from 1."""

    def __init__(self, text: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(text)
        self.line = line
        self.column = column
        self.hint = hint


@dataclass(slots=True)
class Element:
    """One element: its text without blanks around it, and what is in it; line and column count from 1."""

    name: str
    line: int
    column: int
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, name: str) -> Iterator["Element"]:
        """Yield the children of a name."""
        return (each for each in self.children if each.name == name)

    def first(self, name: str) -> "Element | None":
        """Return the first child of a name, None without one."""
        return next(self.all(name), None)

    def text_of(self, name: str) -> str:
        """Return the text of the first child of a name, empty without one."""
        found = self.first(name)
        return found.text if found else ""


def read(text: str, sections: Collection[str]) -> Element:
    """Return the root with those of its children that are named; others are passed over. Raises XmlError."""
    reader = _Reader(sections)
    try:
        reader.parser.Parse(text.encode(), True)
    except expat.ExpatError as exc:
        raise XmlError(f"this is not XML: {expat.ErrorString(exc.code)}", exc.lineno, exc.offset + 1) from None
    assert reader.root is not None
    return reader.root


class _Reader:
    """Builds elements from the events of expat."""

    def __init__(self, sections: Collection[str]) -> None:
        # What a declaration says of its encoding was true of the file, not of the text that was decoded.
        self.parser = expat.ParserCreate("utf-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._add
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.buffer_text = True
        self.root: Element | None = None
        self._sections = sections
        self._open: list[Element] = []
        self._depth = 0
        self._count = 0

    def _start(self, name: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            self._fail(f"elements are nested more than {_DEPTH_MOST} deep", "a config.xml is not")
        if self._is_passed_over(name):
            return
        self._count += 1
        if self._count > _ELEMENTS_MOST:
            self._fail(f"more than {_ELEMENTS_MOST:,} elements", "a config.xml has fewer")
        element = Element(name, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _is_passed_over(self, name: str) -> bool:
        """Whether an element that begins belongs to a section that nobody asked for."""
        return len(self._open) < self._depth - 1 or (self._depth == 2 and name not in self._sections)

    def _end(self, _name: str) -> None:
        if len(self._open) == self._depth:
            element = self._open.pop()
            element.text = element.text.strip()
        self._depth -= 1

    def _add(self, text: str) -> None:
        if self._open and len(self._open) == self._depth:
            self._open[-1].text += text

    def _refuse(self, *_arguments: object) -> Never:
        self._fail("the file declares a document type or an entity", "a config.xml has none; remove it")

    def _fail(self, text: str, hint: str) -> Never:
        raise XmlError(text, self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1, hint)
