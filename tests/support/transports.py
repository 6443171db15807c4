"""A transport that does what a test says: it keeps what is sent, and hands out what was put into it."""

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from pycarp import transports
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.transports import GroupJoining, PacketPreparing, Transport
from pycarp.vocabulary import CARP_TTL, Address, Datagram, Outgoing


class SocketTransport(Transport, GroupJoining, PacketPreparing, Protocol):
    """What packet, raw and udp have."""


def by_name(name: str) -> SocketTransport:
    """Return one of pycarp's own transports."""
    return cast("SocketTransport", transports.by_name(name))


def free_udp_port() -> int:
    """Return a port that no address of this machine uses: the processes of a test run may use udp at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])


@dataclass(slots=True, kw_only=True)
class ScriptedTransport:
    """``waiting`` is what can be drained; while ``error`` is set, sending fails with it."""

    sent: list[Outgoing] = field(default_factory=list)
    waiting: deque[Datagram] = field(default_factory=deque)
    drained: list[int] = field(default_factory=list)
    error: OSError | None = None
    wakes: dict[str, Callable[[], None]] = field(default_factory=dict)

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Remember whom to wake."""
        self.wakes[link] = wake

    async def join(self, link: str, group: Address) -> None:
        """Every group is heard."""

    async def close_link(self, link: str) -> None:
        """Forget it."""
        self.wakes.pop(link, None)

    def send(self, outgoing: Outgoing) -> None:
        """Keep an advertisement, or fail."""
        if self.error is not None:
            raise self.error
        self.sent.append(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Return an empty prepared packet."""
        return PreparedPacket(family=0, kind=0, protocol=0, options=(), address=(), octets=outgoing.payload)

    def drain(self, limit: int) -> list[Datagram]:
        """Hand out what is waiting."""
        batch = [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]
        self.drained.append(len(batch))
        return batch

    async def close(self) -> None:
        """Nothing to release."""


def received(outgoing: Outgoing) -> Datagram:
    """Return what a receiver sees of an advertisement."""
    return Datagram(
        link=outgoing.link,
        family=outgoing.family,
        source=outgoing.source,
        destination=outgoing.destination,
        ttl=CARP_TTL,
        payload=outgoing.payload,
    )
