"""Runs health checks, and demotes a virtual host, or a whole node, while any fails."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from pycarp.aio.host import VirtualHost
from pycarp.durations import format_duration
from pycarp.errors import ConfigError, NodeFailedError, UsageError
from pycarp.health.check import Answer, Check, CheckState, Finding, Request

_log = logging.getLogger("pycarp.health")

_DETAIL_MAX = 300


class Demotable(Protocol):
    """What a check demotes: a ``VirtualHost``, or a ``Node`` with all its hosts."""

    def demote(self, cause: str, *, by: int | None = None, last: bool = False) -> None:
        """Demote for a named cause, by an amount or to the last place."""

    def restore(self, cause: str) -> None:
        """Remove a named demotion; no-op if it is absent."""


async def watch(target: Demotable, *checks: Check) -> None:
    """Run checks of a host, or of a node with all its hosts, until this is cancelled; then remove their demotions.

    It also ends when the host departs or the node fails. Every check counts as failing until it has passed. Raises
    ConfigError if two checks have one name.
    """
    await Watcher(target, checks).run()


class Watcher:
    """The checks of one host or node: a task for each, and what their answers add up to."""

    def __init__(self, target: Demotable, checks: Iterable[Check]) -> None:
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
                    self._target.restore(self._checks[name].cause)
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
                    self._target.restore(check.cause)

    def _begin(self, name: str) -> None:
        assert self._group is not None
        check = self._checks[name]
        self._tasks[name] = self._group.create_task(self._repeat(check, self._states[name]), name=check.cause)

    async def _repeat(self, check: Check, state: CheckState) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            finding = await look(check)
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

    def _apply(self, name: str) -> None:
        """Demote for a check that fails; remove the demotion of one that passes."""
        check = self._checks[name]
        if self._states[name].passes:
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


async def _departure(target: Demotable) -> None:
    """Wait until a host has departed; for ever if the target is a node. Raises NodeFailedError when its node fails."""
    if not isinstance(target, VirtualHost):
        await asyncio.Event().wait()
        return
    async with target.events() as events:
        async for _event in events:
            pass


async def look(check: Check) -> Finding:
    """Run the probe of a check once, and return what it found, its detail cut to one line of 300 characters.

    It takes ``timeout_s``, and what the probe needs to clean up when it is cancelled. Raises CancelledError alone.
    """
    try:
        async with asyncio.timeout(check.timeout_s) as limit:
            found: object = await check.probe()
    except TimeoutError as exc:
        return _silence(check) if limit.expired() else _unknown(str(exc) or "the probe ran into a limit of its own")
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _unknown("the probe was cancelled from within")
    except Exception as exc:  # noqa: BLE001  the code of others: whatever it raises, the host must not serve on
        return _unknown(f"{type(exc).__name__}: {exc}")
    return _finding(found)


def _silence(check: Check) -> Finding:
    took = f"within {format_duration(check.timeout_s)}"
    if isinstance(check.probe, Request):
        return Finding(Answer.FAIL, _one_line(f"{check.probe.silence} {took}"))
    return _unknown(f"no answer {took}")


def _finding(found: object) -> Finding:
    """Return what a probe found as a Finding, whatever it returned."""
    match found:
        case Finding():
            return Finding(found.answer, _one_line(found.detail))
        case Answer():
            return Finding(found, "" if found is Answer.OK else f"the answer was {found}")
        case None | True:
            return Finding(Answer.OK)
        case False:
            return Finding(Answer.FAIL, "the answer was False")
        case _:
            return _unknown(f"the probe returned {found!r} instead of True or False")


def _unknown(detail: str) -> Finding:
    return Finding(Answer.UNKNOWN, _one_line(detail))


def _one_line(detail: str) -> str:
    """Return a detail as one line of the log, whatever a program or a server wrote."""
    text = "".join(each if each.isprintable() else " " for each in detail)
    line = " ".join(text.split())
    return line if len(line) <= _DETAIL_MAX else f"{line[: _DETAIL_MAX - 4]} ..."
