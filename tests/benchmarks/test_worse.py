"""What CI takes for worse than the committed figures: ratios by a wide factor, counts by a narrow one."""

import json

import pytest
from benchmarks.figures import COUNT, RATE, Figure, as_json, worse


def judged(before: Figure, now: Figure, *, python: str = "") -> list[str]:
    committed = json.loads(as_json([before]))
    committed["machine"]["python"] = python or committed["machine"]["python"]
    return worse([now], json.dumps(committed), factor=10, count_factor=1.25)


def figure(unit: str, *values: float) -> Figure:
    return Figure("what", "pycarp", 255, unit, values)


@pytest.mark.parametrize(
    ("unit", "before", "now", "is_worse"),
    [
        ("x", (1.5,), (14.9,), False),
        ("x", (1.5,), (15.1,), True),
        (COUNT, (800.0,), (999.0,), False),
        (COUNT, (800.0,), (1001.0,), True),
        (COUNT, (800.0, 1200.0), (1500.0, 990.0, 2000.0), False),
        (RATE, (1.0,), (2.2,), False),
        (RATE, (1.0,), (2.3,), True),
        ("s/min", (1.0,), (100.0,), False),
    ],
)
def test_a_figure_is_worse_beyond_the_factor_of_its_kind(
    unit: str, before: tuple[float, ...], now: tuple[float, ...], is_worse: bool
) -> None:
    assert bool(judged(figure(unit, *before), figure(unit, *now))) is is_worse


def test_counts_of_another_python_are_not_compared() -> None:
    assert judged(figure(COUNT, 1.0), figure(COUNT, 100.0), python="3.99.1") == []


def test_what_was_not_committed_is_not_compared() -> None:
    other = figure(COUNT, 1.0)._replace(quantity="other")

    assert judged(other, figure(COUNT, 100.0)) == []
