"""Flap damping: a host that fails as MASTER again and again does not preempt for a while.

Each failure adds a penalty, and the penalty halves with every half-life. Above one limit the host is suppressed until
the penalty has fallen below another, lower one. Source: RFC 2439, sections 4.2 and 4.3, which damps routes alike.
"""

import math

import msgspec

from pycarp.core.checks import check_span
from pycarp.errors import ConfigError

PENALTY = 1000.0
"""What one failure adds."""

LONGEST_S = 7 * 24 * 3600.0

_NEGLIGIBLE = 1.0


class Damping(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of flap damping; one failure is a penalty of 1000.

    The penalty halves every ``half_life_s`` seconds. At ``suppress`` and above the host does not preempt until it has
    fallen below ``reuse``, ``longest_s`` seconds after the last failure at the latest. Raises ConfigError for a value
    out of range, and where the penalty could never reach ``suppress``.
    """

    half_life_s: float = 900.0
    suppress: int = 2000
    reuse: int = 750
    longest_s: float = 3600.0

    def __post_init__(self) -> None:
        check_span("half_life_s", self.half_life_s, most_s=LONGEST_S)
        check_span("longest_s", self.longest_s, most_s=LONGEST_S)
        for name, value in (("suppress", self.suppress), ("reuse", self.reuse)):
            if type(value) is not int or not 1 <= value <= 1_000_000:
                raise ConfigError(f"{name} {value!r} is not a whole number from 1 to 1000000")
        if self.reuse >= self.suppress:
            raise ConfigError(f"reuse {self.reuse} is not below suppress {self.suppress}")
        if self.ceiling < self.suppress:
            raise ConfigError(
                f"with longest_s {self.longest_s:g} s the penalty is at most {self.ceiling:.0f}, below suppress "
                f"{self.suppress}; raise longest_s or lower half_life_s"
            )

    @property
    def ceiling(self) -> float:
        """The largest penalty: it falls below ``reuse`` within ``longest_s``."""
        return float(self.reuse * 2 ** min(self.longest_s / self.half_life_s, 64))


class Damper(msgspec.Struct):
    """The penalty of one host at ``at_s``, in seconds of any clock, and whether the host is suppressed."""

    penalty: float = 0.0
    at_s: float = 0.0
    is_suppressed: bool = False

    def fail(self, damping: Damping, now_s: float) -> None:
        """Count a failure."""
        self.decay(damping, now_s)
        self.penalty = min(self.penalty + PENALTY, damping.ceiling)
        self.is_suppressed = self.is_suppressed or self.penalty >= damping.suppress

    def decay(self, damping: Damping, now_s: float) -> None:
        """Reduce the penalty by the time since the last call; end the suppression below ``reuse``."""
        self.penalty *= 0.5 ** (max(now_s - self.at_s, 0.0) / damping.half_life_s)
        self.at_s = now_s
        if self.penalty < _NEGLIGIBLE:
            self.penalty = 0.0
        # What a float lacks at the very moment of the limit must not suppress for ever.
        if self.penalty <= damping.reuse * (1 + 1e-9):
            self.is_suppressed = False

    def reset(self) -> None:
        """Forget all failures."""
        self.penalty, self.is_suppressed = 0.0, False

    def until_s(self, damping: Damping) -> float | None:
        """Return when the suppression ends if no failure follows; None if there is none."""
        if not self.is_suppressed:
            return None
        return self.at_s + damping.half_life_s * math.log2(self.penalty / damping.reuse)

    def would_suppress(self, damping: Damping) -> bool:
        """Return True if one more failure now suppressed the host."""
        return self.is_suppressed or self.penalty + PENALTY >= damping.suppress
