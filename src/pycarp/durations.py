"""Durations as people write them: ``"500ms"``, ``"2s"``, ``"1h30m"``, or a number of seconds."""

import math
import re

from pycarp.errors import ConfigError

_UNITS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
"""What a unit is in milliseconds."""

_PART = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|min|m|h|d)(?![a-z])", re.ASCII)

_SHOWN = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

_MOST_S = 10**12

FORM = '"500ms", "2s", "5min", "2h" or a number of seconds'


def parse_duration(value: object, *, name: str, least_s: float = 0, most_s: float = math.inf) -> float:
    """Return a duration in seconds.

    ``value`` is text of numbers with the units ms, s, m or min, h and d, such as "1h30m", or a number of seconds.
    ``name`` is what the duration is called. Raises ConfigError for anything else, and outside ``least_s``-``most_s``.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ConfigError(f"{name} {_quoted(value)} is no duration; write {FORM}")
    if seconds < least_s:
        raise ConfigError(f"{name} {format_duration(seconds)} is below {format_duration(least_s)}")
    if seconds > most_s:
        raise ConfigError(f"{name} {format_duration(seconds)} is above {format_duration(most_s)}")
    return seconds


def format_duration(seconds: float) -> str:
    """Return a duration as ``parse_duration`` reads it, to a millisecond: "500ms", "1h30min"; "0s" for nothing."""
    left_ms = round(seconds * 1000)
    if left_ms < 1000:
        return f"{left_ms}ms" if left_ms else "0s"
    shown = ""
    for unit, whole_s in _SHOWN:
        count, rest_ms = divmod(left_ms, whole_s * 1000)
        if unit == "s" and left_ms:
            return f"{shown}{left_ms / 1000:g}s"
        if count:
            shown += f"{count}{unit}"
        left_ms = rest_ms
    return shown


def _seconds(value: object) -> float | None:
    """Return the seconds of a value; None if it is no duration."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Compared first: a whole number of TOML may be too large for a float.
        return float(value) if 0 <= value <= _MOST_S else None
    if not isinstance(value, str):
        return None
    # Imported here because few configurations have a duration.
    # A sum of fractions, so that 50 ms are exactly the 0.05 that a program would write.
    from fractions import Fraction  # noqa: PLC0415

    total, end = Fraction(0), 0
    text = value.rstrip()
    while end < len(text):
        part = _PART.match(text, end)
        if part is None:
            return None
        total += Fraction(part[1]) * _UNITS[part[2]]
        end = part.end()
    return float(total / 1000) if text else None


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
