"""What every transport promises; ``pycarp.testing.check_transport`` holds them to it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pycarp.core.flood import PacketFilter
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.vocabulary import Address, Datagram, Family, Outgoing


class Transport(Protocol):
    """Carries advertisements of one node, of both families, on any number of links.

    What it delivers went to a group that it joined or to this machine alone; who it was for is the engine's business.
    Own packets are never delivered back. Nothing but ``open_link`` and ``close`` may wait.
    """

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Take part on a link; ``wake`` is called in the event loop whenever something can be drained.

        A link on which IPv6 does not work is opened all the same. Raises TransportError that names the link and the way
        out.
        """

    async def join(self, link: str, group: Address) -> None:
        """Listen to a multicast group on an open link, where the two of CARP are listened to; well if it does already.

        Raises TransportError, also where there are no groups.
        """

    async def close_link(self, link: str) -> None:
        """Leave a link; nothing happens when it is not open."""

    def send(self, outgoing: Outgoing) -> None:
        """Send to a group or to one peer, at once, or raise OSError; never wait.

        A group is on the link; a peer may be behind a router, and the way to it is the routing table's business.
        """

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Return what another process has to do to send in our stead, None if nobody else can; raises OSError."""

    def drain(self, limit: int) -> list[Datagram]:
        """Return what has arrived, at most ``limit`` datagrams, without waiting.

        Links and families share the limit: a flood on one keeps none of the others from being heard. Within each, the
        order is that of arrival.
        """

    async def close(self) -> None:
        """Leave every link; may be called again."""


@runtime_checkable
class PacketFiltering(Protocol):
    """What a transport may be able to do beyond that: have the kernel drop most packets of a flood."""

    def packets_read(self) -> dict[str, int]:
        """Return how many packets were read on each open link, those included that ``drain`` did not return."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Pass only so much on a link, None for everything; no-op when the link is not open.

        Raises OSError when the kernel refuses; the former filter stays in place.
        """


@runtime_checkable
class AddressFollowing(Protocol):
    """What a transport has to do beyond that if it listens to addresses, and not to a device as a whole."""

    def follow_addresses(self, link: str, own: Collection[Address]) -> None:
        """Listen to these own addresses of an open link and to no others; raises OSError.

        One that is not there, or not known to be ours alone yet, is passed over.
        """


@runtime_checkable
class SettingAside(Protocol):
    """What a transport may be able to do beyond that: have the kernel keep what can wait, and wake nobody for it."""

    def set_aside(self, link: str, family: Family, heads: Mapping[int, bytes]) -> None:
        """Let advertisements wait whose first octets are these, by vhid, as long as nothing else is said.

        They are drained a few times a second, and whenever anything else is. What is not among them any more waits no
        longer from this moment on; new ones may take effect later, or not at all.
        """


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a transport can be used by this process, and if not, why."""

    name: str
    is_usable: bool
    reason: str
