"""One process runs a vhid on an interface of a network namespace: a lock that ends with its process.

A lock is a socket with an abstract name, of which a network namespace has one; no file is left, whatever kills the
process, and folders and mounts do not matter. It has the name of the interface, so it lasts while the interface is
deleted and made again. For an interface that is renamed each process has a sign beside its locks, one for all hosts of
an interface, with index and name: who comes later looks which vhids the process has under that name.

Anybody may take such a name. What a user has who may not change addresses is no pycarp that can do harm: it is
passed over, so that nobody can keep a daemon from starting.
"""

import asyncio
import contextlib
import errno
import re
import secrets
import select
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pycarp.errors import ConfigError, UsageError
from pycarp.system.files.trust import Peer
from pycarp.vocabulary import HostKey

TIMEOUT_S = 1.0
"""How long to wait for one that is leaving, which takes less than a second."""

_PAUSE_S = 0.02
_DESCRIPTORS = 44
"""A daemon needs so many besides those of its hosts and interfaces, with its guardian, and a few who ask it."""
_PER_LINK = 5
"""For its packets, for what is watched, and for the sign."""
_BACKLOG = 1024
"""So many may ask who has a lock while its process is too busy to hang up; then the lock holds and the pid is unknown.
"""
_AT_ONCE = 32
_REST_S = 0.1
"""How long to leave a lock alone after so many connections, or when there is no descriptor for one."""

_LOCKED_AT_ONCE = 1000
"""How many hosts are locked before the event loop gets a turn."""

_UNKNOWN = Peer(0, 0, 0)
_TABLE = Path("/proc/thread-self/net/unix")
_LISTED = re.compile(r"@pycarp/host/([^/#@\s]+)/(\d{1,3})$", re.MULTILINE)
_SIGN = re.compile(r"@pycarp/link/(\d{1,10})/([^/#@\s]+)/([0-9a-f]{16})$", re.MULTILINE)


class HostLocks:
    """The locks of one process; they end with ``close`` or with the process."""

    def __init__(self) -> None:
        self._locks: dict[HostKey, list[_Lock]] = {}
        self._signs: dict[tuple[str, int], _Sign] = {}
        self._watch: _LockWatch | None = None

    async def take(self, keys: Iterable[HostKey], *, timeout_s: float = TIMEOUT_S) -> None:
        """Lock hosts, all or none; well for those that we have.

        Waits ``timeout_s`` seconds at most for another process, then raises UsageError, which names vhid, interface and
        process. Raises ConfigError when there are not enough descriptors.
        """
        if sys.platform != "linux":
            return
        # In one order, so that of two who want the same ones one gets them all.
        wanted = sorted({key for key in keys if key not in self._locks})
        if not wanted:
            return
        ends_s = asyncio.get_running_loop().time() + timeout_s
        try:
            for number, key in enumerate(wanted):
                if number % _LOCKED_AT_ONCE == _LOCKED_AT_ONCE - 1:
                    await asyncio.sleep(0)
                known: dict[str, Peer] = {}
                while (holder := self._try(key, known)) is not None:
                    await _pause(ends_s, key, holder)
            # Of two who know one interface by different names, the later one sees the other's sign here.
            signed = self._put_up_signs(wanted)
            while (rival := self._rival(wanted, signed)) is not None:
                await _pause(ends_s, *rival)
        except BaseException:
            self.release(*wanted)
            raise

    def release(self, *keys: HostKey) -> None:
        """Give locks up; well for those that we do not have."""
        for key in keys:
            for lock in self._locks.pop(key, ()):
                lock.close()
        left = {key.link for key in self._locks}
        for link, index in [each for each in self._signs if each[0] not in left]:
            self._signs.pop((link, index)).lock.close()

    def close(self) -> None:
        """Give all locks up."""
        if self._watch is not None:
            self._watch.close()
        self.release(*list(self._locks))

    def _try(self, key: HostKey, known: dict[str, Peer]) -> Peer | None:
        """Lock a host and return None, or return who has it; ``known`` are those who have been asked already."""
        bound = _bound(_name(key), key, known)
        if isinstance(bound, Peer):
            return bound
        self._locks[key] = [] if bound is None else [_Lock(bound, self._opened_watch())]
        return None

    def _opened_watch(self) -> "_LockWatch":
        if self._watch is None or self._watch.is_closed:
            self._watch = _LockWatch()
        return self._watch

    def _put_up_signs(self, keys: Iterable[HostKey]) -> dict[int, str]:
        """Say for the interfaces of hosts by which name we know them; return the names by index."""
        found = {}
        for link, key in {key.link: key for key in keys}.items():
            with contextlib.suppress(OSError):
                index = socket.if_nametoindex(link)
                found[index] = link
                if (link, index) not in self._signs:
                    self._signs[link, index] = _sign(link, index, key, self._opened_watch())
        return found

    def _rival(self, keys: Iterable[HostKey], links: Mapping[int, str]) -> tuple[HostKey, Peer] | None:
        """Return a host that another process runs on the same interface by another name, and that process."""
        ours = {sign.name for sign in self._signs.values()}
        former: dict[str, set[tuple[str, Peer]]] = {}
        for name, index, link in _signs():
            if index in links and link != links[index] and name not in ours:
                peer = _holder(name)
                if peer is not None and peer.is_trustworthy:
                    former.setdefault(links[index], set()).add((link, peer))
        for key in keys if former else ():
            for link, peer in former.get(key.link, ()):
                holder = _holder(_name(HostKey(link, key.vhid)))
                # Another process may have that vhid on another interface, which is called so now.
                if holder is not None and (holder.pid == peer.pid or 0 in (holder.pid, peer.pid)):
                    return key, holder
        return None


