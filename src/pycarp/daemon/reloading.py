"""Carries out a reload: all of it or nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import assert_never

from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import logger
from pycarp.aio.node import Node
from pycarp.config import NodeConfig
from pycarp.core.host_config import HostConfig
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.daemon.config_source import ConfigSource
from pycarp.daemon.host_set import HostSet
from pycarp.daemon.reload import Addition, Change, Reconfiguration, Removal, Replacement, diff, price
from pycarp.daemon.sysctls import PREFIX, Sysctls
from pycarp.errors import CarpError, ConfigError
from pycarp.vocabulary import HostKey

_FAILURES = (CarpError, OSError, TimeoutError)


class Reloader:
    """Compares what a daemon runs with what a file says, and makes the one like the other.

    ``config`` is what the daemon was started with; ``fixed`` are names of switches that the command line sets;
    ``check`` raises ConfigError when addresses of hosts cannot be shared on this machine.
    """

    def __init__(
        self,
        node: Node,
        hosts: HostSet,
        sysctls: Sysctls,
        *,
        source: ConfigSource,
        config: NodeConfig,
        fixed: Iterable[str],
        check: Callable[..., None] = lambda *_configs: None,
    ) -> None:
        self._node = node
        self._hosts = hosts
        self._sysctls = sysctls
        self._source = source
        self._config = config
        self._fixed = frozenset(fixed)
        self._check = check
        self._reloading = asyncio.Lock()

    async def plan(self, text: str | None, file: Path | None, *, rolling_s: float = 0) -> list[str]:
        """Return a line for each thing that a reload would change, and what it costs; ``text`` None for the own file.

        Raises ConfigError for everything that is wrong with it, or cannot be changed without a restart.
        """
        return self._lines(await self._checked(text, file), rolling_s)

    def _lines(self, config: NodeConfig, rolling_s: float) -> list[str]:
        states: dict[HostKey, State] = {host.key: host.state for host in self._hosts.running}
        lines = [self._line(each, states, rolling_s) for each in diff(self._hosts.configs, config.hosts)]
        return lines + [f"{name}: {before} -> {value}" for name, before, value in self._switches(config)]

    async def reload(self, *, rolling_s: float = 0) -> list[str]:
        """Read the file again and make all of it so; return what was changed, in the words of ``plan``.

        Raises ConfigError when the file is wrong, and whatever a change raises; then everything is as before.
        """
        async with self._reloading:
            config = await self._checked(None, None)
            lines = self._lines(config, rolling_s)
            await self._change(config, rolling_s)
            self._config = config
            return lines

    async def _checked(self, text: str | None, file: Path | None) -> NodeConfig:
        """Return what a text says, or the own file; raises ConfigError also for what only a start can change."""
        if text is None or file is None:
            config = await asyncio.to_thread(self._source.read)
        else:
            config = await asyncio.to_thread(self._source.parse, text, file)
        ours = self._config
        pairs = [("transport", ours.transport, config.transport), ("actuator", ours.actuator, config.actuator)]
        lines = [f"{what} {old} -> {new} needs a restart" for what, old, new in pairs if old != new]
        if lines:
            raise ConfigError("\n".join(lines))
        self._check(*config.hosts)
        return config

    def _line(self, change: Change, states: dict[HostKey, State], rolling_s: float) -> str:
        drifted = isinstance(change, Reconfiguration) and change.new in self._config.hosts
        return price(change, states, rolling_s=rolling_s) + (" (it was changed while it ran)" if drifted else "")

    def _switches(self, config: NodeConfig) -> list[tuple[str, int, int]]:
        """Return the switches that the file sets otherwise than before: name, old and new value."""
        before = dict(self._config.sysctls)
        said = [(name, value) for name, value in dict(config.sysctls).items() if before.get(name) != value]
        return [(name, self._sysctls.read(name), value) for name, value in said if name not in self._fixed]

    async def _change(self, config: NodeConfig, rolling_s: float) -> None:
        undo = AsyncExitStack()
        try:
            changes = diff(self._hosts.configs, config.hosts)
            for kind, same in groupby(changes, type):
                # Those that leave do so together; each takes the kernel a tenth of a second.
                if kind is Removal:
                    await _all(self._apply(change, rolling_s, undo) for change in same)
                else:
                    for change in same:
                        await self._apply(change, rolling_s, undo)
            for name, _before, value in self._switches(config):
                self._set_switch(name, value, undo)
            if config.contest_limit != self._config.contest_limit:
                limit = Settings().contest_limit if config.contest_limit is None else config.contest_limit
                self._node.set_settings(replace(self._node.settings, contest_limit=limit))
        except Exception:
            # Not when it is cancelled: then all hosts leave anyway.
            await undo.aclose()
            raise

    async def _apply(self, change: Change, rolling_s: float, undo: AsyncExitStack) -> None:
        match change:
            case Addition(new):
                await self._hosts.add(new)
                undo.push_async_callback(_attempt, f"remove {new.name}", partial(self._hosts.remove, new.key))
            case Removal(old):
                await self._remove(old, undo)
            case Reconfiguration(old, new) if (host := self._hosts.find(new.key)) is not None:
                _reconfigure(host, new, rolling_s)
                undo.push_async_callback(_attempt, f"reconfigure {old.name}", partial(_back, host, old, rolling_s))
            case Replacement(old, new) | Reconfiguration(old, new):
                # One that waits for its interface has nothing to lose.
                await self._remove(old, undo)
                await self._apply(Addition(new), rolling_s, undo)
            case _:
                assert_never(change)

    async def _remove(self, old: HostConfig, undo: AsyncExitStack) -> None:
        await self._hosts.remove(old.key)
        undo.push_async_callback(_attempt, f"add {old.name}", partial(self._hosts.add, old))

    def _set_switch(self, name: str, value: int, undo: AsyncExitStack) -> None:
        before = self._sysctls.read(name)
        # What is written is added to it, and what the file had said is in it already.
        added = value - dict(self._config.sysctls).get(name, 0) if name == f"{PREFIX}demotion" else None
        self._sysctls.write(name, value if added is None else added)
        undo.callback(self._sysctls.write, name, before if added is None else -added)


async def _all(acts: Iterable[Awaitable[None]]) -> None:
    """Await all to their end, then raise what the first that failed has raised."""
    for result in await asyncio.gather(*acts, return_exceptions=True):
        if result is not None:
            raise result


async def _attempt(what: str, act: Callable[[], Awaitable[None]]) -> None:
    """Go one step back; what cannot be undone is said, and the other steps are tried all the same."""
    try:
        await act()
    except _FAILURES as exc:
        logger.error("carp: reload: cannot go back, %s: %s", what, exc)


async def _back(host: VirtualHost, old: HostConfig, rolling_s: float) -> None:
    _reconfigure(host, old, rolling_s)


def _reconfigure(host: VirtualHost, new: HostConfig, rolling_s: float) -> None:
    host.reconfigure(
        advbase=new.advbase,
        advskew=new.advskew,
        preempt=new.preempt,
        addresses=new.addresses,
        passphrase=new.passphrase,
        peers=new.peers,
        rolling_s=rolling_s,
    )
