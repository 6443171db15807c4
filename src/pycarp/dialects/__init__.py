"""Layer 3: the differences between the CARP systems, as values."""

from pycarp.dialects.base import (
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
    """Return the dialect that configuration files call ``name``; ConfigError lists the known ones."""
    for dialect in ALL:
        if dialect.name == name:
            return dialect
    known = ", ".join(dialect.name for dialect in ALL)
    raise ConfigError(f"unknown dialect {name!r}; known are: {known}")
