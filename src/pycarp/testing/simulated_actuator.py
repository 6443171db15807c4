"""An actuator that keeps the addresses of a simulated machine, and can be made slow, fail or hang."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface

from pycarp.actuators.actuator import Actuator
from pycarp.core.inputs import Action, AddressesDisturbed, AdminChanged
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError
from pycarp.testing.ownership_history import History
from pycarp.testing.simulated_process import outside
from pycarp.vocabulary import HostKey, InterfaceAddress


@dataclass(slots=True)
class _Faults:
    """The faults in force: failing, hanging and slow actions."""

    refused: dict[Action, int] = field(default_factory=dict)
    """How many addresses an attempt does before it fails, by action."""
    hanging: set[Action] = field(default_factory=set)
    takes_s: dict[Action, float] = field(default_factory=dict)
    repaired: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedActuator(Actuator):
    """The addresses of a simulated machine; actions are ``hold``, ``drop`` and ``announce``.

    As in a kernel, addresses that are not renewed expire, even if the process is dead or stopped.
    """

    def __init__(self, member: str, history: History, faults: _Faults | None = None) -> None:
        self._member = member
        self._history = history
        self._faults = faults or _Faults()
        self._held: dict[InterfaceAddress, HostKey] = {}
        self._expiries: dict[InterfaceAddress, asyncio.TimerHandle] = {}
        self._news: asyncio.Queue[AddressesDisturbed] = asyncio.Queue()
        self._has_power = True

    @property
    def addresses(self) -> tuple[InterfaceAddress, ...]:
        """The addresses that the machine answers for now, sorted."""
        return tuple(sorted(self._held, key=lambda each: (each.version, each)))

    # For a test

    def fail(self, action: Action | str, *, after: int = 0) -> None:
        """Make every attempt fail until ``repair``, after it has done the first ``after`` addresses."""
        self._faults.refused[Action(action)] = after

    def hang(self, action: Action | str) -> None:
        """Make every attempt hang until ``repair``; the node cancels it after ``actuation_timeout_s``."""
        self._faults.hanging.add(Action(action))

    def slow(self, action: Action | str, *, takes_s: float) -> None:
        """Make every attempt take ``takes_s`` seconds, until ``repair``."""
        self._faults.takes_s[Action(action)] = takes_s

    def repair(self) -> None:
        """End every fault; attempts that hang succeed now."""
        for each in (self._faults.refused, self._faults.hanging, self._faults.takes_s):
            each.clear()
        self._faults.repaired.set()
        self._faults.repaired = asyncio.Event()

    def take_away(self, address: InterfaceAddress | str) -> None:
        """Remove an address as another program would, and report that to the node; no-op if it is absent."""
        found = ip_interface(address)
        key = self._held.get(found)
        if key is not None:
            self._remove(found, "is deprived of")
            self._news.put_nowait(AddressesDisturbed(key, f"somebody removed {found}"))

    def lose_power(self) -> None:
        """Remove every address, and ignore every later call."""
        self._has_power = False
        for address in self.addresses:
            self._remove(address, "loses")

    def successor(self) -> "SimulatedActuator":
        """Return the actuator of the same machine after a restart, with the same faults and addresses."""
        made = SimulatedActuator(self._member, self._history, self._faults)
        made._held, made._expiries = self._held, self._expiries
        return made

    # For the node

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Add the addresses to the machine."""
        await self._wait(Action.HOLD)
        if not self._has_power:
            return
        for address in self._granted(Action.HOLD, addresses):
            if address not in self._held:
                self._held[address] = key
                self._history.take(self._member, address)
        self._refuse(Action.HOLD)
        if lifetime_s is not None:
            self.renew(key, addresses, lifetime_s)

    def renew(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], lifetime_s: int) -> None:
        """Begin the lifetimes of the addresses again."""
        for address in self._held.keys() & set(addresses):
            self._stop_expiry(address)
            with outside():
                loop = asyncio.get_running_loop()
                self._expiries[address] = loop.call_later(lifetime_s, self._expire, key, address)

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Remove the addresses from the machine."""
        await self._wait(Action.DROP)
        for address in self._granted(Action.DROP, addresses):
            if address in self._held:
                self._remove(address, "drops")
        self._refuse(Action.DROP)

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        """Do nothing but fail, hang or take time as the faults say."""
        await self._wait(Action.ANNOUNCE)
        self._refuse(Action.ANNOUNCE)

    async def watch(self, notice: Callable[[AddressesDisturbed | AdminChanged], None]) -> None:
        """Report the addresses that expired or were taken away, until cancelled."""
        while True:
            notice(await self._news.get())

    async def _wait(self, action: Action) -> None:
        if not self._has_power:
            return
        if action in self._faults.hanging:
            self._history.write(self._member, f"{action} hangs")
            await self._faults.repaired.wait()
        if takes_s := self._faults.takes_s.get(action):
            await asyncio.sleep(takes_s)

    def _granted(self, action: Action, addresses: tuple[InterfaceAddress, ...]) -> tuple[InterfaceAddress, ...]:
        """Return the addresses that an attempt does before it fails, all if it does not fail."""
        return addresses[: self._faults.refused.get(action)]

    def _refuse(self, action: Action) -> None:
        if self._has_power and action in self._faults.refused:
            self._history.write(self._member, f"{action} fails")
            raise ActuatorError(f"{action} fails because the test wants it to")

    def _expire(self, key: HostKey, address: InterfaceAddress) -> None:
        self._remove(address, "was not renewed and loses")
        self._news.put_nowait(AddressesDisturbed(key, f"{address} was not renewed and went away"))

    def _remove(self, address: InterfaceAddress, why: str) -> None:
        self._stop_expiry(address)
        del self._held[address]
        self._history.lose(self._member, address, why)

    def _stop_expiry(self, address: InterfaceAddress) -> None:
        expiry = self._expiries.pop(address, None)
        if expiry is not None:
            expiry.cancel()
