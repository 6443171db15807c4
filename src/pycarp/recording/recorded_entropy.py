"""The entropy of a recording, given to an engine again."""

from collections import deque
from collections.abc import Iterable


class RecordedEntropy:
    """An entropy source that returns the recorded numbers, and detects a step that takes more or fewer of them."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()
        self._is_short = False
        self.taken: list[int] = []
        """What the step took so far."""

    def __call__(self) -> int:
        """Return the next recorded number, 0 if none is left."""
        self._is_short |= not self._numbers
        self.taken.append(self._numbers.popleft() if self._numbers else 0)
        return self.taken[-1]

    def refill(self, numbers: Iterable[int]) -> None:
        """Begin a step; ``numbers`` are those that it took when it was recorded."""
        self._numbers = deque(numbers)
        self._is_short = False
        self.taken = []

    @property
    def were_right(self) -> bool:
        """True if the step took all its recorded numbers, and no more."""
        return not self._numbers and not self._is_short
