"""The names of ``[http]`` by which callers may address the daemon, beside every address and the loopback's names."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from pycarp.errors import ConfigError

OCTETS_MOST = 253
"""Source: RFC 1035, section 2.3.4, without the octets of the first length and of the root."""

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_EXAMPLE = "carp.example.net"


def parse_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Return names as ``parse_name`` does; raises ConfigError for one that is there twice as well."""
    names: list[str] = []
    for each in texts:
        name = parse_name(each)
        if name in names:
            raise ConfigError(f'names "{each}" is there twice; leave one out')
        names.append(name)
    return tuple(names)


def parse_name(text: str) -> str:
    """Return a name as it is compared: in lower case, without the dot of the root; raises ConfigError for another."""
    name = text.lower().removesuffix(".")
    if _is_address(name):
        raise ConfigError(f'names "{text}" is an address, and every address may be used anyway; leave it out')
    if len(name) > OCTETS_MOST or not _NAME.fullmatch(name):
        raise ConfigError(f'names "{text}" is no name of a machine; write one without port, such as "{_EXAMPLE}"')
    return name


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
