"""Which restrictions a failback policy means for one host now: pure, driven by the host's events and the time.

While the host is MASTER, the restrictions of the time after it are in force already. They have no effect on a MASTER,
and no packet can arrive between the end of its mastership and their beginning.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from pycarp.core.engine import DRAINED, HANDED_OVER
from pycarp.core.events import DemotionChange, Event, MasterHeard, RestrictionChange, StateChange
from pycarp.core.inputs import RestrictionSet
from pycarp.core.restriction import Restriction, Restrictions
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.placement.damping import Damper
from pycarp.placement.policy import FailbackPolicy
from pycarp.placement.share import PREFIX

LOOK_AGAIN_S = 60.0
"""So often the local clock is read: it may be set, and has two hours a year that are long or short."""

_LINK_LOST = frozenset({Reason.LINK_DOWN, Reason.LINK_DELETED})
_FAILED = _LINK_LOST | {Reason.CANNOT_SEND, Reason.ABSENT, Reason.NOT_HELD, Reason.NODE_FAILED}
_OUTRANKED = frozenset({Reason.BETTER_MASTER, Reason.TIE_LOST})
_DEAF_BEFORE = _LINK_LOST | {Reason.ADDED}
"""Reasons of INIT after which a host has heard nothing for long, and its switch may not forward yet."""


class Saved(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What outlives a process: what was known at ``at``; times have a time zone."""

    was_master: bool
    failed_at: datetime | None = None
    penalty: float = 0.0
    is_suppressed: bool = False
    at: datetime


class Moment(NamedTuple):
    """One instant: seconds of a monotonic clock, and the local time with its time zone."""

    s: float
    local: datetime


class Cause(StrEnum):
    """The settings that restrict a host; the value is the cause of the restriction."""

    STARTUP_HOLD = "startup hold"
    FAILBACK_DELAY = "failback delay"
    MIN_DWELL = "minimum dwell"
    MANUAL = "manual failback"
    WINDOW = "failback window"
    DAMPING = "flap damping"


class Hold(msgspec.Struct, frozen=True):
    """One restriction of the policy, and when it ends: in seconds of the monotonic clock, None for not by time."""

    cause: Cause
    restriction: Restriction
    until_s: float | None = None


class RestrictionsInForce:
    """What a host was restricted to by its policy last, and what has to change so that it is restricted otherwise."""

    def __init__(self) -> None:
        self._in_force: dict[Cause, Restriction] = {}

    def become(self, wanted: Mapping[Cause, Restriction], host: HostSnapshot) -> list[RestrictionSet]:
        """Return what restricts the host exactly so; a restriction that another part removed is put back."""
        present, key = dict(host.restrictions), host.config.key
        # What is added comes first, so that no moment lies between two restrictions.
        changes = [
            RestrictionSet(key, cause, restriction)
            for cause, restriction in wanted.items()
            if cause not in present or self._in_force.get(cause) is not restriction
        ]
        changes += [RestrictionSet(key, cause, None) for cause in self._in_force if cause not in wanted]
        self._in_force = dict(wanted)
        return changes


