"""A monitor of fixed link facts, which ``change`` replaces: for tests and demonstrations."""

import asyncio
from collections.abc import Callable, Iterable

from pycarp.errors import ConfigError
from pycarp.vocabulary import LinkFacts


class StaticMonitor:
    """Returns facts from a list; ``change`` stands in for the operating system."""

    def __init__(self, links: Iterable[LinkFacts]) -> None:
        self._links = {facts.name: facts for facts in links}
        self._changes: asyncio.Queue[LinkFacts] = asyncio.Queue()

    async def open(self) -> None:
        """Do nothing: this monitor needs no resources."""

    async def watch(self, link: str) -> LinkFacts:
        """Return the present facts of a link; raises ConfigError if it is not in the list."""
        if link not in self._links:
            raise ConfigError(f"interface {link} does not exist; there are: {', '.join(self._links) or 'none'}")
        return self._links[link]

    def change(self, facts: LinkFacts) -> None:
        """Replace the facts of a link and report them."""
        self._links[facts.name] = facts
        self._changes.put_nowait(facts)

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Report each change until cancelled."""
        while True:
            notice(await self._changes.get())

    async def close(self) -> None:
        """Do nothing: there are no resources to release."""
