"""Hosts on one wire with a delay, each with an engine of its own: deterministic, with a clock that jumps."""

from heapq import heappop, heappush
from itertools import count
from random import Random

from pycarp.core import DropAddresses, Engine, HoldAddresses, Transmit
from pycarp.core.events import StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import Action, ActuationReported, DatagramReceived, HostAdded, Input, LinkChanged, TimePassed
from pycarp.core.state import State
from pycarp.vocabulary import CARP_TTL, Datagram, LinkFacts, Outgoing
from tests.support.hosts import LINK, Bench, changes, link


class Segment:
    """Members hear each other after ``latency_ns``, but for the ``deaf``; every actuation succeeds at once."""

    def __init__(self, *, latency_ns: int) -> None:
        self.latency_ns = latency_ns
        self.deaf: set[str] = set()
        self.now_ns = 0
        self.changes: list[StateChange] = []
        self._members: dict[str, Bench] = {}
        self._wire: list[tuple[int, int, str, Datagram]] = []
        self._numbers = count()

    @property
    def masters(self) -> list[str]:
        """The names of the members that are MASTER, in the order of their arrival."""
        return [name for name, member in self._members.items() if member.state is State.MASTER]

    def join(self, name: str, host: HostConfig, *, own: str | None) -> None:
        """Add a member with one host and at most one address of its own, now."""
        numbers = Random(name)
        self._members[name] = Bench(Engine(entropy=lambda: numbers.getrandbits(64)))
        self._feed(name, LinkChanged(link(own) if own else LinkFacts(name=LINK, is_up=True)))
        self._feed(name, HostAdded(host))

    def tell(self, name: str, event: Input) -> None:
        """Let something happen to a member, now."""
        self._feed(name, event)

    def run(self, *, until_ns: int) -> None:
        """Deliver packets and pass time until nothing is left to happen before ``until_ns``."""
        while True:
            delivery_ns = self._wire[0][0] if self._wire else until_ns + 1
            wake_up_ns, name = min(
                (member.step.deadline_ns, name)
                for name, member in self._members.items()
                if member.step.deadline_ns is not None
            )
            if min(delivery_ns, wake_up_ns) > until_ns:
                break
            # Read before expiring: what arrives at the very deadline is heard first.
            if delivery_ns <= wake_up_ns:
                self.now_ns, _number, name, datagram = heappop(self._wire)
                self._feed(name, DatagramReceived(datagram))
            else:
                self.now_ns = wake_up_ns
                self._feed(name, TimePassed())
        self.now_ns = until_ns

    def _feed(self, name: str, event: Input) -> None:
        member = self._members[name]
        effects = member.feed(event, at_ns=self.now_ns)
        self.changes += changes(effects)
        for effect in effects:
            match effect:
                case Transmit(_key, outgoing):
                    self._send(name, outgoing)
                case HoldAddresses(key, epoch):
                    self._feed(name, ActuationReported(key, epoch, Action.HOLD, None))
                case DropAddresses(key, epoch):
                    self._feed(name, ActuationReported(key, epoch, Action.DROP, None))
                case _:
                    pass

    def _send(self, sender: str, outgoing: Outgoing) -> None:
        heard = Datagram(
            link=outgoing.link,
            family=outgoing.family,
            source=outgoing.source,
            destination=outgoing.destination,
            ttl=CARP_TTL,
            payload=outgoing.payload,
        )
        for name in self._members:
            if name != sender and name not in self.deaf:
                heappush(self._wire, (self.now_ns + self.latency_ns, next(self._numbers), name, heard))
