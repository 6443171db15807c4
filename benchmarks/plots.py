"""Pictures of what was measured: CPU beside others, memory and start, lateness and hearing.

    python -m benchmarks.plots                        those of the documentation, from the figures that are committed
    python -m benchmarks.plots FILE --plots FOLDER    from figures that ``python -m benchmarks --json FILE`` has written

A picture whose figures are not there is left out, and that is said.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from docs.images.drawing import INK, PALE, path, svg, text

from benchmarks.figures import Figure, from_json

MEASURED = Path(__file__).with_name("measured.json")
IMAGES = Path(__file__).parents[1] / "docs" / "images"

_WIDTH, _HEIGHT = 760, 350
_TOP, _BOTTOM = 62, 296
_PANELS = ((62, 268), (446, 652))
"""The left and the right end of each panel; labels of lines are right of it."""

_APART = 15
"""Points between the base lines of two labels."""

_STEPS = 200
"""So many points has a curve of shares at the most."""

_COLOURS = {"pycarp": "#1565c0", "keepalived": "#c43e00", "ucarp": "#6a1b9a"}
_DASHES = {"pycarp": "", "keepalived": "7 3", "ucarp": "2 3"}


class Axis(NamedTuple):
    """Where values are between two points; those beyond an end are at it."""

    ticks: tuple[float, ...]
    from_px: float
    to_px: float
    share: Callable[[tuple[float, ...], float], float]

    def at(self, value: float) -> float:
        """Return where a value is."""
        return self.from_px + min(max(self.share(self.ticks, value), 0.0), 1.0) * (self.to_px - self.from_px)


def logarithmic(ticks: tuple[float, ...], value: float) -> float:
    """Return the share of an axis where each tenfold takes as much room."""
    least, most = math.log(ticks[0]), math.log(ticks[-1])
    return (math.log(max(value, ticks[0])) - least) / (most - least)


def linear(ticks: tuple[float, ...], value: float) -> float:
    """Return the share of an axis where each unit takes as much room."""
    return (value - ticks[0]) / (ticks[-1] - ticks[0])


def by_place(ticks: tuple[float, ...], value: float) -> float:
    """Return the share of an axis where each of a few values takes as much room."""
    return (ticks.index(value) + 0.5) / len(ticks)


class Curve(NamedTuple):
    """A line with a label, through points; with the least and most of each, where that is known."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: str
    dashes: str = ""
    spreads: tuple[tuple[float, float], ...] = ()
    has_marks: bool = True


def cpu(figures: Sequence[Figure]) -> str:
    """Return the picture of CPU as a multiple of the others', over the number of hosts, in both roles."""
    title = "CPU time of pycarp as a multiple of that of keepalived and ucarp"
    parts: list[str] = []
    for (left, right), role in zip(_PANELS, ("MASTER", "BACKUP"), strict=True):
        curves = [_by_hosts(figures, f"CPU {role}", f"x {who}", who) for who in ("keepalived", "ucarp")]
        down = Axis((0.1, 0.3, 1, 3, 10, 30), _BOTTOM, _TOP, logarithmic)
        across = Axis(_numbers(curves), left, right, by_place)
        parts += _panel(role, across, down, "virtual hosts", "{:g} x")
        # As much as the other one.
        parts += [path(f"M{left} {down.at(1):.1f}H{right}", stroke=INK, width=1)]
        parts += _curves(curves, across, down)
    return _picture(title, parts)


def memory_and_start(figures: Sequence[Figure]) -> str:
    """Return the picture of memory as MASTER, and of the time until all hosts are BACKUP."""
    title = "Memory of all processes, and the time until all virtual hosts are BACKUP"
    parts: list[str] = []
    kinds = (("memory MASTER", "memory, MiB", (1, 3, 10, 30, 100, 300)), ("start", "start, s", (0.01, 0.1, 1, 10)))
    for (left, right), (quantity, heading, ticks) in zip(_PANELS, kinds, strict=True):
        curves = [_by_hosts(figures, quantity, who, who) for who in _COLOURS]
        down = Axis(ticks, _BOTTOM, _TOP, logarithmic)
        across = Axis(_numbers(curves), left, right, by_place)
        parts += _panel(heading, across, down, "virtual hosts", "{:g}")
        parts += _curves(curves, across, down)
    return _picture(title, parts)


