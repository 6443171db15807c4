"""Hooks: what is called when the state of a virtual host changes."""

import inspect
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from pycarp.core.events import AddressesHeld, ConflictWon, Event, StateChange
from pycarp.core.state import Reason, State
from pycarp.errors import ConfigError

Facts: TypeAlias = dict[str, Any]
Call: TypeAlias = Callable[[Facts], Awaitable[object] | object]

RETRIES_MAX = 100

TIMEOUT_MAX_S = 3600

CONFIRM_MAX_S = 3600


class On(StrEnum):
    """What a hook is called on."""

    MASTER = "master"
    BACKUP = "backup"
    LOST = "lost"
    """The host was MASTER and is not any more."""

    FAULT = "fault"
    """The host cannot take part, as without its link."""

    CONFLICT_WON = "conflict-won"
    """Another host was MASTER as well, and this one stays."""

    BEFORE_HOLD = "before-hold"
    """The host is MASTER and does not hold the addresses yet; it does when the hooks for this have ended."""

    AFTER_HOLD = "after-hold"
    """The host holds the addresses."""

    BEFORE_DROP = "before-drop"
    """The host is MASTER no more and still holds the addresses; it drops them when the hooks for this have ended, or
    when no peer waits any longer."""


ADDRESSES_WAIT_FOR = frozenset({On.BEFORE_HOLD, On.BEFORE_DROP})
"""The calls that delay a hold or a drop of the addresses."""


class OnFailure(StrEnum):
    """What follows when a hook failed in its last attempt."""

    IGNORE = "ignore"
    """The log says so."""

    DEMOTE = "demote"
    """The host is demoted by 240 until the hook has succeeded."""

    RELEASE = "release"
    """The host is the last of all until the hook has succeeded."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A program, as a tuple of its words, or a function that is called with the facts; awaited if that can be.

    With ``confirm_s`` it is called once the state has lasted so many seconds, and not at all for a shorter one: for
    effects outside, such as a change in a cloud. It is then called on the loss of that mastership only if it was called
    in it. It cannot be on ``BEFORE_HOLD`` or ``BEFORE_DROP`` then.

    Raises ConfigError for values that cannot work.
    """

    name: str
    on: AbstractSet[On]
    run: tuple[str, ...] | Call
    timeout_s: float = 10.0
    retries: int = 0
    on_failure: OnFailure = OnFailure.IGNORE
    confirm_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.on:
            raise ConfigError(f"hook {self.name!r} is on nothing; name some of {', '.join(On)}")
        if not callable(self.run) and not self.run:
            raise ConfigError(f"hook {self.name!r} runs nothing; name a program and its arguments")
        if not 0 < self.timeout_s <= TIMEOUT_MAX_S:
            raise ConfigError(f"hook {self.name!r}: timeout {self.timeout_s:g} s is outside 0-{TIMEOUT_MAX_S} s")
        if not 0 <= self.confirm_s <= CONFIRM_MAX_S:
            raise ConfigError(f"hook {self.name!r}: confirm {self.confirm_s:g} s is outside 0-{CONFIRM_MAX_S} s")
        if self.confirm_s and (early := self.on & ADDRESSES_WAIT_FOR):
            raise ConfigError(f"hook {self.name!r}: confirm would delay addresses; leave {min(early)} out")
        if not 0 <= self.retries <= RETRIES_MAX:
            raise ConfigError(f"hook {self.name!r}: retries {self.retries} is outside 0-{RETRIES_MAX}")

    async def call(self, facts: Facts) -> None:
        """Call the function of a hook, and await what it returns."""
        assert callable(self.run)
        outcome = self.run(facts)
        if inspect.isawaitable(outcome):
            await outcome


def occasions_of(event: Event) -> tuple[On, ...]:
    """Return what hooks are called on because of an event, in their order."""
    if isinstance(event, ConflictWon):
        return (On.CONFLICT_WON,)
    if isinstance(event, AddressesHeld):
        return (On.AFTER_HOLD,)
    if not isinstance(event, StateChange):
        return ()
    lost = (On.LOST,) if event.old is State.MASTER and event.new is not State.MASTER else ()
    match event.new:
        case State.MASTER:
            return (On.MASTER,)
        case State.BACKUP:
            return (*lost, On.BACKUP)
        case _ if event.reason in (Reason.LINK_DOWN, Reason.LINK_DELETED, Reason.NODE_FAILED):
            return (*lost, On.FAULT)
        case _:
            return lost
