"""A simulated segment: who hears what, and when. A pure schedule; whoever owns a clock performs the deliveries."""

from dataclasses import dataclass

from pycarp.vocabulary import CARP_TTL, Datagram, Outgoing

DEFAULT_DELAY_NS = 50_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """A datagram that will reach a port at a time."""

    at_ns: int
    port: str
    datagram: Datagram


class Fabric:
    """Named ports on one segment. Cuts have a direction: what ``sender`` says does not reach ``receiver``."""

    def __init__(self, *, delay_ns: int = DEFAULT_DELAY_NS) -> None:
        self.delay_ns = delay_ns
        """How long what is sent from now on takes."""

        self._ports: dict[str, None] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._loops: set[str] = set()

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

    def deliveries(self, sender: str, outgoing: Outgoing, now_ns: int) -> list[Delivery]:
        """Return where and when a sent advertisement arrives; at its sender only if that is looped."""
        return [
            Delivery(now_ns + self.delay_ns, port, _as_received(outgoing))
            for port in self._ports
            if (sender, port) not in self._cuts and (port != sender or port in self._loops)
        ]


def _as_received(outgoing: Outgoing) -> Datagram:
    return Datagram(
        link=outgoing.link,
        family=outgoing.family,
        source=outgoing.source,
        destination=outgoing.destination,
        ttl=CARP_TTL,
        payload=outgoing.payload,
    )
