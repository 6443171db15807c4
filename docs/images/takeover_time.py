"""Draws ``takeover-time.svg``: how long a BACKUP waits, by advbase and advskew, as the universal dialect computes it.

``python docs/images/takeover_time.py`` writes the picture beside this file.
"""

from collections.abc import Iterator
from pathlib import Path

from drawing import CHART, INK, PALE, path, svg, text

from pycarp.dialects import UNIVERSAL
from pycarp.dialects.rules import DEAD_RATIO

PICTURE = Path(__file__).with_name("takeover-time.svg")

_WIDTH, _HEIGHT = 720, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 40, 600, 360
_SKEWS = range(0, 241, 20)
_ADVBASES = (0, 1, 2, 3)
_MOST_S = 11
_NS_PER_S = 1_000_000_000


def picture() -> str:
    """Return the picture as SVG."""
    title = "Seconds that a BACKUP waits for the next advertisement, by advskew, for advbase 0 to 3"
    return svg(_WIDTH, _HEIGHT, title, [text(330, 24, title), *_grid(), *_lines()])


def _grid() -> Iterator[str]:
    for second in range(_MOST_S):
        yield path(f"M{_LEFT} {_y(second):g}H{_RIGHT}", stroke=PALE)
        yield text(_LEFT - 8, _y(second) + 4, f"{second} s", anchor="end")
    for skew in range(0, 241, 40):
        yield path(f"M{_x(skew):g} {_BOTTOM}v5", stroke=INK)
        yield text(_x(skew), _BOTTOM + 20, str(skew))
    yield path(f"M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}", stroke=INK)
    yield text((_LEFT + _RIGHT) / 2, _BOTTOM + 44, "advskew of the BACKUP")


def _lines() -> Iterator[str]:
    for advbase, colour in zip(_ADVBASES, CHART, strict=True):
        points = [(_x(skew), _y(waits_s(advbase, skew))) for skew in _SKEWS]
        yield path("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), stroke=colour, width=2.5)
        yield text(_RIGHT + 10, points[-1][1] + 4, f"advbase {advbase}", fill=colour, weight="bold", anchor="start")


def waits_s(advbase: int, advskew: int) -> float:
    """Return the master-down time in seconds."""
    return UNIVERSAL.master_down_ns(advbase, advskew, DEAD_RATIO) / _NS_PER_S


def _x(skew: float) -> float:
    return _LEFT + skew * (_RIGHT - _LEFT) / 250


def _y(second: float) -> float:
    return _BOTTOM - second * (_BOTTOM - _TOP) / _MOST_S


if __name__ == "__main__":
    PICTURE.write_text(picture())
