"""One lane a host: the slow work on addresses, done one thing at a time, never in the way of an advertisement.

A lane is a reconciler. It keeps the latest intent and what it last achieved, and works until they agree; then its
task ends. If the state flaps while a call is under way, the intents in between are never executed, and none can be
lost or reordered. A hold under way is cut short when the addresses are to be dropped: it may hang.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from pycarp.actuators.base import Actuator
from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.errors import ActuatorError
from pycarp.vocabulary import HostKey

ATTEMPT_TIMEOUT_S = 15.0
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0
CANCEL_TIMEOUT_S = 1.0
"""How long an actuator may take to heed a cancellation."""

Intent = HoldAddresses | DropAddresses


async def _at_once() -> None:
    """Have nothing to wait for."""


@dataclass(slots=True)
class _Progress:
    """``achieved`` is the last intent that was carried out, whatever its epoch."""

    achieved: Intent | None = None
    reported_epoch: int = 0
    delay_s: float = RETRY_FIRST_S


class Lane:
    """Carries out the intents of one host through an actuator and reports every attempt.

    ``gate`` bounds how many lanes of a node work at a time, ``timeout_s`` how long an attempt may take. Before it drops
    addresses a lane awaits ``vacated``, which has a bound of its own: who relied on them gets a moment to finish.
    """

    def __init__(
        self,
        key: HostKey,
        actuator: Actuator,
        report: Callable[[ActuationReported], None],
        gate: asyncio.Semaphore,
        *,
        timeout_s: float = ATTEMPT_TIMEOUT_S,
        vacated: Callable[[], Awaitable[object]] = _at_once,
    ) -> None:
        self._key = key
        self._actuator = actuator
        self._report = report
        self._gate = gate
        self._timeout_s = timeout_s
        self._vacated = vacated
        self._intent: Intent | None = None
        self._announcement: Announce | None = None
        self._progress = _Progress()
        self._change = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._holding: asyncio.Task[None] | None = None
        self._is_cut_short = False
        self._stray: set[asyncio.Future[None]] = set()
        # Like the timers, the work is the node's, whoever asked for it.
        self._context = contextvars.copy_context()

    def take(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Accept an effect; returns at once."""
        if isinstance(effect, Announce):
            self._announcement = effect
        else:
            self._intent = effect
            self._change.set()
            if isinstance(effect, DropAddresses) and self._holding is not None:
                # It may hang, and nothing of it is wanted any more.
                self._is_cut_short = True
                self._holding.cancel()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), context=self._context.copy())

    async def close(self) -> None:
        """Stop whatever is under way, and wait for calls that did not heed it; bounded by the caller."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._stray:
            await asyncio.wait(self._stray)

    async def _work(self) -> None:
        while True:
            intent = self._intent
            if intent is not None and intent.epoch != self._progress.reported_epoch:
                await self._pursue(intent)
            elif self._announcement is not None:
                await self._announce()
            else:
                return

    async def _pursue(self, intent: Intent) -> None:
        """Make one attempt, report it, and wait a little before the next if it failed."""
        if isinstance(intent, DropAddresses):
            await self._vacated()
            if self._intent is not intent:
                return
        self._change.clear()
        self._is_cut_short = False
        error = None
        if not _is_same(self._progress.achieved, intent):
            self._progress.achieved = None
            error = await self._attempt(lambda: self._call(intent), intent)
        if error is not None and self._is_cut_short:
            return
        action = Action.HOLD if isinstance(intent, HoldAddresses) else Action.DROP
        if error is None:
            self._progress = _Progress(achieved=intent, reported_epoch=intent.epoch)
        self._report(ActuationReported(self._key, intent.epoch, action, error))
        if error is not None:
            await self._back_off()

    async def _call(self, intent: Intent) -> None:
        if isinstance(intent, DropAddresses):
            await self._actuator.drop(intent.key, intent.addresses)
            return
        if intent.former:
            await self._actuator.drop(intent.key, intent.former)
        lifetime_s = intent.precaution.lifetime_s if intent.precaution else None
        await self._actuator.hold(intent.key, intent.addresses, lifetime_s=lifetime_s)

    async def _announce(self) -> None:
        """Announce, unless the epoch has passed; a failure is reported like any other."""
        effect, self._announcement = self._announcement, None
        if effect is None or self._intent is None or effect.epoch != self._intent.epoch:
            return
        error = await self._attempt(lambda: self._actuator.announce(effect.key, effect.addresses, effect.form), None)
        if error is not None:
            self._report(ActuationReported(self._key, effect.epoch, Action.ANNOUNCE, error))

    async def _attempt(self, call: Callable[[], Coroutine[None, None, None]], intent: Intent | None) -> str | None:
        """Return None when the call succeeds in time, else what went wrong.

        It runs in a task of its own: a CancelledError out of an actuator must not end the lane, and one that does not
        heed a cancellation must not hold it up. Drops do not queue behind what other hosts are doing.
        """
        gate = contextlib.nullcontext() if isinstance(intent, DropAddresses) else self._gate
        attempt = asyncio.create_task(self._in_turn(call, gate))
        self._holding = attempt if isinstance(intent, HoldAddresses) else None
        try:
            await asyncio.wait({attempt})
        except asyncio.CancelledError:
            attempt.cancel()
            await asyncio.wait({attempt})
            raise
        finally:
            self._holding = None
        if attempt.cancelled():
            return "was cancelled"
        error = attempt.exception()
        if isinstance(error, ActuatorError | OSError):
            return str(error)
        return None if error is None else f"{type(error).__name__}: {error}"

    async def _in_turn(
        self, call: Callable[[], Coroutine[None, None, None]], gate: contextlib.AbstractAsyncContextManager[None]
    ) -> None:
        """Make a call when it is its turn; TimeoutError, an OSError, when it takes too long."""
        async with gate:
            made = asyncio.ensure_future(call())
            try:
                done, _pending = await asyncio.wait({made}, timeout=self._timeout_s)
            finally:
                if not made.done():
                    self._stray.add(made)
                    made.add_done_callback(self._stray.discard)
                    made.cancel()
                    await asyncio.wait({made}, timeout=CANCEL_TIMEOUT_S)
            if not done:
                raise TimeoutError(f"took longer than {self._timeout_s:g} s")
            made.result()

    async def _back_off(self) -> None:
        """Wait before the next attempt, longer each time, but no longer than until the intent changes."""
        delay_s = self._progress.delay_s
        self._progress.delay_s = min(2 * delay_s, RETRY_MAX_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._change.wait()


def _is_same(achieved: Intent | None, intent: Intent) -> bool:
    """Say whether nothing is left to do for an intent but to report it under its own epoch."""
    if intent.anew:
        return False
    if isinstance(achieved, HoldAddresses) and isinstance(intent, HoldAddresses):
        return achieved.addresses == intent.addresses and not intent.former
    return (
        isinstance(achieved, DropAddresses)
        and isinstance(intent, DropAddresses)
        and (set(intent.addresses) <= set(achieved.addresses))
    )
