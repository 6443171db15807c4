"""The reconciler of one host: it compares the wanted with the achieved state of the addresses, and returns what to do.

A reconciler keeps the newest intent and the last achieved one. The shell makes one attempt at a time and passes its
result back. The reconciler reports every attempt, and returns another one until the newest intent is achieved. It skips
intents that a newer one has replaced.

- A drop never waits. It cancels a hold that hangs, and needs no place at the gate.
- An attempt that was cancelled, failed or took too long may have changed the addresses or not. Until a drop succeeds
  its addresses count as held, see ``Reconciler.may_hold``.
- An attempt that does not end after it was cancelled is abandoned. When it ends later, the reconciler repairs whatever
  it did.
- If other programs keep changing the addresses, the reconciler repairs the first change at once and further ones after
  growing pauses. The first drop after a hold, and the first hold after a drop, are no repairs and have no pause.
- After a hold that took too long the next one may take a fifth of the time. Otherwise each change of the settings would
  again give a hold that hangs the full timeout.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.vocabulary import NS_PER_S, HostKey, InterfaceAddress

Intent = HoldAddresses | DropAddresses

ATTEMPTS_MAX = 32
"""Holds and announcements of one node under way at a time, at most."""

ABANDONED_MAX = 8
"""Abandoned attempts of one host, at most; with so many it waits for one of them to end."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The timeout of an attempt, the time that it has to end once cancelled, and the pauses between attempts.

    A hold that follows one that took too long may take ``timeout_again_ns``. The pause after a failure doubles each
    time, up to ``retry_max_ns``. The pause between repairs of external changes doubles too, up to ``repair_max_ns``.
    """

    timeout_ns: int = 15 * NS_PER_S
    timeout_again_ns: int = 3 * NS_PER_S
    cancel_ns: int = NS_PER_S // 2
    retry_first_ns: int = NS_PER_S // 10
    retry_max_ns: int = 5 * NS_PER_S
    repair_first_ns: int = NS_PER_S // 10
    repair_max_ns: int = NS_PER_S


DEFAULT_PACE = Pace()

_QUIET_NS = NS_PER_S
"""How long no external change must happen before the next one is repaired at once again."""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One attempt to carry out an effect; compared by identity."""

    effect: HoldAddresses | DropAddresses | Announce

    @property
    def key(self) -> HostKey:
        """The host."""
        return self.effect.key

    @property
    def action(self) -> Action:
        """The action that the actuator performs."""
        return action_of(self.effect)


class CancelAttempt(msgspec.Struct, frozen=True):
    """Cancel an attempt and report its end; if it has not ended at ``until_ns``, call ``time_passed`` then."""

    attempt: Attempt
    until_ns: int


class RetryAt(msgspec.Struct, frozen=True):
    """Do nothing before ``at_ns``; call ``time_passed`` then."""

    at_ns: int


class Idle(msgspec.Struct, frozen=True):
    """Do nothing until the next intent, the end of the attempt under way, or a free place at the gate."""


IDLE = Idle()
Next = Attempt | CancelAttempt | RetryAt | Idle


class Todo(NamedTuple):
    """What a reconciler returns: what to do next, and the reports to submit to the engine."""

    next: Next
    reports: tuple[ActuationReported, ...] = ()


class Gate:
    """Limits the holds and announcements of a node under way. Drops always pass: a drop that waits makes two owners."""

    def __init__(self, limit: int = ATTEMPTS_MAX) -> None:
        self._limit = limit
        self._inside = 0
        self._waiting: dict[HostKey, None] = {}

    def enter(self, attempt: Attempt) -> bool:
        """Return True and take a place if an attempt may begin; otherwise queue its host and return False."""
        if attempt.action is Action.DROP:
            return True
        if self._inside >= self._limit:
            self._waiting[attempt.key] = None
            return False
        self._waiting.pop(attempt.key, None)
        self._inside += 1
        return True

    def return_to(self, attempt: Attempt) -> None:
        """Take a place again, even if none is free, for an attempt that left in order to wait."""
        if attempt.action is not Action.DROP:
            self._inside += 1

    def leave(self, attempt: Attempt) -> None:
        """Free the place of an attempt that entered; no-op for a drop."""
        if attempt.action is not Action.DROP:
            self._inside -= 1

    def next_host(self) -> HostKey | None:
        """Return and remove the host that has waited longest; None if no place is free or no host waits."""
        if not self._waiting or self._inside >= self._limit:
            return None
        key = next(iter(self._waiting))
        del self._waiting[key]
        return key


