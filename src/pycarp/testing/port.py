"""How a member is plugged into the segment: links can be down, datagrams get lost, and the plug can be pulled."""

import asyncio
import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.testing.process import Process, outside
from pycarp.transports.memory import MemoryTransport
from pycarp.vocabulary import CARP_PROTOCOL, Address, Datagram, Family, Outgoing


@dataclass(slots=True)
class Chance:
    """Which datagrams get lost: ``loss`` of them, from 0 to 1, always the same ones for the same seed."""

    loss: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def spares(self) -> bool:
        """Say whether the next datagram arrives."""
        return not self.loss or self.dice.random() >= self.loss


class Port:
    """The transport of one life of a member.

    What arrives wakes its process; on links that are ``down`` nothing passes, and sending in a family of ``unsendable``
    is an error.
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
        """Neither send nor hear any more, whatever the node does."""
        self._is_plugged = False

    async def vanish(self) -> None:
        """Leave the segment, so that a successor can take the place."""
        self.unplug()
        await self._inner.close()

    def post(self, prepared_packet: PreparedPacket) -> None:
        """Send a prepared packet that this port has made."""
        self.send(self._prepared[prepared_packet.octets])

    # What a node does with it

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Take part on a link."""
        loop = asyncio.get_running_loop()
        await self._inner.open_link(link, lambda: self._wake(loop, wake))

    async def join(self, link: str, group: Address) -> None:
        """Listen to a group."""
        await self._inner.join(link, group)

    async def close_link(self, link: str) -> None:
        """Leave a link."""
        await self._inner.close_link(link)

    def send(self, outgoing: Outgoing) -> None:
        """Send, in vain if nothing passes; raises OSError if the family cannot be sent."""
        if not self._is_plugged or outgoing.link in self._down:
            return
        if outgoing.family in self._unsendable:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        # What is on the wire arrives, even if the sender stands still meanwhile.
        with outside():
            self._inner.send(outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket:
        """Return what ``post`` takes."""
        self._prepared[outgoing.payload] = outgoing
        return PreparedPacket(outgoing.family, 0, CARP_PROTOCOL, (), (), outgoing.payload)

    def drain(self, limit: int) -> list[Datagram]:
        """Return what has arrived and was not lost."""
        arrived = self._inner.drain(limit)
        return [each for each in arrived if self._is_plugged and each.link not in self._down and self._chance.spares()]

    async def close(self) -> None:
        """Leave the segment, unless the place is somebody else's by now."""
        if self._is_plugged:
            await self._inner.close()

    def _wake(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        if self._is_plugged:
            loop.call_soon(wake, context=self._process.context())
