"""Follows a virtual host and calls its hooks: one at a time, in order, beside the election and never in its way."""

import asyncio
import contextlib
import json
from typing import Any

import msgspec

from pycarp.aio.log_records import logger
from pycarp.aio.mastership import MastershipLost
from pycarp.aio.virtual_host import VirtualHost
from pycarp.core.events import AddressesHeld, ConflictWon, Departed, Event, StateChange
from pycarp.core.state import State
from pycarp.errors import ActuatorError, CarpError, ConfigError
from pycarp.hooks.hook import ADDRESSES_WAIT_FOR, Hook, On, OnFailure
from pycarp.hooks.queue import HookQueue, Occasion
from pycarp.system.programs import run_program
from pycarp.tasks import start_task
from pycarp.vocabulary import NS_PER_S, HostKey

DEMOTED_BY = 240
"""By how much a hook that failed demotes its host; other systems count failures alike."""

LEAVING_S = 0.5
"""Seconds that hooks have after their host has departed, or the caller was cancelled."""

DROPPED_WITHIN_S = 1.0
"""Seconds that a loss waits until the addresses are dropped: longer than a drop takes, unless it fails or hangs."""

RETRY_AFTER_S = 0.2
"""Seconds before a hook that failed is tried again."""


async def follow(host: VirtualHost, *hooks: Hook) -> None:
    """Call hooks on what happens to a host, until it departs; first with its present state.

    Raises NodeFailedError when the node fails, once the hooks for that were called, and ConfigError if two hooks have
    one name.
    """
    await HookFollower(host, hooks).run()


class LastCall(msgspec.Struct, frozen=True):
    """The last call of a hook that ended: what it was called on, and what failed, empty if nothing did."""

    on: On
    error: str


