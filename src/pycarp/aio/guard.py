"""Sees to it that a guardian always knows what to do if this process cannot drop its addresses any more."""

import contextlib
from typing import Protocol

from pycarp.actuators.base import Actuator
from pycarp.core.effects import HoldAddresses, ProlongAddresses
from pycarp.core.inputs import Action, ActuationReported
from pycarp.system.deeds import Deed, Parcel
from pycarp.transports.base import Transport
from pycarp.vocabulary import HostKey, Outgoing


class Guardian(Protocol):
    """Acts for a host when this process is dead, or has given no sign of life for too long."""

    async def start(self) -> None:
        """Get ready; called once, before anything else. Raises ActuatorError."""

    def arm(self, key: HostKey, deeds: tuple[Deed, ...], limit_ns: int) -> None:
        """Remember what to do for a host, instead of what it was before; counts as a sign of life."""

    def beat(self, key: HostKey) -> None:
        """Take notice of a sign of life."""

    def disarm(self, key: HostKey) -> None:
        """Forget a host."""

    async def close(self) -> None:
        """End; with hosts still armed, by doing what is to be done for them."""


class Guard:
    """Arms a guardian with every hold, lets it know that all is well, and disarms it once the addresses are dropped."""

    def __init__(self, guardian: Guardian, actuator: Actuator, transport: Transport) -> None:
        self._guardian = guardian
        self._actuator = actuator
        self._transport = transport
        self._armed: dict[HostKey, HoldAddresses] = {}

    def arm(self, effect: HoldAddresses) -> None:
        """Arm before the addresses are held."""
        if effect.precaution is None:
            return
        self._armed[effect.key] = effect
        deeds = self._actuator.will(effect.key, effect.addresses + effect.former)
        parcels = tuple(parcel for each in effect.precaution.bow_out if (parcel := self._parcel(each)))
        self._guardian.arm(effect.key, (*deeds, *parcels), effect.precaution.patience_ns)

    def beat(self, effect: ProlongAddresses) -> None:
        """Let the guardian know that a host is well."""
        self._guardian.beat(effect.key)

    def take_note(self, report: ActuationReported) -> None:
        """Disarm when the addresses of a host have been dropped, unless they are to be held again already.

        Arm anew when they are held: what carries them may have been made for it.
        """
        armed = self._armed.get(report.key)
        if armed is None or report.error is not None:
            return
        if report.action is Action.HOLD and armed.epoch == report.epoch:
            self.arm(armed)
        elif report.action is Action.DROP and armed.epoch < report.epoch:
            self.disarm(report.key)

    def disarm(self, key: HostKey) -> None:
        """Forget a host."""
        if self._armed.pop(key, None) is not None:
            self._guardian.disarm(key)

    def _parcel(self, outgoing: Outgoing) -> Parcel | None:
        with contextlib.suppress(OSError):
            return self._transport.parcel(outgoing)
        return None
