"""What the pictures are drawn with: boxes, lines and text as SVG, black on white, so that they are legible anywhere."""

from collections.abc import Iterable
from html import escape

INK, LINE, PALE = "#263238", "#455a64", "#eceff1"
COLOURS = {"INIT": "#6d4c41", "BACKUP": "#546e7a", "MASTER": "#2e7d32"}
CHART = ("#1565c0", "#2e7d32", "#e65100", "#6a1b9a")
CORNER = 5


def svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return a picture, which loads nothing from elsewhere; the title is read out where it cannot be seen."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="sans-serif" font-size="13" role="img">\n<title>{escape(title)}</title>\n'
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
        f' orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{"".join(parts)}</svg>\n'
    )


def box(x: int, y: int, width: int, height: int, *, fill: str = "#ffffff", stroke: str = LINE) -> str:
    """Return a rectangle."""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{CORNER}" fill="{fill}" stroke="{stroke}"'
        ' stroke-width="1.5"/>\n'
    )


def text(
    x: float, y: float, words: str, *, fill: str = INK, weight: str = "normal", size: int = 13, anchor: str = "middle"
) -> str:
    """Return a line of text; y is its base line."""
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{fill}" font-weight="{weight}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(words)}</text>\n"
    )


def path(way: str, *, stroke: str = LINE, width: float = 1.5, is_arrow: bool = False, dashes: str = "") -> str:
    """Return a line along a way, in the words of SVG's paths."""
    end = ' marker-end="url(#arrow)"' if is_arrow else ""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{way}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashed}{end}/>\n'
