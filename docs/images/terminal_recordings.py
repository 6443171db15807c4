"""Records programs of pycarp at a terminal, as pictures that move: ``demo.svg``, ``lab.svg`` and ``top.svg``.

``python docs/images/terminal_recordings.py demo lab top`` runs each for real and writes the picture beside this file;
``lab`` and ``top`` need root. It needs ``pip install pyte`` besides pycarp itself.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

FOLDER = Path(__file__).parent
_SETSID = shutil.which("setsid") or "setsid"
_SAMPLE_S = 0.1
_SHORTEST_S, _LONGEST_S = 0.4, 4.0
_MOST_FRAMES = 9
_PAUSE_AT_END_S = 4.0
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=?][\d;$]*[up]")
"""Questions about keyboards and modes, whose last letter pyte would show."""

_CELL, _LINE, _MARGIN, _TOP = 7.8, 17, 14, 46
_FOREGROUND, _BACKGROUND = "#d0d0d0", "#1e1e1e"
_COLOURS = {
    "black": "#000000",
    "red": "#ef5350",
    "green": "#66bb6a",
    "brown": "#ffca28",
    "blue": "#64b5f6",
    "magenta": "#ce93d8",
    "cyan": "#4dd0e1",
    "white": "#e0e0e0",
}


@dataclass(frozen=True)
class Recording:
    """A command, how many lines its terminal has, and what to do beside it: keys at times in seconds."""

    argv: tuple[str, ...]
    lines: int
    columns: int = 92
    keys: tuple[tuple[float, str], ...] = ()
    ends_s: float = 90.0


Run = tuple[str, str]
"""Text with the attributes of SVG that it is shown with."""


@dataclass(frozen=True)
class Frame:
    """What the terminal shows, and from when on, in seconds."""

    at_s: float
    rows: tuple[tuple[Run, ...], ...]

    @property
    def plain(self) -> str:
        """The text alone."""
        return "\n".join("".join(text for text, _look in row) for row in self.rows)


def frames_of(recording: Recording) -> list[Frame]:
    """Run a program at a terminal of its own, and return each picture that stayed for a moment."""
    screen = pyte.Screen(recording.columns, recording.lines)
    stream = pyte.ByteStream(screen)
    frames: list[Frame] = []
    began_s = time.monotonic()
    keys = list(recording.keys)
    for octets, write in _terminal(recording):
        stream.feed(_UNKNOWN_TO_PYTE.sub(b"", octets))
        now_s = time.monotonic() - began_s
        while keys and now_s >= keys[0][0]:
            write(keys.pop(0)[1])
        frame = Frame(now_s, tuple(_row(screen, number) for number in range(recording.lines)))
        if frame.plain.strip() and (not frames or frames[-1].plain != frame.plain):
            frames.append(frame)
    return _worth_showing(frames)


def _worth_showing(frames: list[Frame]) -> list[Frame]:
    """Return the frames that stayed, at most so many: those that changed most words from the one before."""
    ends = [each.at_s for each in frames[1:]] + [float("inf")]
    kept = [frame for frame, end_s in zip(frames, ends, strict=True) if end_s - frame.at_s >= _SHORTEST_S]
    while len(kept) > _MOST_FRAMES:
        changes = [_differences(before, after) for before, after in pairwise(kept[:-1])]
        del kept[changes.index(min(changes)) + 1]
    return kept


def _differences(before: Frame, after: Frame) -> int:
    return len(set(re.findall(r"[A-Za-z]{3,}\S*", after.plain)) - set(re.findall(r"[A-Za-z]{3,}\S*", before.plain)))


def _terminal(recording: Recording) -> Iterator[tuple[bytes, Callable[[str], object]]]:
    """Yield what the program writes, in short intervals, until it ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", recording.lines, recording.columns, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LINES": "", "COLUMNS": ""}
    environment = {name: value for name, value in environment.items() if value}
    ends_s = time.monotonic() + recording.ends_s
    with subprocess.Popen(  # noqa: S603  a fixed command
        [_SETSID, "--ctty", *recording.argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        try:
            while time.monotonic() < ends_s:
                octets = b""
                if select.select([ours], [], [], _SAMPLE_S)[0]:
                    with contextlib.suppress(OSError):
                        octets = os.read(ours, 65536)
                    if not octets:
                        break
                yield octets, lambda keys: os.write(ours, keys.encode())
        finally:
            process.kill()
            os.close(ours)


def _row(screen: pyte.Screen, number: int) -> tuple[Run, ...]:
    """Return a line as runs of text that look the same, without blanks at its end."""
    runs: list[Run] = []
    for column in range(screen.columns):
        cell = screen.buffer[number][column]
        text, look = cell.data or " ", _look(cell)
        if runs and (runs[-1][1] == look or (text == " " and not cell.reverse and cell.bg == "default")):
            runs[-1] = (runs[-1][0] + text, runs[-1][1])
        else:
            runs.append((text, look))
    if runs and "data-" not in runs[-1][1]:
        runs[-1] = (runs[-1][0].rstrip(), runs[-1][1])
    return tuple(each for each in runs if each[0])


def _look(cell: pyte.screens.Char) -> str:
    foreground, background = _colour(cell.fg, _FOREGROUND), _colour(cell.bg, _BACKGROUND)
    if cell.reverse:
        foreground, background = background, foreground
    look = f' fill="{foreground}"' if foreground != _FOREGROUND else ""
    look += ' font-weight="bold"' if cell.bold else ""
    return look + (f' data-on="{background}"' if background != _BACKGROUND else "")


def _colour(name: str, default: str) -> str:
    return f"#{name}" if re.fullmatch(r"[0-9a-f]{6}", name) else _COLOURS.get(name, default)


def picture(frames: Sequence[Frame], title: str) -> str:
    """Return one SVG that shows the frames one after the other, again and again; it loads nothing from elsewhere.

    A line that stays is drawn once. Without animation the last frame is shown.
    """
    spans = [min(after.at_s - before.at_s, _LONGEST_S) for before, after in pairwise(frames)]
    spans.append(_PAUSE_AT_END_S)
    lines = max(number for frame in frames for number, row in enumerate(frame.rows) if row) + 1
    shown: dict[tuple[int, tuple[Run, ...]], set[int]] = {}
    for number, frame in enumerate(frames):
        for line, row in enumerate(frame.rows):
            if row:
                shown.setdefault((line, row), set()).add(number)
    drawn = [
        _animated(_line(line, row), visible, spans)
        for (line, row), visible in sorted(shown.items(), key=lambda e: e[0][0])
    ]
    columns = max(len(line) for frame in frames for line in frame.plain.splitlines())
    width, height = round(columns * _CELL + 2 * _MARGIN), round(lines * _LINE + _TOP + _MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<rect width="{width}" height="{height}" rx="6" fill="{_BACKGROUND}"/>\n'
        f'<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" fill="{_FOREGROUND}">\n'
        f'<text x="{width / 2}" y="20" text-anchor="middle" fill="#9e9e9e">{escape(title)}</text>\n'
        + "\n".join(drawn)
        + "\n</g>\n</svg>\n"
    )


def _line(line: int, row: tuple[Run, ...]) -> str:
    """Return a line; every run has its own place, so that columns are straight in any font."""
    parts, column, y = [], 0, _TOP + line * _LINE
    for text, look in row:
        x, length = _MARGIN + column * _CELL, len(text) * _CELL
        on = re.search(r' data-on="([^"]*)"', look)
        if on:
            parts.append(f'<rect x="{x:.1f}" y="{y - 13}" width="{length:.1f}" height="{_LINE}" fill="{on.group(1)}"/>')
        bare, blanks = text.lstrip(), len(text) - len(text.lstrip())
        if bare.strip():
            bare, at = bare.rstrip(), x + blanks * _CELL
            style = re.sub(r' data-on="[^"]*"', "", look)
            words = escape(bare).replace(" ", "\u00a0")
            parts.append(f'<text x="{at:.1f}" y="{y}" textLength="{len(bare) * _CELL:.1f}"{style}>{words}</text>')
        column += len(text)
    return "".join(parts)


def _animated(body: str, visible: set[int], spans: Sequence[float]) -> str:
    """Return what is drawn with the times at which it is visible."""
    if len(visible) == len(spans):
        return body
    whole_s, at_s, times, values = sum(spans), 0.0, [], []
    for number, span_s in enumerate(spans):
        value = "visible" if number in visible else "hidden"
        if not values or values[-1] != value:
            times.append(f"{at_s / whole_s:.3f}".rstrip("0").rstrip("."))
            values.append(value)
        at_s += span_s
    at_rest = "" if len(spans) - 1 in visible else ' visibility="hidden"'
    return (
        f'<g{at_rest}><animate attributeName="visibility" dur="{whole_s:.1f}s" repeatCount="indefinite" '
        f'calcMode="discrete" values="{";".join(values)}" keyTimes="{";".join(times)}"/>{body}</g>'
    )


def _pycarp(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pycarp", *words)


@contextlib.contextmanager
def _hosts_to_watch() -> Iterator[Recording]:
    """Run two hosts of three vhids in namespaces, and yield what shows those of the second one."""
    from pycarp.lab.lab_network import Segment  # noqa: PLC0415  the lab alone needs it

    with (
        tempfile.TemporaryDirectory() as name,
        Segment(f"rec{os.getpid()}", {"web1": "192.0.2.1/24", "web2": "192.0.2.2/24"}, interface="eth0") as segment,
    ):
        for number, host in enumerate(("web1", "web2")):
            folder = Path(name) / host
            folder.mkdir()
            file = folder / "pycarp.toml"
            file.write_text(
                "".join(
                    f'[[host]]\nname = "{service}"\ninterface = "eth0"\nvhid = {vhid}\npassword = "example"\n'
                    f'addresses = ["192.0.2.{vhid * 10}/24"]\nadvskew = {100 * ((number + vhid) % 2)}\npreempt = true\n'
                    for vhid, service in enumerate(("web", "dns", "mail"), start=1)
                )
            )
            words = ("run", str(file), "--control", str(folder / "sock"), "--state", str(folder / "state"))
            segment.popen(host, _pycarp(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(6)
        time.sleep(3)
        argv = segment.exec_argv("web2", _pycarp("top", "--control", str(Path(name) / "web2" / "sock")))
        keys = ((7.0, "h"), (10.0, "y"), (17.0, "q"))
        yield Recording(tuple(argv), lines=24, keys=keys, ends_s=20)


_ALONE = {"demo": Recording(_pycarp("demo"), lines=22), "lab": Recording(_pycarp("lab"), lines=30, columns=108)}
_TITLES = {"demo": "pycarp demo", "lab": "sudo pycarp lab", "top": "sudo pycarp top"}


def record(name: str) -> Path:
    """Run a program, write its picture and return the file."""
    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(_hosts_to_watch()) if name == "top" else _ALONE[name]
        frames = frames_of(recording)
    file = FOLDER / f"{name}.svg"
    file.write_text(picture(frames, _TITLES[name]))
    return file


if __name__ == "__main__":
    for each in sys.argv[1:] or _TITLES:
        written = record(each)
        sys.stdout.write(f"{written}: {written.stat().st_size} octets\n")