@dataclass(slots=True)
class _Run:
    """An attempt under way: ``until_ns`` is the end of its timeout, ``error`` the reason for which it is cancelled.

    ``has_begun`` says whether it may have changed anything, ``is_aside`` that it waits without a place at the gate. An
    attempt that is cancelled without an ``error`` is no longer wanted, and its end is not reported.
    """

    attempt: Attempt
    until_ns: int | None = None
    has_begun: bool = False
    is_aside: bool = False
    is_cancelled: bool = False
    error: str | None = None


@dataclass(slots=True)
class _Pause:
    """Pauses that double; ``again_at_ns`` is when the next attempt may be made, None for at once."""

    first_ns: int
    next_ns: int = field(init=False)
    again_at_ns: int | None = None

    def __post_init__(self) -> None:
        self.next_ns = self.first_ns

    def begin(self, now_ns: int, max_ns: int) -> None:
        """Begin the next pause, of ``max_ns`` at most, and double the one after it."""
        span_ns = min(self.next_ns, max_ns)
        self.again_at_ns = now_ns + span_ns
        self.next_ns = min(2 * span_ns, max_ns)

    def forget(self) -> None:
        """Start again with the first pause."""
        self.next_ns, self.again_at_ns = self.first_ns, None


class Reconciler:
    """The addresses of one host; see the module's docstring. Every method returns what is to be done next."""

    def __init__(self, key: HostKey, gate: Gate, *, pace: Pace = DEFAULT_PACE) -> None:
        self._key = key
        self._gate = gate
        self._pace = pace
        self._intent: Intent | None = None
        self._announcement: Announce | None = None
        self._achieved: Intent | None = None
        self._reported_epoch: int | None = None
        self._run: _Run | None = None
        self._abandoned: set[Attempt] = set()
        self._may_hold: set[InterfaceAddress] = set()
        self._is_disturbed = False
        self._is_undone = False
        self._has_timed_out = False
        self._kept: Action | None = None
        """The last successful action, unless another one was tried since: repeating it is a repair."""
        self._retry = _Pause(pace.retry_first_ns)
        self._repair = _Pause(pace.repair_first_ns)

    @property
    def may_hold(self) -> frozenset[InterfaceAddress]:
        """The addresses that may be held: by a hold that succeeded or may have, and not dropped since."""
        strays = [attempt.effect for attempt in self._abandoned if attempt.action is Action.HOLD]
        return frozenset(self._may_hold.union(*(each.addresses for each in strays)))

    @property
    def is_held(self) -> bool:
        """Whether the newest intent is to hold the addresses, and it is achieved."""
        return self._run is None and isinstance(self._achieved, HoldAddresses) and self._achieved is self._intent

    # What happens

    def take(self, effect: HoldAddresses | DropAddresses | Announce, now_ns: int) -> Todo:
        """Accept an effect of the engine: an intent, which replaces the last one, or an announcement."""
        if isinstance(effect, Announce):
            self._announcement = effect
            return self._todo(now_ns)
        self._intent = effect
        self._retry.again_at_ns = None
        if effect.force:
            self._achieved = None
            self._is_disturbed = True
            self._may_hold.update(effect.addresses)
        if isinstance(effect, DropAddresses) and not _is_same(self._achieved, effect):
            # A predecessor may have left them behind.
            self._may_hold.update(effect.addresses)
            # If this process stalled, the guardian may have dropped the addresses: no hold is done already.
            self._achieved = None
        return self._todo(now_ns)

    def begin(self, attempt: Attempt, now_ns: int) -> RetryAt | None:
        """Mark an attempt as begun and return the end of its timeout; None if it is no longer wanted.

        Called once, right before the actuator is: until then the attempt may have waited for something else.
        """
        run = self._run
        if run is None or run.attempt is not attempt or run.is_cancelled:
            return None
        if run.is_aside and attempt.effect is not self._intent:
            # Another hold was asked for meanwhile; its own attempt comes next.
            run.is_cancelled = True
            return None
        run.has_begun = True
        if run.is_aside:
            run.is_aside = False
            self._gate.return_to(attempt)
        effect = attempt.effect
        run.until_ns = now_ns + self._timeout_ns(effect)
        if not isinstance(effect, Announce):
            self._achieved = None
            self._is_disturbed = False
            self._kept = self._kept if self._kept is attempt.action else None
            if isinstance(effect, HoldAddresses):
                self._may_hold.update(effect.addresses)
            if effect.force:
                self._pause_repairs(now_ns)
        return RetryAt(run.until_ns)

    def stand_aside(self, attempt: Attempt) -> None:
        """Free the place at the gate of an attempt that waits for something else before it begins."""
        run = self._run
        if run is not None and run.attempt is attempt and not run.has_begun and not run.is_aside:
            run.is_aside = True
            self._gate.leave(attempt)

    def attempt_ended(self, attempt: Attempt, error: str | None, now_ns: int) -> Todo:
        """Record the result of an attempt; ``error`` is None if it succeeded."""
        if attempt in self._abandoned:
            self._abandoned.discard(attempt)
            self._mark_stray_end(attempt)
            return self._todo(now_ns)
        if self._run is None or self._run.attempt is not attempt:
            return self._todo(now_ns)
        return self._todo(now_ns, self._end(self._run, error, now_ns))

    def time_passed(self, now_ns: int) -> Todo:
        """Continue after a pause, and cancel or abandon an attempt that takes too long."""
        run = self._run
        if run is None or run.until_ns is None or now_ns < run.until_ns:
            return self._todo(now_ns)
        if not run.is_cancelled:
            return Todo(self._give_up(run, now_ns))
        if run.has_begun:
            self._abandoned.add(run.attempt)
        return self._todo(now_ns, self._end(run, "does not end", now_ns))

    def retry(self, now_ns: int) -> Todo:
        """Retry a failed attempt without a pause, because its cause is gone."""
        self._retry.forget()
        return self._todo(now_ns)

    def surrender(self, now_ns: int) -> Todo:
        """Drop every address that may be held, whatever the intent was; no further intent follows."""
        epoch = self._intent.epoch + 1 if self._intent else 1
        self._announcement = None
        addresses = tuple(sorted(self.may_hold, key=lambda each: (each.version, each)))
        if addresses:
            return self.take(DropAddresses(self._key, epoch, addresses), now_ns)
        self._intent = None
        run = self._run
        return Todo(IDLE if run is None or run.is_cancelled else self._cancel(run, now_ns, None))

    def close(self) -> None:
        """Remove the intent; the result of an attempt under way will be ignored."""
        if self._run is not None:
            self._leave_gate(self._run)
            self._run = None
        self._intent = self._announcement = None

    # What follows

    def _todo(self, now_ns: int, reports: tuple[ActuationReported, ...] = ()) -> Todo:
        run = self._run
        if run is not None:
            if not run.is_cancelled and self._is_in_the_way(run):
                return Todo(self._cancel(run, now_ns, None), reports)
            return Todo(IDLE if run.until_ns is None else RetryAt(run.until_ns), reports)
        intent = self._intent
        if intent is None:
            return Todo(IDLE, reports)
        if self._is_undone or intent.epoch != self._reported_epoch:
            if not _is_same(self._achieved, intent):
                return Todo(self._pursue(intent, now_ns), reports)
            reports += self._report(intent, None)
        return Todo(self._announce(intent), reports)

    def _is_in_the_way(self, run: _Run) -> bool:
        """Return True if an attempt must be cancelled for the newest intent; a drop that has begun never is.

        Nor is a hold that stands aside, for another hold: that one needs what is waited for as well.
        """
        intent, effect = self._intent, run.attempt.effect
        if intent is None or effect is intent or (run.is_aside and isinstance(intent, HoldAddresses)):
            return False
        if isinstance(effect, Announce):
            return effect.epoch != intent.epoch
        if run.has_begun:
            return isinstance(effect, HoldAddresses) and isinstance(intent, DropAddresses)
        return True

    def _cancel(self, run: _Run, now_ns: int, error: str | None) -> CancelAttempt:
        run.is_cancelled, run.error = True, error
        run.until_ns = now_ns + self._pace.cancel_ns
        return CancelAttempt(run.attempt, run.until_ns)

    def _give_up(self, run: _Run, now_ns: int) -> CancelAttempt:
        error = f"took longer than {self._timeout_ns(run.attempt.effect) / NS_PER_S:g} s"
        self._has_timed_out |= run.attempt.action is Action.HOLD
        return self._cancel(run, now_ns, error)

    def _timeout_ns(self, effect: HoldAddresses | DropAddresses | Announce) -> int:
        is_second = self._has_timed_out and isinstance(effect, HoldAddresses)
        return self._pace.timeout_again_ns if is_second else self._pace.timeout_ns

    def _pursue(self, intent: Intent, now_ns: int) -> Next:
        is_repair = intent.force and self._kept is action_of(intent)
        pauses = [self._retry.again_at_ns, self._repair.again_at_ns if is_repair else None]
        at_ns = max((each for each in pauses if each is not None), default=now_ns)
        return RetryAt(at_ns) if now_ns < at_ns else self._start(Attempt(intent))

    def _announce(self, intent: Intent) -> Next:
        """Announce what is achieved, unless the epoch has passed."""
        effect, self._announcement = self._announcement, None
        if effect is None or effect.epoch != intent.epoch or not isinstance(intent, HoldAddresses):
            return IDLE
        started = self._start(Attempt(effect))
        if started is IDLE:
            self._announcement = effect
        return started

    def _start(self, attempt: Attempt) -> Attempt | Idle:
        if len(self._abandoned) >= ABANDONED_MAX or not self._gate.enter(attempt):
            return IDLE
        self._run = _Run(attempt)
        return attempt

    def _end(self, run: _Run, error: str | None, now_ns: int) -> tuple[ActuationReported, ...]:
        self._run = None
        self._leave_gate(run)
        effect = run.attempt.effect
        if run.is_cancelled and (error is not None or not run.has_begun):
            error = run.error
            if error is None:
                return ()
        if isinstance(effect, Announce):
            return self._report(effect, error) if error is not None else ()
        if error is not None:
            self._retry.begin(now_ns, self._pace.retry_max_ns)
            if effect is not self._intent:
                self._retry.again_at_ns = None
            return self._report(effect, error)
        self._succeed(effect)
        return self._report(effect, None) if effect.epoch != self._reported_epoch else ()

    def _leave_gate(self, run: _Run) -> None:
        if not run.is_aside:
            self._gate.leave(run.attempt)

    def _succeed(self, effect: Intent) -> None:
        self._achieved = None if self._is_disturbed else effect
        self._is_undone = self._is_disturbed
        self._has_timed_out = False
        self._kept = action_of(effect)
        self._retry.forget()
        if isinstance(effect, HoldAddresses):
            self._may_hold.difference_update(effect.previous)
        else:
            self._may_hold.difference_update(effect.addresses)
            if isinstance(self._intent, DropAddresses) and self._intent is not effect:
                self._may_hold.update(self._intent.addresses if not _is_same(self._achieved, self._intent) else ())

    def _report(self, effect: HoldAddresses | DropAddresses | Announce, error: str | None) -> tuple[ActuationReported]:
        if error is None:
            self._reported_epoch = effect.epoch
        return (ActuationReported(self._key, effect.epoch, action_of(effect), error),)

    def _mark_stray_end(self, attempt: Attempt) -> None:
        """Mark the addresses of an abandoned attempt as disturbed, so that the next attempt repairs them."""
        if isinstance(attempt.effect, Announce):
            return
        self._may_hold.update(attempt.effect.addresses)
        self._achieved = None
        self._is_disturbed = self._is_undone = True

    def _pause_repairs(self, now_ns: int) -> None:
        """Begin the pause before the next repair, which doubles unless the addresses were left alone for a while."""
        pause = self._repair
        if pause.again_at_ns is not None and now_ns >= pause.again_at_ns + max(pause.next_ns, _QUIET_NS):
            pause.forget()
        pause.begin(now_ns, self._pace.repair_max_ns)


def action_of(effect: HoldAddresses | DropAddresses | Announce) -> Action:
    """Return what an effect asks an actuator to do."""
    if isinstance(effect, HoldAddresses):
        return Action.HOLD
    return Action.DROP if isinstance(effect, DropAddresses) else Action.ANNOUNCE


def _is_same(achieved: Intent | None, intent: Intent) -> bool:
    """Return True if the achieved intent satisfies ``intent`` as well, so that only a report is left to make."""
    if isinstance(achieved, HoldAddresses) and isinstance(intent, HoldAddresses):
        is_as_long = _lifetime_s(achieved) == _lifetime_s(intent)
        return set(achieved.addresses) == set(intent.addresses) and not intent.previous and is_as_long
    return (
        isinstance(achieved, DropAddresses)
        and isinstance(intent, DropAddresses)
        and set(intent.addresses) <= set(achieved.addresses)
    )


def _lifetime_s(effect: HoldAddresses) -> int | None:
    return effect.lease_timings.lifetime_s if effect.lease_timings else None
