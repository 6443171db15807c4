"""The links of a transport, shared by the hosts of a node: opened with the first host, closed with the last.

Each link follows its hosts and its device: it joins the groups of new settings, and it is opened again when the device
was deleted and created again, because sockets stay bound to the deleted device.
"""

import asyncio
import contextvars
from collections.abc import Callable

import msgspec

from pycarp.aio.bounded import outcome_of
from pycarp.aio.log_records import logger
from pycarp.core.host_config import HostConfig
from pycarp.errors import TransportError
from pycarp.tasks import start_task
from pycarp.transports.transport import AddressFollowing, GroupJoining, Transport
from pycarp.vocabulary import Address, HostKey, LinkFacts

RETRY_FIRST_S = 0.1
RETRY_MAX_S = 30.0


class _Link(msgspec.Struct):
    """``index`` is the index of the opened device, ``seen`` that of the present one; 0 if unknown.

    ``wanted`` are the groups of its hosts, ``joined`` the groups that the transport has joined. Where the transport
    listens to addresses, ``own`` are the machine's own addresses, ``followed`` those that the transport listens to.
    ``must_close`` is True while the link may still be open because closing it failed.
    """

    name: str
    hosts: dict[HostKey, HostConfig] = msgspec.field(default_factory=dict)
    wanted: set[Address] = msgspec.field(default_factory=set)
    joined: set[Address] = msgspec.field(default_factory=set)
    own: frozenset[Address] = frozenset()
    followed: frozenset[Address] = frozenset()
    index: int = 0
    seen: int = 0
    is_open: bool = False
    must_close: bool = False
    lock: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    change: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    @property
    def groups(self) -> list[Address]:
        """The wanted groups that are not joined yet, sorted."""
        return sorted(self.wanted - self.joined, key=str)

    def put(self, config: HostConfig) -> None:
        """Add a host, or give it other settings."""
        self.hosts[config.key] = config
        self.wanted.update(groups_of(config))

    def remove(self, key: HostKey) -> None:
        """Remove a host; no-op if it is absent."""
        config = self.hosts.pop(key, None)
        if config is not None and not self.joined.issuperset(groups_of(config)):
            self.wanted = {group for each in self.hosts.values() for group in groups_of(each)}

    @property
    def is_stale(self) -> bool:
        """True if the opened device is gone and another device has its name."""
        return self.seen not in (0, self.index)

    @property
    def is_reconciled(self) -> bool:
        """True if the link is open, or closed, as its hosts need it."""
        if not self.hosts:
            return not (self.is_open or self.must_close)
        return self.is_open and not self.is_stale and not self.groups and self.own == self.followed


