"""Checks of the values that callers pass, for callers without a type checker.

Each check raises ConfigError, which names the value, what it should be, and the way out.
"""

import math
import unicodedata
from collections.abc import Iterable
from typing import TypeVar

from pycarp.errors import ConfigError

T = TypeVar("T")


def check_flag(name: str, value: object) -> None:
    """Raise ConfigError unless a value is True or False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} {value!r} is neither True nor False")


def check_range(name: str, value: object, low: int, high: int) -> None:
    """Raise ConfigError unless a value is a whole number from ``low`` to ``high``."""
    # A bool is an int to Python, and a float would break only when the first advertisement is packed.
    if type(value) is not int:
        raise ConfigError(f"{name} {value!r} is not a whole number")
    if not low <= value <= high:
        raise ConfigError(f"{name} {value} is outside {low}-{high}")


def check_span(name: str, span_s: object, *, may_be_zero: bool = False, most_s: float = math.inf) -> None:
    """Raise ConfigError unless a value is a number of seconds above 0, or 0 if allowed, and at most ``most_s``."""
    if isinstance(span_s, bool) or not isinstance(span_s, int | float) or math.isnan(span_s):
        raise ConfigError(f"{name} {span_s!r} is not a number of seconds")
    if span_s < 0 or (span_s == 0 and not may_be_zero):
        raise ConfigError(f"{name} {span_s:g} s is not above 0{'' if not may_be_zero else ', nor 0'}")
    if span_s > most_s:
        raise ConfigError(f"{name} {span_s:g} s is outside 0-{most_s:g}")


def check_line(name: str, value: object) -> None:
    """Raise ConfigError unless a value is text without control characters, so that one log line can show it."""
    if not isinstance(value, str) or any(unicodedata.category(each) == "Cc" for each in value):
        raise ConfigError(f"{name} {value!r} is not text of one line")


def listed(name: str, values: Iterable[T] | None) -> tuple[T, ...] | None:
    """Return the values as a tuple, or None for None; ConfigError for a single text and for a non-iterable value."""
    if values is None:
        return None
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigError(f"{name} {values!r} is not a list; pass [{values!r}] for a single one")
    return tuple(values)
