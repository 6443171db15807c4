"""Draws ``layers.svg`` from the contract that import-linter checks, in ``pyproject.toml``.

``python docs/images/layers.py`` writes the picture beside this file.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from drawing import LINE, PALE, box, path, svg, text

PICTURE = Path(__file__).with_name("layers.svg")
PROJECT = Path(__file__).parents[2] / "pyproject.toml"

_WIDTH, _LEFT, _RIGHT = 720, 20, 600
_ROW, _GAP = 34, 8


def picture() -> str:
    """Return the picture as SVG."""
    layers, pure = contract()
    height = len(layers) * (_ROW + _GAP) + 50
    title = "The packages of pycarp: each imports only from those below it"
    return svg(_WIDTH, height, title, [text(310, 24, title), *_rows(layers, pure)])


def contract() -> tuple[list[list[str]], set[str]]:
    """Return the packages of each layer from the top, and those that are pure."""
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    (pure,) = [each["source_modules"] for each in contracts if each["name"].startswith("Purity")]
    return [[name.strip() for name in layer.split("|")] for layer in layers], set(pure)


def _rows(layers: list[list[str]], pure: set[str]) -> Iterator[str]:
    for number, names in enumerate(layers):
        top = 40 + number * (_ROW + _GAP)
        width = (_RIGHT - _LEFT - _GAP * (len(names) - 1)) // len(names)
        for place, name in enumerate(names):
            x = _LEFT + place * (width + _GAP)
            yield box(x, top, width, _ROW, fill="#e8f5e9" if name in pure else PALE)
            yield text(x + width / 2, top + 22, name.removeprefix("pycarp."), size=12 if len(names) > 3 else 13)
    bottom = 40 + len(layers) * (_ROW + _GAP) - _GAP
    yield path(f"M{_RIGHT + 20} 44V{bottom - 34}", is_arrow=True)
    yield text(_RIGHT + 32, (40 + bottom) / 2, "imports", anchor="start", fill=LINE)
    yield box(_RIGHT + 14, bottom - 22, 14, 14, fill="#e8f5e9")
    yield text(_RIGHT + 34, bottom - 10, "pure", anchor="start")


if __name__ == "__main__":
    PICTURE.write_text(picture())
