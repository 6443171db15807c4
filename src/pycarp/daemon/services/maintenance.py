"""Maintenance: drains and named demotions of hosts, which end by themselves if wanted, and survive a restart.

They are kept in a file beside what daemons note, or below /var/lib where they are to survive a reboot as well. A daemon
that starts carries out what it finds there; entries of an earlier boot count only if they are to survive one.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import VirtualHost
from pycarp.config.model import NodeConfig
from pycarp.core.engine import DRAINED
from pycarp.core.state import State
from pycarp.daemon.control_messages import (
    DemoteRequest,
    DoneReply,
    DrainedHost,
    DrainReply,
    DrainRequest,
    HostStatus,
    RestoreRequest,
    UndrainRequest,
)
from pycarp.daemon.maintenance_bounds import check_demotion, check_time, check_timeout
from pycarp.durations import format_duration
from pycarp.errors import CarpError, HandOverError, UsageError
from pycarp.placement.failback_state import is_of_drain
from pycarp.system.addresses import address_conflicts
from pycarp.system.addresses.address_conflicts import Answers
from pycarp.system.files import safe_files
from pycarp.system.recovery import state_folder
from pycarp.vocabulary import Address, HostKey

FILE_LIMIT = 1 << 20

CAUSE_MAX = 200
"""Characters of a reason or cause: each is in a line of status and log."""

_EVERY = ""
"""What an entry of every host is kept under."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Find(Protocol):
    """Asks a link who answers for addresses; see ``address_conflicts.find``."""

    def __call__(
        self, link: str, addresses: Collection[Address], /, *, stops_early: bool = False
    ) -> Awaitable[Answers]:
        """Return the MAC addresses that answer, by address."""
        ...


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """A demotion that an administrator wants: of a host, ``vhid@interface``, or of every host if that is empty.

    ``by`` is the amount, None for the last place. ``until`` is wall-clock time in seconds since 1970.
    """

    host: str
    cause: str
    by: int | None
    is_drain: bool
    until: float | None
    survives_reboot: bool
    boot: str


_entries: msgspec.json.Decoder[list[Entry]] = msgspec.json.Decoder(list[Entry])


def file_for(config: Path, state: Path) -> Path:
    """Return the file of the daemon that runs a configuration, with its state in a folder."""
    folder = state_folder.LASTING if state == state_folder.DEFAULT else state
    return folder / f"maintenance-{quote(str(safe_files.absolute(config)), safe='')[-200:]}.json"


