"""What is printed, as an SVG picture that loads nothing from elsewhere."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

from pycarp.cli.refusals import file_error
from pycarp.cli.simulate.tables import WIDTH
from pycarp.system.files import safe_files

_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
        white-space: pre;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def draw(path: Path, parts: Iterable[RenderableType]) -> None:
    """Write a picture of what would be printed; ConfigError when the file cannot be written."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, highlight=False)
    for part in parts:
        console.print(part)
    svg = console.export_svg(title="pycarp simulate", code_format=_FORMAT, unique_id="pycarp")
    try:
        safe_files.write(path, svg.encode(), mode=safe_files.SHARED)
    except OSError as exc:
        raise file_error(f"cannot write {path}", exc) from exc
