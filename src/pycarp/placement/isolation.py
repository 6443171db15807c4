"""Isolation: a machine that reaches none of its witnesses lets go of its addresses. Pure, and without a clock.

``health`` asks the witnesses of a daemon; the simulator knows whether a machine reaches them.
"""

import msgspec

from pycarp.vocabulary import HostKey


class Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """A check of witnesses while which fails a host is not MASTER; of all hosts of a machine, if ``host`` is None.

    The witnesses are asked every ``every_s`` seconds, on ``link``, and have ``timeout_s`` to answer; ``fall`` times
    without an answer in a row make the check fail, ``rise`` with one make it pass.
    """

    name: str
    host: HostKey | None
    link: str
    every_s: float
    timeout_s: float
    rise: int
    fall: int

    @property
    def cause(self) -> str:
        """The cause of the restriction while this check fails."""
        return f"check {self.name}"

    @property
    def lets_go_within_s(self) -> tuple[float, float]:
        """The shortest and the longest time from when nobody can answer any more until the host lets go."""
        between_s = max(self.every_s, self.timeout_s)
        soonest_s = (self.fall - 1) * between_s + self.timeout_s
        return soonest_s, self.every_s + soonest_s

    @property
    def returns_within_s(self) -> float:
        """The longest time from when a witness answers again until the host may be MASTER."""
        return max(self.every_s, self.timeout_s) + self.rise * self.every_s


def counted(in_a_row: int, *, passes: bool, is_good: bool, rise: int, fall: int) -> tuple[bool, int]:
    """Return whether a check passes after one more answer, and how many answers in a row speak against that."""
    if is_good is passes:
        return passes, 0
    in_a_row += 1
    return (passes, in_a_row) if in_a_row < (fall if passes else rise) else (not passes, 0)
