"""The text of a file as its own system would see it: without what editors of other systems leave in it."""

import contextlib
from pathlib import Path

from pycarp.errors import ConfigError
from pycarp.spelling import meant
from pycarp.system.files.bounded_read import read_at_most

SIZE_MAX = 8 << 20
"""Octets in a configuration; thousands of virtual hosts have room."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = "\ufeff"


def load(path: Path) -> str:
    """Return the text of a file; ConfigError when it cannot be read, is no text, or has no end."""
    try:
        octets = read_at_most(path, SIZE_MAX + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "this is no path"
        raise ConfigError(f"cannot read {path}: {why}{_meant_by(path, exc)}") from exc
    if len(octets) > SIZE_MAX:
        raise ConfigError(f"cannot read {path}: it has more than {SIZE_MAX >> 20} MiB")
    try:
        return octets.decode()
    except ValueError:
        why = "it is UTF-16; save it as UTF-8" if octets[:2] in _UTF_16 and len(octets) > 2 else "it is not text"
        raise ConfigError(f"cannot read {path}: {why}") from None


def _meant_by(path: Path, exc: Exception) -> str:
    """Return the file beside an absent one whose name resembles it, as the end of a sentence; empty for none."""
    if not isinstance(exc, FileNotFoundError):
        return ""
    with contextlib.suppress(OSError):
        close = meant(path.name, [each.name for each in path.parent.iterdir()])
        return f"; did you mean {path.with_name(close)}?" if close else ""
    return ""


def plain(text: str) -> str:
    """Return a text without a byte order mark, its lines ended by a line feed alone."""
    return text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n")


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Return lines with those that a backslash continues joined, under the number of the first, from 1."""
    found: list[tuple[int, str]] = []
    is_continued = False
    for number, line in enumerate(text.split("\n"), start=1):
        body = line.removesuffix("\\")
        if is_continued:
            found[-1] = (found[-1][0], found[-1][1] + body)
        else:
            found.append((number, body))
        is_continued = body != line
    return found
