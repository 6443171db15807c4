"""What every actuator promises."""

import asyncio
from collections.abc import Callable, Collection, Mapping

from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import AddressesDisturbed, AdminChanged
from pycarp.dialects.base import ArpForm
from pycarp.system.guardian.clean_up_steps import CleanUpStep
from pycarp.vocabulary import HostKey, Interface, MacMode


class Actuator:
    """Makes shared addresses answer on this machine, or not; this one grants every wish and carries none out.

    ``hold`` and ``drop`` are idempotent: they are called again after failures, and a drop comes first of all, for
    addresses that were never held or that a crashed predecessor left behind. All coroutines may take their time and may
    be cancelled; failures are ActuatorError or OSError.
    """

    async def open(self) -> None:
        """Get ready; called once, before anything else."""

    def check(self, *configs: HostConfig) -> None:
        """Raise ConfigError, a line for each reason, when the addresses of these hosts cannot be shared here.

        Called before hosts are prepared, and before others are given to a running host; never wait.
        """

    def rename_link(self, link: str, name: str) -> None:
        """Follow a link that hosts know as ``link`` and that the system calls ``name`` now; never wait."""

    async def prepare(self, config: HostConfig) -> None:
        """Make what a host needs on this machine before it takes part; idempotent."""

    async def hold(self, key: HostKey, addresses: tuple[Interface, ...], *, lifetime_s: int | None = None) -> None:
        """Return when all the addresses answer; for ``lifetime_s`` seconds unless renewed, None for ever."""

    def renew(self, key: HostKey, addresses: tuple[Interface, ...], lifetime_s: int) -> None:
        """Let the addresses that are held answer for ``lifetime_s`` seconds from now; never wait, never add one."""

    async def drop(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Return when none of the addresses answers."""

    def clean_up_plan(self, key: HostKey, addresses: tuple[Interface, ...]) -> tuple[CleanUpStep, ...]:
        """Return what another process has to do to drop the addresses."""
        return ()

    def mac_mode(self, key: HostKey) -> MacMode | None:
        """Return whose MAC address answers for an prepared host, ``virtual`` or ``interface``; None if unknown."""
        return None

    async def missing(self) -> Mapping[HostKey, Collection[Interface]]:
        """Return the addresses that ``hold`` was asked for and that are not there now, by host."""
        return {}

    def location(self, key: HostKey) -> str:
        """Return what the addresses are on, whose MAC address answers and why, in words; empty if unknown."""
        return ""

    async def try_out(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Raise ActuatorError if this machine refuses one of the addresses, of which ``hold`` has not been asked yet.

        Those that are not there are there for a moment only. Called while the host holds others.
        """

    def set_shared(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Know which addresses the host shares from now on, all others having been dropped; never wait."""

    async def announce(self, key: HostKey, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Tell the segment that the addresses are here."""

    def set_up(self, key: HostKey, *, is_up: bool) -> None:
        """Let what carries the addresses show that an administrator set the host up or down; never wait."""

    async def watch(self, notice: Callable[[AddressesDisturbed | AdminChanged], None]) -> None:
        """Tell what others do to the addresses and to what carries them, until cancelled."""
        await asyncio.Event().wait()

    async def release(self, *keys: HostKey) -> None:
        """Undo what ``prepare`` did for these hosts, after the addresses have been dropped; well if it did nothing."""

    async def close(self) -> None:
        """Release what ``open`` took; the addresses have been dropped before."""
