"""The settings of a check as they are written in a table of TOML or JSON, and what becomes of each.

Every parser takes the key and the value, and raises ConfigError that names the value, the bound and the way out.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pycarp.durations import parse_duration
from pycarp.errors import ConfigError

_TEXT = {"type": "string", "minLength": 1}

_RANGE = re.compile(r"(\d{3})\s*-\s*(\d{3})", re.ASCII)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a table: ``schema`` is the JSON Schema of what may be written."""

    parse: Callable[[str, object], Any]
    schema: Mapping[str, Any]


def quoted(value: object) -> str:
    """Return a value as it is written in TOML, as far as that differs for simple values."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(quoted(each) for each in value)}]"
    return "a table" if isinstance(value, Mapping) else str(value)


def anything() -> Setting:
    """Return the setting of a probe that checks its values itself."""
    return Setting(parse=lambda _key, value: value, schema={})


def text(example: str) -> Setting:
    """Return the setting of a text that is not empty, and of one line."""

    def parse(key: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise ConfigError(f'{key} {quoted(value)} is no text of one line; write one such as "{example}"')
        return value

    return Setting(parse=parse, schema={**_TEXT, "examples": [example]})


def flag() -> Setting:
    """Return the setting of true or false."""

    def parse(key: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{key} {quoted(value)} is neither true nor false; write one of them, without quotes")
        return value

    return Setting(parse=parse, schema={"type": "boolean"})


def whole(low: int, high: int) -> Setting:
    """Return the setting of a whole number from ``low`` to ``high``."""

    def parse(key: str, value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ConfigError(f"{key} {quoted(value)} is not a whole number from {low} to {high}")
        return value

    return Setting(parse=parse, schema={"type": "integer", "minimum": low, "maximum": high})


def duration(*, least_s: float, most_s: float) -> Setting:
    """Return the setting of a duration, which becomes seconds."""

    def parse(key: str, value: object) -> float:
        return parse_duration(value, name=key, least_s=least_s, most_s=most_s)

    return Setting(parse=parse, schema={"type": ["string", "number"], "examples": ["500ms"]})


def choice(of: Collection[str]) -> Setting:
    """Return the setting of one of some words."""

    def parse(key: str, value: object) -> str:
        if not isinstance(value, str) or value not in of:
            known = ", ".join(f'"{each}"' for each in of)
            raise ConfigError(f"{key} {quoted(value)} is none of {known}")
        return value

    return Setting(parse=parse, schema={"enum": list(of)})


def path(example: str) -> Setting:
    """Return the setting of a path from the root: who writes it does not know a daemon's working folder."""

    def parse(key: str, value: object) -> Path:
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise ConfigError(f'{key} {quoted(value)} is no path from the root; write one such as "{example}"')
        return Path(value)

    return Setting(parse=parse, schema={"type": "string", "pattern": "^/", "examples": [example]})


def endpoint() -> Setting:
    """Return the setting of an address or name with a port, which becomes a tuple of both."""

    def parse(key: str, value: object) -> tuple[str, int]:
        address, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        is_bracketed = address.startswith("[") and address.endswith("]")
        # Only in brackets it is clear where an IPv6 address ends.
        if not colon or not address or (":" in address) is not is_bracketed or not address.isprintable():
            raise ConfigError(f'{key} {quoted(value)} is no address with a port; write "127.0.0.1:80" or "[::1]:80"')
        if not port.isdecimal() or not port.isascii() or not 1 <= int(port[:6]) <= 65535:
            raise ConfigError(f"{key} {quoted(value)}: port {port or '(none)'} is outside 1-65535")
        return address.strip("[]"), int(port)

    return Setting(parse=parse, schema={**_TEXT, "examples": ["127.0.0.1:80"]})


def statuses() -> Setting:
    """Return the setting of the good statuses of HTTP: a number, a range as text, or a list of these."""

    def parse(key: str, value: object) -> frozenset[int]:
        found: set[int] = set()
        for each in value if isinstance(value, list | tuple) and value else [value]:
            bounds = _RANGE.fullmatch(each) if isinstance(each, str) else None
            low, high = (int(bounds[1]), int(bounds[2])) if bounds else (each, each)
            if type(low) is not int or type(high) is not int or not 100 <= low <= high <= 599:
                raise ConfigError(
                    f'{key} {quoted(each)} is no status from 100 to 599; write 200, "200-399" or [200, 204]'
                )
            found.update(range(low, high + 1))
        return frozenset(found)

    one = [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^\\d{3}-\\d{3}$"}]
    return Setting(parse=parse, schema={"anyOf": [*one, {"type": "array", "items": {"anyOf": one}, "minItems": 1}]})
