"""An actuator that keeps a record and can be slow, refuse, or never return."""

import asyncio
from dataclasses import dataclass, field

from pycarp.actuators.actuator import Actuator
from pycarp.core.inputs import Action
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError
from pycarp.vocabulary import HostKey, InterfaceAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the actuator was asked, and when the question came."""

    at_s: float
    action: Action
    key: HostKey


@dataclass(slots=True, kw_only=True)
class RecordingActuator(Actuator):
    """Keeps the addresses in a set. What it does to each action can be changed at any time.

    An action in ``refused`` fails, one in ``hanging`` never returns, and each of the others takes ``takes_s`` seconds.
    """

    takes_s: float = 0.0
    refused: set[Action] = field(default_factory=set)
    hanging: set[Action] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    held: set[InterfaceAddress] = field(default_factory=set)
    is_open: bool = False

    @property
    def actions(self) -> list[Action]:
        """What was asked, in order."""
        return [call.action for call in self.calls]

    def times_s(self, action: Action) -> list[float]:
        """Return when an action was asked for."""
        return [call.at_s for call in self.calls if call.action is action]

    async def open(self) -> None:
        """Remember it."""
        self.is_open = True

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Put the addresses into the set."""
        await self._obey(Action.HOLD, key)
        self.held.update(addresses)

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Take the addresses out of the set."""
        await self._obey(Action.DROP, key)
        self.held.difference_update(addresses)

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        """Remember it."""
        await self._obey(Action.ANNOUNCE, key)

    async def close(self) -> None:
        """Remember it."""
        self.is_open = False

    async def _obey(self, action: Action, key: HostKey) -> None:
        self.calls.append(Call(at_s=asyncio.get_running_loop().time(), action=action, key=key))
        if action in self.hanging:
            await asyncio.get_running_loop().create_future()
        if action in self.refused:
            raise ActuatorError(f"{action} refused")
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