class Links:
    """Opens, joins, reopens and closes the links of one transport.

    ``wake`` reads the datagrams that have arrived; ``left_s`` returns how many seconds closing may take.
    """

    def __init__(self, transport: Transport, wake: Callable[[], None], *, left_s: Callable[[], float]) -> None:
        self._transport = transport
        self._joining = transport if isinstance(transport, GroupJoining) else None
        self._following = transport if isinstance(transport, AddressFollowing) else None
        self._wake = wake
        self._left_s = left_s
        self._links: dict[str, _Link] = {}
        self._context = contextvars.copy_context()
        self._is_closed = False

    async def acquire(self, config: HostConfig) -> None:
        """Open the link of a host unless it is open, and join the host's groups; raises what the transport raises.

        When it fails or is cancelled, every step is undone.
        """
        link = self._of(config.interface)
        async with link.lock:
            link.put(config)
            try:
                await self._listen(link)
            except BaseException:
                await self._leave(link, config.key)
                self._reconcile(link)
                raise

    async def release(self, key: HostKey) -> None:
        """Remove a host from its link, and close the link with its last host."""
        link = self._of(key.link)
        link.remove(key)
        try:
            async with link.lock:
                await self._leave(link, key)
        finally:
            # Steps that did not end in time are repeated in the background.
            self._reconcile(link)

    def follow_settings(self, config: HostConfig) -> None:
        """Join, in the background, the groups that new settings of a host need."""
        link = self._of(config.interface)
        if config.key in link.hosts:
            link.put(config)
            self._reconcile(link)

    def note_facts(self, facts: LinkFacts) -> None:
        """Open a link again, in the background, if its device was replaced; follow its present addresses."""
        link = self._of(facts.name)
        link.seen = facts.index
        if self._following is not None:
            shared = frozenset[Address]().union(*(each.ips for each in link.hosts.values()))
            link.own = frozenset(each.ip for each in facts.addresses) - shared
        self._reconcile(link)

    async def close(self) -> None:
        """Stop the background tasks; the transport closes the links."""
        self._is_closed = True
        tasks = [link.task for link in self._links.values() if link.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _of(self, name: str) -> _Link:
        return self._links.setdefault(name, _Link(name))

    async def _listen(self, link: _Link) -> None:
        """Listen on the present device, and to every group that its hosts want."""
        if link.must_close or (link.is_open and link.is_stale):
            await self._close(link)
        if not link.is_open:
            await self._open(link)
        for group in link.groups:
            if self._joining is not None:
                await self._joining.join(link.name, group)
            link.joined.add(group)
        if self._following is not None and link.followed != link.own:
            own = link.own
            try:
                self._following.follow_addresses(link.name, own)
            except OSError as exc:
                raise TransportError(exc.strerror or str(exc)) from exc
            link.followed = own

    async def _open(self, link: _Link) -> None:
        # Read before the call: a device that is replaced during it must be opened again.
        seen = link.seen
        try:
            await self._transport.open_link(link.name, self._wake)
        except BaseException:
            # A cancelled call may have opened it.
            await self._close_in_time(link)
            raise
        link.is_open, link.index = True, seen

    async def _leave(self, link: _Link, key: HostKey) -> None:
        link.remove(key)
        if not link.hosts and link.is_open:
            await self._close_in_time(link)

    async def _close_in_time(self, link: _Link) -> None:
        """Close a link; repeat that in the background if it fails, hangs or is cancelled."""
        error = await outcome_of(self._close(link), within_s=self._left_s() / 4)
        if error is not None:
            self._reconcile(link)

    async def _close(self, link: _Link) -> None:
        link.is_open, link.must_close = False, True
        link.joined.clear()
        link.followed = frozenset()
        link.wanted = {group for each in link.hosts.values() for group in groups_of(each)}
        await self._transport.close_link(link.name)
        link.must_close = False

    # In the background

    def _reconcile(self, link: _Link) -> None:
        link.change.set()
        if link.is_reconciled or self._is_closed or link.task is not None:
            return
        link.task = start_task(self._reconcile_until_done(link), context=self._context.copy())

    async def _reconcile_until_done(self, link: _Link) -> None:
        """Try until the link is reconciled, at once after a change; log the first failure and their number."""
        failures = 0
        try:
            while not link.is_reconciled:
                link.change.clear()
                error = await self._attempt(link)
                if error is None:
                    continue
                failures += 1
                if failures == 1:
                    what = "listen on" if link.hosts else "close"
                    logger.warning("carp: cannot %s %s, will try again: %s", what, link.name, error)
                await _wait(link.change, min(RETRY_FIRST_S * 2 ** min(failures - 1, 16), RETRY_MAX_S))
        finally:
            link.task = None
        if failures and link.hosts:
            logger.info("carp: listening on %s again, after %d attempts that failed", link.name, failures)

    async def _attempt(self, link: _Link) -> BaseException | None:
        async with link.lock:
            try:
                if link.hosts:
                    await self._listen(link)
                elif link.is_open or link.must_close:
                    await self._close(link)
            except asyncio.CancelledError as exc:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                return exc
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as exc:  # noqa: BLE001  a third party's transport may raise anything
                return exc
        return None


def groups_of(config: HostConfig) -> list[Address]:
    """Return the multicast groups that a host listens to: those of the families in which it has no peers."""
    return [config.group_of(family) for family in config.families if not config.has_peers_in(family)]


async def _wait(change: asyncio.Event, span_s: float) -> None:
    try:
        async with asyncio.timeout(span_s):
            await change.wait()
    except TimeoutError:
        return
