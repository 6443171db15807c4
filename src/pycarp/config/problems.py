"""The problems of a configuration: place, problem and way out, all of them at once."""

from collections.abc import Iterable

import msgspec

from pycarp.auth.key import PASSPHRASE_MAX
from pycarp.errors import ConfigError

CUT_BY_THE_BSDS = (
    f"the BSDs' ifconfig silently uses its first {PASSPHRASE_MAX} octets: write these alone, "
    "and hosts that are left as they are still agree"
)
"""The way out for a password that is too long. Source: carp.md 3.5."""


class Problem(msgspec.Struct, frozen=True):
    """A problem; line and column count from 1."""

    file: str
    line: int
    column: int
    text: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.text}{hint}"


class ConfigProblems(ConfigError):  # noqa: N818  (it is plural: the problems of one file)
    """All problems of a configuration, one per line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda each: (each.file, each.line, each.column)))
        super().__init__("\n".join(str(each) for each in self.problems))
