"""A simulated segment: computes who receives a packet, and when. It has no clock; its caller makes the deliveries."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import msgspec

from pycarp.dialects.dialect import ArpForm
from pycarp.vocabulary import CARP_TTL, Datagram, Family, InterfaceAddress, MacAddress, Outgoing, family_of

DEFAULT_DELAY_NS = 50_000

_FREED_WITHIN_NS = 2_000_000
"""Packets kept during a clog arrive within this time after it, in any order."""


class Delivery(msgspec.Struct, frozen=True):
    """A datagram that will reach a port at a time."""

    at_ns: int
    port: str
    datagram: Datagram


@dataclass(slots=True)
class Weather:
    """Random losses and delays: shares of 1 that are lost or doubled, the greatest extra delay, the end of a clog."""

    loss: float = 0.0
    doubles: float = 0.0
    late_ns: int = 0
    clogged_until_ns: int = 0


class Fabric:
    """Named ports on one segment. A cut has a direction: packets from ``sender`` do not reach ``receiver``.

    The fabric learns MAC addresses as a switch does: a frame goes to the port at which the last frame from its
    destination entered. Cuts do not affect learning, so clients reach both sides. Without ``chance`` no packet is lost
    or late.
    """

    def __init__(self, *, delay_ns: int = DEFAULT_DELAY_NS, chance: Random | None = None) -> None:
        self.delay_ns = delay_ns
        """The delay of packets sent from now on."""

        self.weather = Weather()
        self._chance = chance
        self._ports: dict[str, None] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._loops: set[str] = set()
        self._learned: dict[MacAddress, str] = {}

    @property
    def ports(self) -> tuple[str, ...]:
        """The attached ports, in the order of their arrival."""
        return tuple(self._ports)

    def attach(self, port: str) -> None:
        """Add a port; a name may be attached once."""
        assert port not in self._ports, f"port {port!r} is taken"
        self._ports[port] = None

    def detach(self, port: str) -> None:
        """Remove a port; no-op if it is absent."""
        self._ports.pop(port, None)
        self._learned = {mac: where for mac, where in self._learned.items() if where != port}

    def cut(self, sender: str, receiver: str) -> None:
        """Lose all packets from one port to another; the opposite direction stays open."""
        self._cuts.add((sender, receiver))

    def isolate(self, port: str) -> None:
        """Cut a port off from all others, both ways."""
        for other in self._ports:
            if other != port:
                self.cut(port, other)
                self.cut(other, port)

    def loop(self, port: str) -> None:
        """Deliver to a port also its own packets, as some hypervisors and bonds do."""
        self._loops.add(port)

    def heal(self) -> None:
        """Undo every cut and loop."""
        self._cuts.clear()
        self._loops.clear()

    def carries(self, sender: str, receiver: str) -> bool:
        """Return whether both ports are attached and no cut is between them; random loss is still possible."""
        return sender in self._ports and receiver in self._ports and (sender, receiver) not in self._cuts

    def deliveries(self, sender: str, outgoing: Outgoing, now_ns: int) -> list[Delivery]:
        """Return where and when a sent advertisement arrives; at its sender only if that is looped."""
        self._learn(sender, outgoing.source_mac)
        datagram = _as_received(outgoing)
        ports = [
            port for port in self._ports if (sender, port) not in self._cuts and (port != sender or port in self._loops)
        ]
        if self._chance is None:
            return [Delivery(now_ns + self.delay_ns, port, datagram) for port in ports]
        return [Delivery(at_ns, port, datagram) for port in ports for at_ns in self._arrivals(self._chance, now_ns)]

    # Learning

    def announce(
        self, sender: str, addresses: Iterable[InterfaceAddress], form: ArpForm, owner: MacAddress | None
    ) -> None:
        """Record that ``owner``, the MAC address of the announced addresses, is at a port; None is the link's own.

        ``form`` says from which MAC address gratuitous ARP leaves; a neighbour advertisement leaves from the owner.
        """
        if not form.link_source or any(family_of(each) is Family.IPV6 for each in addresses):
            self._learn(sender, owner)

    def port_of(self, mac: MacAddress) -> str | None:
        """Return the port to which a client's frame goes now; None for all ports: no frame has come from ``mac``."""
        return self._learned.get(mac)

    def _learn(self, sender: str, source: MacAddress | None) -> None:
        """Record the port at which a frame entered; no-op for None, the link's own address, which never moves."""
        if source is not None and sender in self._ports:
            self._learned[source] = sender

    def _arrivals(self, chance: Random, now_ns: int) -> list[int]:
        """Return the arrival times of a packet at one port: none if it is lost, two if it is doubled."""
        weather, at_ns = self.weather, now_ns + self.delay_ns
        if weather.loss and chance.random() < weather.loss:
            return []
        copies = 2 if weather.doubles and chance.random() < weather.doubles else 1
        if now_ns < weather.clogged_until_ns:
            return [weather.clogged_until_ns + chance.randrange(_FREED_WITHIN_NS) for _copy in range(copies)]
        if weather.late_ns:
            return [at_ns + chance.randrange(weather.late_ns) for _copy in range(copies)]
        return [at_ns] * copies


def _as_received(outgoing: Outgoing) -> Datagram:
    return Datagram(
        link=outgoing.link,
        family=outgoing.family,
        source=outgoing.source,
        destination=outgoing.destination,
        ttl=CARP_TTL,
        payload=outgoing.payload,
    )
