"""The user's handle of a virtual host."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, Never, TypeVar

from pycarp.aio.arguments import check_cause, demotion_amount, restriction_named, state_named
from pycarp.aio.callback_queue import Callback, check_callback
from pycarp.aio.host_runtime import HostRuntime
from pycarp.aio.mastership_context import CLEAN_UP_S, MastershipContext, TokenSource
from pycarp.aio.subscriptions import IsMeant, Subscription
from pycarp.auth.key import Passphrase
from pycarp.core.checks import check_flag, check_span
from pycarp.core.engine import DRAINED, HANDED_OVER
from pycarp.core.events import MasterHeard, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.host_settings import unknown_problems
from pycarp.core.inputs import (
    AdminChanged,
    DemotionSet,
    HandOverAsked,
    HostReconfigured,
    Input,
    RestrictionSet,
    StateForced,
)
from pycarp.core.restriction import Restriction
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.errors import ConfigError, HandOverError, NodeFailedError, SettingProblem, SettingProblems, UsageError
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, HostKey, InterfaceAddress

HAND_OVER_TIMEOUT_S = 1.0
"""Seconds: pycarp and the kernels take over within milliseconds of a bow-out; ucarp, which polls, within a second."""

DROP_TIMEOUT_S = 15.0
"""Seconds that a hand-over may take until the addresses are dropped."""

DRAIN_TIMEOUT_S = 5.0
"""Seconds: every system takes over from the last of all within an interval of its own, most within milliseconds."""

_ADVSKEW_MAX = 254

ROLLING_MAX_S = 24 * 3600
"""A day: long enough to change every host."""

RECONFIGURABLE = frozenset({"advbase", "advskew", "preempt", "addresses", "passphrase", "peers"})
"""The settings that ``VirtualHost.reconfigure`` changes."""

_KEPT = tuple(each.name for each in fields(HostConfig) if each.init and each.name not in RECONFIGURABLE)

C = TypeVar("C", bound=Callback)


class VirtualHost:
    """One vhid on one interface; made by ``Node.add``.

    A method that submits an input (``demote``, ``force``, ``down`` ...) has taken effect when it returns; called inside
    a callback, it takes effect right after the current step. It raises UsageError once the host has been removed.
    """

    def __init__(
        self,
        runtime: HostRuntime,
        submit: Callable[[Input], None],
        check_thread: Callable[[], None],
        look: Callable[[HostKey], HostSnapshot],
        tokens: TokenSource,
        check: Callable[[HostConfig], None],
    ) -> None:
        self._key = runtime.key
        self._name = runtime.config.name
        self._runtime = runtime
        self._log = runtime.log
        self._submit = submit
        self._check_thread = check_thread
        self._look = look
        self._tokens = tokens
        self._check = check

    def __repr__(self) -> str:
        return f"<VirtualHost {self._name}: {self.state}>"

    @property
    def key(self) -> HostKey:
        """The interface and the vhid."""
        return self._key

    @property
    def name(self) -> str:
        """The configured name, such as ``carp0``."""
        return self._name

    @property
    def config(self) -> HostConfig:
        """The settings in force; raises UsageError once the host has departed."""
        if self._runtime.has_departed:
            raise UsageError(f"virtual host {self._name} has departed")
        return self._runtime.config

    @property
    def state(self) -> State:
        """The state now; INIT after the host has been removed, or its node has failed."""
        change = self._log.last_change
        return State.INIT if change is None else change.new

    @property
    def seq(self) -> int:
        """The number of the last event, for ``next_change``."""
        return self._log.seq

    def snapshot(self) -> HostSnapshot:
        """Return everything that is known of the host now; raises UsageError once it has departed."""
        try:
            return self._look(self._key)
        except KeyError:
            raise UsageError(f"virtual host {self._name} has departed") from None

    # Observing

    async def wait_for(self, state: State | str) -> StateChange:
        """Return the change to ``state``: at once if that is the current state, else when the host next enters it.

        A mastership that is over before the caller's task runs is still reported. Raises UsageError when the
        host departs, NodeFailedError when its node fails, ConfigError for anything but a state.
        """
        self._check_thread()
        return await self._log.wait_for(state_named(state))

    async def next_change(self, *, after: int | None = None) -> StateChange:
        """Return the first change numbered higher than ``after``; None stands for now.

        A loop that passes the ``seq`` of the last change it has seen misses none. Raises UsageError when the loop was
        too slow for the 256 events that are kept, or when the host departs; NodeFailedError when its node fails.
        """
        self._check_thread()
        if after is not None and type(after) is not int:
            raise ConfigError(f"after={after!r} is not the number of an event; pass the seq of one, or leave it out")
        return await self._log.next_change(self._log.seq if after is None else after)

    def events(self) -> Subscription:
        """Return a subscription: ``async with host.events() as events: async for event in events``."""
        self._check_thread()
        return self._log.subscribe()

    def on_change(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange; usable as a decorator.

        The function is called in the same turn of the loop and should be quick. If it returns an awaitable, that is
        awaited in a task of its own; the calls keep their order and never overlap. An exception goes to the loop's
        exception handler, and later changes still follow. With ``replay_current`` it is called at once with the change
        that led to the current state.
        """
        return self._call(callback, lambda _change: True, lambda _change: True, replay_current=replay_current)

    def on_master(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange to MASTER; as ``on_change``."""
        return self._call(callback, _is_to_master, _is_to_master, replay_current=replay_current)

    def on_backup(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange to BACKUP; as ``on_change``.

        A MASTER whose link goes down, or that leaves, goes to INIT: to stop what runs on the MASTER only, use
        ``on_lost``.
        """
        return self._call(callback, _is_to_backup, _is_to_backup, replay_current=replay_current)

    def on_lost(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange from MASTER to another state, a failure of the node included.

        As ``on_change``; ``replay_current`` calls it at once if the host is not MASTER now.
        """
        return self._call(callback, _is_from_master, _is_not_to_master, replay_current=replay_current)

    def before_hold(self, callback: C) -> C:
        """Call a function in each mastership before the addresses are held, and await what it returns.

        Usable as a decorator, for what must be finished before clients come: fence the former MASTER, mount, promote.
        The function is called with the StateChange to MASTER; several are called in their order. Meanwhile this host
        advertises as MASTER, so no peer takes over, and nobody answers for the addresses. There is no time limit but
        the function's own. It is cancelled when the mastership is lost. If it raises, the addresses are not held: this
        host becomes the last of all, so that a peer takes over, and tries again after a pause.

        Raises ConfigError if ``callback`` cannot be called, UsageError once the host has departed.
        """
        self._check_is_here()
        check_callback(callback)
        self._runtime.add_before_hold(callback)
        return callback

    async def fencing_token(self) -> int:
        """Return the next fencing token of the node's clock, larger than all before it; see ``mastership``."""
        return await self._tokens()

    def remove_callback(self, callback: Callback) -> None:
        """Remove a callback; a call of it that is being awaited is cancelled, but for one of ``before_hold``."""
        self._check_thread()
        self._log.remove_callback(callback)
        self._runtime.remove_before_hold(callback)

    def mastership(
        self, *, clean_up_s: float = CLEAN_UP_S, timeout_s: float | None = None, token: TokenSource | None = None
    ) -> MastershipContext:
        """Return a context whose body runs only while this host is MASTER, with ``async with``.

        Entering waits until the host is MASTER and holds the addresses. It raises TimeoutError after ``timeout_s``
        seconds, UsageError when the host departs, NodeFailedError when its node fails. The body's task is
        cancelled before a peer may act, and has ``clean_up_s`` seconds to clean up, or less where more would not be
        safe (``mastership.clean_up_s``); then the context ends with MastershipLost. ``token`` is awaited for
        ``mastership.token`` each time; without it the clock is its source.
        """
        self._check_thread()
        if token is not None and not callable(token):
            raise ConfigError(f"token {token!r} cannot be called; pass a coroutine function that returns a number")
        return MastershipContext(
            self._runtime.monitor, clean_up_s=clean_up_s, timeout_s=timeout_s, token=token or self._tokens
        )

    # Inputs

    def demote(self, cause: str, *, by: int | None = None, last: bool = False) -> None:
        """Add ``by`` to the advskew that is advertised, for a named cause; the same cause again replaces its amount.

        A negative amount is subtracted, also from what is configured, and 0 removes the cause; the sum is never below 0
        nor above 240. It is the signed counter of the BSDs (carp.md 6.1).

        With ``last`` instead the host is the last of all: as MASTER it holds the addresses until any host takes over
        that is not last too, whether or not that one preempts; as BACKUP it takes them only if nobody else does. Every
        system takes over from it (carp.md 5.1).

        Raises ConfigError if the cause is not a text, the amount is not a whole number, or not one of both is given.
        """
        self._inform(DemotionSet(self._key, cause, demotion_amount(cause, by, last=last), last))

    def restore(self, cause: str) -> None:
        """Remove a named demotion; no-op if it is absent."""
        check_cause(cause)
        self._inform(DemotionSet(self._key, cause, 0))

    def restrict(self, cause: str, to: Restriction | str) -> None:
        """Forbid the host to take over, for a named cause; the same cause again replaces its restriction.

        With ``"no-preempt"`` it preempts no MASTER, as if ``preempt`` were off, but takes over when none is heard. With
        ``"backup-only"`` it is never MASTER, even if nobody else is; if it is MASTER, it drops the addresses and bows
        out. Of several causes the strictest is in force. Peers learn nothing of a restriction.

        Raises ConfigError if the cause is not a text or the restriction is none of these.
        """
        check_cause(cause)
        self._inform(RestrictionSet(self._key, cause, restriction_named(to)))

    def unrestrict(self, cause: str) -> None:
        """Remove a named restriction; no-op if it is absent.

        A host that may be MASTER again takes over at once if no MASTER was heard for its master-down time.
        """
        check_cause(cause)
        self._inform(RestrictionSet(self._key, cause, None))

    def force(self, state: State | str, *, is_for_group: bool = False) -> None:
        """Become MASTER or BACKUP now; the next advertisement of a peer may change it again.

        With ``is_for_group`` the event's reason is that the host moves with its sync group, not that a user asked.

        Raises UsageError for INIT, while the host is in INIT, where kernels ignore it, and for MASTER while a
        restriction says ``"backup-only"``; ConfigError for anything but a state.
        """
        state = state_named(state)
        if state is State.INIT:
            raise UsageError("INIT cannot be forced; use down()")
        self._check_is_here()
        if self.state is State.INIT:
            raise UsageError(f"{self._name} is in INIT; bring its link and the host up first")
        if state is State.MASTER and self._is_backup_only:
            restrictions = self.snapshot().restrictions
            causes = ", ".join(f'"{cause}"' for cause, each in restrictions if each is Restriction.BACKUP_ONLY)
            raise UsageError(f"{self._name} must not be MASTER; unrestrict() these causes first: {causes}")
        self._inform(StateForced(self._key, state, is_for_group=is_for_group))

    async def hand_over(self, *, timeout_s: float | None = None) -> Address:
        """Hand the addresses over to the next host; return that host's address once it advertises as MASTER.

        This host drops the addresses first and then bows out, so that two hosts never answer for them. It stays
        demoted, so that it does not take them back, until ``restore("handed over")``. If no other MASTER advertises
        within ``timeout_s`` seconds of the drop, this host takes the addresses back and raises HandOverError; it also
        raises that if the drop fails. None stands for one second, plus the master-down time of a peer where the dialect
        has no bow-out.

        Raises UsageError when this host is not MASTER. When it is cancelled, the demotion is removed, and
        the election goes on as usual.
        """
        if timeout_s is not None:
            check_span("timeout", timeout_s)
        self._check_is_here()
        if self.state is not State.MASTER:
            raise UsageError(f"{self._name} is {self.state}; only a MASTER can hand its addresses over")
        try:
            master, waited_s = await self._handed_over(timeout_s)
        except BaseException:
            with contextlib.suppress(UsageError, NodeFailedError):
                self.restore(HANDED_OVER)
            raise
        if master is not None:
            return master
        self.restore(HANDED_OVER)
        if self.snapshot().state is State.BACKUP and not self._is_backup_only:
            self.force(State.MASTER)
        text = f"nobody took the addresses of {self._name} over within {waited_s:g} s"
        raise HandOverError(f"{text}; it is {self.snapshot().state} again")

    @property
    def _is_backup_only(self) -> bool:
        return self.snapshot().restriction is Restriction.BACKUP_ONLY

    async def drain(
        self, cause: str = DRAINED, *, timeout_s: float = DRAIN_TIMEOUT_S, force: bool = False
    ) -> Address | None:
        """Leave the addresses to another host and stay the last of all, until ``restore(cause)``.

        Returns the address of the new MASTER; at once, with the MASTER that is known, or None, when this host is not
        MASTER. If no other host is MASTER within ``timeout_s`` seconds, the demotion becomes what it was before and
        HandOverError is raised; with ``force`` the demotion stays, this host goes on serving until another one comes,
        and None is returned. Unlike after ``hand_over``, this host takes the addresses back only when no other host is
        there.

        Raises ConfigError for arguments that cannot be, UsageError once the host has departed.
        """
        check_span("timeout", timeout_s)
        check_flag("force", force)
        self._check_is_here()
        before = self.snapshot()
        try:
            async with self.events() as events:
                self.demote(cause, last=True)
                if self.state is not State.MASTER:
                    master = self.snapshot().master
                    return None if master is None else master.source
                try:
                    async with asyncio.timeout(timeout_s):
                        first = await self._better_master(events)
                except TimeoutError:
                    pass
                else:
                    # Outside the timeout: another host is MASTER, so the drain has succeeded.
                    return await self._successor(first)
        except BaseException:
            self._undo_drain(cause, before)
            raise
        if force:
            return None
        self._undo_drain(cause, before)
        raise HandOverError(f"nobody took the addresses of {self._name} over within {timeout_s:g} s; it is not drained")

    def _undo_drain(self, cause: str, before: HostSnapshot) -> None:
        """Demote by a cause as before the drain; not at all if the cause is new."""
        amount = dict(before.demotion).get(cause, 0)
        with contextlib.suppress(UsageError, NodeFailedError):
            self._inform(DemotionSet(self._key, cause, amount, cause in before.last_causes))

    async def _handed_over(self, timeout_s: float | None) -> tuple[Address | None, float]:
        """Hand over; return the new MASTER, None when none advertised in time, and the timeout in seconds."""
        began_s = asyncio.get_running_loop().time()
        async with self.events() as events:
            self._inform(HandOverAsked(self._key))
            await self._dropped()
            if timeout_s is None:
                timeout_s = _hand_over_timeout_s(self.config, asyncio.get_running_loop().time() - began_s)
            try:
                async with asyncio.timeout(timeout_s):
                    first = await self._first_master(events)
            except TimeoutError:
                return None, timeout_s
            # Outside the timeout: another host is MASTER, so the hand-over has succeeded.
            return await self._successor(first), timeout_s

    async def _first_master(self, events: Subscription) -> Address:
        async for event in events:
            if isinstance(event, MasterHeard):
                return event.source
        raise UsageError(f"virtual host {self._name} has departed")

    async def _better_master(self, events: Subscription) -> Address:
        """Return the host that took over from this one, which told so by an advertisement."""
        async for event in events:
            if isinstance(event, MasterHeard):
                return event.source
            if isinstance(event, StateChange) and event.reason is Reason.BETTER_MASTER and event.peer is not None:
                return event.peer
        raise UsageError(f"virtual host {self._name} has departed")

    async def _successor(self, first: Address) -> Address:
        """Return the MASTER once the hosts that took over at the bow-out have settled; ``first`` advertised first."""
        await asyncio.sleep(2 * self.config.dialect.takeover_listen_ns / NS_PER_S)
        master = self.snapshot().master
        return first if master is None else master.source

    async def addresses_dropped(self) -> None:
        """Wait until this host has dropped its addresses since it is MASTER no more, or until it or its node ends.

        While it is MASTER, and while a drop fails, this waits.
        """
        await self._runtime.dropped()

    async def _dropped(self) -> None:
        try:
            async with asyncio.timeout(DROP_TIMEOUT_S):
                await self.addresses_dropped()
        except TimeoutError:
            text = f"the addresses of {self._name} could not be dropped within {DROP_TIMEOUT_S:g} s"
            raise HandOverError(f"{text}, so that nobody may take them over") from None

    def down(self) -> None:
        """Set the host down as an administrator: it drops its addresses, bows out, and is in INIT until ``up``."""
        self._inform(AdminChanged(self._key, False))

    def up(self) -> None:
        """Set the host up again; it begins as BACKUP."""
        self._inform(AdminChanged(self._key, True))

    def reconfigure(
        self,
        config: HostConfig | None = None,
        *,
        advbase: int | None = None,
        advskew: int | None = None,
        preempt: bool | None = None,
        addresses: Iterable[Address | InterfaceAddress | str] | None = None,
        passphrase: Passphrase | str | bytes | None = None,
        peers: Iterable[Address | str] | None = None,
        rolling_s: float = 0,
        **unknown: Never,
    ) -> None:
        """Change settings without leaving the state; None leaves a setting as it is.

        The settings are keywords, or those of a whole ``config``, such as ``replace(host.config, advskew=100)``. It may
        differ from the present one in these settings only; another vhid, for example, is another host.

        Addresses and passphrase go into the signature, so hosts that differ in them reject each other's advertisements.
        With ``rolling_s`` the host signs as before for so many seconds, or until a peer signs the new way, and accepts
        both for twice as long: change every host within that time and none misses an advertisement. Only pycarp
        supports it; leave it 0 if other systems are on the segment.

        Raises SettingProblems, with all that is wrong with the settings or is not for a running host, and ConfigError
        when an address is this machine's own.
        """
        if unknown:
            raise SettingProblems(_kept_problems(unknown))
        check_span("rolling time", rolling_s, may_be_zero=True, most_s=ROLLING_MAX_S)
        given = {
            "advbase": advbase,
            "advskew": advskew,
            "preempt": preempt,
            "addresses": addresses,
            "passphrase": passphrase,
            "peers": peers,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self._check_thread()
        if config is not None:
            _check_whole(config, self.config, changes)
        config = replace(self.config, **changes) if config is None else config
        if config.addresses != self.config.addresses:
            self._check(config)
        self._inform(HostReconfigured(config, round(rolling_s * NS_PER_S)))

    @property
    def address_error(self) -> str:
        """Why the last hold or drop failed; empty if it succeeded."""
        return self._runtime.address_error

    async def try_addresses(self, addresses: Iterable[InterfaceAddress]) -> None:
        """Try whether this machine accepts the addresses; call it before ``reconfigure``.

        A MASTER that cannot hold its addresses leaves them to another host. If this host is MASTER, the addresses that
        are not shared yet are added for a moment; else nothing is tried. Raises ActuatorError, which names the refused
        address and the reason.
        """
        self._check_is_here()
        if self.state is State.MASTER:
            await self._runtime.try_out(tuple(addresses))

    def _call(self, callback: C, is_meant: IsMeant, is_meant_now: IsMeant, *, replay_current: bool) -> C:
        self._check_thread()
        check_callback(callback)
        self._log.add_callback(callback, is_meant, replays=is_meant_now if replay_current else None)
        return callback

    def _check_is_here(self) -> None:
        self._check_thread()
        self._log.check_is_open()

    def _inform(self, event: Input) -> None:
        self._check_is_here()
        self._submit(event)


def _is_to_master(change: StateChange) -> bool:
    return change.new is State.MASTER


def _is_to_backup(change: StateChange) -> bool:
    return change.new is State.BACKUP


def _is_from_master(change: StateChange) -> bool:
    return change.old is State.MASTER and change.new is not State.MASTER


def _is_not_to_master(change: StateChange) -> bool:
    return change.new is not State.MASTER


def _hand_over_timeout_s(config: HostConfig, dropping_s: float) -> float:
    """Return for how many seconds after the drop to wait for the next MASTER.

    Without a bow-out a peer takes over only when its master-down time has passed. A peer that took over during a slow
    drop is known only when it next advertises.
    """
    if config.dialect.bow_out is None:
        longest_ns = config.dialect.master_down_ns(config.advbase, _ADVSKEW_MAX, config.dead_ratio)
        return HAND_OVER_TIMEOUT_S + longest_ns / NS_PER_S
    if dropping_s < HAND_OVER_TIMEOUT_S:
        return HAND_OVER_TIMEOUT_S
    return HAND_OVER_TIMEOUT_S + config.advbase + _ADVSKEW_MAX * NS_PER_SKEW / NS_PER_S


def _check_whole(config: HostConfig, present: HostConfig, changes: dict[str, Any]) -> None:
    """Raise ConfigError unless a configuration can replace the present one of a running host."""
    if not isinstance(config, HostConfig):
        raise ConfigError(f"config {config!r} is not a HostConfig; pass replace(host.config, ...)")
    if changes:
        raise ConfigError(f"{', '.join(changes)} beside a whole config; pass one or the other")
    pairs = {name: (getattr(present, name), getattr(config, name)) for name in _KEPT}
    problems = [
        SettingProblem(name, f"{name} {now!r} -> {wanted!r} is not for a running host; remove it and add another")
        for name, (now, wanted) in pairs.items()
        if now != wanted
    ]
    if problems:
        raise SettingProblems(problems)


def _kept_problems(names: Iterable[str]) -> Iterator[SettingProblem]:
    """Yield a problem for each setting that ``reconfigure`` cannot change, or that there is not."""
    for name in names:
        if name in _KEPT:
            yield SettingProblem(name, f"{name} is not for a running host; remove it and add another")
        else:
            yield from unknown_problems([name], sorted(RECONFIGURABLE))
