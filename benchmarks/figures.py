"""What was measured: figures with their values, ratios of two contestants in the same spans, a table and JSON."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

_MANY = 200


COUNT, RATE = "counted", "/s"
"""The units of what is counted, and of what is counted in a second."""


class Figure(NamedTuple):
    """Some values of one quantity: of whom, with how many virtual hosts, and in which unit."""

    quantity: str
    who: str
    hosts: int
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """The value that 99 % of the values do not exceed."""
        return sorted(self.values)[max(-(-99 * len(self.values) // 100) - 1, 0)]

    @property
    def key(self) -> str:
        """The name of the figure in JSON."""
        return f"{self.quantity}, {self.hosts}, {self.who}"


def ratios(figures: Sequence[Figure], whose: str = "pycarp") -> list[Figure]:
    """Return how many times as much as each other contestant ``whose`` needs, value by value where they are pairs."""
    found = []
    for own in (each for each in figures if each.who == whose):
        for other in figures:
            if other.who == whose or (other.quantity, other.hosts) != (own.quantity, own.hosts):
                continue
            pairs = list(zip(own.values, other.values, strict=False))
            values = tuple(mine / theirs for mine, theirs in pairs if theirs)
            if values:
                found.append(Figure(own.quantity, f"x {other.who}", own.hosts, "x", values))
    return found


def table(figures: Iterable[Figure]) -> Table:
    """Return the figures for a terminal: median, what 99 % do not exceed, least and most."""
    made = Table("quantity", "virtual hosts", "who", "median", "99 %", "least", "most", "unit")
    for each in figures:
        numbers = (f"{number:.3g}" for number in (each.median, each.p99, min(each.values), max(each.values)))
        made.add_row(each.quantity, str(each.hosts), each.who, *numbers, each.unit)
    return made


def as_json(figures: Sequence[Figure]) -> str:
    """Return the values, and the machine on which they were measured; of very many values, their percentiles."""
    machine = {"kernel": os.uname().release, "python": platform.python_version(), "processors": os.cpu_count()}
    rows = {each.key: {"unit": each.unit, "median": each.median, "values": _few(each.values)} for each in figures}
    return json.dumps({"machine": machine, "figures": rows}, indent=1) + "\n"


def from_json(written: str) -> list[Figure]:
    """Return the figures that ``as_json`` has written; ValueError, LookupError or TypeError for anything else."""
    found = []
    for key, each in json.loads(written)["figures"].items():
        quantity, hosts, who = key.rsplit(", ", 2)
        found.append(Figure(quantity, who, int(hosts), each["unit"], tuple(map(float, each["values"]))))
    return found


def _few(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return the values, or of more than two hundred the least, the most, and 99 between them, in their order."""
    if len(values) <= _MANY:
        return values
    ranked = sorted(values)
    return tuple(ranked[round(percent * (len(ranked) - 1) / 100)] for percent in range(101))


def worse(figures: Sequence[Figure], committed: str, factor: float, count_factor: float) -> list[str]:
    """Return a sentence for each figure that is worse than the committed one.

    A ratio is if its median is more than ``factor`` times as much. What is counted is if its least is more than
    ``count_factor`` times as much, and a rate by another one a second: what else a machine does only adds to it.
    Another version of Python has other bytecodes, so there nothing that is counted is worse.
    """
    read = json.loads(committed)
    before, is_same_python = read["figures"], _minor(read["machine"]["python"]) == _minor(platform.python_version())
    found = []
    for each in figures:
        if each.key not in before:
            continue
        now, then, limit = each.median, before[each.key]["median"], factor
        if each.unit in (COUNT, RATE) and is_same_python:
            now, then, limit = min(each.values), min(before[each.key]["values"]), count_factor
        elif each.unit != "x":
            continue
        if now > limit * then + (each.unit == RATE):
            found.append(f"{each.key}: {now:.2f}, committed {then:.2f}")
    return found


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
