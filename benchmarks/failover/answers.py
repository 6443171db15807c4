"""What a client noted: when answers came, and when it was late itself. Times are seconds of CLOCK_MONOTONIC."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple


class Gap(NamedTuple):
    """A time without answers."""

    from_s: float
    to_s: float

    @property
    def length_s(self) -> float:
        """How long it was."""
        return self.to_s - self.from_s


@dataclass(frozen=True, slots=True)
class Answers:
    """``received_s`` in their order; ``stalls``: when the client noticed that it was late, and by how much."""

    received_s: tuple[float, ...]
    stalls: tuple[tuple[float, float], ...]

    @classmethod
    def read(cls, file: Path) -> "Answers":
        """Return what ``witnesses.ask`` has written."""
        words = [line.split() for line in file.read_text().splitlines()]
        return cls(
            received_s=tuple(float(each[1]) for each in words if each[0] == "answer"),
            stalls=tuple((float(each[1]), float(each[2])) for each in words if each[0] == "stall"),
        )

    def longest_gap(self, from_s: float, to_s: float) -> Gap:
        """Return the longest time between answers that ends in a span, to its end if none came any more."""
        before = max((each for each in self.received_s if each <= from_s), default=from_s)
        within = [before, *(each for each in self.received_s if from_s < each <= to_s), to_s]
        return max((Gap(sooner, later) for sooner, later in pairwise(within)), key=lambda gap: gap.length_s)

    def may_be_the_clients(self, gap: Gap, stalled_s: float) -> bool:
        """Say whether a good part of a gap may be the client's own: it was late by more than ``stalled_s`` in it."""
        return any(
            gap.from_s <= at_s <= gap.to_s + late_s and late_s > max(stalled_s, gap.length_s / 4)
            for at_s, late_s in self.stalls
        )
