"""Linux: link facts through netlink notifications."""

import asyncio
from collections.abc import Callable

from pycarp.errors import ConfigError
from pycarp.system.interfaces import interfaces
from pycarp.system.netlink import Netlink, changed_links
from pycarp.vocabulary import LinkFacts

RETRY_S = 0.1
"""Pause before subscribing again."""

REST_S = 0.05
"""Pause after a reading: the first of many changes is told at once, the others together."""


class NetlinkMonitor:
    """Reads a link's facts anew whenever the kernel says that something about links changed."""

    def __init__(self) -> None:
        self._netlink = Netlink()
        self._known: dict[str, LinkFacts] = {}

    async def open(self) -> None:
        """Open the netlink socket for requests."""
        await self._netlink.__aenter__()

    async def watch(self, link: str) -> LinkFacts:
        """Return how a link is now."""
        facts = await self._netlink.link_facts(link)
        if facts is None:
            names = ", ".join(each.name for each in interfaces())
            raise ConfigError(f"interface {link} does not exist; there are: {names}")
        self._known[link] = facts
        return facts

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Listen until cancelled; when notifications were lost, read everything anew.

        Hundreds of addresses come and go at once. What changes while a link is being read, and shortly after, is read
        once more, not once each.
        """
        while True:
            changes = _Changes()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(changes.collect())
                    group.create_task(self._read_changed(changes, notice))
            except* OSError:
                # The kernel's queue overflowed, or sockets are scarce. Subscribing again begins with a full reading.
                pass
            await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Close the netlink socket."""
        await self._netlink.__aexit__(None, None, None)

    async def _read_changed(self, changes: "_Changes", notice: Callable[[LinkFacts], None]) -> None:
        while True:
            changed = await changes.take()
            for link, before in list(self._known.items()):
                if None in changed or link in changed:
                    facts = await self._netlink.link_facts(link) or LinkFacts(name=link, is_up=False)
                    if facts != before:
                        self._known[link] = facts
                        notice(facts)
            await asyncio.sleep(REST_S)


class _Changes:
    """The links that changed since somebody looked; None among them means any."""

    def __init__(self) -> None:
        self._names: set[str | None] = set()
        self._arrival = asyncio.Event()

    async def collect(self) -> None:
        """Collect for ever."""
        async for name in changed_links():
            self._names.add(name)
            self._arrival.set()

    async def take(self) -> set[str | None]:
        """Wait until there are some, and return them."""
        await self._arrival.wait()
        self._arrival.clear()
        taken, self._names = self._names, set()
        return taken
