"""What is wanted of the addresses of one host, and what is to be done next so that they agree: a value machine.

A reconciler keeps the newest intent and what was last achieved. The shell makes one attempt at a time and says how it
ended; the reconciler reports every attempt, and asks for another one until the newest intent is achieved. Intents in
between are never carried out.

- A drop never waits: not behind a hold that hangs, which is cancelled, and not for a place among other attempts.
- An attempt that was cancelled, failed or took too long may have done its work or not: nobody knows. Until a drop
  succeeds its addresses count as held, see ``Reconciler.may_hold``.
- An attempt that does not even end when it is cancelled is left to itself. When it ends at last, whatever it did is put
  right.
- If others change the addresses again and again, what they changed is put right at once the first time, then less and
  less often. The first drop after a hold, and the first hold after a drop, are no repairs and wait for nothing.
- After a hold that took too long the next one may take a fifth of the time: otherwise each change of the settings would
  give a hold that hangs its whole time again.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.vocabulary import NS_PER_S, HostKey, Interface

Intent = HoldAddresses | DropAddresses

ATTEMPTS_MAX = 32
"""Holds and announcements of one node that are under way at a time."""


ABANDONED_MAX = 8
"""Attempts of one host that may be left to themselves before it waits for one of them to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long an attempt may take, how long it may take to end once it is cancelled, and the pauses between attempts.

    A hold that follows one that took too long may take ``timeout_again_ns``.
    The pause after a failure doubles each time, up to ``retry_max_ns``. So does the one between attempts that put right
    what others changed, up to ``repair_max_ns``; between such drops it is at most ``drop_repair_max_ns``.
    """

    timeout_ns: int = 15 * NS_PER_S
    timeout_again_ns: int = 3 * NS_PER_S
    cancel_ns: int = NS_PER_S // 2
    retry_first_ns: int = NS_PER_S // 10
    retry_max_ns: int = 5 * NS_PER_S
    repair_first_ns: int = NS_PER_S // 10
    repair_max_ns: int = 5 * NS_PER_S
    drop_repair_max_ns: int = NS_PER_S


DEFAULT_PACE = Pace()

_QUIET_NS = NS_PER_S
"""How long others must leave the addresses alone before what they change is put right at once again."""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """Carry out an effect, once; each attempt is a value of its own."""

    effect: HoldAddresses | DropAddresses | Announce

    @property
    def key(self) -> HostKey:
        """The host."""
        return self.effect.key

    @property
    def action(self) -> Action:
        """What to do."""
        return action_of(self.effect)


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Cancel an attempt, and say when it has ended; come back with ``time_passed`` at ``until_ns`` if it has not."""

    attempt: Attempt
    until_ns: int


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Nothing to do before ``at_ns``; come back with ``time_passed`` then."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do, or nothing before the attempt under way ends or there is a place at the gate."""


IDLE = Idle()
Next = Attempt | CancelAttempt | RetryAt | Idle


class Todo(NamedTuple):
    """What to tell the engine, and what to do then."""

    next: Next
    reports: tuple[ActuationReported, ...] = ()


class Gate:
    """Bounds how many holds and announcements of a node are under way. Drops pass: one that waits makes two owners."""

    def __init__(self, limit: int = ATTEMPTS_MAX) -> None:
        self._limit = limit
        self._inside = 0
        self._waiting: dict[HostKey, None] = {}

    def enter(self, attempt: Attempt) -> bool:
        """Say whether an attempt may begin; if not, its host is remembered."""
        if attempt.action is Action.DROP:
            return True
        if self._inside >= self._limit:
            self._waiting[attempt.key] = None
            return False
        self._waiting.pop(attempt.key, None)
        self._inside += 1
        return True

    def leave(self, attempt: Attempt) -> None:
        """See the end of an attempt that entered."""
        if attempt.action is not Action.DROP:
            self._inside -= 1

    def next_host(self) -> HostKey | None:
        """Return, and forget, the host that has waited longest, if there is a place for it."""
        if not self._waiting or self._inside >= self._limit:
            return None
        key = next(iter(self._waiting))
        del self._waiting[key]
        return key


