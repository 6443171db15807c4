"""The settings of failback: pure values."""

import re
from dataclasses import dataclass, field
from datetime import time

import msgspec

from pycarp.core.checks import check_span
from pycarp.errors import ConfigError
from pycarp.placement.damping import LONGEST_S, Damping

AUTO, MANUAL = "auto", "manual"

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)", re.ASCII)

_DAY_S = 24 * 3600


class Window(msgspec.Struct, frozen=True):
    """A time of every day, by the local clock; ``until`` may be on the next day."""

    begin: time
    until: time

    def is_open(self, at: time) -> bool:
        """Return True from ``begin`` to just before ``until``."""
        if self.begin < self.until:
            return self.begin <= at < self.until
        return at >= self.begin or at < self.until

    def changes_in_s(self, at: time) -> float:
        """Return the seconds until the window opens or closes, on a day without a change of the clock."""
        return min(_from_s(at, self.begin), _from_s(at, self.until))


def _from_s(at: time, to: time) -> float:
    return (_seconds(to) - _seconds(at)) % _DAY_S or _DAY_S


def _seconds(at: time) -> float:
    return at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class FailbackPolicy:
    """When a host may take its addresses from a MASTER that lives; each setting has one meaning, and all must agree.

    - ``startup_hold_s``: for so long after the host begins to listen (it starts, or its link comes up) it takes over
      only from a MASTER that it has heard and that is gone. Silence proves nothing while a switch does not forward yet.
    - ``failback_delay_s``: the host preempts once it could have preempted for so long. The time begins when it is
      BACKUP and hears a MASTER, and begins again when a demotion or a restriction of it ends.
    - ``min_dwell_s``: for so long after it failed as MASTER the host preempts nobody. A loss is a failure unless an
      administrator wanted it, or a better host took over from a host that was not demoted.
    - ``failback``: ``"auto"``; ``"manual"``, where the host preempts only when it is released; or a time of every day
      by the local clock, ``"02:00-04:00"``.
    - ``damping``: a host that fails again and again preempts later and later; None for none.

    The host takes over in any case when no MASTER is heard, except during the startup hold. Nothing here makes a host
    preempt that is not set to. Raises ConfigError for a value out of range.
    """

    startup_hold_s: float = 0.0
    failback_delay_s: float = 0.0
    min_dwell_s: float = 0.0
    failback: str = AUTO
    damping: Damping | None = None
    window: Window | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        for name in ("startup_hold_s", "failback_delay_s", "min_dwell_s"):
            check_span(name, getattr(self, name), may_be_zero=True, most_s=LONGEST_S)
        if self.damping is not None and not isinstance(self.damping, Damping):
            raise ConfigError(f"damping {self.damping!r} is no Damping; pass Damping() or None")
        if self.failback not in (AUTO, MANUAL):
            object.__setattr__(self, "window", _parsed(self.failback))

    @property
    def is_manual(self) -> bool:
        """Whether the host preempts only when it is released."""
        return self.failback == MANUAL


def _parsed(text: object) -> Window:
    found = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ConfigError(f'failback {text!r} is none of "auto", "manual" and a time of day such as "02:00-04:00"')
    begin, until = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if begin == until:
        raise ConfigError(f'failback "{text}" begins when it ends; write "auto" for the whole day')
    return Window(begin, until)