class HookFollower:
    """The queue of one host, the task that calls its hooks, and the call under way.

    ``hooks`` may be replaced at any time; the new ones are called from the next change on. Without
    ``calls_for_present`` no hook is called on the state that the host has already. Raises ConfigError if two hooks have
    one name, by which their failures are told apart.
    """

    def __init__(self, host: VirtualHost, hooks: tuple[Hook, ...], *, calls_for_present: bool = True) -> None:
        self._hooks = _distinct(hooks)
        self._has_other_hooks = asyncio.Event()
        self._is_guarded = False
        self._calls_for_present = calls_for_present
        self._host = host
        self._last: dict[str, LastCall] = {}
        self._queue = HookQueue()
        self._arrival = asyncio.Event()
        self._before: State | None = None
        self._call: asyncio.Task[str] | None = None
        self._running: On | None = None
        self._hook: Hook | None = None
        self._is_over = False
        self._calling = asyncio.Lock()
        self._change: StateChange | None = None
        self._held_epoch = self._token_epoch = 0
        self._dropping: asyncio.Task[None] | None = None
        self._token: int | None = None
        self._confirmed: set[str] = set()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks that are called from the next change on."""
        return self._hooks

    @hooks.setter
    def hooks(self, hooks: tuple[Hook, ...]) -> None:
        self._hooks = _distinct(hooks)
        self._has_other_hooks.set()

    def last_call(self, hook: Hook) -> LastCall | None:
        """Return how the last call of a hook ended; None if none has ended."""
        return self._last.get(hook.name)

    @property
    def running(self) -> Hook | None:
        """The hook that is being called; it may be none of ``hooks`` any more."""
        return self._hook

    async def run(self) -> None:
        """Call hooks until the host departs; raises as ``follow``. It may be run again after a fault."""
        self._is_over = False
        caller = start_task(self._call_all())
        guarding = start_task(self._guard_drops())
        try:
            self._host.before_hold(self._prepare)
            async with self._host.events() as events:
                async for event in events:
                    self._take(event)
        finally:
            self._host.remove_callback(self._prepare)
            # The last mastership ends with the host, and its hooks in bounded time.
            await asyncio.wait({guarding}, timeout=LEAVING_S if self._is_guarded else 0)
            guarding.cancel()
            await asyncio.wait({guarding})
            await self._finish(caller)
            if self._dropping is not None:
                self._dropping.cancel()

    def _take(self, event: Event) -> None:
        if self._change is None and isinstance(event, StateChange):
            # The change to the present state, in which addresses may be held already.
            self._held_epoch = event.epoch
            if not self._calls_for_present:
                self._change, self._before = event, event.new
                return
        skipped = self._queue.take(event)
        if skipped:
            names = ", ".join(skipped)
            logger.warning("carp: %s: hooks skipped, because the state changed again: %s", self._host.key, names)
        if isinstance(event, StateChange):
            self._change = event
            if event.old is State.MASTER:
                self._dropping = start_task(self._wait_for_drop())
        if isinstance(event, AddressesHeld):
            self._held_epoch = event.epoch
        self._is_over |= isinstance(event, Departed)
        self._arrival.set()

    async def _wait_for_drop(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DROPPED_WITHIN_S):
                await self._host.addresses_dropped()
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

    # Calling

    async def _call_all(self) -> None:
        while True:
            self._arrival.clear()
            while (occasion := self._queue.first()) is not None and not self._is_early(occasion):
                async with self._calling:
                    # Another one may be the first by now.
                    if self._queue.first() is occasion:
                        self._queue.remove_first()
                        await self._call_hooks(occasion)
            if self._is_over:
                return
            await self._arrival.wait()

    def _is_early(self, occasion: Occasion) -> bool:
        """Return True while a loss waits for the drop, and a MASTER for the hold that hooks come before."""
        event = occasion.event
        if occasion.on is On.LOST and self._is_guarded:
            return True
        if self._is_over or not isinstance(event, StateChange):
            return False
        if occasion.on is On.LOST:
            return self._dropping is not None and not self._dropping.done()
        if occasion.on is not On.MASTER:
            return False
        return event.epoch > self._held_epoch and any(On.BEFORE_HOLD in hook.on for hook in self.hooks)

    async def _call_hooks(self, occasion: Occasion) -> None:
        facts = await self._facts(occasion)
        if isinstance(occasion.event, StateChange) and not self._queue.is_due(occasion.event):
            self._before = occasion.event.new
        called = [hook for hook in self.hooks if occasion.on in hook.on]
        for hook in sorted(called, key=lambda each: each.confirm_s):
            if not hook.confirm_s or await self._is_confirmed(hook, occasion):
                await self._interruptible(hook, occasion, facts)

    async def _is_confirmed(self, hook: Hook, occasion: Occasion) -> bool:
        """Wait until a state has lasted; return False if it did not, or if a loss ends what was never confirmed."""
        change = occasion.event if isinstance(occasion.event, StateChange) else self._change
        assert change is not None
        if occasion.on is On.LOST:
            was_called = hook.name in self._confirmed
            self._confirmed.discard(hook.name)
            if was_called or hook.on == {On.LOST}:
                return True
            self._log_unconfirmed(hook, occasion)
            return False
        ends_s = change.at_ns / NS_PER_S + hook.confirm_s
        while not self._is_over and not self._queue.has_newer(occasion.event):
            left_s = ends_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                self._confirmed.add(hook.name)
                return True
            self._arrival.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._arrival.wait()
        self._log_unconfirmed(hook, occasion)
        return False

    def _log_unconfirmed(self, hook: Hook, occasion: Occasion) -> None:
        logger.info("carp: %s: hook %s is not called on %s: it did not last", self._host.key, hook.name, occasion.on)

    # Before the addresses are dropped

    async def _guard_drops(self) -> None:
        """Be in a mastership while the host is MASTER, so that a drop waits for the hooks before it."""
        while not self._is_over:
            self._has_other_hooks.clear()
            wanted = [each for each in self._hooks if On.BEFORE_DROP in each.on]
            if not wanted:
                await self._has_other_hooks.wait()
                continue
            try:
                await self._guard_drop(sum(each.timeout_s for each in wanted))
            except MastershipLost:
                continue
            except CarpError:
                return

    async def _guard_drop(self, clean_up_s: float) -> None:
        async with self._host.mastership(clean_up_s=clean_up_s) as mastership:
            self._is_guarded = True
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if mastership.is_lost:
                    await self._call_before_drop()
                raise
            finally:
                self._is_guarded = False
                self._arrival.set()

    async def _call_before_drop(self) -> None:
        if self._call is not None:
            # It is for a mastership that is over.
            self._call.cancel()
        async with self._calling:
            change = self._change
            assert change is not None
            occasion = Occasion(On.BEFORE_DROP, change)
            facts = await self._facts(occasion)
            for hook in [each for each in self._hooks if On.BEFORE_DROP in each.on]:
                await self._interruptible(hook, occasion, facts)

    async def _prepare(self, change: StateChange) -> None:
        """Call the hooks before the addresses are held; raises ActuatorError if one failed, unless that is ignored."""
        # Without such hooks the hold waits for none that runs because of an earlier state.
        if any(On.BEFORE_HOLD in each.on for each in self.hooks):
            await self._call_before_hold(change)

    async def _call_before_hold(self, change: StateChange) -> None:
        occasion = Occasion(On.BEFORE_HOLD, change)
        async with self._calling:
            facts = await self._facts(occasion)
            for hook in [each for each in self.hooks if On.BEFORE_HOLD in each.on]:
                error = await self._interruptible(hook, occasion, facts)
                if error and hook.on_failure is not OnFailure.IGNORE:
                    raise ActuatorError(f"hook {hook.name} on {On.BEFORE_HOLD}: {error}")

    async def _interruptible(self, hook: Hook, occasion: Occasion, facts: dict[str, Any]) -> str:
        """Call a hook in a task that can be cancelled; return what failed, empty if nothing did."""
        self._running, self._hook = occasion.on, hook
        call = self._call = start_task(self._attempts(hook, occasion, facts))
        try:
            await asyncio.wait({call})
        finally:
            if not call.done():
                call.cancel()
                await asyncio.wait({call})
            self._running = self._hook = self._call = None
        if call.cancelled():
            return "was ended"
        if (bug := call.exception()) is not None:
            logger.error("carp: %s: hook %s: %r", self._host.key, hook.name, bug)
            return repr(bug)
        return call.result()

    async def _attempts(self, hook: Hook, occasion: Occasion, facts: dict[str, Any]) -> str:
        """Call a hook until it succeeds, its retries are used up, or something newer is due; return what failed."""
        error = ""
        for attempt in range(hook.retries + 1):
            if attempt:
                await asyncio.sleep(RETRY_AFTER_S)
                if self._queue.has_newer(occasion.event):
                    break
            error = await _called(hook, self._host.key, facts)
            self._last[hook.name] = LastCall(occasion.on, error)
            if not error:
                break
            logger.error("carp: %s: hook %s on %s: %s", self._host.key, hook.name, occasion.on, error)
        if occasion.on not in ADDRESSES_WAIT_FOR:
            self._set_demotion(hook, has_failed=bool(error))
        return error

    def _set_demotion(self, hook: Hook, *, has_failed: bool) -> None:
        cause = f"hook {hook.name} failed"
        with contextlib.suppress(CarpError):
            if not has_failed or hook.on_failure is OnFailure.IGNORE:
                self._host.restore(cause)
            elif hook.on_failure is OnFailure.DEMOTE:
                self._host.demote(cause, by=DEMOTED_BY)
            else:
                self._host.demote(cause, last=True)

    # Facts

    async def _facts(self, occasion: Occasion) -> dict[str, Any]:
        event = occasion.event
        facts: dict[str, Any] = {"event": str(occasion.on), "host": self._host.name, "vhid": self._host.key.vhid}
        facts |= {"interface": self._host.key.link, "previous": None if self._before is None else str(self._before)}
        with contextlib.suppress(CarpError):
            facts["addresses"] = [str(each) for each in self._host.config.addresses]
        change = event if isinstance(event, StateChange) else self._change
        if change is not None:
            facts |= {"old": str(change.old), "new": str(change.new), "reason": change.reason.value}
            facts |= {"peer": None if change.peer is None else str(change.peer), "epoch": change.epoch}
            facts["token"] = await self._token_of(change)
        if isinstance(event, ConflictWon):
            facts["peer"] = str(event.source)
        return facts

    async def _token_of(self, change: StateChange) -> int | None:
        """Return the fencing token of the mastership that a change begins, or of the last one; None before the first.

        All hooks of one mastership have the same token.
        """
        if change.new is State.MASTER and change.epoch > self._token_epoch:
            self._token, self._token_epoch = await self._host.fencing_token(), change.epoch
        return self._token


def _distinct(hooks: tuple[Hook, ...]) -> tuple[Hook, ...]:
    names = [each.name for each in hooks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two hooks are called {name!r}; give each a name of its own")
    return hooks


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
