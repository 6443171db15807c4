"""The protocols of transports; ``pycarp.testing.check_transport`` checks them."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from pycarp.core.flood import PacketFilter
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.vocabulary import Address, Datagram, Family, InterfaceAddress, Outgoing


class Transport(Protocol):
    """Sends and receives the advertisements of one node, in both families, on any number of links.

    It delivers packets to a group or to this machine; the engine finds the host they are for. It never delivers its own
    packets. Only the coroutines may wait. What a transport may have besides is in the other protocols of this module.
    """

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open a link; ``wake`` is called in the event loop whenever datagrams can be drained.

        A link on which IPv6 does not work is opened as well. Raises TransportError, which names the link and the way
        out.
        """

    async def close_link(self, link: str) -> None:
        """Close a link; no-op if it is not open."""

    def send(self, outgoing: Outgoing) -> None:
        """Send to a group or to one peer, at once; raises OSError, and never waits.

        A group is reached on the link. A peer may be behind a router; the routing table chooses the way to it.
        """

    def drain(self, limit: int) -> list[Datagram]:
        """Return at most ``limit`` of the datagrams that have arrived, without waiting.

        Links and families share the limit, so a flood on one does not delay the datagrams of another. Within each, the
        order is that of arrival.
        """

    async def close(self) -> None:
        """Close every link; may be called again."""


@runtime_checkable
class GroupJoining(Protocol):
    """A transport that receives only the groups that it joined, or none; every other one receives all groups."""

    async def join(self, link: str, group: Address) -> None:
        """Join a multicast group on an open link; no-op if it is joined already, as the two of CARP may be.

        Raises TransportError, also if the transport has no groups.
        """


@runtime_checkable
class PacketPreparing(Protocol):
    """A transport whose advertisements the guardian can send, when this process cannot."""

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Return the advertisement for the guardian to send, None if only this process can send it; raises OSError."""


@runtime_checkable
class PacketFiltering(Protocol):
    """A transport that can make the kernel drop most packets of a flood."""

    def packets_read(self) -> dict[str, int]:
        """Return how many packets were read on each open link, including those that ``drain`` did not return."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Set the packet filter of a link, None for none; no-op if the link is not open.

        Raises OSError if the kernel refuses; the previous filter stays in place.
        """


@runtime_checkable
class AddressFollowing(Protocol):
    """A transport that listens to own addresses, not to a whole device, and so has to follow them."""

    def follow_addresses(self, link: str, own: Collection[Address]) -> None:
        """Listen to exactly these own addresses of an open link; raises OSError.

        An address that is absent or tentative is skipped.
        """


@runtime_checkable
class SourceChoosing(Protocol):
    """A transport that uses some addresses only, such as those that it was told to bind."""

    def sources(self, link: str, own: tuple[InterfaceAddress, ...]) -> tuple[InterfaceAddress, ...]:
        """Return the addresses of a link from which it sends and to which it listens, the preferred one first.

        ``own`` are those that the monitor reports.
        """


@runtime_checkable
class SettingAside(Protocol):
    """A transport that can make the kernel keep packets that may wait, without waking this process."""

    def set_aside(self, link: str, family: Family, heads: Mapping[int, bytes]) -> None:
        """Set the first octets, by vhid, of the advertisements that may wait on a link; in force until the next call.

        They are drained every two seconds at least, and with every other packet, which comes after them. ``drain`` may
        return 256 of them beside the others, and all with a limit of 1024 or more. An advertisement that is removed
        from them stops waiting at once; one that is added may begin to wait later, or not at all.
        """


PARTS = (GroupJoining, PacketPreparing, PacketFiltering, AddressFollowing, SourceChoosing, SettingAside)
"""What a transport may have besides."""


class Availability(msgspec.Struct, frozen=True):
    """Whether this process can use a transport, and if not, why."""

    name: str
    is_usable: bool
    reason: str
