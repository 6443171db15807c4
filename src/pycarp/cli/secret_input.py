"""Reads passwords for commands: never from the command line, which every user of the machine can read."""

import getpass
import os
import sys
from pathlib import Path

from pycarp.auth.key import Passphrase
from pycarp.errors import UsageError
from pycarp.system.files.bounded_read import read_first_line

ENVIRONMENT = "PYCARP_PASSWORD"
_OCTETS_MOST = 512


def ask(what: str) -> Passphrase:
    """Return a password that is typed twice on a terminal, or is the first line of standard input.

    ``what`` is asked on the terminal. Raises UsageError for none, or two that differ; ConfigError for one too long.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        first = getpass.getpass(f"{what}: ")
        if getpass.getpass("Once more: ") != first:
            raise UsageError("the two passwords differ; nothing was changed")
        return _made(first.encode(errors="surrogateescape"))
    return of_standard_input()


def of_standard_input() -> Passphrase:
    """Return the first line of standard input without its line feed; UsageError when there is none."""
    return _made(sys.stdin.buffer.readline(_OCTETS_MOST).removesuffix(b"\n") if sys.stdin is not None else b"")


def of_file(path: Path) -> Passphrase:
    """Return the first line of a file without its line feed, of standard input for ``-``; raises OSError."""
    if str(path) == "-":
        return of_standard_input()
    return Passphrase(read_first_line(path, _OCTETS_MOST).removesuffix(b"\n"))


def of_environment() -> Passphrase | None:
    """Return the password in PYCARP_PASSWORD; None without it."""
    text = os.environ.get(ENVIRONMENT)
    return None if text is None else _made(text.encode(errors="surrogateescape"))


def _made(octets: bytes) -> Passphrase:
    if not octets:
        raise UsageError("no password came on standard input; without one anybody could take the address")
    return Passphrase(octets)
