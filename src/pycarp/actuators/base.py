"""What every actuator promises."""

from typing import Protocol

from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import HostKey, Interface


class Actuator(Protocol):
    """Makes shared addresses answer on this machine, or not.

    ``hold`` and ``drop`` are idempotent: they are called again after failures, and a drop comes first of all, for
    addresses that were never held or that a crashed predecessor left behind. All may take their time and may be
    cancelled; failures are ActuatorError or OSError.
    """

    async def open(self) -> None:
        """Get ready; called once, before anything else."""

    async def hold(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Return when all the addresses answer."""

    async def drop(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Return when none of the addresses answers."""

    async def announce(self, key: HostKey, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Tell the segment that the addresses are here."""

    async def close(self) -> None:
        """Release what ``open`` took; the addresses have been dropped before."""