class FailbackState:
    """What a host's events mean under a policy; ``saved`` is what an earlier process knew.

    A process that did not end as it should while its host was MASTER counts as a failure. ``is_planned`` says of a
    cause of demotion whether an administrator named it, so that a loss because of it is none.
    """

    def __init__(
        self,
        policy: FailbackPolicy,
        now: Moment,
        saved: Saved | None = None,
        *,
        is_planned: Callable[[str], bool] = lambda _cause: False,
    ) -> None:
        self.policy = policy
        self._is_planned = is_planned
        self._state = State.INIT
        self._listens_since_s: float | None = now.s
        """When a host began to listen that has not been MASTER since."""
        self._has_heard = False
        self._is_deaf = True
        self._able_since_s: float | None = None
        self._failed_at_s: float | None = None
        self._damper = Damper(at_s=now.s)
        self._is_released = False
        self._demotion: dict[str, int] = {}
        self._restrictions: frozenset[str] = frozenset()
        if saved is not None:
            self._restore(saved, now)

    def _restore(self, saved: Saved, now: Moment) -> None:
        # A clock that was set back must not lengthen anything.
        passed_s = max((now.local - saved.at).total_seconds(), 0.0)
        self._damper = Damper(saved.penalty, now.s - passed_s, saved.is_suppressed)
        if saved.failed_at is not None:
            self._failed_at_s = now.s - max((now.local - saved.failed_at).total_seconds(), 0.0)
        if saved.was_master:
            self._fail(now)

    def catch_up(self, host: HostSnapshot, now: Moment) -> None:
        """Start from the host's present state, where the events that led to it are unknown."""
        self._state = host.state
        self._demotion = dict(host.demotion)
        self._restrictions = _others(host.restrictions)
        if host.state is State.MASTER:
            self._listens_since_s = None
        is_heard = host.state is State.BACKUP and host.master is not None
        self._has_heard = self._has_heard or is_heard
        self._able_since_s = now.s if is_heard else None

    def handle(self, event: Event, now: Moment) -> None:
        """Apply one event of the host."""
        match event:
            case StateChange():
                self._change(event, now)
            case MasterHeard():
                self._has_heard = True
                if self._state is State.BACKUP and self._able_since_s is None:
                    self._able_since_s = now.s
            case DemotionChange(causes=causes):
                amounts = dict(causes)
                if any(amounts.get(cause, 0) < amount for cause, amount in self._demotion.items()):
                    self._begin_again(now)
                self._demotion = amounts
            case RestrictionChange(causes=causes):
                others = _others(causes)
                if not self._restrictions <= others:
                    self._begin_again(now)
                self._restrictions = others
            case _:
                pass

    def release(self, now: Moment) -> None:
        """Allow the host to preempt once, whatever the policy says, and forget its failures."""
        self._failed_at_s = None
        self._damper.reset()
        self._damper.at_s = now.s
        self._is_released = self._state is not State.MASTER

    def _change(self, event: StateChange, now: Moment) -> None:
        self._state, self._able_since_s = event.new, None
        if event.old is State.MASTER and event.new is not State.MASTER and self._is_failure(event.reason):
            self._fail(now)
        if event.new is State.MASTER:
            self._is_released = False
            self._listens_since_s = None
        elif event.new is State.INIT:
            self._is_deaf = event.reason in _DEAF_BEFORE
        elif event.old is State.INIT and self._is_deaf:
            self._listens_since_s, self._has_heard = now.s, False

    def _is_failure(self, reason: Reason) -> bool:
        is_unwell = any(amount > 0 and not self._is_wanted(cause) for cause, amount in self._demotion.items())
        # As by a check that lets go. What a policy restricts, of this host or of one in a group with it, is no failure.
        is_restricted = reason is Reason.RESTRICTED and bool(self._restrictions)
        return reason in _FAILED or (reason in _OUTRANKED and is_unwell) or is_restricted

    def _is_wanted(self, cause: str) -> bool:
        """Return whether an administrator wants a demotion: of this host, or of one in a group with it."""
        words = cause.split(": ") if cause.startswith(PREFIX) else [cause]
        causes = [": ".join(words[index:]) for index in range(len(words))]
        return any(each == HANDED_OVER or is_of_drain(each) or self._is_planned(each) for each in causes)

    def _fail(self, now: Moment) -> None:
        self._failed_at_s = now.s
        if self.policy.damping is not None:
            self._damper.fail(self.policy.damping, now.s)

    def _begin_again(self, now: Moment) -> None:
        if self._able_since_s is not None:
            self._able_since_s = now.s

    # What follows

    def holds(self, now: Moment) -> tuple[Hold, ...]:
        """Return the restrictions that are in force now."""
        return () if self._is_released else tuple(self._holds(now))

    def _holds(self, now: Moment) -> Iterator[Hold]:
        for each in (self._startup_hold, self._delay, self._dwell, self._schedule, self._suppression):
            hold = each(now)
            if hold is not None and (hold.until_s is None or now.s < hold.until_s):
                yield hold

    def _startup_hold(self, _now: Moment) -> Hold | None:
        if not self.policy.startup_hold_s or self._listens_since_s is None:
            return None
        restriction = Restriction.NO_PREEMPT if self._has_heard else Restriction.BACKUP_ONLY
        return Hold(Cause.STARTUP_HOLD, restriction, self._listens_since_s + self.policy.startup_hold_s)

    def _delay(self, _now: Moment) -> Hold | None:
        if not self.policy.failback_delay_s:
            return None
        able_s = self._able_since_s
        until_s = None if able_s is None else able_s + self.policy.failback_delay_s
        return Hold(Cause.FAILBACK_DELAY, Restriction.NO_PREEMPT, until_s)

    def _dwell(self, _now: Moment) -> Hold | None:
        is_master = self._state is State.MASTER
        if not self.policy.min_dwell_s or (self._failed_at_s is None and not is_master):
            return None
        failed_s = None if is_master else self._failed_at_s
        until_s = None if failed_s is None else failed_s + self.policy.min_dwell_s
        return Hold(Cause.MIN_DWELL, Restriction.NO_PREEMPT, until_s)

    def _schedule(self, now: Moment) -> Hold | None:
        if self.policy.is_manual:
            return Hold(Cause.MANUAL, Restriction.NO_PREEMPT)
        window, at = self.policy.window, now.local.time()
        if window is None or window.is_open(at):
            return None
        return Hold(Cause.WINDOW, Restriction.NO_PREEMPT, now.s + window.changes_in_s(at))

    def _suppression(self, now: Moment) -> Hold | None:
        damping = self.policy.damping
        if damping is None:
            return None
        self._damper.decay(damping, now.s)
        if self._state is State.MASTER and self._damper.would_suppress(damping):
            return Hold(Cause.DAMPING, Restriction.NO_PREEMPT)
        until_s = self._damper.until_s(damping)
        return None if until_s is None else Hold(Cause.DAMPING, Restriction.NO_PREEMPT, until_s)

    def changes_at_s(self, now: Moment) -> float | None:
        """Return when to look again although nothing has happened; None if time changes nothing."""
        times_s = [hold.until_s for hold in self.holds(now) if hold.until_s is not None]
        if self.policy.window is not None:
            times_s.append(now.s + min(self.policy.window.changes_in_s(now.local.time()), LOOK_AGAIN_S))
        return min(times_s, default=None)

    def penalty(self, now: Moment) -> float:
        """Return the penalty of the flap damping now; 0 without damping."""
        if self.policy.damping is None:
            return 0.0
        self._damper.decay(self.policy.damping, now.s)
        return self._damper.penalty

    def saved(self, now: Moment, *, is_over: bool = False) -> Saved:
        """Return what the next process must know; ``is_over`` if this one ends as it should."""
        penalty = self.penalty(now)
        failed_s = None if self._failed_at_s is None else now.s - self._failed_at_s
        return Saved(
            was_master=self._state is State.MASTER and not is_over,
            failed_at=None if failed_s is None else datetime.fromtimestamp(now.local.timestamp() - failed_s, UTC),
            penalty=penalty,
            is_suppressed=self._damper.is_suppressed,
            at=now.local.astimezone(UTC),
        )


def _others(restrictions: Restrictions) -> frozenset[str]:
    """Return the causes that are not of a policy: neither of this host, nor of one in a group with it.

    Otherwise two members of a group would begin their delays again and again, each because that of the other has ended.
    """
    return frozenset(cause for cause, _restriction in restrictions if not cause.endswith(tuple(Cause)))


def is_of_drain(cause: str) -> bool:
    """Return True for the cause of a drain."""
    return cause == DRAINED or cause.startswith(f"{DRAINED}: ")