class _Sign(NamedTuple):
    """The lock that says by which name its process knows an interface, and the name of that lock."""

    name: str
    lock: "_Lock"


class _LockWatch:
    """Waits for connections to any lock; the event loop waits for one descriptor, however many locks there are.

    Made in a running event loop.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._locks: dict[int, _Lock] = {}
        self._epoll = select.epoll()
        self.loop.add_reader(self._epoll.fileno(), self._hang_up_all)

    @property
    def is_closed(self) -> bool:
        """True after ``close``."""
        return self._epoll.closed

    def add(self, descriptor: int, lock: "_Lock") -> None:
        """Call ``hang_up`` of a lock when a process connects."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._locks[descriptor] = lock

    def remove(self, descriptor: int) -> None:
        """Watch a lock no longer; no-op when closed."""
        if self._locks.pop(descriptor, None) is not None and not self.is_closed:
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Watch no lock any longer; also possible when the event loop is closed."""
        if not (self.is_closed or self.loop.is_closed()):
            self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _hang_up_all(self) -> None:
        for descriptor, _events in self._epoll.poll(0):
            self._locks[descriptor].hang_up()


class _Lock:
    """A socket that has a name, and hangs up on whoever connects to ask which process that is.

    What it costs is bounded, however many connect, and also when the process has no descriptor left for them.
    """

    def __init__(self, sock: socket.socket, watch: _LockWatch) -> None:
        self._sock = sock
        self._watch = watch
        self._rest: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._attend()

    def close(self) -> None:
        """Give the name up; well also when the event loop is closed."""
        if self._rest is not None:
            self._rest.cancel()
        self._watch.remove(self._sock.fileno())
        self._sock.close()

    def _attend(self) -> None:
        self._rest = None
        if not self._watch.is_closed:
            self._watch.add(self._sock.fileno(), self)

    def hang_up(self) -> None:
        """Close the connections of all who have connected."""
        try:
            for _ in range(_AT_ONCE):
                self._sock.accept()[0].close()
        except BlockingIOError:
            return
        except OSError:
            # The connection stays in the queue, and would be reported again at once.
            pass
        self._watch.remove(self._sock.fileno())
        self._rest = self._watch.loop.call_later(_REST_S, self._attend)


def living() -> Mapping[HostKey, int]:
    """Return the hosts that processes of this network namespace have locked, each with its pid, our own included."""
    found: dict[HostKey, int] = {}
    with contextlib.suppress(OSError):
        # Earlier askers are listed as well, under the same name: one question per host, or they double each time.
        for link, vhid in set(_LISTED.findall(_TABLE.read_text(errors="replace"))):
            key = HostKey(link, int(vhid))
            holder = _holder(_name(key))
            if holder is not None and holder.is_trustworthy:
                found[key] = holder.pid
    return found


def allow_many_descriptors(hosts: int = 0, links: int = 1) -> None:
    """Raise the limit of open descriptors as far as we may: each host needs one, each interface some.

    Raises ConfigError when ``hosts`` cannot run with it: they would be MASTER of addresses that cannot be held.
    """
    import resource  # noqa: PLC0415  (there is none on some systems)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    needed = _DESCRIPTORS + hosts + _PER_LINK * links
    if soft != resource.RLIM_INFINITY and soft < needed:
        raise ConfigError(f"{hosts} virtual hosts need {needed} open files and may have {soft}: raise 'ulimit -n'")


async def _pause(ends_s: float, key: HostKey, holder: Peer) -> None:
    """Wait a moment for the process that has a host; raise UsageError when the time is over."""
    if asyncio.get_running_loop().time() >= ends_s:
        raise UsageError(_refusal(key, holder))
    await asyncio.sleep(_PAUSE_S)


def _name(key: HostKey) -> str:
    return f"\0pycarp/host/{key.link}/{key.vhid}"


def _sign(link: str, index: int, key: HostKey, watch: _LockWatch) -> _Sign:
    """Put up a sign. Nobody can guess its name, and take it before us."""
    name = f"\0pycarp/link/{index}/{link}/{secrets.token_hex(8)}"
    bound = _bound(name, key, {})
    assert isinstance(bound, socket.socket)
    return _Sign(name, _Lock(bound, watch))


def _signs() -> Iterator[tuple[str, int, str]]:
    """Yield every sign: its name, and index and name of the interface."""
    with contextlib.suppress(OSError):
        for found in set(_SIGN.findall(_TABLE.read_text(errors="replace"))):
            index, link, token = found
            yield f"\0pycarp/link/{index}/{link}/{token}", int(index), link


def _bound(name: str, key: HostKey, known: dict[str, Peer]) -> socket.socket | Peer | None:
    """Return a socket with a name, or who has that; None when it is somebody who does not count.

    Who is in ``known`` is not asked again, and who answers is added: each question is work for the other process.
    """
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(name)
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            holder = known.get(name) or _holder(name) or _UNKNOWN
            if holder.pid:
                known[name] = holder
            return holder if holder.is_trustworthy else None
        why = exc.strerror or exc
        raise ConfigError(f"cannot lock vhid {key.vhid} on {key.link}: {why}; raise 'ulimit -n'") from exc
    return sock


def _holder(name: str) -> Peer | None:
    """Return who listens at a name; None when nobody does, or not yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(name)
        except BlockingIOError:
            return _UNKNOWN
        except OSError:
            return None
        return Peer.of(sock)


def _refusal(key: HostKey, holder: Peer) -> str:
    who = f"pid {holder.pid}" if holder.pid else "a process that cannot be seen from here"
    return f"vhid {key.vhid} on {key.link} is run by another pycarp, {who}; stop that one, or remove the host here"
