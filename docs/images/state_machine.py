"""Draws ``state-machine.svg`` from the table of edges in ``pycarp.core.state``.

``python docs/images/state_machine.py`` writes the picture beside this file.
"""

from collections.abc import Iterator
from pathlib import Path

from drawing import COLOURS, box, path, svg, text

from pycarp.core.state import EDGES, Reason, State

PICTURE = Path(__file__).with_name("state-machine.svg")

_WIDTH, _TOP = 940, 150
_BOX_WIDTH, _BOX_HEIGHT = 130, 56
_MIDDLE = {State.INIT: 90, State.BACKUP: 400, State.MASTER: 840}
_LINE = 17
_BOTTOM = _TOP + _BOX_HEIGHT
_RIGHT, _LEFT = 1, -1


def picture() -> str:
    """Return the picture as SVG."""
    drawn = {edge for edge in EDGES if edge[0] is not edge[1]}
    ways = [
        _straight(State.INIT, State.BACKUP),
        _straight(State.BACKUP, State.INIT),
        _straight(State.BACKUP, State.MASTER),
        _straight(State.MASTER, State.BACKUP),
        _below(State.MASTER, State.INIT),
    ]
    assert drawn == {(old, new) for old, new, *_way in ways}, "the table has other edges: draw them"
    title = "The states of a virtual host, and the reasons to change between them"
    height = _low() + _LINE * (len(EDGES[State.MASTER, State.INIT]) + 1)
    return svg(_WIDTH, height, title, [*_edges(ways), *_at_init(), *_states()])


def _states() -> Iterator[str]:
    for state, middle in _MIDDLE.items():
        yield box(middle - _BOX_WIDTH // 2, _TOP, _BOX_WIDTH, _BOX_HEIGHT, fill=COLOURS[state], stroke=COLOURS[state])
        yield text(middle, _TOP + 35, state, fill="#ffffff", weight="bold", size=17)


def _edges(ways: list[tuple[State, State, str, float, int]]) -> Iterator[str]:
    for old, new, way, x, y in ways:
        yield path(way, is_arrow=True)
        for number, reason in enumerate(_reasons(old, new)):
            yield text(x, y + number * _LINE, reason)


def _at_init() -> Iterator[str]:
    """Yield what is published as a change from INIT to INIT: the first event of a host, and its last one."""
    lines = ["published in INIT:", *_reasons(State.INIT, State.INIT)]
    for number, words in enumerate(lines):
        yield text(_MIDDLE[State.INIT], _TOP - 8 - (len(lines) - 1 - number) * _LINE, words, size=12)


def _reasons(old: State, new: State) -> list[Reason]:
    return [each for each in Reason if each in EDGES[old, new]]


def _straight(old: State, new: State) -> tuple[State, State, str, float, int]:
    """Return an edge between neighbours, with its reasons above it to the right, and below it to the left."""
    direction = _RIGHT if _MIDDLE[new] > _MIDDLE[old] else _LEFT
    y = _TOP + (18 if direction == _RIGHT else 40)
    way = f"M{_side(old, direction)} {y}H{_side(new, -direction)}"
    first = y - 10 - (len(EDGES[old, new]) - 1) * _LINE if direction == _RIGHT else y + 20
    return old, new, way, (_MIDDLE[old] + _MIDDLE[new]) / 2, first


def _below(old: State, new: State) -> tuple[State, State, str, float, int]:
    way = f"M{_MIDDLE[old]} {_BOTTOM + 3}V{_low()}H{_MIDDLE[new]}V{_BOTTOM + 3}"
    return old, new, way, (_MIDDLE[old] + _MIDDLE[new]) / 2, _low() + 18


def _low() -> int:
    """Return where the edge runs that passes below all others."""
    return _BOTTOM + _LINE * len(EDGES[State.MASTER, State.BACKUP]) + 12


def _side(state: State, side: int) -> int:
    return _MIDDLE[state] + side * (_BOX_WIDTH // 2 + 3)


if __name__ == "__main__":
    PICTURE.write_text(picture())
