"""The handle of a virtual host that users hold."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from pycarp.aio.reign import Reign
from pycarp.aio.subscriptions import Callback, EventLog, Subscription
from pycarp.aio.tenure import CLEAN_UP_S, Tenure, TokenSource
from pycarp.auth.key import Passphrase
from pycarp.core.engine import HANDED_OVER
from pycarp.core.events import MasterHeard, StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import AdminChanged, DemotionSet, HandOverAsked, HostReconfigured, Input, StateForced
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import State
from pycarp.errors import ConfigError, HandOverError, UsageError
from pycarp.vocabulary import NS_PER_S, Address, HostKey, Interface

HAND_OVER_TIMEOUT_S = 1.0
"""pycarp and the kernels take over within milliseconds; ucarp, which polls, may take a second."""

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
        config: HostConfig,
        log: EventLog,
        submit: Callable[[Input], None],
        look: Callable[[HostKey], HostSnapshot],
        reign: Reign,
        tokens: TokenSource,
    ) -> None:
        self._key = config.key
        self._name = config.name
        self._log = log
        self._submit = submit
        self._look = look
        self._reign = reign
        self._tokens = tokens

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
        """The state now; INIT after the host has been removed."""
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

    async def wait_for(self, state: State) -> StateChange:
        """Return the change that made ``state`` the current one: at once if it is, else when it comes.

        A reign that is over before the caller's task runs is reported all the same. Raises UsageError when the host
        departs.
        """
        return await self._log.wait_for(state)

    async def next_change(self, *, after: int | None = None) -> StateChange:
        """Return the first change numbered higher than ``after``; None stands for now.

        A loop that passes the ``seq`` of the last one it has seen misses none; UsageError when it was too slow for the
        256 events that are kept, or when the host departs.
        """
        return await self._log.next_change(self._log.seq if after is None else after)

    def events(self) -> Subscription:
        """Return a subscription: ``async with host.events() as events: async for event in events``."""
        return self._log.subscribe()

    def on_change(self, callback: C) -> C:
        """Call a function with every StateChange; usable as a decorator.

        A plain function is called in the same loop turn and should be quick. A coroutine function runs in a task of
        its own; its calls never overlap and keep their order. What it raises goes to the loop's exception handler.
        """
        self._log.add_callback(callback, None)
        return callback

    def on_master(self, callback: C) -> C:
        """Call a function with every StateChange to MASTER; as ``on_change``."""
        self._log.add_callback(callback, State.MASTER)
        return callback

    def on_backup(self, callback: C) -> C:
        """Call a function with every StateChange to BACKUP; as ``on_change``."""
        self._log.add_callback(callback, State.BACKUP)
        return callback

    def remove_callback(self, callback: Callback) -> None:
        """Stop calling a function."""
        self._log.remove_callback(callback)

    def tenure(
        self, *, clean_up_s: float = CLEAN_UP_S, timeout_s: float | None = None, token: TokenSource | None = None
    ) -> Tenure:
        """Return a context whose body runs only while this host is MASTER: ``async with host.tenure() as term``.

        Entering waits until the host is MASTER and holds the addresses, ``timeout_s`` seconds at most, then raises
        TimeoutError; UsageError when the host departs. The body's task is cancelled before a peer may act, and has
        ``clean_up_s`` seconds to clean up, or less where more would not be safe (``term.clean_up_s``); then the context
        ends with TenureLost. ``token`` is awaited for ``term.token`` each time; without it the clock is its source.
        """
        return Tenure(self._reign, clean_up_s=clean_up_s, timeout_s=timeout_s, token=token or self._tokens)

    # Informing

    def demote(self, cause: str, *, by: int) -> None:
        """Add ``by`` to the advskew that is advertised, for a named cause; the same cause again replaces its amount."""
        self._inform(DemotionSet(self._key, cause, by))

    def restore(self, cause: str) -> None:
        """Take a named demotion back; nothing happens when it is not there."""
        self._inform(DemotionSet(self._key, cause, 0))

    def force(self, state: State) -> None:
        """Become MASTER or BACKUP now; what the peers say next may change it again.

        Raises UsageError for INIT, and while in INIT, as kernels ignore it there.
        """
        if state is State.INIT:
            raise UsageError("INIT cannot be forced; use down()")
        if self.state is State.INIT:
            raise UsageError(f"{self._name} is in INIT; bring its link and the host up first")
        self._inform(StateForced(self._key, state))

    async def hand_over(self, *, timeout_s: float = HAND_OVER_TIMEOUT_S) -> Address:
        """Leave the addresses to the next host; return its address when it is heard to be MASTER.

        The addresses are dropped first and bowed out then, so that they never answer twice. The host stays demoted, so
        that it does not take them back, until ``restore("handed over")``. Nobody can tell beforehand whether there is a
        next host: when none is heard in time, this one takes the addresses back and HandOverError is raised. Raises
        UsageError when this host is not MASTER.
        """
        if self.state is not State.MASTER:
            raise UsageError(f"{self._name} is {self.state}; only a MASTER can hand its addresses over")
        try:
            async with self.events() as events:
                self._inform(HandOverAsked(self._key))
                await self._reign.vacated()
                async with asyncio.timeout(timeout_s):
                    async for event in events:
                        if isinstance(event, MasterHeard):
                            return event.source
        except TimeoutError:
            self.restore(HANDED_OVER)
            if self.snapshot().state is State.BACKUP:
                self.force(State.MASTER)
            text = f"nobody took the addresses of {self._name} over within {timeout_s:g} s"
            raise HandOverError(f"{text}; it is {self.snapshot().state} again") from None
        raise UsageError(f"virtual host {self._name} has departed")

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

        Raises ConfigError when a value is out of range.
        """
        if not 0 <= rolling_s <= ROLLING_MAX_S:
            raise ConfigError(f"rolling time {rolling_s:g} s is outside 0-{ROLLING_MAX_S}")
        given = {
            "advbase": advbase,
            "advskew": advskew,
            "preempt": preempt,
            "addresses": None if addresses is None else tuple(addresses),
            "passphrase": passphrase,
            "peers": None if peers is None else tuple(peers),
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self._inform(HostReconfigured(replace(self.config, **changes), round(rolling_s * NS_PER_S)))

    def _inform(self, event: Input) -> None:
        self.snapshot()
        self._submit(event)
