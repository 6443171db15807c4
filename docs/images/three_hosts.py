"""Draws ``three-hosts.svg``: three hosts share one address, before and after a takeover.

``python docs/images/three_hosts.py`` writes the picture beside this file.
"""

from pathlib import Path

PICTURE = Path(__file__).with_name("three-hosts.svg")

_HOSTS = (("a", "advskew 0"), ("b", "advskew 100"), ("c", "advskew 200"))
_COLOURS = {"MASTER": "#2e7d32", "BACKUP": "#78909c", "dead": "#c62828"}
_WIDTH, _HEIGHT, _PANEL = 760, 250, 380


def picture() -> str:
    """Return the picture as SVG, which loads nothing from elsewhere."""
    before = _panel(0, "a is MASTER and answers for 192.0.2.10", ("MASTER", "BACKUP", "BACKUP"))
    after = _panel(_PANEL, "a dies: b takes over 192.0.2.10", ("dead", "MASTER", "BACKUP"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' font-family="sans-serif" font-size="13" text-anchor="middle">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n{before}{after}</svg>\n'
    )


def _panel(left: int, title: str, states: tuple[str, str, str]) -> str:
    """Return one half: the client, the segment, and the three hosts with their states."""
    middle = left + _PANEL // 2
    parts = [
        _text(middle, 22, title, weight="bold"),
        _box(middle - 45, 36, 90, 30, "#ffffff", "#455a64"),
        _text(middle, 56, "client"),
        _line(middle, 66, middle, 100),
        f'<line x1="{left + 30}" y1="100" x2="{left + 350}" y2="100" stroke="#455a64" stroke-width="4"/>\n',
    ]
    for index, ((name, setting), state) in enumerate(zip(_HOSTS, states, strict=True)):
        parts += _host(left + 75 + index * 115, name, setting, state)
    return "".join(parts)


def _host(middle: int, name: str, setting: str, state: str) -> list[str]:
    colour = _COLOURS[state]
    parts = [
        _line(middle, 100, middle, 130, dashed=state == "dead"),
        _box(middle - 50, 130, 100, 62, "#ffffff" if state == "dead" else colour, colour),
        _text(middle, 152, f"host {name}", fill=colour if state == "dead" else "#ffffff", weight="bold"),
        _text(middle, 170, state, fill=colour if state == "dead" else "#ffffff"),
        _text(middle, 186, setting, fill=colour if state == "dead" else "#ffffff", size=11),
    ]
    if state == "MASTER":
        parts += [_box(middle - 46, 204, 92, 26, "#fff8e1", "#ff8f00"), _text(middle, 222, "192.0.2.10")]
    return parts


def _box(x: int, y: int, width: int, height: int, fill: str, stroke: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{fill}" stroke="{stroke}"'
        ' stroke-width="1.5"/>\n'
    )


def _line(x1: int, y1: int, x2: int, y2: int, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#455a64" stroke-width="1.5"{dashes}/>\n'


def _text(x: int, y: int, words: str, *, fill: str = "#263238", weight: str = "normal", size: int = 13) -> str:
    return f'<text x="{x}" y="{y}" fill="{fill}" font-weight="{weight}" font-size="{size}">{words}</text>\n'


if __name__ == "__main__":
    PICTURE.write_text(picture())
