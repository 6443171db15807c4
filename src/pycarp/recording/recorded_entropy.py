"""The entropy of a recording, given to an engine again."""

from collections import deque
from collections.abc import Iterable


class RecordedEntropy:
    """An entropy source that returns the recorded numbers, and detects a step that takes more or fewer of them."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()
        self._is_short = False

    def __call__(self) -> int:
        """Return the next recorded number, 0 if none is left."""
        if not self._numbers:
            self._is_short = True
            return 0
        return self._numbers.popleft()

    def refill(self, numbers: Iterable[int]) -> None:
        """Begin a step; ``numbers`` are those that it took when it was recorded."""
        self._numbers = deque(numbers)
        self._is_short = False

    @property
    def were_right(self) -> bool:
        """True if the step took all its recorded numbers, and no more."""
        return not self._numbers and not self._is_short
