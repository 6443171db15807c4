"""Finds what may follow the words of a command line, and prints it for the shell.

Each line is a kind, a value and a help text, with tabs between them; ``file`` and ``dir`` ask the shell for its own.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

VARIABLE = "PYCARP_COMPLETE"
"""Variable of the environment that is set when a shell asks; the last argument is the unfinished word."""

INDEX = os.path.join(os.path.dirname(__file__), "commands.json")

FILE, FOLDER, HOST, INTERFACE, PLAIN = "file", "dir", "host", "interface", "plain"
_INTERFACES = "/sys/class/net"


class Candidate(NamedTuple):
    """Something that may follow; ``file`` and ``dir`` have no value."""

    kind: str
    value: str = ""
    help: str = ""


def answer(arguments: Sequence[str]) -> None:
    """Print what may follow the arguments of ``pycarp``, of which the last one is not finished."""
    words = list(arguments) or [""]
    with open(INDEX, encoding="utf-8") as file:
        index = json.load(file)
    lines = ["\t".join(each) for each in candidates(index, words[:-1], words[-1])]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def candidates(index: dict[str, Any], words: Sequence[str], unfinished: str) -> list[Candidate]:
    """Return what may stand in the place of an unfinished word behind others; nothing behind words that are wrong."""
    place = _Place(index)
    for word in words:
        place.pass_over(word)
    return _matching(*_offered(place, words, unfinished))


class _Place:
    """Where in a command line one is: its command, the arguments before, and the value that an option awaits."""

    def __init__(self, index: dict[str, Any]) -> None:
        self.command = index
        self.arguments = 0
        self.awaited: Any = None
        self.used: list[str] = []
        self.has_options = True

    def pass_over(self, word: str) -> None:
        if self.awaited is not None:
            self.awaited = None
        elif self.has_options and word == "--":
            self.has_options = False
        elif self.has_options and word.startswith("-") and len(word) > 1:
            name, equals, _value = word.partition("=")
            self.used.append(name)
            self.awaited = None if equals else _value_of(self.command, name)
        elif "commands" in self.command:
            # Behind a command that does not exist nothing is offered.
            self.command = self.command["commands"].get(word, {})
        else:
            self.arguments += 1


def _offered(place: _Place, words: Sequence[str], unfinished: str) -> tuple[Iterable[Candidate], str]:
    """Return what may come at a place, and the part of the unfinished word that it must begin with."""
    if place.awaited is not None:
        return _values(place.awaited, words), unfinished
    if place.has_options and unfinished.startswith("-"):
        name, equals, begun = unfinished.partition("=")
        if equals:
            return _values(_value_of(place.command, name) or [], words), begun
        return _options(place.command, place.used), unfinished
    if "commands" in place.command:
        commands = place.command["commands"].items()
        return (Candidate(PLAIN, name, each["help"]) for name, each in commands), unfinished
    return _values(_argument(place.command, place.arguments), words), unfinished


def _value_of(command: dict[str, Any], option: str) -> Any:
    """Return what value an option takes; None if it takes none, or is unknown."""
    for each in command.get("options", ()):
        if option in each["names"]:
            return each.get("value")
    return None


def _options(command: dict[str, Any], used: Sequence[str]) -> list[Candidate]:
    return [
        Candidate(PLAIN, name, each["help"])
        for each in command.get("options", ())
        if each.get("repeats") or not set(each["names"]) & set(used)
        for name in each["names"]
        if name.startswith("--")
    ]


def _argument(command: dict[str, Any], number: int) -> Any:
    """Return what value an argument takes; the last one of a command may be one of many."""
    taken = command.get("arguments", [])
    if number < len(taken):
        return taken[number]
    return taken[-1] if taken and command.get("repeats") else []


def _values(kind: Any, words: Sequence[str]) -> Iterator[Candidate]:
    """Yield the values of a kind, or of a list of choices."""
    if isinstance(kind, list):
        yield from (Candidate(PLAIN, each) for each in kind)
    elif kind in (FILE, FOLDER):
        yield Candidate(kind)
    elif kind == INTERFACE:
        yield from (Candidate(PLAIN, each) for each in sorted(os.listdir(_INTERFACES)) if each != "lo")
    elif kind == HOST:
        # Not before it is needed: sockets take time to import.
        from pycarp.tab_completion.running_hosts import running_hosts  # noqa: PLC0415

        yield from (Candidate(PLAIN, name, state) for name, state in running_hosts(_control_in(words)))


def _control_in(words: Sequence[str]) -> str:
    """Return the control socket that the command line names; empty if it names none."""
    for number, word in enumerate(words):
        if word == "--control" and number + 1 < len(words):
            return words[number + 1]
        if word.startswith("--control="):
            return word.partition("=")[2]
    return ""


def _matching(found: Iterable[Candidate], begun: str) -> list[Candidate]:
    return [each for each in found if each.kind != PLAIN or each.value.startswith(begun)]
