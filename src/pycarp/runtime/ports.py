"""What a runtime needs of whoever runs it: a clock, a network, a machine, and somebody to tell.

Nothing here waits. Every method is called in the order of the engine's effects.
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
    """An engine, or what stands before it and sees what goes in and out."""

    def handle(self, event: Input, now_ns: int, /) -> Step:
        """Take one input and return what to do."""

    def can_send(self, key: HostKey, /) -> bool:
        """Return the families in which the last advertisement of a host could not be sent."""


class Ports(Protocol):
    """What a shell supplies."""

    # Clock

    def now_ns(self) -> int:
        """Return the monotonic time."""

    def arm(self, at_ns: int | None) -> None:
        """Call ``Runtime.timer_fired`` at a time, instead of when it was to be called before; None for never."""

    def later(self) -> None:
        """Call ``Runtime.resume`` soon, after everybody else had a turn."""

    # Network

    def send(self, outgoing: Outgoing) -> None:
        """Send at once; raises OSError."""

    def read(self, limit: int) -> Sequence[Datagram]:
        """Return what has arrived, at most so many datagrams."""

    def packets_read(self) -> Mapping[str, int] | None:
        """Return how many packets were read on each open link, None where the network cannot filter packets."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Have the kernel drop what a filter does not pass; raises OSError when it refuses."""

    # Addresses

    def start(self, attempt: Attempt) -> None:
        """Make an attempt in the background: ``Runtime.begin`` before the work, ``Runtime.attempt_ended`` after it.

        Neither is called before this has returned.
        """

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt; ``Runtime.attempt_ended`` tells when it has ended."""

    def renew(self, effect: RenewAddresses) -> None:
        """Let the kernel keep the addresses that are held for another lifetime, if they have one."""

    # Guardian; no-op without one

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """Give the guardian what it needs to drop these addresses, instead of what it had for the host before."""

    def renew_guardian(self, key: HostKey) -> None:
        """Let the guardian know that a host is well."""

    def disarm_guardian(self, key: HostKey) -> None:
        """Have the guardian forget a host."""

    # Observers

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Learn what is wanted of the addresses."""

    def reported(self, report: ActuationReported) -> None:
        """Learn how an attempt ended, after the engine has, or as soon as it is its turn."""

    def publish(self, event: Event) -> None:
        """Learn of an event, after everything else of its step was done."""

    def stalled(self, late_ns: int) -> None:
        """Learn that the timer was late."""

    def failed(self, bug: BaseException) -> None:
        """Learn, once, that nothing is handled any more; what may be held is being dropped."""
