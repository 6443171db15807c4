"""Follows a virtual host and calls its hooks: one at a time, in order, beside the election and never in its way."""

import asyncio
import contextlib
import json
from typing import Any

from pycarp.aio.host import VirtualHost
from pycarp.aio.log_records import logger
from pycarp.core.events import ConflictWon, Departed, Event, StateChange
from pycarp.core.state import State
from pycarp.errors import CarpError
from pycarp.hooks.hook import Hook, On, OnFailure
from pycarp.hooks.queue import HookQueue, Occasion
from pycarp.system.programs import run_program

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
    await _Follower(host, hooks).run()


class _Follower:
    """The queue of one host, the task that calls its hooks, and the call under way."""

    def __init__(self, host: VirtualHost, hooks: tuple[Hook, ...]) -> None:
        self._host = host
        self._hooks = hooks
        self._queue = HookQueue()
        self._arrival = asyncio.Event()
        self._before: State | None = None
        self._call: asyncio.Task[None] | None = None
        self._running: On | None = None
        self._is_over = False

    async def run(self) -> None:
        caller = asyncio.create_task(self._call_all())
        try:
            async with self._host.events() as events:
                async for event in events:
                    self._take(event)
        finally:
            await self._finish(caller)

    def _take(self, event: Event) -> None:
        skipped = self._queue.take(event)
        if skipped:
            names = ", ".join(skipped)
            logger.warning("carp: %s: hooks skipped, because the state changed again: %s", self._host.name, names)
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
            logger.error("carp: %s: hook on %s did not end in time and is ended", self._host.name, self._running)
            task.cancel()
            await asyncio.wait({task})

    async def _call_all(self) -> None:
        while True:
            self._arrival.clear()
            while (occasion := self._queue.next()) is not None:
                facts = self._facts(occasion)
                for hook in self._hooks:
                    if occasion.on in hook.on:
                        await self._interruptible(hook, occasion.on, facts)
            if self._is_over:
                return
            await self._arrival.wait()

    async def _interruptible(self, hook: Hook, on: On, facts: dict[str, Any]) -> None:
        self._running, self._call = on, asyncio.create_task(self._attempts(hook, on, facts))
        try:
            await asyncio.wait({self._call})
        finally:
            if not self._call.done():
                self._call.cancel()
                await asyncio.wait({self._call})
            if not self._call.cancelled() and (bug := self._call.exception()) is not None:
                logger.error("carp: %s: hook %s: %r", self._host.name, hook.name, bug)
            self._running = self._call = None

    async def _attempts(self, hook: Hook, on: On, facts: dict[str, Any]) -> None:
        """Call a hook until it succeeds, its retries are used up, or something newer is due."""
        for attempt in range(hook.retries + 1):
            if attempt:
                await asyncio.sleep(RETRY_AFTER_S)
                if self._queue.is_outdated:
                    break
            error = await _called(hook, self._host.name, facts)
            if not error:
                self._set_demotion(hook, 0)
                return
            logger.error("carp: %s: hook %s on %s: %s", self._host.name, hook.name, on, error)
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


async def _called(hook: Hook, host: str, facts: dict[str, Any]) -> str:
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