def lateness_and_hearing(figures: Sequence[Figure]) -> str:
    """Return the picture of how late advertisements are, and how soon a BACKUP follows what its MASTER says."""
    title = "How late advertisements are, and how soon a BACKUP hears bow-outs and demotions"
    late = [
        _shares(figures, f"late, {load}", who, f"{who}, {word}", dashes=dashes)
        for load, word, dashes in (("idle", "idle", ""), ("both cores busy", "busy", "6 3"))
        for who in ("pycarp", "keepalived")
    ]
    heard = [
        _shares(figures, f"{what} heard", "pycarp", what, dashes=dashes)
        for what, dashes in (("bow-out", ""), ("demotion", "6 3"))
    ]
    parts: list[str] = []
    kinds = (
        (late, "advertisements that were not later", (0.1, 1, 10, 100, 1000)),
        (heard, "heard by then", (0.1, 1, 10, 100)),
    )
    for (left, right), (curves, heading, ticks) in zip(_PANELS, kinds, strict=True):
        _numbers(curves)
        across = Axis(ticks, left, right, logarithmic)
        down = Axis((0, 25, 50, 75, 100), _BOTTOM, _TOP, linear)
        parts += _panel(heading, across, down, "milliseconds", "{:g} %")
        parts += _curves(curves, across, down)
    return _picture(title, parts)


PICTURES: Mapping[str, Callable[[Sequence[Figure]], str]] = {
    "cpu-beside-others.svg": cpu,
    "memory-and-start.svg": memory_and_start,
    "lateness-and-hearing.svg": lateness_and_hearing,
}


