"""Backends of a node whose every call can be made to hang, to fail, or to ignore that it is cancelled."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from pycarp.actuators.actuator import Actuator
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.monitors.static import StaticMonitor
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket
from pycarp.transports.memory import MemoryTransport
from pycarp.vocabulary import Address, Datagram, HostKey, InterfaceAddress, LinkFacts, Outgoing


class Foreign(BaseException):
    """What is no Exception, and neither ends a program nor comes from pycarp."""


class Hang(Enum):
    """How a call does not return."""

    UNTIL_CANCELLED = "hangs until cancelled"
    FOR_EVER = "hangs and ignores that it is cancelled"


@dataclass(slots=True)
class Faults:
    """What is wrong with which call, by its name; ``calls`` are those made, in order."""

    wrong: dict[str, BaseException | Hang] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def at(self, call: str) -> None:
        """Behave as the call is to behave."""
        self.calls.append(call)
        fault = self.wrong.get(call)
        if isinstance(fault, BaseException):
            raise fault
        if fault is Hang.UNTIL_CANCELLED:
            await self.released.wait()
        while fault is Hang.FOR_EVER and not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.released.wait()

    def at_once(self, call: str) -> None:
        """Behave as a call that may not wait."""
        self.calls.append(call)
        fault = self.wrong.get(call)
        if isinstance(fault, BaseException):
            raise fault


class FaultyActuator(Actuator):
    """Keeps what it holds and what it has made for which host."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.held: set[InterfaceAddress] = set()
        self.adopted: set[HostKey] = set()

    async def prepare(self, config: HostConfig) -> None:
        """Make something before it goes wrong."""
        self.adopted.add(config.key)
        await self.faults.at("prepare")

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Hold."""
        await self.faults.at("hold")
        self.held.update(addresses)

    def renew(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], lifetime_s: int) -> None:
        """Go wrong, or do nothing."""
        self.faults.at_once("renew")

    def clean_up_plan(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> tuple[CleanUpStep, ...]:
        """Go wrong, or have none."""
        self.faults.at_once("clean_up_plan")
        return ()

    def set_up(self, key: HostKey, *, is_up: bool) -> None:
        """Go wrong, or do nothing."""
        self.faults.at_once("set_up")

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Drop."""
        await self.faults.at("drop")
        self.held.difference_update(addresses)

    async def watch(self, notice: Callable[[AddressesDisturbed | AdminChanged], None]) -> None:
        """Go wrong, or watch for ever."""
        await self.faults.at("watch addresses")
        await asyncio.Event().wait()

    async def release(self, *keys: HostKey) -> None:
        """Remove what was made."""
        await self.faults.at("release")
        self.adopted.difference_update(keys)

    async def close(self) -> None:
        """Close."""
        await self.faults.at("close actuator")


class FaultyTransport:
    """A port on a bus; ``opened`` are its links and ``joined`` the groups of each."""

    def __init__(self, port: MemoryTransport, faults: Faults) -> None:
        self.faults = faults
        self.joined: dict[str, list[Address]] = {}
        self.openings = 0
        self._port = port

    @property
    def opened(self) -> list[str]:
        """The open links."""
        return list(self.joined)

    async def lose(self, link: str) -> None:
        """Hear nothing any more, as when the device is gone."""
        await self._port.close_link(link)

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open, then go wrong."""
        await self._port.open_link(link, wake)
        self.joined[link] = []
        self.openings += 1
        await self.faults.at("open_link")

    async def join(self, link: str, group: Address) -> None:
        """Join."""
        await self.faults.at("join")
        await self._port.join(link, group)
        self.joined[link].append(group)

    async def close_link(self, link: str) -> None:
        """Close, unless that goes wrong."""
        await self.faults.at("close_link")
        await self._port.close_link(link)
        self.joined.pop(link, None)

    def send(self, outgoing: Outgoing) -> None:
        """Send."""
        self._port.send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Nobody else can send."""
        return None

    def drain(self, limit: int) -> list[Datagram]:
        """Read, or go wrong."""
        self.faults.at_once("drain")
        return self._port.drain(limit)

    async def close(self) -> None:
        """Close."""
        await self.faults.at("close transport")
        await self._port.close()


class FaultyMonitor(StaticMonitor):
    """Goes wrong ``after_s`` seconds of watching."""

    def __init__(self, links: list[LinkFacts], faults: Faults, *, after_s: float = 10.0) -> None:
        super().__init__(links)
        self.faults = faults
        self._after_s = after_s

    def go_down(self, link: str = "em0") -> None:
        """Let a link lose its carrier."""
        self.change(LinkFacts(name=link, is_up=False))

    async def watch(self, link: str) -> LinkFacts:
        """Look, and answer some time later."""
        facts = await super().watch(link)
        await self.faults.at("watch")
        return facts

    async def run(self, notice: Callable[[LinkFacts], None]) -> None:
        """Watch for a while, then go wrong if that is wanted, or end if that is what is wrong."""
        if "run" in self.faults.wrong:
            await asyncio.sleep(self._after_s)
            await self.faults.at("run")
            return
        await super().run(notice)

    async def close(self) -> None:
        """Close."""
        await self.faults.at("close monitor")


class FaultyGuardian:
    """Remembers whom it guards."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.armed: set[HostKey] = set()

    async def start(self) -> None:
        """Nothing to start."""

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        """Remember."""
        self.armed.add(key)

    def beat(self, key: HostKey) -> None:
        """Go wrong, or do nothing."""
        self.faults.at_once("beat")

    def disarm(self, key: HostKey) -> None:
        """Forget."""
        self.armed.discard(key)

    async def close(self) -> None:
        """Close."""
        await self.faults.at("close guardian")
