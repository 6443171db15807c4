"""Linux: link facts through netlink notifications."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol, TypeAlias

from pycarp.errors import ConfigError
from pycarp.system.interfaces import interfaces
from pycarp.system.netlink import Netlink, changed_links
from pycarp.vocabulary import LinkFacts

RETRY_S = 0.1
"""Pause before subscribing again."""

REST_S = 0.05
"""Pause after a reading: the first of many changes is told at once, the others together."""


LinkChanges: TypeAlias = Callable[[], AsyncIterator[str | None]]


class LinkSource(Protocol):
    """Whom a monitor asks: the kernel, through netlink; an async context manager."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, kind: None, exc: None, trace: None, /) -> None: ...

    async def link_facts(self, link: str) -> LinkFacts | None:
        """Return what is known of a link, None when it does not exist."""


class NetlinkMonitor:
    """Reads a link's facts anew whenever the kernel says that something about links changed.

    ``kernel`` answers for it, and ``changes`` yields the names of links that changed, if not those of this machine.
    """

    def __init__(self, *, kernel: LinkSource | None = None, changes: LinkChanges | None = None) -> None:
        self._netlink: LinkSource = Netlink() if kernel is None else kernel
        self._changes = changes
        self._known: dict[str, _Reading] = {}
        self._readings = 0

    async def open(self) -> None:
        """Open the netlink socket for requests."""
        await self._netlink.__aenter__()

    async def watch(self, link: str) -> LinkFacts:
        """Return how a link is now, or what a reading that began later has found out meanwhile."""
        reading = await self._read(link)
        if reading is None:
            names = ", ".join(each.name for each in interfaces())
            raise ConfigError(f"interface {link} does not exist; there are: {names}")
        return self._newest(link, reading).facts

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Listen until cancelled; when notifications were lost, read everything anew.

        Hundreds of addresses come and go at once. What changes while a link is being read, and shortly after, is read
        once more, not once each.
        """
        while True:
            changes = _Changes((self._changes or changed_links)())
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
            for link in list(self._known):
                if None in changed or link in changed:
                    await self._read_again(link, notice)
            await asyncio.sleep(REST_S)

    async def _read_again(self, link: str, notice: Callable[[LinkFacts], None]) -> None:
        number = self._readings + 1
        reading = await self._read(link) or _Reading(number, LinkFacts(name=link, is_up=False))
        before = self._known[link]
        if self._newest(link, reading) is reading and reading.facts != before.facts:
            notice(reading.facts)

    async def _read(self, link: str) -> "_Reading | None":
        """Ask the kernel; None when there is no such link."""
        self._readings += 1
        number = self._readings
        facts = await self._netlink.link_facts(link)
        return None if facts is None else _Reading(number, facts)

    def _newest(self, link: str, reading: "_Reading") -> "_Reading":
        """Keep a reading, unless one that began later is known; return the one that is kept.

        The answer of the kernel comes in parts, so that of two readings the first may end last.
        """
        known = self._known.get(link)
        if known is None or known.number < reading.number:
            self._known[link] = reading
        return self._known[link]


class _Reading(NamedTuple):
    """What the kernel said of a link; readings are numbered in the order in which they began."""

    number: int
    facts: LinkFacts


class _Changes:
    """The links that changed since somebody looked; None among them means any."""

    def __init__(self, names: AsyncIterator[str | None]) -> None:
        self._changed = names
        self._names: set[str | None] = set()
        self._arrival = asyncio.Event()

    async def collect(self) -> None:
        """Collect for ever."""
        async for name in self._changed:
            self._names.add(name)
            self._arrival.set()

    async def take(self) -> set[str | None]:
        """Wait until there are some, and return them."""
        await self._arrival.wait()
        self._arrival.clear()
        taken, self._names = self._names, set()
        return taken
