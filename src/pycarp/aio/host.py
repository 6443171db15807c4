"""The handle of a virtual host that users hold."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from pycarp.aio.arguments import check_amount, check_cause, check_span, state_named
from pycarp.aio.callback_queue import Callback, check_callback
from pycarp.aio.host_runtime import HostRuntime
from pycarp.aio.mastership_context import CLEAN_UP_S, MastershipContext, TokenSource
from pycarp.aio.subscriptions import IsMeant, Subscription
from pycarp.auth.key import Passphrase
from pycarp.core.checks import check_flag, listed
from pycarp.core.engine import HANDED_OVER
from pycarp.core.events import MasterHeard, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import AdminChanged, DemotionSet, HandOverAsked, HostReconfigured, Input, StateForced
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.errors import ConfigError, HandOverError, NodeFailedError, UsageError
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW, Address, HostKey, Interface

HAND_OVER_TIMEOUT_S = 1.0
"""pycarp and the kernels take over within milliseconds of a bow-out; ucarp, which polls, may take a second."""

DROP_TIMEOUT_S = 15.0
"""How long handing over may take until the addresses are dropped."""

_ADVSKEW_MAX = 254

ROLLING_MAX_S = 24 * 3600
"""Longer than a day nobody takes to change a few hosts."""

C = TypeVar("C", bound=Callback)


class VirtualHost:
    """One vhid on one interface; made by ``Node.add``.

    Methods that merely inform (``demote``, ``force``, ``down`` ...) have taken effect when they return; inside a
    callback, right after the current step. After the host has been removed they raise UsageError.
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
        """Interface and vhid."""
        return self._key

    @property
    def name(self) -> str:
        """What people call it, ``carp0`` for one."""
        return self._name

    @property
    def config(self) -> HostConfig:
        """The settings in force."""
        return self.snapshot().config

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
        """Return everything that is known of the host now."""
        try:
            return self._look(self._key)
        except KeyError:
            raise UsageError(f"virtual host {self._name} has departed") from None

    # Observing

    async def wait_for(self, state: State | str) -> StateChange:
        """Return the change that made ``state`` the current one: at once if it is, else when it comes.

        A mastership that is over before the caller's task runs is reported all the same. Raises UsageError when the
        host departs, NodeFailedError when its node fails, ConfigError for what is no state.
        """
        self._check_thread()
        return await self._log.wait_for(state_named(state))

    async def next_change(self, *, after: int | None = None) -> StateChange:
        """Return the first change numbered higher than ``after``; None stands for now.

        A loop that passes the ``seq`` of the last one it has seen misses none; UsageError when it was too slow for the
        256 events that are kept, or when the host departs; NodeFailedError when its node fails.
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

        It is called in the same loop turn and should be quick. What it returns is awaited if it can be, in a task of
        its own, and then its calls never overlap and keep their order. What it raises goes to the loop's exception
        handler, and no later change is lost. With ``replay_current`` it is called at once with the change that led to
        the current state.
        """
        return self._call(callback, lambda _change: True, lambda _change: True, replay_current=replay_current)

    def on_master(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange to MASTER; as ``on_change``."""
        return self._call(callback, _is_to_master, _is_to_master, replay_current=replay_current)

    def on_backup(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange to BACKUP; as ``on_change``.

        A MASTER whose link goes down, or that leaves, goes to INIT: to stop what runs on the MASTER only, take
        ``on_lost``.
        """
        return self._call(callback, _is_to_backup, _is_to_backup, replay_current=replay_current)

    def on_lost(self, callback: C, *, replay_current: bool = False) -> C:
        """Call a function with every StateChange from MASTER to anything else, a failure of the node too.

        As ``on_change``; ``replay_current`` calls it at once if the host is not MASTER now.
        """
        return self._call(callback, _is_from_master, _is_not_to_master, replay_current=replay_current)

    def remove_callback(self, callback: Callback) -> None:
        """Stop calling a function; what of it is being awaited is cancelled."""
        self._check_thread()
        self._log.remove_callback(callback)

    def mastership(
        self, *, clean_up_s: float = CLEAN_UP_S, timeout_s: float | None = None, token: TokenSource | None = None
    ) -> MastershipContext:
        """Return a context whose body runs only while this host is MASTER, with ``async with``.

        Entering waits until the host is MASTER and holds the addresses, ``timeout_s`` seconds at most, then raises
        TimeoutError; UsageError when the host departs, NodeFailedError when its node fails. The body's task is
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

    # Informing

    def demote(self, cause: str, *, by: int) -> None:
        """Add ``by`` to the advskew that is advertised, for a named cause; the same cause again replaces its amount.

        Raises ConfigError for a cause that is no text, or an amount that is no whole number.
        """
        check_cause(cause)
        check_amount(by)
        self._inform(DemotionSet(self._key, cause, by))

    def restore(self, cause: str) -> None:
        """Take a named demotion back; nothing happens when it is not there."""
        check_cause(cause)
        self._inform(DemotionSet(self._key, cause, 0))

    def force(self, state: State | str) -> None:
        """Become MASTER or BACKUP now; what the peers say next may change it again.

        Raises UsageError for INIT, and while in INIT, as kernels ignore it there; ConfigError for what is no state.
        """
        state = state_named(state)
        if state is State.INIT:
            raise UsageError("INIT cannot be forced; use down()")
        self._check_is_here()
        if self.state is State.INIT:
            raise UsageError(f"{self._name} is in INIT; bring its link and the host up first")
        self._inform(StateForced(self._key, state))

    async def hand_over(self, *, timeout_s: float | None = None) -> Address:
        """Leave the addresses to the next host; return its address when it is heard to be MASTER.

        The addresses are dropped first and bowed out then, so that they never answer twice. The host stays demoted, so
        that it does not take them back, until ``restore("handed over")``. Nobody can tell beforehand whether there is a
        next host: when none is heard within ``timeout_s`` seconds of the drop, this one takes the addresses back and
        HandOverError is raised, as it is when they cannot be dropped. None stands for a second, and where the dialect
        knows no bow-out for the time that a peer waits as well.

        Raises UsageError when this host is not MASTER. When it is cancelled, nothing stays demoted, and whoever is next
        takes part in the election as usual.
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
        if self.snapshot().state is State.BACKUP:
            self.force(State.MASTER)
        text = f"nobody took the addresses of {self._name} over within {waited_s:g} s"
        raise HandOverError(f"{text}; it is {self.snapshot().state} again")

    async def _handed_over(self, timeout_s: float | None) -> tuple[Address | None, float]:
        """Hand over; return the new MASTER, None when none is heard in time, and how long that was after the drop."""
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
            # Not within the timeout: somebody is MASTER, whoever it will be.
            return await self._successor(first), timeout_s

    async def _first_master(self, events: Subscription) -> Address:
        async for event in events:
            if isinstance(event, MasterHeard):
                return event.source
        raise UsageError(f"virtual host {self._name} has departed")

    async def _successor(self, first: Address) -> Address:
        """Return who is MASTER once all that heard the bow-out have settled it; ``first`` is who was heard first."""
        await asyncio.sleep(2 * self.config.dialect.takeover_listen_ns / NS_PER_S)
        master = self.snapshot().master
        return first if master is None else master.source

    async def _dropped(self) -> None:
        try:
            async with asyncio.timeout(DROP_TIMEOUT_S):
                await self._runtime.dropped()
        except TimeoutError:
            text = f"the addresses of {self._name} could not be dropped within {DROP_TIMEOUT_S:g} s"
            raise HandOverError(f"{text}, so that nobody may take them over") from None

    def down(self) -> None:
        """Leave as an administrator: addresses dropped, then bow-out; INIT until ``up``."""
        self._inform(AdminChanged(self._key, False))

    def up(self) -> None:
        """Take part again, beginning as BACKUP."""
        self._inform(AdminChanged(self._key, True))

    def reconfigure(
        self,
        *,
        advbase: int | None = None,
        advskew: int | None = None,
        preempt: bool | None = None,
        addresses: Iterable[Address | Interface | str] | None = None,
        passphrase: Passphrase | str | bytes | None = None,
        peers: Iterable[Address | str] | None = None,
        rolling_s: float = 0,
    ) -> None:
        """Change settings without leaving the state; None leaves one as it is.

        Addresses and passphrase are signed, so that hosts which do not agree on them do not hear each other. With
        ``rolling_s`` the host signs the former way for that long, or until a peer is heard to use the new way, and
        accepts both for twice as long: change every host within that time and none misses an advertisement. Only
        pycarp can do so; with other systems on the segment leave it 0.

        Raises ConfigError when a value is out of range, or an address is this machine's own.
        """
        check_span("rolling time", rolling_s, may_be_zero=True, most_s=ROLLING_MAX_S)
        if preempt is not None:
            check_flag("preempt", preempt)
        if passphrase is not None and not isinstance(passphrase, Passphrase | str | bytes):
            raise ConfigError(f"passphrase is a {type(passphrase).__name__}; pass a str, bytes or Passphrase")
        given = {
            "advbase": advbase,
            "advskew": advskew,
            "preempt": preempt,
            "addresses": listed("addresses", addresses),
            "passphrase": passphrase,
            "peers": listed("peers", peers),
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self._check_thread()
        config = replace(self.config, **changes)
        if addresses is not None:
            self._check(config)
        self._inform(HostReconfigured(config, round(rolling_s * NS_PER_S)))

    @property
    def address_error(self) -> str:
        """Why the addresses could not be held or dropped the last time that was tried, empty if they could."""
        return self._runtime.address_error

    async def try_addresses(self, addresses: Iterable[Interface]) -> None:
        """Find out whether this machine takes the addresses, before ``reconfigure`` makes the host depend on it.

        A MASTER that cannot hold its addresses leaves them to another host. Those that are not shared yet are there for
        a moment, if this host is MASTER; else nothing is tried. Raises ActuatorError with the address that is refused
        and why.
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
    """Return how long after the drop the next host is waited for.

    Without a bow-out it waits until this one has been silent for long enough. One that has taken over while the drop
    took its time is heard when it advertises next.
    """
    if config.dialect.bow_out is None:
        longest_ns = config.dialect.master_down_ns(config.advbase, _ADVSKEW_MAX, config.dead_ratio)
        return HAND_OVER_TIMEOUT_S + longest_ns / NS_PER_S
    if dropping_s < HAND_OVER_TIMEOUT_S:
        return HAND_OVER_TIMEOUT_S
    return HAND_OVER_TIMEOUT_S + config.advbase + _ADVSKEW_MAX * NS_PER_SKEW / NS_PER_S
