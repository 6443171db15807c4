"""Carries out a reload: all of it or nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import assert_never

from msgspec import structs

from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.aio.virtual_host import RECONFIGURABLE, VirtualHost
from pycarp.config import NodeConfig
from pycarp.config.model import HttpConfig
from pycarp.core.engine import HANDED_OVER
from pycarp.core.host_config import HostConfig, interval_warning
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.daemon.config_source import ConfigSource
from pycarp.daemon.control_messages import Drift, DriftReply, PlanReply
from pycarp.daemon.drift import LEAVES, SETS_BACK, TAKES_FILE, drift_of_hosts
from pycarp.daemon.host_set import HostSet
from pycarp.daemon.planning import (
    attached_changes,
    host_drift,
    http_changes,
    kept,
    obstacle,
    planned,
    switched,
    unheard,
)
from pycarp.daemon.reconfiguration import (
    Addition,
    Change,
    Move,
    Reconfiguration,
    Removal,
    Replacement,
    diff,
    differing,
    is_signed,
)
from pycarp.daemon.sysctls import NAMES, PREFIX, Sysctls
from pycarp.errors import CarpError, ConfigError, UsageError
from pycarp.tasks import Turns
from pycarp.vocabulary import HostKey

_DEMOTION = f"{PREFIX}demotion"
_FAILURES = (CarpError, OSError, TimeoutError)


class Reloader:
    """Compares a running daemon with its file, and changes the daemon accordingly.

    ``config`` is what the daemon was started with; ``fixed`` are the sysctls that the command line sets, and their
    values. ``check`` raises ConfigError when addresses of hosts cannot be shared on this machine; ``unfit`` says of a
    host why its interface cannot work, empty if it can. ``changed`` is called with a configuration that is in force.
    """

    def __init__(
        self,
        node: Node,
        hosts: HostSet,
        sysctls: Sysctls,
        *,
        source: ConfigSource,
        config: NodeConfig,
        fixed: Mapping[str, int],
        check: Callable[..., None] = lambda *_configs: None,
        unfit: Callable[[HostConfig], str] = obstacle,
        changed: Callable[[NodeConfig], None] = lambda _config: None,
    ) -> None:
        self._node = node
        self._hosts = hosts
        self._sysctls = sysctls
        self._source = source
        self._config = config
        self._fixed = fixed
        self._check = check
        self._unfit = unfit
        self._changed = changed
        self._reloading = asyncio.Lock()
        self._aftermath: list[str] = []

    @property
    def aftermath(self) -> tuple[str, ...]:
        """The changes that a failed reload could not undo, one per line; empty if there are none."""
        return tuple(self._aftermath)

    async def plan(self, text: str | None, file: Path | None, *, rolling_s: float = 0) -> PlanReply:
        """Return what a reload would change, and what it costs; ``text`` None for the own file.

        Raises ConfigError for everything that is wrong with it, or cannot be changed without a restart.
        """
        return await self._reply(await self._checked(text, file), rolling_s)

    async def reload(self, *, rolling_s: float = 0, is_forced: bool = True) -> PlanReply:
        """Read the file again and apply all of it; return the changes as ``plan`` does.

        Raises ConfigError when the file is wrong, UsageError when hosts would end and ``is_forced`` is False, and
        whatever a change raises; then everything is as before but for the ``aftermath``.
        """
        async with self._reloading:
            self._aftermath.clear()
            config = await self._checked(None, None)
            ending = [
                _ending(each.old) for each in diff(self._hosts.configs, config.hosts) if isinstance(each, Removal)
            ]
            if ending and not is_forced:
                raise UsageError("\n".join(f"{each}; if that is meant, say --force" for each in ending))
            reply = await self._reply(config, rolling_s)
            await self._change(config, rolling_s)
            self._config = config
            self._changed(config)
            return reply

    async def drift(self) -> DriftReply:
        """Return what was changed live and a file can say, with passwords; and in words what no file can say."""
        loaded = {each.key: each for each in self._config.hosts}
        hosts = [
            host_drift(loaded[each.key], each, self._names_in_file(each.interface))
            for each in self._hosts.configs
            if each.key in loaded and differing(loaded[each.key], each)
        ]
        names = [name for name, said, asked in self._switch_drift() if said != asked and name not in self._fixed]
        values = {name.removeprefix(PREFIX): self._sysctls.asked(name) for name in names}
        left = [f"{each.name}: {each.setting}" for each in await self._drift(self._config) if not each.can_be_saved]
        return DriftReply(
            file=str(self._source.file.absolute()),
            grammar=self._source.grammar or "",
            hosts=hosts,
            sysctls=values,
            left_out=left,
        )

    def _names_in_file(self, link: str) -> list[str]:
        facts = self._node.link_facts(link)
        names = [link] if facts is None else [link, facts.present_name]
        return list(dict.fromkeys(each for name in names for each in self._source.names_in_file(name)))

    async def _reply(self, config: NodeConfig, rolling_s: float) -> PlanReply:
        turns = Turns()
        states: dict[HostKey, State] = {host.key: host.state for host in self._hosts.running}
        changes = diff(self._hosts.configs, config.hosts)
        about_hosts = []
        for each in changes:
            await turns.end()
            about_hosts.append(planned(each, states, rolling_s))
        await turns.end()
        drift = await self._drift(config)
        await turns.end()
        return PlanReply(
            changes=[
                *about_hosts,
                *attached_changes(self._config, config, states),
                *http_changes(self._config.http, config.http),
                *map(switched, self._switches(config)),
            ],
            drift=drift,
            warnings=[*self._warnings(changes, rolling_s)],
        )

    def _warnings(self, changes: Iterable[Change], rolling_s: float) -> Iterator[str]:
        for change in changes:
            if isinstance(change, Removal):
                yield _ending(change.old)
            if not isinstance(change, Removal) and (fast := interval_warning(change.new)):
                yield f"{change.new.name}: {fast}"
            if isinstance(change, Reconfiguration):
                host = self._hosts.find(change.key)
                if host is not None and not rolling_s and is_signed(change.old, change.new):
                    yield from unheard(host.name, host.state, (str(each.source) for each in host.snapshot().peers))
            elif not isinstance(change, Removal) and (why := self._why_unfit(change.new)):
                yield f"{change.new.name}: {why}"

    def _why_unfit(self, config: HostConfig) -> str:
        if not self._hosts.exists(config.interface):
            return f"interface {config.interface} does not exist; the host is INIT until it comes"
        return self._unfit(config)

    async def _checked(self, text: str | None, file: Path | None) -> NodeConfig:
        """Return what a text says, or the own file; raises ConfigError also for what only a start can change."""
        if text is None or file is None:
            config = await asyncio.to_thread(self._source.read)
        else:
            config = await asyncio.to_thread(self._source.parse, text, file)
        ours = self._config
        pairs = [
            (each, getattr(ours, each), getattr(config, each)) for each in ("transport", "actuator", "monitor", "http")
        ]
        lines = [f"{what} {_place(old)} -> {_place(new)} needs a restart" for what, old, new in pairs if old != new]
        if lines:
            raise ConfigError("\n".join(lines))
        await asyncio.sleep(0)
        config = replace(config, hosts=self._followed(config.hosts))
        await asyncio.sleep(0)
        self._check(*config.hosts)
        await asyncio.sleep(0)
        return config

    def _followed(self, configs: Iterable[HostConfig]) -> tuple[HostConfig, ...]:
        """Return hosts of interfaces that were renamed, and that the file calls by their new names, as they run here.

        Such hosts keep their state: the interface is the same.
        """
        running = {host.key for host in self._hosts.running}
        former = {}
        for link in sorted({key.link for key in running}, reverse=True):
            facts = self._node.link_facts(link)
            if facts is not None and facts.exists and facts.renamed_to:
                former[facts.renamed_to] = link
        return tuple(
            _called(each, former[each.interface]) if each.key not in running and each.interface in former else each
            for each in configs
        )

    # Drift

    async def _drift(self, config: NodeConfig) -> list[Drift]:
        turns = Turns()
        loaded, file = ({each.key: each for each in one.hosts} for one in (self._config, config))
        found = drift_of_hosts(loaded, self._hosts.configs, file)
        await turns.end()
        for host in self._hosts.running:
            await turns.end()
            if self._hosts.find(host.key) is not host:
                continue  # It has departed meanwhile.
            snapshot = host.snapshot()
            if not snapshot.admin_is_up:
                found.append(kept(host.name, "down", file=False, running=True))
            if HANDED_OVER in dict(snapshot.demotion):
                found.append(kept(host.name, "handed over", file=False, running=True))
        for group, amount in self._node.snapshot().group_demotion.items():
            if amount:
                found.append(kept(f"group {group}", "demotion", file=0, running=amount))
        new, wanted = dict(config.sysctls), {name: value for name, _before, value in self._switches(config)}
        for name, said, asked in self._switch_drift():
            if said != asked and new.get(name) != asked:
                fate = LEAVES if name not in wanted else SETS_BACK if wanted[name] == said else TAKES_FILE
                can_be_saved = name not in self._fixed
                found.append(
                    Drift(name=name, setting="value", file=said, running=asked, reload=fate, can_be_saved=can_be_saved)
                )
        return found

    def _switch_drift(self) -> list[tuple[str, int, int]]:
        """Return of each sysctl its name, its value in file and command line, and the present one."""
        said = dict(self._config.sysctls)
        found = []
        for name in (PREFIX + each for each in NAMES):
            if name == _DEMOTION:
                before = said.get(name, 0) + self._fixed.get(name, 0)
            else:
                before = self._fixed.get(name, said.get(name, self._sysctls.default(name)))
            found.append((name, before, self._sysctls.asked(name)))
        return found

    def _switches(self, config: NodeConfig) -> list[tuple[str, int, int]]:
        """Return the sysctls that a reload sets: name, old and new value.

        Those that the file names, or named before, get its value. ``demotion`` is a sum, to which others add while the
        daemon runs: unless the file has the sum already, it changes by as much as the file has changed it.
        """
        before, after = dict(self._config.sysctls), dict(config.sysctls)
        found = []
        for name in dict.fromkeys([*after, *before]):
            old, new = self._sysctls.asked(name), after.get(name, self._sysctls.default(name))
            if name == _DEMOTION and old != new:
                new = old + after.get(name, 0) - before.get(name, 0)
            if old != new and (name not in self._fixed or name == _DEMOTION):
                found.append((name, old, new))
        return found

    # Changing

    async def _change(self, config: NodeConfig, rolling_s: float) -> None:
        undo = AsyncExitStack()
        try:
            changes = diff(self._hosts.configs, config.hosts)
            await self._try(changes)
            turns = Turns()
            for kind, same in groupby(changes, type):
                # Removed together: the kernel needs a tenth of a second for each.
                if kind is Removal:
                    await _all(self._apply(change, rolling_s, undo) for change in same)
                else:
                    for change in same:
                        await self._apply(change, rolling_s, undo)
                        await turns.end()
            for name, before, value in self._switches(config):
                self._set_switch(name, before, value, undo)
            if config.external_change_limit != self._config.external_change_limit:
                limit = (
                    Settings().external_change_limit
                    if config.external_change_limit is None
                    else config.external_change_limit
                )
                self._node.set_settings(structs.replace(self._node.settings, external_change_limit=limit))
        except Exception:
            # No undo when cancelled: all hosts leave then.
            await undo.aclose()
            raise

    async def _try(self, changes: Iterable[Change]) -> None:
        """Raise what the kernel says against the addresses that a MASTER gets, before anything is changed."""
        for change in changes:
            if not isinstance(change, Reconfiguration | Replacement):
                continue
            # What a host has already is not tried: it takes the kernel a millisecond.
            is_new = isinstance(change, Replacement) or change.new.addresses != change.old.addresses
            if is_new and (host := self._hosts.find(change.key)) is not None:
                await host.try_addresses(change.new.addresses)

    async def _apply(self, change: Change, rolling_s: float, undo: AsyncExitStack) -> None:
        match change:
            case Addition(new):
                await self._hosts.add(new)
                undo.push_async_callback(self._attempt, f"remove {new.name}", partial(self._hosts.remove, new.key))
            case Removal(old):
                await self._remove(old, undo)
            case Reconfiguration(old, new) if (host := self._hosts.find(new.key)) is not None:
                _reconfigure(host, new, rolling_s)
                undo.push_async_callback(self._attempt, f"reconfigure {old.name}", partial(_back, host, old, rolling_s))
            case Replacement(old, new) | Reconfiguration(old, new) | Move(old, new):
                # A host that waits for its interface has no state to lose.
                is_down = self._is_down(old.key)
                await self._remove(old, undo)
                await self._apply(Addition(new), rolling_s, undo)
                self._set_down(new.key, is_down=is_down)
            case _:
                assert_never(change)

    async def _remove(self, old: HostConfig, undo: AsyncExitStack) -> None:
        is_down = self._is_down(old.key)
        host = self._hosts.find(old.key)
        before = State.INIT if host is None else host.state
        await self._hosts.remove(old.key)
        back = partial(self._add_again, old, before, is_down=is_down)
        undo.push_async_callback(self._attempt, f"add {old.name}", back)

    async def _add_again(self, config: HostConfig, before: State, *, is_down: bool) -> None:
        await self._hosts.add(config)
        self._set_down(config.key, is_down=is_down)
        host = self._hosts.find(config.key)
        if host is not None and before is not State.INIT:
            text = f"{config.name} had left already: it was {before} and came back as {host.state}"
            logger.warning("carp: reload: %s", text)
            self._aftermath.append(text)

    async def _attempt(self, what: str, act: Callable[[], Awaitable[None]]) -> None:
        """Undo one step; a failure is noted in ``aftermath``, and the other steps are undone nevertheless."""
        try:
            await act()
        except _FAILURES as exc:
            logger.error("carp: reload: cannot go back, %s: %s", what, exc)
            self._aftermath.append(f"cannot go back, {what}: {exc}")

    def _is_down(self, key: HostKey) -> bool:
        host = self._hosts.find(key)
        return host is not None and not host.snapshot().admin_is_up

    def _set_down(self, key: HostKey, *, is_down: bool) -> None:
        """Set a host down that an administrator had set down before it was made anew."""
        host = self._hosts.find(key)
        if host is not None and is_down:
            host.down()

    def _set_switch(self, name: str, before: int, value: int, undo: AsyncExitStack) -> None:
        # A write to the demotion adds to it.
        is_sum = name == _DEMOTION
        self._sysctls.write(name, value - before if is_sum else value)
        undo.callback(self._sysctls.write, name, before - value if is_sum else before)


def _called(config: HostConfig, link: str) -> HostConfig:
    """Return a host with another name of its interface."""
    name = config.name if config.name != str(config.key) else str(HostKey(link, config.vhid))
    return replace(config, interface=link, name=name)


def _ending(old: HostConfig) -> str:
    return f"{old.name} ends here: the file has it no longer"


async def _all(acts: Iterable[Awaitable[None]]) -> None:
    """Await all to their end, then raise the first exception."""
    for result in await asyncio.gather(*acts, return_exceptions=True):
        if result is not None:
            raise result


async def _back(host: VirtualHost, old: HostConfig, rolling_s: float) -> None:
    _reconfigure(host, old, rolling_s)


def _reconfigure(host: VirtualHost, new: HostConfig, rolling_s: float) -> None:
    host.reconfigure(**{each: getattr(new, each) for each in RECONFIGURABLE}, rolling_s=rolling_s)


def _place(setting: str | HttpConfig | None) -> str:
    """Return a setting of the node for people."""
    return " ".join(setting.listen) if isinstance(setting, HttpConfig) else setting or "none"
