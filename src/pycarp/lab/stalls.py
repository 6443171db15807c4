"""Measures stalls of this machine: a takeover that is late because of one is no failure of CARP."""

import threading
import time
from types import TracebackType
from typing import Self

STALL_S = 0.05
"""The lab's bounds leave some 100 ms for what a quiet machine takes; less than this explains nothing."""

_PERIOD_S = 0.01


class StallWatch:
    """A context manager with a thread that wants to run every 10 ms and notes how late it was; wall-clock times."""

    def __init__(self) -> None:
        self._stalls: list[tuple[float, float]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pycarp-lab-stalls", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def longest_s(self, since_s: float = 0.0) -> float:
        """Return the longest stall that ended after a time, 0 if none was as long as ``STALL_S``."""
        return max((late_s for ended_s, late_s in self._stalls if ended_s >= since_s), default=0.0)

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._is_over.wait(_PERIOD_S):
            now_s = time.monotonic()
            late_s = now_s - before_s - _PERIOD_S
            if late_s >= STALL_S:
                self._stalls.append((time.time(), late_s))
            before_s = now_s
