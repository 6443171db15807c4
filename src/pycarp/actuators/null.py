"""An actuator that changes nothing on the machine: for observers, tests and demonstrations."""

from pycarp.actuators.actuator import Actuator
from pycarp.vocabulary import HostKey, InterfaceAddress


class NullActuator(Actuator):
    """Reports success for every call and does nothing."""

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        """Do nothing."""

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        """Do nothing."""
