"""Runs health checks, and demotes a virtual host, or a whole node, while any fails."""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.restriction import Restriction
from pycarp.errors import ConfigError, NodeFailedError, UsageError
from pycarp.health.health_check import SHORTEST_INTERVAL_S, Check, CheckState
from pycarp.health.looking import Looker

_log = logging.getLogger("pycarp.health")


class Watched(Protocol):
    """What a check demotes or restricts: a ``VirtualHost``, or a ``Node`` with all its hosts."""

    def demote(self, cause: str, *, by: int | None = None, last: bool = False) -> None:
        """Demote for a named cause, by an amount or to the last place."""

    def restore(self, cause: str) -> None:
        """Remove a named demotion; no-op if it is absent."""

    def restrict(self, cause: str, to: Restriction | str) -> None:
        """Restrict for a named cause."""

    def unrestrict(self, cause: str) -> None:
        """Remove a named restriction; no-op if it is absent."""


async def watch(target: Watched, *checks: Check) -> None:
    """Run checks of a host, or of a node with all its hosts, until this is cancelled; then remove their demotions.

    It also ends when the host departs or the node fails. Every check counts as failing until it has passed. Raises
    ConfigError if two checks have one name.
    """
    await Watcher(target, checks).run()


class Watcher:
    """The checks of one host or node: a task for each, and what their answers add up to."""

    def __init__(self, target: Watched, checks: Iterable[Check]) -> None:
        self._target = target
        self._prefix, self._fields = "carp", {}
        if isinstance(target, VirtualHost):
            self._prefix, self._fields = f"carp: {target.key}", {"host": target.name}
        self._checks: dict[str, Check] = {}
        self._states: dict[str, CheckState] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self.replace(checks)

    @property
    def states(self) -> Mapping[str, CheckState]:
        """How each check stands, by its name."""
        return self._states

    def replace(self, checks: Iterable[Check]) -> None:
        """Run these checks from now on; one whose name stays keeps what it has found.

        Raises ConfigError if two checks have one name.
        """
        wanted = _by_name(checks)
        gone = [name for name, check in self._checks.items() if wanted.get(name) is not check]
        come = [name for name, check in wanted.items() if self._checks.get(name) is not check]
        for name in gone:
            if (task := self._tasks.pop(name, None)) is not None:
                task.cancel()
            if name not in wanted:
                del self._states[name]
                if self._group is not None:
                    self._release(self._checks[name])
        self._checks = wanted
        for name in come:
            self._states.setdefault(name, CheckState())
            if self._group is not None:
                self._apply(name)
                self._begin(name)

    async def run(self) -> None:
        """Run the checks; as ``watch``."""
        try:
            async with asyncio.TaskGroup() as self._group:
                # All demotions before the first run: no check lets the host take over before another has answered.
                for name in self._checks:
                    self._apply(name)
                for name in self._checks:
                    self._begin(name)
                await _departure(self._target)
                raise UsageError("the host has departed")
        except* (UsageError, NodeFailedError):
            pass  # There is nothing left to demote.
        finally:
            self._group = None
            with contextlib.suppress(UsageError, NodeFailedError):
                for check in self._checks.values():
                    self._release(check)

    def _begin(self, name: str) -> None:
        assert self._group is not None
        check = self._checks[name]
        self._tasks[name] = self._group.create_task(self._repeat(check, self._states[name]), name=check.cause)

    async def _repeat(self, check: Check, state: CheckState) -> None:
        loop, looker, phase = asyncio.get_running_loop(), Looker(check), self._phase(check)
        await asyncio.sleep(phase * SHORTEST_INTERVAL_S)
        due_s = loop.time() - (1 - phase) * check.every_s
        while True:
            finding = await looker.look()
            if state.record(check, finding, at_s=loop.time()):
                _log.log(
                    logging.INFO if state.passes else logging.WARNING,
                    "%s: check %s %s%s",
                    self._prefix,
                    check.name,
                    "passes" if state.passes else "fails",
                    f": {finding.detail}" if finding.detail else "",
                    extra={**self._fields, "check": check.name, "answer": str(finding.answer)},
                )
                self._apply(check.name)
            due_s = max(due_s + check.every_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def _phase(self, check: Check) -> float:
        """Return which part of an interval a check is ahead of others, from 0 to 1.

        Without it, checks that begin together would run together for ever, and the event loop would have a hundred
        connections to open at once, and then nothing to do.
        """
        return zlib.crc32(f"{self._prefix} {check.cause}".encode()) / 2**32

    def _release(self, check: Check) -> None:
        self._target.restore(check.cause)
        self._target.unrestrict(check.cause)

    def _apply(self, name: str) -> None:
        """Demote for a check that fails; remove the demotion of one that passes."""
        check = self._checks[name]
        state = self._states[name]
        if (check.gate and not state.has_passed) or (check.release and not state.passes):
            self._target.restrict(check.cause, Restriction.BACKUP_ONLY)
        else:
            self._target.unrestrict(check.cause)
        if state.passes:
            self._target.restore(check.cause)
        elif check.by is None:
            self._target.demote(check.cause, last=True)
        else:
            self._target.demote(check.cause, by=check.by)


def _by_name(checks: Iterable[Check]) -> dict[str, Check]:
    found: dict[str, Check] = {}
    for check in checks:
        if check.name in found:
            raise ConfigError(f"two checks are called {check.name!r}; give each a name of its own")
        found[check.name] = check
    return found


async def _departure(target: Watched) -> None:
    """Wait until a host has departed; for ever if the target is a node. Raises NodeFailedError when its node fails."""
    if not isinstance(target, VirtualHost):
        await asyncio.Event().wait()
        return
    async with target.events() as events:
        async for _event in events:
            pass
