"""A simulated segment: who hears what, and when. A pure schedule; whoever owns a clock performs the deliveries."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from pycarp.dialects.base import ArpForm
from pycarp.vocabulary import CARP_TTL, Datagram, Family, Interface, MacAddress, Outgoing, family_of

DEFAULT_DELAY_NS = 50_000

_FREED_WITHIN_NS = 2_000_000
"""What was kept while a segment was clogged arrives within this time, in any order."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A datagram that will reach a port at a time."""

    at_ns: int
    port: str
    datagram: Datagram


@dataclass(slots=True)
class Weather:
    """What chance does to packets: the shares of 1 that are lost or doubled, and by how much they may be late."""

    loss: float = 0.0
    doubles: float = 0.0
    late_ns: int = 0
    clogged_until_ns: int = 0


class Fabric:
    """Named ports on one segment. Cuts have a direction: what ``sender`` says does not reach ``receiver``.

    It learns MAC addresses as a switch does: a frame to one goes to the port at which the last frame from it entered.
    A cut filters behind that, so that clients reach both sides. Without ``chance`` the weather is always fine.
    """

    def __init__(self, *, delay_ns: int = DEFAULT_DELAY_NS, chance: Random | None = None) -> None:
        self.delay_ns = delay_ns
        """How long what is sent from now on takes."""

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
        """Remove a port; nothing happens when it is not there."""
        self._ports.pop(port, None)
        self._learned = {mac: where for mac, where in self._learned.items() if where != port}

    def cut(self, sender: str, receiver: str) -> None:
        """Lose whatever goes from one port to another; the way back stays open."""
        self._cuts.add((sender, receiver))

    def isolate(self, port: str) -> None:
        """Cut a port off from all others, both ways."""
        for other in self._ports:
            if other != port:
                self.cut(port, other)
                self.cut(other, port)

    def loop(self, port: str) -> None:
        """Return to a port also what it sent itself, as some hypervisors and bonds do."""
        self._loops.add(port)

    def heal(self) -> None:
        """Undo every cut and loop."""
        self._cuts.clear()
        self._loops.clear()

    def carries(self, sender: str, receiver: str) -> bool:
        """Say whether what one port sends reaches another, as far as the weather allows."""
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

    def announce(self, sender: str, addresses: Iterable[Interface], form: ArpForm, owner: MacAddress | None) -> None:
        """Let a port announce addresses at ``owner``, whose MAC it is; None stands for the link's own.

        Gratuitous ARP leaves from where ``form`` says, a neighbour advertisement always from the owner.
        """
        if not form.link_source or any(family_of(each) is Family.IPV6 for each in addresses):
            self._learn(sender, owner)

    def port_of(self, mac: MacAddress) -> str | None:
        """Return the port to which a client's frame goes now; None: to all, since none has come from that address."""
        return self._learned.get(mac)

    def _learn(self, sender: str, source: MacAddress | None) -> None:
        """Note where a frame entered; from the link's own address, which no other has, it moves none."""
        if source is not None and sender in self._ports:
            self._learned[source] = sender

    def _arrivals(self, chance: Random, now_ns: int) -> list[int]:
        """Return when a packet arrives at one port: once, not at all, or twice."""
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
