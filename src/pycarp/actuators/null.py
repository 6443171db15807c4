"""Takes part in elections and touches nothing: for observers, tests and demonstrations."""

from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import HostKey, Interface


class NullActuator:
    """Every wish is granted, none is carried out."""

    async def open(self) -> None:
        """Nothing to get ready."""

    async def hold(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Nothing to hold."""

    async def drop(self, key: HostKey, addresses: tuple[Interface, ...]) -> None:
        """Nothing to drop."""

    async def announce(self, key: HostKey, addresses: tuple[Interface, ...], form: ArpForm) -> None:
        """Nothing to announce."""

    async def close(self) -> None:
        """Nothing to release."""