@dataclass(slots=True)
class _Run:
    """An attempt under way: ``until_ns`` is when it has taken too long, ``error`` what it is cancelled for.

    ``has_begun`` says whether it may have changed anything. One that is cancelled without an ``error`` is not wanted
    any more, and nobody is told of its end.
    """

    attempt: Attempt
    until_ns: int | None = None
    has_begun: bool = False
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
        """Begin the next pause, and let the one after it be longer."""
        span_ns = min(self.next_ns, max_ns)
        self.again_at_ns = now_ns + span_ns
        self.next_ns = min(2 * span_ns, max_ns)

    def forget(self) -> None:
        """Begin anew with the first pause."""
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
        self._may_hold: set[Interface] = set()
        self._is_disturbed = False
        self._is_undone = False
        self._has_timed_out = False
        self._kept: Action | None = None
        """What was done last, if nothing else was tried since: doing it again is a repair."""
        self._retry = _Pause(pace.retry_first_ns)
        self._repair = _Pause(pace.repair_first_ns)

    @property
    def may_hold(self) -> frozenset[Interface]:
        """The addresses that may be here: held, tried and unknown, or to be dropped and not dropped yet."""
        strays = [attempt.effect for attempt in self._abandoned if attempt.action is Action.HOLD]
        return frozenset(self._may_hold.union(*(each.addresses for each in strays)))

    @property
    def is_held(self) -> bool:
        """Whether the newest intent is to hold the addresses, and achieved."""
        return self._run is None and isinstance(self._achieved, HoldAddresses) and self._achieved is self._intent

    # What happens

    def take(self, effect: HoldAddresses | DropAddresses | Announce, now_ns: int) -> Todo:
        """Accept what the engine wants: an intent in the place of the last one, or an announcement."""
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
            # Whoever is to drop may have been absent, and others have dropped in its stead: no hold is done already.
            self._achieved = None
        return self._todo(now_ns)

    def begin(self, attempt: Attempt, now_ns: int) -> RetryAt | None:
        """Let an attempt begin: from now on it may change something, and its time counts; None if it shall not.

        Called once, before the actuator is; an attempt may have waited for something else until then.
        """
        run = self._run
        if run is None or run.attempt is not attempt or run.is_cancelled:
            return None
        run.has_begun = True
        effect = attempt.effect
        run.until_ns = now_ns + self._timeout_ns(effect)
        if not isinstance(effect, Announce):
            self._achieved = None
            self._is_disturbed = False
            self._kept = self._kept if self._kept is attempt.action else None
            if isinstance(effect, HoldAddresses):
                self._may_hold.update(effect.addresses)
            if effect.force:
                self._pause_repairs(effect, now_ns)
        return RetryAt(run.until_ns)

    def attempt_ended(self, attempt: Attempt, error: str | None, now_ns: int) -> Todo:
        """Take in how an attempt ended: well with ``error`` None."""
        if attempt in self._abandoned:
            self._abandoned.discard(attempt)
            self._see_stray_end(attempt)
            return self._todo(now_ns)
        if self._run is None or self._run.attempt is not attempt:
            return self._todo(now_ns)
        return self._todo(now_ns, self._end(self._run, error, now_ns))

    def time_passed(self, now_ns: int) -> Todo:
        """Go on after a pause, and give up an attempt that takes too long."""
        run = self._run
        if run is None or run.until_ns is None or now_ns < run.until_ns:
            return self._todo(now_ns)
        if not run.is_cancelled:
            return Todo(self._give_up(run, now_ns))
        if run.has_begun:
            self._abandoned.add(run.attempt)
        return self._todo(now_ns, self._end(run, "does not end", now_ns))

    def retry(self, now_ns: int) -> Todo:
        """Try again what failed, without a pause: what was in the way is gone."""
        self._retry.forget()
        return self._todo(now_ns)

    def surrender(self, now_ns: int) -> Todo:
        """Drop everything that may be held, whatever was wanted: nobody will want anything any more."""
        epoch = self._intent.epoch + 1 if self._intent else 1
        self._announcement = None
        addresses = tuple(sorted(self.may_hold, key=lambda each: (each.version, each)))
        if addresses:
            return self.take(DropAddresses(self._key, epoch, addresses), now_ns)
        self._intent = None
        run = self._run
        return Todo(IDLE if run is None or run.is_cancelled else self._cancel(run, now_ns, None))

    def close(self) -> None:
        """Want nothing any more; what is under way is left to itself."""
        if self._run is not None:
            self._gate.leave(self._run.attempt)
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
        """Say whether the newest intent must not wait for an attempt; a drop under way is always brought to its end."""
        intent, effect = self._intent, run.attempt.effect
        if intent is None or effect is intent:
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
        self._gate.leave(run.attempt)
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

    def _see_stray_end(self, attempt: Attempt) -> None:
        """Put right whatever an attempt did that nobody waited for."""
        if isinstance(attempt.effect, Announce):
            return
        self._may_hold.update(attempt.effect.addresses)
        self._achieved = None
        self._is_disturbed = self._is_undone = True

    def _pause_repairs(self, effect: Intent, now_ns: int) -> None:
        """Let the next change by others wait, the longer the more often there was one."""
        pause, pace = self._repair, self._pace
        max_ns = pace.drop_repair_max_ns if isinstance(effect, DropAddresses) else pace.repair_max_ns
        if pause.again_at_ns is not None and now_ns >= pause.again_at_ns + max(pause.next_ns, _QUIET_NS):
            pause.forget()
        pause.begin(now_ns, max_ns)


def action_of(effect: HoldAddresses | DropAddresses | Announce) -> Action:
    """Return what an effect asks an actuator to do."""
    if isinstance(effect, HoldAddresses):
        return Action.HOLD
    return Action.DROP if isinstance(effect, DropAddresses) else Action.ANNOUNCE


def _is_same(achieved: Intent | None, intent: Intent) -> bool:
    """Say whether nothing is left to do for an intent but to report it under its own epoch."""
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