def draw(figures: Sequence[Figure], folder: Path, say: Callable[[str], None]) -> None:
    """Write the pictures of which there are figures into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        try:
            (folder / name).write_text(picture(figures))
        except LookupError as exc:
            say(f"{name} is not drawn: {exc.args[0]}")
        else:
            say(f"{folder / name}")


# Figures as curves


def _by_hosts(figures: Iterable[Figure], quantity: str, who: str, colour: str) -> Curve:
    found = sorted(
        (each for each in figures if (each.quantity, each.who) == (quantity, who)), key=lambda each: each.hosts
    )
    return Curve(
        who,
        tuple((each.hosts, each.median) for each in found),
        _COLOURS[colour],
        _DASHES[colour],
        tuple((min(each.values), max(each.values)) for each in found),
    )


def _shares(figures: Iterable[Figure], quantity: str, who: str, label: str, *, dashes: str) -> Curve:
    """Return how many percent of the values of the most hosts are up to which one."""
    found = max(
        (each for each in figures if (each.quantity, each.who) == (quantity, who)),
        default=None,
        key=lambda each: each.hosts,
    )
    values = sorted(found.values) if found else []
    percents = sorted({round(100 * number / _STEPS, 1) for number in range(_STEPS + 1)})
    points = tuple(
        (values[min(int(percent * len(values) / 100), len(values) - 1)], percent) for percent in percents if values
    )
    return Curve(label, points, _COLOURS[who], dashes, has_marks=False)


def _numbers(curves: Iterable[Curve]) -> tuple[float, ...]:
    """Return the values across of all curves; LookupError without any."""
    curves = tuple(curves)
    found = tuple(sorted({across for each in curves for across, _down in each.points}))
    if not found:
        raise LookupError(f"there are no figures of {', '.join(each.label for each in curves)}")
    return found


# Drawing


def _picture(title: str, parts: Iterable[str]) -> str:
    return svg(_WIDTH, _HEIGHT, title, [text(_WIDTH / 2, 24, title, size=15), *parts])


def _panel(heading: str, across: Axis, down: Axis, unit: str, form: str) -> Iterator[str]:
    left, right = across.from_px, across.to_px
    yield text((left + right) / 2, _TOP - 12, heading, weight="bold")
    for tick in down.ticks:
        yield path(f"M{left:g} {down.at(tick):.1f}H{right:g}", stroke=PALE)
        yield text(left - 8, down.at(tick) + 4, form.format(tick), anchor="end")
    for tick in across.ticks:
        yield path(f"M{across.at(tick):.1f} {_BOTTOM}v5", stroke=INK)
        yield text(across.at(tick), _BOTTOM + 20, f"{tick:,g}")
    yield path(f"M{left:g} {_TOP}V{_BOTTOM}H{right:g}", stroke=INK)
    yield text((left + right) / 2, _BOTTOM + 44, unit)


def _curves(curves: Sequence[Curve], across: Axis, down: Axis) -> Iterator[str]:
    drawn = [each for each in curves if each.points]
    for each in drawn:
        places = [(across.at(x), down.at(y)) for x, y in each.points]
        way = "L".join(f"{x:.1f} {y:.1f}" for x, y in _without_repetition(places))
        yield path(f"M{way}", stroke=each.colour, width=2.2, dashes=each.dashes)
        for (x, _y), (least, most) in zip(places, each.spreads, strict=False):
            yield path(f"M{x:.1f} {down.at(least):.1f}V{down.at(most):.1f}", stroke=each.colour, width=1.2)
        for (x, y), (place, value) in zip(places, each.points, strict=True):
            if each.has_marks:
                yield path(f"M{x - 3:.1f} {y:.1f}h6", stroke=each.colour, width=6)
                is_highest = value == max(dict(other.points).get(place, value) for other in drawn)
                below = y + (-8 if is_highest else 17)
                yield text(x + 5, below, _number(value), fill=each.colour, size=11, anchor="start")
    yield from _labels(drawn, across, down)


def _labels(curves: Sequence[Curve], across: Axis, down: Axis) -> Iterator[str]:
    """Yield what the curves are called, beside their ends, and from each other as far as text needs."""
    if not curves[0].has_marks:
        # All of them end at the top.
        for row, each in enumerate(curves):
            y = _TOP + 14 + _APART * row
            yield path(f"M{across.to_px + 8:g} {y - 4:g}h18", stroke=each.colour, width=2.2, dashes=each.dashes)
            yield text(across.to_px + 31, y, each.label, fill=each.colour, size=12, anchor="start")
        return
    lowest = float("inf")
    for each in sorted(curves, key=lambda each: -down.at(each.points[-1][1])):
        lowest = min(down.at(each.points[-1][1]) + 4, lowest - _APART)
        x = across.to_px + 6
        yield text(x, lowest, each.label, fill=each.colour, weight="bold", size=12, anchor="start")


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _without_repetition(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the places without those in the middle of a straight line up or across."""
    kept = [places[0]]
    for before, place, after in zip(places, places[1:], places[2:], strict=False):
        if not (before[0] == place[0] == after[0] or before[1] == place[1] == after[1]):
            kept.append(place)
    return [*kept, places[-1]] if len(places) > 1 else kept


def main() -> None:
    """Draw the pictures of a file with figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "figures", nargs="?", type=Path, default=MEASURED, metavar="FILE", help="benchmarks/measured.json"
    )
    parser.add_argument("--plots", type=Path, default=IMAGES, metavar="FOLDER", help="where to (docs/images)")
    chosen = parser.parse_args()
    try:
        figures = from_json(chosen.figures.read_text())
    except (OSError, ValueError, LookupError, TypeError) as exc:
        sys.exit(f"benchmarks.plots: {chosen.figures}: no figures of python -m benchmarks --json: {exc}")
    draw(figures, chosen.plots, print)


if __name__ == "__main__":
    main()
