"""One line of a scenario taken apart: a verb, words from the left, settings by their names."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pycarp.dialects import Dialect, by_name
from pycarp.vocabulary import NS_PER_S, HostKey

LINK = "em0"
"""The link of every host that names no other."""

_T = TypeVar("_T")
_UNITS = {"us": 1_000, "ms": 1_000_000, "s": NS_PER_S}
_SWITCH = {"on": True, "off": False, "1": True, "0": False}


class WordError(Exception):
    """A word that is not understood; becomes a ScenarioError with its place."""


class Command:
    """One line taken apart: words are taken from the left, settings by name; what is left over is an error."""

    def __init__(self, line: str) -> None:
        try:
            words = shlex.split(line)
        except ValueError as exc:
            raise WordError(f"{line!r}: {exc}") from exc
        self.verb, *rest = words
        self._words = [word for word in rest if "=" not in word]
        self._settings = dict(word.split("=", 1) for word in rest if "=" in word)

    def word(self, what: str) -> str:
        """Take the next word."""
        if not self._words:
            raise WordError(f"{self.verb}: {what} is missing")
        return self._words.pop(0)

    def choice(self, what: str, choices: Iterable[str]) -> str:
        """Take the next word, which is one of ``choices``."""
        word, known = self.word(what), tuple(choices)
        if word not in known:
            raise WordError(f"{self.verb}: {what} {word!r} is none of {', '.join(known)}")
        return word

    def flag(self, word: str) -> bool:
        """Take a word if it is there."""
        if word in self._words:
            self._words.remove(word)
            return True
        return False

    def optional(self, default: str) -> str:
        """Take the next word, if there is any."""
        return self._words.pop(0) if self._words else default

    def setting(self, key: str, parse: Callable[[str], _T], default: _T) -> _T:
        """Take a setting."""
        text = self._settings.pop(key, None)
        if text is None:
            return default
        try:
            return parse(text)
        except (ValueError, KeyError, InvalidOperation) as exc:
            raise WordError(f"{self.verb}: {key}={text} is not understood") from exc
        except WordError as exc:
            raise WordError(f"{self.verb}: {key}={text}: {exc}") from exc

    def settings(self, parsers: Mapping[str, Callable[[str], object]]) -> dict[str, Any]:
        """Take every setting that is known and there; a word that names one stands for ``on``."""
        for word in [each for each in self._words if each in parsers]:
            self._words.remove(word)
            self._settings[word] = "on"
        return {key: self.setting(key, parse, None) for key, parse in parsers.items() if key in self._settings}

    def place(self) -> tuple[str, HostKey]:
        """Return the node and the key that a ``host`` command names, without taking anything but the name."""
        node, _, rest = self.word("the host").partition("/")
        vhid, _, link = rest.partition("@")
        number = vhid or self._settings.get("vhid", "1")
        if not number.isdigit():
            raise WordError(f"{self.verb}: vhid {number!r} is not a whole number")
        return node, HostKey(link or self._settings.get("interface", LINK), int(number))

    def done(self) -> None:
        """Make sure that nothing is left over."""
        left = [*self._words, *(f"{key}=" for key in self._settings)]
        if left:
            raise WordError(f"{self.verb}: {left[0]!r} is not understood")


def span(text: str) -> int:
    """Return ``5s``, ``20ms`` or ``50us`` in nanoseconds; ValueError for anything else."""
    for unit, scale in _UNITS.items():
        if text.endswith(unit) and text[: -len(unit)].replace(".", "", 1).isdigit():
            return int(Decimal(text[: -len(unit)]) * scale)
    raise ValueError(text)


def switch(text: str) -> bool:
    """Return on or off as a truth; KeyError for anything else."""
    return _SWITCH[text]


def listed(text: str) -> tuple[str, ...]:
    """Return what commas part; ``none`` is nothing."""
    return () if text == "none" else tuple(text.split(","))


def dialects(text: str) -> tuple[Dialect, ...]:
    """Return dialects by their names."""
    return tuple(by_name(each) for each in text.split(","))
