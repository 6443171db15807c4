"""What is wrong with a machine, why that matters, and what mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters; the value is its name in JSON."""

    PROBLEM = "problem"
    """Hosts do not work, or not all of the time."""

    WARNING = "warning"
    """Hosts may not work, or not with every setting."""

    ADVICE = "advice"
    """Worth knowing; also what could not be found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding: ``kind`` is its name in JSON, ``subject`` an interface, a host or a file, ``words`` what is so.

    ``reason`` says what comes of it, ``command`` what to type against it; it is empty where no command mends it.
    """

    kind: str
    severity: Severity
    subject: str
    words: str
    reason: str
    command: str = ""
