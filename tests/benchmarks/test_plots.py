"""Pictures of figures: what is written to JSON is drawn again, and what was not measured is left out."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.figures import Figure, as_json, from_json
from benchmarks.plots import MEASURED, PICTURES, Axis, by_place, cpu, draw, linear, logarithmic

from tests.support.pages import DOCS

CPU = [
    Figure(f"CPU {role}", f"x {who}", hosts, "x", (0.9, 1.0, 1.3))
    for role in ("MASTER", "BACKUP")
    for who in ("keepalived", "ucarp")
    for hosts in (1, 1000)
]


def words(picture: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_the_documentation_is_drawn_from_the_committed_figures(name: str) -> None:
    drawn = PICTURES[name](from_json(MEASURED.read_text()))

    assert (DOCS / "images" / name).read_text() == drawn, "renew it: python -m benchmarks.plots"


def test_a_picture_names_hosts_values_and_whom_it_compares() -> None:
    found = words(cpu(CPU))

    assert found.count("x keepalived") == found.count("x ucarp") == 2
    assert {"MASTER", "BACKUP", "1", "1,000", "virtual hosts"} <= set(found)


def test_pictures_without_figures_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []

    draw(CPU, tmp_path / "new", said.append)

    assert [each.name for each in (tmp_path / "new").iterdir()] == ["cpu-beside-others.svg"]
    assert [each.partition(":")[0] for each in said[1:]] == [
        "memory-and-start.svg is not drawn",
        "lateness-and-hearing.svg is not drawn",
    ]


def test_figures_are_read_as_they_were_written() -> None:
    figures = [*CPU, Figure("late, both cores busy", "pycarp", 255, "ms", (0.0, 1.5))]

    assert from_json(as_json(figures)) == figures


def test_of_very_many_values_percentiles_are_written() -> None:
    (figure,) = from_json(as_json([Figure("late, idle", "pycarp", 255, "ms", tuple(map(float, range(1001))))]))

    assert figure.values == tuple(10.0 * percent for percent in range(101))


@pytest.mark.parametrize(
    "written", ["[]", "{}", '{"figures": {"start": {}}}', json.dumps({"figures": {"a, 1, b": {}}}), "x"]
)
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        from_json(written)


def test_an_axis_has_values_in_their_place_and_those_beyond_its_end_at_it() -> None:
    assert Axis((1.0, 10.0, 100.0), 0, 200, logarithmic).at(10) == pytest.approx(100)
    assert Axis((1.0, 10.0, 100.0), 0, 200, logarithmic).at(0) == 0
    assert Axis((0.0, 50.0, 100.0), 300, 100, linear).at(200) == 100
    assert Axis((1.0, 255.0), 0, 200, by_place).at(255) == 150