class Maintenance:
    """Carries out drains and demotions of the hosts of a node; a ``Service`` of the daemon.

    ``find`` asks a link who answers for addresses, ``clock`` returns seconds since 1970.
    """

    def __init__(
        self,
        node: Node,
        file: Path,
        *,
        find: Find = address_conflicts.find,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._file = file
        self._find = find
        self._clock = clock
        self._boot = _boot_id()
        self._found: dict[tuple[str, str], Entry] | None = None
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    # As a service

    def configure(self, config: NodeConfig) -> None:
        """Read the file at the start; forget hosts that the configuration has no longer after a reload."""
        if self._found is None:
            self._found = {}
            for entry in self._read():
                self._keep(entry)
                if not entry.host:
                    self._apply(entry, None)
        known = {_EVERY, *(str(host.key) for host in config.hosts)}
        gone = [each for each in self._found if each[0] not in known]
        for each in gone:
            self._forget(each)
        if gone:
            self._save()

    def start(self, host: VirtualHost) -> None:
        """Carry out what is wanted of a host that runs from now on."""
        for entry in self._wanted(str(host.key)):
            self._apply(entry, host)

    def is_wanted(self, host: VirtualHost, cause: str) -> bool:
        """Return whether an administrator demoted a host, or all, by a cause."""
        return any(each.cause == cause for key in (_EVERY, str(host.key)) for each in self._wanted(key))

    def departed(self, key: HostKey) -> None:
        """Keep what is wanted of a host: it may come back, and a reload forgets it when the file has it no longer."""

    def describe(self, key: HostKey, status: HostStatus) -> None:
        """Mark the demotions that an administrator wants, and say when they end."""
        wanted = {each.cause: each for each in [*self._wanted(_EVERY), *self._wanted(str(key))]}
        for cause in status.demotion:
            entry = wanted.get(cause.cause)
            if entry is not None:
                cause.is_wanted = True
                cause.ends_in_s = None if entry.until is None else round(max(entry.until - self._clock(), 0), 3)
        status.is_drained = any(each.is_drain for each in wanted.values())

    async def finish(self) -> None:
        """Stop waiting for the end of what is to end; it is noted in the file."""
        for timer in self._timers.values():
            timer.cancel()

    # Requests

    async def answer(
        self, request: DrainRequest | UndrainRequest | DemoteRequest | RestoreRequest, hosts: Collection[VirtualHost]
    ) -> DrainReply | DoneReply:
        """Carry out a request about hosts; without a name it is about all of the machine, and those to come."""
        match request:
            case DrainRequest():
                return await self._drain(request, hosts)
            case UndrainRequest():
                return DoneReply(self._undrain(request.host, hosts))
            case DemoteRequest():
                return DoneReply(self._demote(request, hosts))
            case RestoreRequest():
                return DoneReply(self._restore(request, hosts))

    async def _drain(self, request: DrainRequest, hosts: Collection[VirtualHost]) -> DrainReply:
        """Leave the addresses of hosts, and have them stay last; HandOverError when nobody takes over.

        If one of several hosts finds nobody to take over, none of them is drained.
        """
        _refuse_unfit("reason", request.reason)
        check_timeout(request.timeout_s)
        check_time(request.for_s)
        began_s = time.monotonic()
        cause = f"{DRAINED}: {request.reason}" if request.reason else DRAINED
        keys = _keys(request.host, hosts)
        earlier = [each for key in keys for each in self._wanted(key) if each.is_drain]
        # Noted first: a daemon that is killed meanwhile comes back drained. Its time ends once it is drained.
        entries = [
            self._entry(key, cause, None, request.for_s, is_drain=True, survives_reboot=request.survives_reboot)
            for key in keys
        ]
        for each in entries:
            self._keep(each, ends=False)
        warning = self._save()
        masters = [host for host in hosts if host.state is State.MASTER]
        outcomes = await asyncio.gather(
            *(host.drain(cause, timeout_s=request.timeout_s, force=request.is_forced) for host in hosts),
            return_exceptions=True,
        )
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        if not failures and any((key, cause) not in (self._found or {}) for key in keys):
            failures = [HandOverError("the drain was ended before it was complete, by pycarp undrain or another drain")]
        if failures:
            self._take_back(cause, keys, earlier, hosts)
            raise _refusal(failures)
        took_s = round(time.monotonic() - began_s, 6)
        for each in earlier:
            if each.cause != cause:
                self._end(each)
        if request.host is None:
            self._node.demote(cause, last=True)
            self._set_back(hosts, cause)
        self._save()
        _log(hosts, request.host, f"is {cause}", request.for_s)
        for each in entries:
            self._keep(each)
        left = [host for host, master in zip(hosts, outcomes, strict=True) if host in masters and master is not None]
        answered = await self._answered(left)
        drained = []
        for host, master in zip(hosts, outcomes, strict=True):
            assert not isinstance(master, BaseException)
            name = None if master is None else str(master)
            answers = answered.get(host.key)
            drained.append(DrainedHost(host=host.name, was_master=host in masters, master=name, answers=answers))
        return DrainReply(hosts=drained, took_s=took_s, warning=warning)

    def _take_back(
        self, cause: str, keys: Iterable[str], earlier: Iterable[Entry], hosts: Collection[VirtualHost]
    ) -> None:
        """Undo a drain that nobody took over from; what was drained before stays so."""
        for key in keys:
            self._forget((key, cause))
        self._set_back(hosts, cause)
        for each in earlier:
            self._keep(each)
            self._apply(each, self._host(each.host))
        self._save()

    def _undrain(self, name: str | None, hosts: Collection[VirtualHost]) -> str:
        """End drains; return a warning. UsageError when there is none.

        Those of single hosts end with that of all.
        """
        keys = dict.fromkeys([*_keys(name, hosts), *(str(host.key) for host in hosts)])
        ending = [each for key in keys for each in self._wanted(key) if each.is_drain]
        if not ending:
            is_all = any(each.is_drain for each in self._wanted(_EVERY))
            hint = " by itself, but with every host: pycarp undrain --all" if is_all else ""
            raise UsageError(f"{'no host' if name is None else name} is {'' if name is None else 'not '}drained{hint}")
        for entry in ending:
            self._end(entry)
        _log(hosts, name, "is not drained any more", None)
        warning = self._save()
        if name is not None and any(each.is_drain for each in self._wanted(_EVERY)):
            still = f"{name} is still drained with every host: pycarp undrain --all"
            return f"{warning}\n{still}" if warning else still
        return warning

    def _demote(self, request: DemoteRequest, hosts: Collection[VirtualHost]) -> str:
        _refuse_unfit("cause", request.cause)
        check_time(request.for_s)
        if request.by is not None:
            check_demotion(request.by)
        if is_of_drain(request.cause):
            raise UsageError(f"the cause {request.cause!r} is that of a drain; choose another one, or use pycarp drain")
        for key in _keys(request.host, hosts):
            entry = self._entry(key, request.cause, request.by, request.for_s, is_drain=False, survives_reboot=False)
            self._apply(entry, self._host(key))
            self._keep(entry)
        fate = "made the last of all" if request.by is None else f"demoted by {request.by}"
        _log(hosts, request.host, f"is {fate}: {request.cause}", request.for_s)
        return self._save()

    def _restore(self, request: RestoreRequest, hosts: Collection[VirtualHost]) -> str:
        """End a demotion; if there is none of this cause, do nothing and return a warning."""
        present = [each for key in _keys(request.host, hosts) for each in self._wanted(key) if not each.is_drain]
        ending = [each for each in present if each.cause == request.cause]
        if not ending:
            if is_of_drain(request.cause):
                return f"{request.cause!r} is the cause of a drain, which pycarp undrain ends"
            causes = ", ".join(sorted({each.cause for each in present})) or "none"
            return f"nothing is demoted for {request.cause!r}; there are: {causes}"
        for entry in ending:
            self._end(entry)
        _log(hosts, request.host, f"is not demoted any more: {request.cause}", None)
        return self._save()

    # Entries

    def _entry(
        self, key: str, cause: str, by: int | None, for_s: float | None, *, is_drain: bool, survives_reboot: bool
    ) -> Entry:
        until = None if for_s is None else self._clock() + for_s
        return Entry(
            host=key,
            cause=cause,
            by=by,
            is_drain=is_drain,
            until=until,
            survives_reboot=survives_reboot,
            boot=self._boot,
        )

    def _wanted(self, key: str) -> list[Entry]:
        return [each for (host, _cause), each in (self._found or {}).items() if host == key]

    def _keep(self, entry: Entry, *, ends: bool = True) -> None:
        """Note an entry, in the place of an earlier one of this cause, and wait for its end if it ``ends`` now."""
        assert self._found is not None
        place = (entry.host, entry.cause)
        self._forget(place)
        self._found[place] = entry
        if entry.until is not None and ends:
            left_s = max(entry.until - self._clock(), 0)
            self._timers[place] = asyncio.get_running_loop().call_later(left_s, self._expire, entry)

    def _forget(self, place: tuple[str, str]) -> None:
        if self._found is not None:
            self._found.pop(place, None)
        if (timer := self._timers.pop(place, None)) is not None:
            timer.cancel()

    def _apply(self, entry: Entry, host: VirtualHost | None) -> None:
        target = self._node if not entry.host else host
        if target is None:
            return
        if entry.by is None:
            target.demote(entry.cause, last=True)
        else:
            target.demote(entry.cause, by=entry.by)

    def _set_back(self, hosts: Iterable[VirtualHost], cause: str) -> None:
        """Demote each host by a cause as its own entry says, which may be older than the drain; not at all without."""
        assert self._found is not None
        for host in hosts:
            entry = self._found.get((str(host.key), cause))
            with contextlib.suppress(CarpError):
                if entry is None:
                    host.restore(cause)
                else:
                    self._apply(entry, host)

    def _end(self, entry: Entry) -> None:
        self._forget((entry.host, entry.cause))
        target = self._node if not entry.host else self._host(entry.host)
        if target is not None:
            with contextlib.suppress(CarpError):
                target.restore(entry.cause)

    def _expire(self, entry: Entry) -> None:
        self._end(entry)
        logger.info("carp: %s: the time of %r is over", entry.host or "every host", entry.cause)
        self._save()

    def _host(self, key: str) -> VirtualHost | None:
        return next((host for host in self._node.hosts if str(host.key) == key), None)

    async def _answered(self, hosts: Iterable[VirtualHost]) -> dict[HostKey, bool]:
        """Return of each host whether neighbours answer for every address; nothing where that cannot be found out.

        Each link is asked once, and all at once: addresses for which nobody answers take more than a second.
        """
        by_link: dict[str, list[VirtualHost]] = {}
        for host in hosts:
            by_link.setdefault(host.key.link, []).append(host)
        found = await asyncio.gather(*(self._answered_on(link, its) for link, its in by_link.items()))
        return {key: is_answered for each in found for key, is_answered in each.items()}

    async def _answered_on(self, link: str, hosts: list[VirtualHost]) -> dict[HostKey, bool]:
        addresses = [each.ip for host in hosts for each in host.config.addresses]
        try:
            facts = self._node.link_facts(link)
            present = link if facts is None else facts.present_name
            answers = await self._find(present, addresses, stops_early=True)
        except CarpError:
            return {}
        return {host.key: all(each.ip in answers for each in host.config.addresses) for host in hosts}

    # The file

    def _read(self) -> list[Entry]:
        """Return the entries that still count; what cannot be read is logged, and nothing of it counts."""
        try:
            octets = self._file.read_bytes()[:FILE_LIMIT]
        except FileNotFoundError:
            return []
        except OSError as exc:
            logger.error("carp: cannot read which hosts are drained: %s: %s", self._file, exc.strerror or exc)
            return []
        try:
            entries = _entries.decode(octets)
        except msgspec.DecodeError as exc:
            logger.error("carp: %s does not say which hosts are drained: %s", self._file, exc)
            return []
        return [
            each
            for each in entries
            if (each.survives_reboot or each.boot == self._boot) and (each.until is None or each.until > self._clock())
        ]

    def _save(self) -> str:
        """Write the entries; return, and log, a warning if that fails."""
        entries = list((self._found or {}).values())
        octets = msgspec.json.encode(entries) + b"\n"
        try:
            if len(octets) > FILE_LIMIT:
                why = f"{len(entries)} causes are more than {self._file} may have; end some with pycarp restore"
                return _lasts_not(why)
            if entries:
                state_folder.make(self._file.parent)
                safe_files.write(self._file, octets)
            else:
                self._file.unlink(missing_ok=True)
        except OSError as exc:
            return _lasts_not(f"cannot write {self._file}: {exc.strerror or exc}")
        return ""


def _lasts_not(why: str) -> str:
    """Return, and log, the warning that what was asked for ends with the daemon."""
    text = f"it does not survive a restart of the daemon: {why}"
    logger.warning("carp: %s", text)
    return text


def _refuse_unfit(what: str, text: str) -> None:
    """Raise UsageError for a text that is no line of status and log."""
    if not text.isprintable():
        raise UsageError(f"the {what} {text[:CAUSE_MAX]!r} has characters that cannot be printed; leave them out")
    if len(text) > CAUSE_MAX:
        raise UsageError(f"the {what} has {len(text)} characters, at most {CAUSE_MAX} are kept; say it in fewer")


def _keys(name: str | None, hosts: Collection[VirtualHost]) -> list[str]:
    """Return what entries of these hosts are kept under; those of all hosts, if there is no name, are one."""
    return [_EVERY] if name is None else [str(host.key) for host in hosts]


def _refusal(failures: list[BaseException]) -> BaseException:
    """Return what to raise when hosts could not be drained: one error, with the way out, unless there is a bug."""
    bug = next((each for each in failures if not isinstance(each, CarpError)), None)
    if bug is not None:
        return bug
    hint = "--force drains all the same, and serves until another host comes"
    return HandOverError("\n".join([*dict.fromkeys(map(str, failures)), hint]))


def _log(hosts: Iterable[VirtualHost], name: str | None, what: str, for_s: float | None) -> None:
    who = "every host" if name is None else " and ".join(str(host.key) for host in hosts)
    span = "" if for_s is None else f", for {format_duration(for_s)}"
    logger.info("carp: %s: %s%s", who, what, span)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
