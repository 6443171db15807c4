"""The interfaces of a runtime: the engine above it, and the clock, network, actuator and observers below it.

No method waits. The runtime calls the methods in the order of the engine's effects.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pycarp.core.effects import Announce, DropAddresses, HoldAddresses, RenewAddresses, Step
from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import ActuationReported, Input
from pycarp.runtime.reconciler import Attempt
from pycarp.vocabulary import Datagram, HostKey, Outgoing


class Door(Protocol):
    """An engine, or a wrapper that records its inputs and steps."""

    def handle(self, event: Input, now_ns: int, /) -> Step:
        """Apply one input and return what to do."""

    def can_send(self, key: HostKey, /) -> bool:
        """Return False if a host could send its last advertisement in none of its families."""


class Ports(Protocol):
    """What a shell supplies: asyncio, the simulator, or a scenario."""

    # Clock

    def now_ns(self) -> int:
        """Return the monotonic time."""

    def arm(self, at_ns: int | None) -> None:
        """Set the only timer: it calls ``Runtime.timer_fired`` at ``at_ns``; None stops it."""

    def later(self) -> None:
        """Call ``Runtime.resume`` soon, after the other tasks of the event loop had a turn."""

    # Network

    def send(self, outgoing: Outgoing) -> None:
        """Send an advertisement at once; raises OSError."""

    def read(self, limit: int) -> Sequence[Datagram]:
        """Return the datagrams that have arrived, at most ``limit``."""

    def packets_read(self) -> Mapping[str, int] | None:
        """Return how many packets were read on each open link; None if the network cannot filter packets."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Install a filter in the kernel, or remove it with None; raises OSError if the kernel refuses."""

    # Addresses

    def start(self, attempt: Attempt) -> None:
        """Start an attempt in the background: it calls ``Runtime.begin`` before its work, ``attempt_ended`` after it.

        It calls neither before this method has returned.
        """

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt; it calls ``Runtime.attempt_ended`` when it has ended."""

    def renew(self, effects: Sequence[RenewAddresses]) -> None:
        """Renew the lifetime of the held addresses of hosts in the kernel; no-op for one without a lifetime."""

    # Guardian; no-op without one

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Give the guardian the clean-up plan for these addresses; it replaces the host's previous plan."""

    def renew_guardian(self, keys: Sequence[HostKey]) -> None:
        """Renew the leases of hosts at the guardian."""

    def disarm_guardian(self, key: HostKey) -> None:
        """Remove a host's clean-up plan from the guardian."""

    # Observers

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Receive the newest intent or announcement for the addresses of a host."""

    def reported(self, report: ActuationReported) -> None:
        """Receive the result of an attempt, after it was submitted to the engine."""

    def publish(self, event: Event) -> None:
        """Receive an event, after every other effect of its step."""

    def stalled(self, late_ns: int) -> None:
        """Receive by how much the timer was late, in nanoseconds."""

    def failed(self, bug: BaseException) -> None:
        """Receive, once, the bug that stopped the runtime; every address that may be held is being dropped."""
