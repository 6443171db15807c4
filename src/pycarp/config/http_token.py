"""The token of ``[http]``, with which people may change things over HTTP."""

import hmac
import re
from pathlib import Path

from pycarp.errors import ConfigError
from pycarp.system.files.bounded_read import read_first_line

OCTETS_LEAST, OCTETS_MOST = 16, 256
_HOW = "openssl rand -hex 16 writes a good one"
_FIT = re.compile(rb"[!-~]+")


class HttpToken:
    """A secret whose ``repr`` and ``str`` never show it."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        """Take a token as it stands in a request; raises ConfigError if it cannot be sent, or is easy to guess."""
        if not OCTETS_LEAST <= len(octets) <= OCTETS_MOST:
            raise ConfigError(
                f"has {len(octets)} octet{'s' * (len(octets) != 1)}, not {OCTETS_LEAST} to {OCTETS_MOST}; {_HOW}"
            )
        if not _FIT.fullmatch(octets):
            raise ConfigError(f"has a character that is no visible one of ASCII; {_HOW}")
        self._octets = octets

    def matches(self, candidate: str) -> bool:
        """Return whether a caller has said it; how long that takes does not depend on where they differ."""
        return hmac.compare_digest(self._octets, candidate.encode(errors="surrogateescape"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HttpToken) and hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(self._octets)

    def __repr__(self) -> str:
        return "HttpToken(***)"


def read_token(path: Path) -> HttpToken:
    """Return the token in the first line of a file; raises ConfigError that begins with ``token_file``."""
    try:
        line = read_first_line(path, 4096)
    except FileNotFoundError:
        hint = f"make it with: (umask 077; openssl rand -hex 16 > {path})"
        raise ConfigError(f"token_file {path}: there is no such file; {hint}") from None
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "this is no path"
        raise ConfigError(f"token_file {path}: cannot read it: {why}") from exc
    try:
        return HttpToken(line.strip())
    except ConfigError as exc:
        raise ConfigError(f"token_file {path}: its first line {exc}") from None
