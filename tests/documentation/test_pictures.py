"""The pictures of the documentation are drawn by their scripts, from what the code says."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.plots import PICTURES

from tests.support.pages import DOCS

IMAGES = DOCS / "images"
NEED_PROGRAMS = ("page_screenshots.py", "terminal_recordings.py")
"""Scripts that show running programs, which look different each time."""

SCRIPTS = sorted(path for path in IMAGES.glob("*.py") if path.name not in ("drawing.py", *NEED_PROGRAMS))
BY_A_COMMAND = {"simulate.svg"}
"""``pycarp simulate --svg`` has drawn it."""

RECORDED = {"demo.svg", "lab.svg", "top.svg"}
"""``terminal_recordings.py`` has recorded the programs."""

MEASURED = set(PICTURES)
"""``python -m benchmarks.plots`` has drawn them, as ``tests/benchmarks/test_plots.py`` checks."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_picture_is_what_its_script_draws(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(IMAGES))
    drawn = runpy.run_path(str(script))

    assert drawn["PICTURE"].read_text() == drawn["picture"](), f"renew it: python docs/images/{script.name}"


def test_every_picture_has_a_script_and_is_small_whole_and_loads_nothing() -> None:
    pictures = sorted(IMAGES.glob("*.svg"))

    assert {path.name for path in pictures} == {
        f"{path.stem.replace('_', '-')}.svg" for path in SCRIPTS
    } | BY_A_COMMAND | RECORDED | MEASURED
    for path in pictures:
        text = path.read_text()
        ElementTree.fromstring(text)
        assert len(text) < 60_000, path.name
        assert re.findall(r"(?:href|src|url)\W*=?\W*https?:", text) == [], path.name


def test_every_picture_is_on_a_page_and_says_in_words_what_it_shows() -> None:
    pages = "\n".join(path.read_text() for path in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"])
    shown = dict(re.findall(r"!\[([^\]]*)\]\([^)]*images/([\w-]+\.svg)\)", pages))

    assert {path.name for path in IMAGES.glob("*.svg")} == set(shown.values())
    assert [name for words, name in shown.items() if len(words) < 30] == []


def test_the_table_of_the_layers_has_every_package_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(IMAGES))
    layers, _pure = runpy.run_path(str(IMAGES / "layers.py"))["contract"]()
    rows = re.findall(r"^\| \d+ \| ([^|]*) \|", (DOCS / "explanation" / "architecture.md").read_text(), re.MULTILINE)
    named = {name.strip("`") for row in rows for name in re.split(r"[,;] ", row)}

    assert named == {name.removeprefix("pycarp.") for layer in layers for name in layer}
