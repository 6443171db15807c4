"""``pycarp``, with an event loop that notes for how long it is blocked.

    python -m benchmarks.watched_loop FILE run CONFIGURATION ...

A turn of the loop lasts from when it has been woken until it waits again: for so long nothing else is heard or sent.
Every quarter of a second in which there was a turn, a line is added to FILE: CLOCK_MONOTONIC in seconds, and
milliseconds of the longest turn, by the clock and of CPU of the loop's own thread. They differ by what other programs
and threads took away.
"""

import asyncio
import selectors
import sys
import time
from pathlib import Path
from typing import NamedTuple

_WINDOW_S = 0.25


class Turn(NamedTuple):
    """The longest turns of a span that ended at ``at_s``."""

    at_s: float
    longest_ms: float
    cpu_ms: float


class WatchedSelector(selectors.EpollSelector):
    """Measures the time between two waits."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file.open("w", buffering=1)
        self._woken_s = self._written_s = time.monotonic()
        self._woken_cpu_s = time.thread_time()
        self._longest_s = self._longest_cpu_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, and note how long the turn before it took."""
        now_s = time.monotonic()
        self._longest_s = max(self._longest_s, now_s - self._woken_s)
        self._longest_cpu_s = max(self._longest_cpu_s, time.thread_time() - self._woken_cpu_s)
        if now_s - self._written_s >= _WINDOW_S:
            self._file.write(f"{now_s:.3f} {1000 * self._longest_s:.2f} {1000 * self._longest_cpu_s:.2f}\n")
            self._written_s, self._longest_s, self._longest_cpu_s = now_s, 0.0, 0.0
        found = super().select(timeout)
        self._woken_s, self._woken_cpu_s = time.monotonic(), time.thread_time()
        return found

    def close(self) -> None:
        """Close the selector, and the file."""
        super().close()
        self._file.close()


def turns(file: Path) -> list[Turn]:
    """Return what was noted; what a killed process had no time to finish is left out."""
    lines = file.read_text().split("\n")[:-1]
    return [Turn(*map(float, line.split())) for line in lines]


def longest(noted: list[Turn], from_s: float, to_s: float) -> tuple[float, float]:
    """Return the milliseconds of the longest turn that ended in a span, and the most CPU of one; 0 without any."""
    within = [each for each in noted if from_s <= each.at_s <= to_s + _WINDOW_S]
    return max((each.longest_ms for each in within), default=0.0), max((each.cpu_ms for each in within), default=0.0)


def main() -> None:
    """Run the command on a loop with such a selector."""
    file, *sys.argv[1:] = sys.argv[1:]
    make = asyncio.SelectorEventLoop
    asyncio.events.new_event_loop = lambda: make(WatchedSelector(Path(file)))
    from pycarp.__main__ import main as pycarp  # noqa: PLC0415  it reads sys.argv

    pycarp()


if __name__ == "__main__":
    main()
