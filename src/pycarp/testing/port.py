"""A member's transport: links can be down, datagrams can get lost, and the member can be unplugged."""

import asyncio
import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.testing.simulated_process import Process, outside
from pycarp.transports.memory import MemoryTransport
from pycarp.vocabulary import CARP_PROTOCOL, Address, Datagram, Family, Outgoing


@dataclass(slots=True)
class Chance:
    """Chooses the datagrams that get lost: a share ``loss``, 0-1; the same seed loses the same ones."""

    loss: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def spares(self) -> bool:
        """Return whether the next datagram arrives."""
        return not self.loss or self.dice.random() >= self.loss


class Port:
    """The transport of one life of a member.

    A datagram that arrives wakes the member's process. On links that are ``down`` nothing passes; sending in a family
    of ``unsendable`` raises OSError.
    """

    def __init__(
        self, inner: MemoryTransport, process: Process, down: set[str], unsendable: set[Family], chance: Chance
    ) -> None:
        self._inner = inner
        self._process = process
        self._down = down
        self._unsendable = unsendable
        self._chance = chance
        self._is_plugged = True
        self._prepared: dict[bytes, Outgoing] = {}

    def unplug(self) -> None:
        """Neither send nor deliver anything from now on."""
        self._is_plugged = False

    async def vanish(self) -> None:
        """Leave the segment, so that the port of a restarted member can join it."""
        self.unplug()
        await self._inner.close()

    def post(self, prepared_packet: PreparedPacket) -> None:
        """Send a prepared packet that this port has made."""
        self.send(self._prepared[prepared_packet.octets])

    # For the node

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open a link."""
        loop = asyncio.get_running_loop()
        await self._inner.open_link(link, lambda: self._wake(loop, wake))

    async def join(self, link: str, group: Address) -> None:
        """Join a group."""
        await self._inner.join(link, group)

    async def close_link(self, link: str) -> None:
        """Close a link."""
        await self._inner.close_link(link)

    def send(self, outgoing: Outgoing) -> None:
        """Send, or drop the datagram if the link is down; raises OSError if the family cannot be sent."""
        if not self._is_plugged or outgoing.link in self._down:
            return
        if outgoing.family in self._unsendable:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        # A datagram on the wire arrives even if its sender is stopped meanwhile.
        with outside():
            self._inner.send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket:
        """Return a prepared packet for ``post``."""
        self._prepared[outgoing.payload] = outgoing
        return PreparedPacket(outgoing.family, 0, CARP_PROTOCOL, (), (), outgoing.payload)

    def drain(self, limit: int) -> list[Datagram]:
        """Return the datagrams that have arrived and were not lost."""
        arrived = self._inner.drain(limit)
        return [each for each in arrived if self._is_plugged and each.link not in self._down and self._chance.spares()]

    async def close(self) -> None:
        """Leave the segment, unless the port of a restarted member has replaced this one."""
        if self._is_plugged:
            await self._inner.close()

    def _wake(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        if self._is_plugged:
            loop.call_soon(wake, context=self._process.context())
