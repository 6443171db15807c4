"""The base class of actuators."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping

from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.dialects.dialect import ArpForm
from pycarp.system.guardian.clean_up_steps import CleanUpStep
from pycarp.vocabulary import HostKey, InterfaceAddress, MacMode


class Actuator(ABC):
    """Holds and drops shared addresses on this machine.

    A subclass has ``hold`` and ``drop``; the other methods of this base class succeed and do nothing. These two are
    idempotent: they are called again after failures, and the first call is a drop, of addresses that were never held or
    that a crashed process left behind. Every coroutine may take long and may be cancelled; a failure is ActuatorError
    or OSError.
    """

    async def open(self) -> None:
        """Open the actuator; called once, before any other method."""

    def check(self, *configs: HostConfig) -> None:
        """Raise ConfigError, with one line per reason, if the addresses of these hosts cannot be shared here.

        Called before hosts are prepared, and before a running host gets new addresses; must not wait.
        """

    def rename_link(self, link: str, name: str) -> None:
        """Follow the interface that is configured as ``link`` and now has the name ``name``; must not wait."""

    async def prepare(self, config: HostConfig) -> None:
        """Prepare this machine for a host, such as by a device; idempotent. Called before the host is added."""

    @abstractmethod
    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Add the addresses; they expire after ``lifetime_s`` seconds unless renewed, never if that is None."""

    def renew(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], lifetime_s: int) -> None:
        """Renew the held addresses for ``lifetime_s`` seconds from now; must not wait, and must not add any."""

    def send_renewals(self) -> None:
        """Send what ``renew`` has collected: called after the renewals of all hosts in one step; must not wait."""

    @abstractmethod
    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Remove the addresses."""

    def clean_up_plan(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> tuple[CleanUpStep, ...]:
        """Return the steps by which the guardian drops the addresses."""
        return ()

    def mac_mode(self, key: HostKey) -> MacMode | None:
        """Return whose MAC address answers for a prepared host, ``virtual`` or ``interface``; None if unknown."""
        return None

    async def missing(self) -> Mapping[HostKey, Collection[InterfaceAddress]]:
        """Return, by host, the addresses that should be held and are absent."""
        return {}

    def location(self, key: HostKey) -> str:
        """Return in words the device of the addresses, whose MAC address answers, and why; empty if unknown."""
        return ""

    async def try_out(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Raise ActuatorError if this machine refuses one of these addresses, which the host does not share yet.

        Absent addresses may be added for a moment. Called while the host holds its present addresses.
        """

    def set_shared(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Set the addresses that the host shares from now on; all others have been dropped. Must not wait."""

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        """Announce the addresses on the segment: gratuitous ARP, unsolicited neighbour advertisements."""

    def set_up(self, key: HostKey, *, is_up: bool) -> None:
        """Set the device of the addresses up or down, as the administrator set the host; must not wait."""

    async def watch(self, notice: Callable[[AddressesDisturbed | AdminChanged], None]) -> None:
        """Report external changes of the addresses and of their devices, until cancelled."""
        await asyncio.Event().wait()

    async def release(self, *keys: HostKey) -> None:
        """Undo ``prepare`` for these hosts, whose addresses have been dropped; no-op if it did nothing."""

    async def close(self) -> None:
        """Release the resources of ``open``; the addresses have been dropped before."""
