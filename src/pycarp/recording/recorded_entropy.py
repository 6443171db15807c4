"""The entropy of a recording, given to an engine again."""

from collections import deque
from collections.abc import Iterable


class RecordedEntropy:
    """Call it for the next number; it notices when a step takes more or fewer than are recorded."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()
        self._is_short = False

    def __call__(self) -> int:
        """Return the next number, 0 if there is none left."""
        if not self._numbers:
            self._is_short = True
            return 0
        return self._numbers.popleft()

    def refill(self, numbers: Iterable[int]) -> None:
        """Begin a step that took these."""
        self._numbers = deque(numbers)
        self._is_short = False

    @property
    def were_right(self) -> bool:
        """Whether the step took all of them, and no more."""
        return not self._numbers and not self._is_short
