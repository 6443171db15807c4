"""The protocol of link monitors."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from pycarp.vocabulary import LinkFacts


class Monitor(Protocol):
    """Reports the facts of a node's links, and their changes."""

    async def open(self) -> None:
        """Open the monitor; called once, before any other method."""

    async def watch(self, link: str) -> LinkFacts:
        """Return the present facts of a link; from here on its changes are reported.

        Raises ConfigError if there is no such link.
        """

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Call ``notice`` with the facts of each watched link that changes, until cancelled."""

    async def close(self) -> None:
        """Release the resources of ``open``."""


@runtime_checkable
class LinkForgetting(Protocol):
    """A monitor that follows links whose devices are renamed."""

    def forget(self, link: str) -> None:
        """Stop following a link; ``watch`` then begins with the device that has the name."""
