"""Links that are what they were said to be, until told otherwise: for tests and demonstrations."""

import asyncio
from collections.abc import Callable, Iterable

from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts


class StaticMonitor:
    """Answers from a list of facts; ``change`` plays the operating system."""

    def __init__(self, links: Iterable[LinkFacts]) -> None:
        self._links = {facts.name: facts for facts in links}
        self._changes: asyncio.Queue[LinkFacts] = asyncio.Queue()

    async def open(self) -> None:
        """Nothing to get ready."""

    async def watch(self, link: str) -> LinkFacts:
        """Return the facts as they stand."""
        if link not in self._links:
            raise ConfigError(f"interface {link} does not exist; there are: {', '.join(self._links) or 'none'}")
        return self._links[link]

    def change(self, facts: LinkFacts) -> None:
        """Set the facts of a link and tell about them."""
        self._links[facts.name] = facts
        self._changes.put_nowait(facts)

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Pass on what ``change`` was told."""
        while True:
            notice(await self._changes.get())

    async def close(self) -> None:
        """Nothing to release."""
