"""What is wrong with a machine, why that matters, and what mends it."""

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How much a finding matters; the value is its name in JSON."""

    PROBLEM = "problem"
    """Hosts do not work, or not all of the time."""

    WARNING = "warning"
    """Hosts may not work, or not with every setting."""

    ADVICE = "advice"
    """Worth knowing; also what could not be found out."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding: ``kind`` is its name in JSON, ``subject`` an interface, a host or a file, ``words`` what is so.

    ``reason`` says what comes of it, ``command`` what to type against it; it is empty where no command mends it.
    """

    kind: str
    severity: Severity
    subject: str
    words: str
    reason: str
    command: str = ""
