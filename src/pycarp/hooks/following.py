"""Follows a virtual host and calls its hooks: one at a time, in order, beside the election and never in its way."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import logger
from pycarp.core.events import ConflictWon, Departed, Event, StateChange
from pycarp.core.state import State
from pycarp.errors import CarpError
from pycarp.hooks.hook import Hook, On, OnFailure
from pycarp.hooks.queue import HookQueue, Occasion
from pycarp.system.programs import run_program
from pycarp.vocabulary import HostKey

DEMOTED_BY = 240
"""By how much a hook that failed demotes its host; other systems count failures alike."""

LEAVING_S = 0.5
"""Seconds that hooks have after their host has departed, or the caller was cancelled."""

RETRY_AFTER_S = 0.2
"""Seconds before a hook that failed is tried again."""


async def follow(host: VirtualHost, *hooks: Hook) -> None:
    """Call hooks on what happens to a host, until it departs; first with its present state.

    Raises NodeFailedError when the node fails, once the hooks for that were called.
    """
    await HookFollower(host, hooks).run()


@dataclass(frozen=True, slots=True)
class LastCall:
    """The last call of a hook that ended: what it was called on, and what failed, empty if nothing did."""

    on: On
    error: str


class HookFollower:
    """The queue of one host, the task that calls its hooks, and the call under way.

    ``hooks`` may be replaced at any time; the new ones are called from the next change on. Without
    ``calls_for_present`` no hook is called on the state that the host has already.
    """

    def __init__(self, host: VirtualHost, hooks: tuple[Hook, ...], *, calls_for_present: bool = True) -> None:
        self.hooks = hooks
        self._calls_for_present = calls_for_present
        self._host = host
        self._last: dict[str, LastCall] = {}
        self._queue = HookQueue()
        self._arrival = asyncio.Event()
        self._before: State | None = None
        self._call: asyncio.Task[None] | None = None
        self._running: On | None = None
        self._hook: Hook | None = None
        self._is_over = False

    def last_call(self, hook: Hook) -> LastCall | None:
        """Return how the last call of a hook ended; None if none has ended."""
        return self._last.get(hook.name)

    def is_running(self, hook: Hook) -> bool:
        """Return True while a hook is being called."""
        return self._hook is hook

    async def run(self) -> None:
        """Call hooks until the host departs; raises as ``follow``."""
        caller = asyncio.create_task(self._call_all())
        try:
            async with self._host.events() as events:
                async for event in events:
                    if self._calls_for_present or not self._is_present(event):
                        self._take(event)
        finally:
            await self._finish(caller)

    def _is_present(self, event: Event) -> bool:
        """Return True for the first event if it is the change to the state that the host has already."""
        self._calls_for_present = True
        if not isinstance(event, StateChange):
            return False
        self._before = event.new
        return True

    def _take(self, event: Event) -> None:
        skipped = self._queue.take(event)
        if skipped:
            names = ", ".join(skipped)
            logger.warning("carp: %s: hooks skipped, because the state changed again: %s", self._host.key, names)
        if isinstance(event, Departed):
            self._is_over = True
        self._arrival.set()

    async def _finish(self, caller: "asyncio.Task[None]") -> None:
        """End what runs, unless it is the hook for the loss; call what is due, in bounded time."""
        self._is_over = True
        self._arrival.set()
        if self._call is not None and self._running is not On.LOST:
            self._call.cancel()
        _done, late = await asyncio.wait({caller}, timeout=LEAVING_S)
        for task in late:
            logger.error("carp: %s: hook on %s did not end in time and is ended", self._host.key, self._running)
            task.cancel()
            await asyncio.wait({task})

    async def _call_all(self) -> None:
        while True:
            self._arrival.clear()
            while (occasion := self._queue.next()) is not None:
                facts = self._facts(occasion)
                for hook in self.hooks:
                    if occasion.on in hook.on:
                        await self._interruptible(hook, occasion.on, facts)
            if self._is_over:
                return
            await self._arrival.wait()

    async def _interruptible(self, hook: Hook, on: On, facts: dict[str, Any]) -> None:
        self._running, self._hook = on, hook
        self._call = asyncio.create_task(self._attempts(hook, on, facts))
        try:
            await asyncio.wait({self._call})
        finally:
            if not self._call.done():
                self._call.cancel()
                await asyncio.wait({self._call})
            if not self._call.cancelled() and (bug := self._call.exception()) is not None:
                logger.error("carp: %s: hook %s: %r", self._host.key, hook.name, bug)
            self._running = self._hook = self._call = None

    async def _attempts(self, hook: Hook, on: On, facts: dict[str, Any]) -> None:
        """Call a hook until it succeeds, its retries are used up, or something newer is due."""
        for attempt in range(hook.retries + 1):
            if attempt:
                await asyncio.sleep(RETRY_AFTER_S)
                if self._queue.is_outdated:
                    break
            error = await _called(hook, self._host.key, facts)
            self._last[hook.name] = LastCall(on, error)
            if not error:
                self._set_demotion(hook, 0)
                return
            logger.error("carp: %s: hook %s on %s: %s", self._host.key, hook.name, on, error)
        self._set_demotion(hook, DEMOTED_BY)

    def _set_demotion(self, hook: Hook, by: int) -> None:
        if hook.on_failure is OnFailure.DEMOTE:
            with contextlib.suppress(CarpError):
                self._host.demote(f"hook {hook.name} failed", by=by)

    def _facts(self, occasion: Occasion) -> dict[str, Any]:
        event = occasion.event
        facts: dict[str, Any] = {"event": str(occasion.on), "host": self._host.name, "vhid": self._host.key.vhid}
        facts |= {"interface": self._host.key.link, "previous": None if self._before is None else str(self._before)}
        with contextlib.suppress(CarpError):
            facts["addresses"] = [str(each) for each in self._host.config.addresses]
        if isinstance(event, StateChange):
            facts |= {"old": str(event.old), "new": str(event.new), "reason": event.reason.value}
            facts |= {"peer": None if event.peer is None else str(event.peer), "epoch": event.epoch}
            if not self._has_more_of(event):
                self._before = event.new
        elif isinstance(event, ConflictWon):
            facts["peer"] = str(event.source)
        return facts

    def _has_more_of(self, event: StateChange) -> bool:
        return self._queue.is_due(event)


async def _called(hook: Hook, host: HostKey, facts: dict[str, Any]) -> str:
    """Call a hook once; return what failed, empty if nothing did."""
    if callable(hook.run):
        try:
            async with asyncio.timeout(hook.timeout_s):
                await hook.call(facts)
        except TimeoutError:
            return f"took longer than {hook.timeout_s:g} s"
        except Exception as exc:  # noqa: BLE001  the failure of a hook must not end the others
            return f"{type(exc).__name__}: {exc}"
        return ""
    document = json.dumps(facts).encode()
    outcome = await run_program(hook.run, timeout_s=hook.timeout_s, environment=_environment(facts), document=document)
    for line in outcome.output.splitlines():
        logger.info("carp: %s: hook %s: %s", host, hook.name, line)
    return outcome.error


def _environment(facts: dict[str, Any]) -> dict[str, str]:
    """Return the facts as variables: PYCARP_HOST and so on; lists with blanks between, empty for what there is not."""
    texts = {name: " ".join(value) if isinstance(value, list) else value for name, value in facts.items()}
    return {f"PYCARP_{name.upper()}": "" if value is None else str(value) for name, value in texts.items()}
