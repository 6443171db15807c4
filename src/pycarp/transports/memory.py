"""A segment inside one process: needs no privileges, sends no packets, and runs on asyncio."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

from pycarp.errors import TransportError
from pycarp.sim.fabric import Delivery, Fabric
from pycarp.system.guardian.clean_up_steps import PreparedPacket
from pycarp.vocabulary import NS_PER_S, Address, Datagram, Outgoing

QUEUE_LIMIT = 1024
"""The most datagrams that a port keeps for its reader."""


class MemoryBus:
    """Connects the ports of several nodes through a ``Fabric``, whose cuts may be changed at any time."""

    def __init__(self, fabric: Fabric | None = None) -> None:
        self.fabric = fabric or Fabric()
        self._ports: dict[str, MemoryTransport] = {}
        self._under_way: list[tuple[int, int, Delivery]] = []
        self._numbers = count()

    def port(self, name: str) -> "MemoryTransport":
        """Return a new transport that is attached under ``name``."""
        self.fabric.attach(name)
        self._ports[name] = MemoryTransport(name, self._carry, self._detach)
        return self._ports[name]

    def _carry(self, sender: str, outgoing: Outgoing) -> None:
        loop = asyncio.get_running_loop()
        now_ns = int(loop.time() * NS_PER_S)
        for delivery in self.fabric.deliveries(sender, outgoing, now_ns):
            heapq.heappush(self._under_way, (delivery.at_ns, next(self._numbers), delivery))
            loop.call_at(delivery.at_ns / NS_PER_S, self._deliver_first)

    def _deliver_first(self) -> None:
        """Deliver the earliest datagram: unlike a segment, the loop keeps no order among timers of the same moment."""
        _at_ns, _number, delivery = heapq.heappop(self._under_way)
        if delivery.port in self._ports:
            self._ports[delivery.port].receive(delivery.datagram)

    def _detach(self, name: str) -> None:
        self.fabric.detach(name)
        self._ports.pop(name, None)


class MemoryTransport:
    """One node's port on a ``MemoryBus``; made by ``MemoryBus.port``."""

    def __init__(self, name: str, carry: Callable[[str, Outgoing], None], detach: Callable[[str], None]) -> None:
        self._name = name
        self._carry = carry
        self._detach = detach
        self._wakes: dict[str, Callable[[], None]] = {}
        self._queue: deque[Datagram] = deque(maxlen=QUEUE_LIMIT)

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        """Open a link; a port accepts links of any name."""
        if link in self._wakes:
            raise TransportError(f"link {link} is open already")
        self._wakes[link] = wake

    async def join(self, link: str, group: Address) -> None:
        """Join a group, which changes nothing: every port receives all groups."""
        if link not in self._wakes:
            raise TransportError(f"link {link} is not open")

    async def close_link(self, link: str) -> None:
        """Close a link, and drop the datagrams that have arrived on it."""
        if self._wakes.pop(link, None) is not None:
            waiting = [datagram for datagram in self._queue if datagram.link != link]
            self._queue.clear()
            self._queue.extend(waiting)

    def send(self, outgoing: Outgoing) -> None:
        """Pass an advertisement to the fabric; raises OSError if the link is not open."""
        if outgoing.link not in self._wakes:
            raise OSError(f"link {outgoing.link} is not open")
        self._carry(self._name, outgoing)

    def receive(self, datagram: Datagram) -> None:
        """Queue a datagram; for the bus, and for tests that forge packets."""
        wake = self._wakes.get(datagram.link)
        if wake is not None:
            self._queue.append(datagram)
            wake()

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        """Return None: only this process can send on the segment."""
        return None

    def drain(self, limit: int) -> list[Datagram]:
        """Return the datagrams that have arrived, the oldest first."""
        return [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]

    async def close(self) -> None:
        """Detach from the bus."""
        self._wakes.clear()
        self._queue.clear()
        self._detach(self._name)
