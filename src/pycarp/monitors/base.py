"""What every link monitor promises."""

from collections.abc import Callable
from typing import Protocol

from pycarp.vocabulary import LinkFacts


class Monitor(Protocol):
    """Tells how the links of a node are, and when that changes."""

    async def open(self) -> None:
        """Get ready; called once, before anything else."""

    async def watch(self, link: str) -> LinkFacts:
        """Return how a link is now; from here on its changes are noticed.

        Raises ConfigError when there is no such link.
        """

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Call ``notice`` with the facts of each watched link that changes, until cancelled."""

    async def close(self) -> None:
        """Release what ``open`` took."""
