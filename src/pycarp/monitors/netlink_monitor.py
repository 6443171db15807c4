"""The monitor of Linux: reads link facts when netlink notifies of a change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from pycarp.errors import ConfigError
from pycarp.system.addresses.interfaces import interfaces
from pycarp.system.rtnetlink.netlink_reader import Netlink, changed_links
from pycarp.vocabulary import LinkFacts

RETRY_S = 0.1
"""Seconds between two subscriptions."""

REST_S = 0.05
"""Seconds between two readings: the first of many changes is reported at once, the rest together."""


LinkChanges: TypeAlias = Callable[[], AsyncIterator[str | None]]


class LinkSource(Protocol):
    """Where a monitor reads link facts: the kernel, through netlink; an async context manager."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, kind: None, exc: None, trace: None, /) -> None: ...

    async def link_facts(self, link: str, index: int = 0) -> LinkFacts | None:
        """Return the facts of the link with that index, else of the link with that name; None if there is neither."""


class NetlinkMonitor:
    """Reads a link's facts again whenever the kernel notifies of a change.

    A renamed link is followed by its index while it exists; its facts keep the configured name.

    ``kernel`` and ``changes`` replace the kernel of this machine: the one returns facts, the other yields the names of
    changed links.
    """

    def __init__(self, *, kernel: LinkSource | None = None, changes: LinkChanges | None = None) -> None:
        self._netlink: LinkSource = Netlink() if kernel is None else kernel
        self._changes = changes or partial(changed_links, self._is_watched)
        self._known: dict[str, _Reading] = {}
        self._watched: set[str] = set()
        self._indices: frozenset[int] = frozenset()
        self._readings = 0
        self._present_changes: _Changes | None = None

    async def open(self) -> None:
        """Open the netlink socket for requests."""
        await self._netlink.__aenter__()

    async def watch(self, link: str) -> LinkFacts:
        """Return the present facts of a link, or those of a later reading that ended meanwhile.

        A link without a notification since it was read is not read again: hundreds of hosts may be on it.
        """
        known = self._known.get(link)
        unread = {None} if self._present_changes is None else self._present_changes.unread
        if known and known.facts.index and unread.isdisjoint({None, link, known.facts.present_name}):
            return known.facts
        # From before the reading on, no notification about the link is passed over.
        self._watched.add(link)
        reading = await self._read(link)
        if reading is None:
            if link not in self._known:
                self._watched.discard(link)
            names = ", ".join(each.name for each in interfaces())
            raise ConfigError(f"interface {link} does not exist; there are: {names}")
        return self._newest(link, reading).facts

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Follow notifications until cancelled; when some were lost, read every link again.

        Hundreds of addresses may change at once. The changes during a reading, and shortly after it, lead to one more
        reading together, not to one each.
        """
        while True:
            changes = _Changes(self._changes())
            self._present_changes = changes
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(changes.collect())
                    group.create_task(self._read_changed(changes, notice))
            except* OSError:
                # The kernel's queue overflowed, or no socket was free. A new subscription begins with a full reading.
                pass
            finally:
                self._present_changes = None
            await asyncio.sleep(RETRY_S)

    def forget(self, link: str) -> None:
        """Stop following a link; ``watch`` then begins with the link that has the name."""
        self._known.pop(link, None)
        self._watched.discard(link)
        self._note_indices()

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
        """Read a link's facts from the kernel; return None if there is no such link."""
        self._readings += 1
        number = self._readings
        known = self._known.get(link)
        facts = await self._netlink.link_facts(link, known.facts.index if known else 0)
        return None if facts is None else _Reading(number, facts)

    def _newest(self, link: str, reading: "_Reading") -> "_Reading":
        """Keep a reading unless a later one is known; return the one that is kept.

        The kernel answers in parts, so of two readings the one that began first may end last.
        """
        known = self._known.get(link)
        if known is None or known.number < reading.number:
            self._known[link] = reading
            self._note_indices()
        return self._known[link]

    def _note_indices(self) -> None:
        self._indices = frozenset(known.facts.index for known in self._known.values())

    def _is_watched(self, index: int, name: str) -> bool:
        """Return True if a link of this index or this name is watched; hundreds that are not are devices of hosts."""
        return name in self._watched or index in self._indices


class _Reading(NamedTuple):
    """The facts of one reading; readings are numbered in the order in which they began."""

    number: int
    facts: LinkFacts


class _Changes:
    """The names of links that changed since the last reading; None stands for any link."""

    def __init__(self, names: AsyncIterator[str | None]) -> None:
        self._changed = names
        self._names: set[str | None] = set()
        # Before the subscription begins, any link may change without a notification.
        self._taken: set[str | None] = {None}
        self._arrival = asyncio.Event()

    @property
    def unread(self) -> set[str | None]:
        """The links that have changed, or may have changed, since they were last read."""
        return self._names | self._taken

    async def collect(self) -> None:
        """Collect the names of changed links until cancelled."""
        async for name in self._changed:
            self._names.add(name)
            self._arrival.set()

    async def take(self) -> set[str | None]:
        """Wait for changes, and return their links."""
        await self._arrival.wait()
        self._arrival.clear()
        self._taken, self._names = self._names, set()
        return self._taken

    def have_been_read(self) -> None:
        """Forget the links that ``take`` returned: they have been read."""
        self._taken = set()
