"""An actuator that remembers which addresses its machine has, and can be slow, refuse, or never return."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface

from pycarp.actuators.base import Actuator
from pycarp.core.inputs import Action, AddressesDisturbed, AdminChanged
from pycarp.dialects.base import ArpForm
from pycarp.errors import ActuatorError
from pycarp.testing.history import History
from pycarp.testing.process import outside
from pycarp.vocabulary import HostKey, Interface


@dataclass(slots=True)
class _Faults:
    """What does not work at present, and how long the rest takes."""

    refused: dict[Action, int] = field(default_factory=dict)
    """So many addresses are done before an attempt fails."""
    hanging: set[Action] = field(default_factory=set)
    takes_s: dict[Action, float] = field(default_factory=dict)
    repaired: asyncio.Event = field(default_factory=asyncio.Event)


class SimulatedActuator(Actuator):
    """The addresses of a simulated machine; actions are ``hold``, ``drop`` and ``announce``.

    As in a kernel, addresses that are not renewed go away by themselves, whatever became of the process.
    """

    def __init__(self, member: str, history: History, faults: _Faults | None = None) -> None:
        self._member = member
        self._history = history
        self._faults = faults or _Faults()
        self._held: dict[Interface, HostKey] = {}
        self._expiries: dict[Interface, asyncio.TimerHandle] = {}
        self._news: asyncio.Queue[AddressesDisturbed] = asyncio.Queue()
        self._has_power = True

    @property
    def addresses(self) -> tuple[Interface, ...]:
        """What the machine answers for now."""
        return tuple(sorted(self._held, key=lambda each: (each.version, each)))

    # What a test does to it

    def fail(self, action: Action | str, *, after: int = 0) -> None:
        """Let every attempt fail until ``repair``, when the first ``after`` of the addresses are done."""
        self._faults.refused[Action(action)] = after

    def hang(self, action: Action | str) -> None:
        """Let every attempt take for ever until ``repair``; the node gives one up after ``actuation_timeout_s``."""
        self._faults.hanging.add(Action(action))

    def slow(self, action: Action | str, *, takes_s: float) -> None:
        """Let every attempt take so many seconds."""
        self._faults.takes_s[Action(action)] = takes_s

    def repair(self) -> None:
        """Let everything succeed at once again, what hangs included."""
        for each in (self._faults.refused, self._faults.hanging, self._faults.takes_s):
            each.clear()
        self._faults.repaired.set()
        self._faults.repaired = asyncio.Event()

    def take_away(self, address: Interface | str) -> None:
        """Let somebody else remove an address, and the node be told; nothing happens if the machine lacks it."""
        found = ip_interface(address)
        key = self._held.get(found)
        if key is not None:
            self._remove(found, "is deprived of")
            self._news.put_nowait(AddressesDisturbed(key, f"somebody removed {found}"))

    def lose_power(self) -> None:
        """Lose every address, and do nothing any more."""
        self._has_power = False
        for address in self.addresses:
            self._remove(address, "loses")

    def successor(self) -> "SimulatedActuator":
        """Return the actuator of the same machine after it was started anew, with the same faults.

        It has the addresses that nobody has dropped.
        """
        made = SimulatedActuator(self._member, self._history, self._faults)
        made._held, made._expiries = self._held, self._expiries
        return made

    # What a node does with it

    async def hold(self, key: HostKey, addresses: tuple[Interface, ...], *, lifetime_s: int | None = None) -> None:
        """Have the addresses."""
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

    def renew(self, key: HostKey, addresses: tuple[Interface, ...], lifetime_s: int) -> None:
        """Begin the lifetimes anew."""
        for address in self._held.keys() & set(addresses):
            self._stop_expiry(address)
            with outside():
                loop = asyncio.get_running_loop()
                self._expiries[address] = loop.call_later(lifetime_s, self._expire, key, address)

    async def drop(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Have the addresses no more."""
        await self._wait(Action.DROP)
        for address in self._granted(Action.DROP, addresses):
            if address in self._held:
                self._remove(address, "drops")
        self._refuse(Action.DROP)

    async def announce(self, key: HostKey, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Nobody listens."""
        await self._wait(Action.ANNOUNCE)
        self._refuse(Action.ANNOUNCE)

    async def watch(self, notice: Callable[[AddressesDisturbed | AdminChanged], None]) -> None:
        """Tell which addresses went away by themselves."""
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

    def _granted(self, action: Action, addresses: tuple[Interface, ...]) -> tuple[Interface, ...]:
        """Return the addresses that are done before an attempt fails, if it does."""
        return addresses[: self._faults.refused.get(action)]

    def _refuse(self, action: Action) -> None:
        if self._has_power and action in self._faults.refused:
            self._history.write(self._member, f"{action} fails")
            raise ActuatorError(f"{action} fails because the test wants it to")

    def _expire(self, key: HostKey, address: Interface) -> None:
        self._remove(address, "was not renewed and loses")
        self._news.put_nowait(AddressesDisturbed(key, f"{address} was not renewed and went away"))

    def _remove(self, address: Interface, why: str) -> None:
        self._stop_expiry(address)
        del self._held[address]
        self._history.lose(self._member, address, why)

    def _stop_expiry(self, address: Interface) -> None:
        expiry = self._expiries.pop(address, None)
        if expiry is not None:
            expiry.cancel()
