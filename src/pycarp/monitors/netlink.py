"""Linux: link facts through netlink notifications."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol, TypeAlias

from pycarp.errors import ConfigError
from pycarp.system.addresses.interfaces import interfaces
from pycarp.system.rtnetlink.netlink import Netlink, changed_links
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

    async def link_facts(self, link: str, index: int = 0) -> LinkFacts | None:
        """Return what is known of the link of an index, or if there is none, of a name; None when there is neither."""


class NetlinkMonitor:
    """Reads a link's facts anew whenever the kernel says that something about links changed.

    A link that is renamed is followed by its index, for as long as it exists; facts have the name that was asked for.

    ``kernel`` answers for it, and ``changes`` yields the names of links that changed, if not those of this machine.
    """

    def __init__(self, *, kernel: LinkSource | None = None, changes: LinkChanges | None = None) -> None:
        self._netlink: LinkSource = Netlink() if kernel is None else kernel
        self._changes = changes
        self._known: dict[str, _Reading] = {}
        self._readings = 0
        self._heard: _Changes | None = None

    async def open(self) -> None:
        """Open the netlink socket for requests."""
        await self._netlink.__aenter__()

    async def watch(self, link: str) -> LinkFacts:
        """Return how a link is now, or what a reading that began later has found out meanwhile.

        A link of which no change was heard since it was read is not read again: hundreds of hosts may be on it.
        """
        known = self._known.get(link)
        unread = {None} if self._heard is None else self._heard.unread
        if known and known.facts.index and unread.isdisjoint({None, link, known.facts.present_name}):
            return known.facts
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
            self._heard = changes
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(changes.collect())
                    group.create_task(self._read_changed(changes, notice))
            except* OSError:
                # The kernel's queue overflowed, or sockets are scarce. Subscribing again begins with a full reading.
                pass
            finally:
                self._heard = None
            await asyncio.sleep(RETRY_S)

    def forget(self, link: str) -> None:
        """Follow a link no more; watched again, it is the one that has the name then."""
        self._known.pop(link, None)

    async def close(self) -> None:
        """Close the netlink socket."""
        await self._netlink.__aexit__(None, None, None)

    async def _read_changed(self, changes: "_Changes", notice: Callable[[LinkFacts], None]) -> None:
        while True:
            changed = await changes.take()
            for link, known in list(self._known.items()):
                if not changed.isdisjoint({None, link, known.facts.present_name}):
                    await self._read_again(link, notice)
            changes.have_been_read()
            await asyncio.sleep(REST_S)

    async def _read_again(self, link: str, notice: Callable[[LinkFacts], None]) -> None:
        number = self._readings + 1
        reading = await self._read(link) or _Reading(number, LinkFacts(name=link, is_up=False, exists=False))
        before = self._known.get(link)
        if before is None:
            return
        if self._newest(link, reading) is reading and reading.facts != before.facts:
            notice(reading.facts)

    async def _read(self, link: str) -> "_Reading | None":
        """Ask the kernel; None when there is no such link."""
        self._readings += 1
        number = self._readings
        known = self._known.get(link)
        facts = await self._netlink.link_facts(link, known.facts.index if known else 0)
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
        # Until the subscription has begun, anything may change unheard.
        self._taken: set[str | None] = {None}
        self._arrival = asyncio.Event()

    @property
    def unread(self) -> set[str | None]:
        """The links that have changed, or may have, since they were last read."""
        return self._names | self._taken

    async def collect(self) -> None:
        """Collect for ever."""
        async for name in self._changed:
            self._names.add(name)
            self._arrival.set()

    async def take(self) -> set[str | None]:
        """Wait until there are some, and return them."""
        await self._arrival.wait()
        self._arrival.clear()
        self._taken, self._names = self._names, set()
        return self._taken

    def have_been_read(self) -> None:
        """Note that all that was taken has been read."""
        self._taken = set()
