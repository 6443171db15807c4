"""Layer 3: the differences between the CARP systems, as values."""

from pycarp import registry
from pycarp.dialects.dialect import (
    AddressMac,
    ArpForm,
    Claim,
    DestinationRule,
    Dialect,
    ErrorBudget,
    Limits,
    Tie,
    TtlRule,
    Verdict,
)
from pycarp.dialects.freebsd import FREEBSD
from pycarp.dialects.freebsd9 import FREEBSD9
from pycarp.dialects.netbsd import NETBSD
from pycarp.dialects.openbsd import OPENBSD
from pycarp.dialects.ucarp import UCARP
from pycarp.dialects.universal import UNIVERSAL
from pycarp.errors import ConfigError

ALL = (UNIVERSAL, FREEBSD, FREEBSD9, OPENBSD, NETBSD, UCARP)
"""Every dialect, the default first."""

__all__ = [
    "ALL",
    "FREEBSD",
    "FREEBSD9",
    "NETBSD",
    "OPENBSD",
    "UCARP",
    "UNIVERSAL",
    "AddressMac",
    "ArpForm",
    "Claim",
    "DestinationRule",
    "Dialect",
    "ErrorBudget",
    "Limits",
    "Tie",
    "TtlRule",
    "Verdict",
    "by_name",
]


def by_name(name: str) -> Dialect:
    """Return the dialect that configuration files call ``name``; ConfigError lists the known ones.

    Other distributions register dialects in the entry point group ``pycarp.dialects``.
    """
    for dialect in ALL:
        if dialect.name == name:
            return dialect
    found = registry.load("dialect", name, [dialect.name for dialect in ALL])
    if not isinstance(found, Dialect) or found.name != name:
        raise ConfigError(f"dialect {name!r} is registered as {found!r}, which is no Dialect of that name")
    return found
