"""Nodes with an engine each, on segments, under one virtual clock that jumps from one happening to the next.

The world does what a driver does: it delivers, lets time pass, performs effects and reports how that went. Nothing in
it is random but the engines' counters, which are drawn from the nodes' names: the same calls give the same history.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count
from random import Random

from pycarp.core import DropAddresses, Effect, Engine, HoldAddresses, Input, Transmit
from pycarp.core.inputs import Action, ActuationReported, DatagramReceived, LinkChanged, TimePassed, TransmitReported
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot
from pycarp.core.state import State
from pycarp.core.statistics import DropReason, LinkStatistics, Statistic, Statistics
from pycarp.sim.fabric import DEFAULT_DELAY_NS, Fabric
from pycarp.vocabulary import Datagram, Family, HostKey, LinkFacts

Actuation = HoldAddresses | DropAddresses


class Trouble(StrEnum):
    """What can be made to fail on a node; the values are how scenarios say it."""

    SENDS = "sends"
    SENDS_IPV4 = "ipv4-sends"
    SENDS_IPV6 = "ipv6-sends"
    HOLD = "hold"
    DROP = "drop"


_ERRORS = {
    Trouble.SENDS: "No buffer space available",
    Trouble.SENDS_IPV4: "Network is unreachable",
    Trouble.SENDS_IPV6: "Network is unreachable",
    Trouble.HOLD: "the addresses cannot be added",
    Trouble.DROP: "the addresses cannot be removed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One input of one node and what came of it: ``effects`` in their order.

    ``counted`` are the counters that rose, ``dropped`` is why a datagram went no further. A datagram that
    raised no counter was never shown to CARP.
    """

    at_ns: int
    node: str
    event: Input
    effects: tuple[Effect, ...]
    counted: frozenset[Statistic] = frozenset()
    dropped: DropReason | None = None


@dataclass(slots=True)
class _Node:
    engine: Engine
    deadline_ns: int | None = None
    links: dict[str, LinkFacts] = field(default_factory=dict)
    troubles: set[Trouble] = field(default_factory=set)
    unfinished: dict[HostKey, Actuation] = field(default_factory=dict)
    is_stopped: bool = False
    waiting: list[Datagram] = field(default_factory=list)
    statistics: Mapping[str, LinkStatistics] = field(default_factory=dict)


class World:
    """Nodes by name; ``observe`` is told every happening, in order.

    Every actuation ends at once, every announcement succeeds, and each segment has the name of its link.
    """

    def __init__(
        self, *, delay_ns: int = DEFAULT_DELAY_NS, observe: Callable[[Happening], None] = lambda _happening: None
    ) -> None:
        self.now_ns = 0
        self._delay_ns = delay_ns
        self._observe = observe
        self._nodes: dict[str, _Node] = {}
        self._fabrics: dict[str, Fabric] = {}
        self._wire: list[tuple[int, int, str, Datagram]] = []
        self._numbers = count()
        self._inbox: deque[tuple[str, Input]] = deque()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes, in the order of their arrival."""
        return tuple(self._nodes)

    @property
    def masters(self) -> list[str]:
        """The nodes that are MASTER of anything, in the order of their arrival."""
        return [name for name in self._nodes if any(host.state is State.MASTER for host in self.snapshot(name).hosts)]

    def fabric(self, link: str) -> Fabric:
        """Return the segment of a link."""
        if link not in self._fabrics:
            self._fabrics[link] = Fabric(delay_ns=self._delay_ns)
        return self._fabrics[link]

    def snapshot(self, name: str) -> EngineSnapshot:
        """Return what a node's engine shows."""
        return self._nodes[name].engine.snapshot()

    def links(self, name: str) -> dict[str, LinkFacts]:
        """Return the links of a node, by name."""
        return dict(self._nodes[name].links)

    # What happens

    def add(self, name: str, settings: Settings | None = None) -> None:
        """Add a node, whose name must be new, without links and hosts."""
        assert name not in self._nodes, f"node {name!r} is there already"
        numbers = Random(name)
        self._nodes[name] = _Node(Engine(entropy=lambda: numbers.getrandbits(64), settings=settings))

    def crash(self, name: str) -> None:
        """Stop a node without a word; it may be added anew."""
        for link in self._nodes.pop(name).links:
            self.fabric(link).detach(name)

    def stop(self, name: str) -> None:
        """Let a node's process stand still; what arrives waits in its sockets."""
        self._nodes[name].is_stopped = True

    def continue_(self, name: str) -> None:
        """Let it go on: it hears what has waited, and then sees what time it is."""
        node = self._nodes[name]
        node.is_stopped = False
        waiting, node.waiting = node.waiting, []
        for datagram in waiting:
            self.tell(name, DatagramReceived(datagram))

    def connect(self, name: str, facts: LinkFacts) -> None:
        """Give a node a link, or change what is known of it."""
        node, fabric = self._nodes[name], self.fabric(facts.name)
        node.links[facts.name] = facts
        if facts.is_up and name not in fabric.ports:
            fabric.attach(name)
        elif not facts.is_up:
            fabric.detach(name)
        self.tell(name, LinkChanged(facts))

    def tell(self, name: str, event: Input) -> None:
        """Let something happen to a node, now."""
        self._inbox.append((name, event))
        while self._inbox:
            self._handle(*self._inbox.popleft())

    def inject(self, name: str, datagram: Datagram, *, at_ns: int) -> None:
        """Let a datagram that no node sent arrive at a node."""
        heappush(self._wire, (at_ns, next(self._numbers), name, datagram))

    def break_(self, name: str, trouble: Trouble) -> None:
        """Let sends or actuations of a node fail from now on."""
        self._nodes[name].troubles.add(trouble)

    def repair(self, name: str, trouble: Trouble) -> None:
        """Let them succeed again; an actuation that failed is made up for at once."""
        node = self._nodes[name]
        node.troubles.discard(trouble)
        for effect in [each for each in node.unfinished.values() if _trouble_of(each) is trouble]:
            del node.unfinished[effect.key]
            self.tell(name, ActuationReported(effect.key, effect.epoch, _action_of(effect), None))

    def run(self, *, until_ns: int) -> None:
        """Deliver packets and let time pass, until nothing is left to happen up to ``until_ns``."""
        while (at_ns := self._next_ns()) is not None and at_ns <= until_ns:
            self.now_ns = max(self.now_ns, at_ns)
            # Read before expiring: what arrives at the very deadline is heard first.
            if self._wire and self._wire[0][0] <= self.now_ns:
                _at_ns, _number, name, datagram = heappop(self._wire)
                self._deliver(name, datagram)
            else:
                self._expire()
        self.now_ns = until_ns

    # How

    def _next_ns(self) -> int | None:
        times = [
            node.deadline_ns for node in self._nodes.values() if node.deadline_ns is not None and not node.is_stopped
        ]
        return min([*times, *(each[0] for each in self._wire[:1])], default=None)

    def _expire(self) -> None:
        for name in self.nodes:
            node = self._nodes[name]
            if node.deadline_ns is not None and node.deadline_ns <= self.now_ns and not node.is_stopped:
                self.tell(name, TimePassed())

    def _deliver(self, name: str, datagram: Datagram) -> None:
        if name not in self._nodes:
            return
        if self._nodes[name].is_stopped:
            self._nodes[name].waiting.append(datagram)
        else:
            self.tell(name, DatagramReceived(datagram))

    def _handle(self, name: str, event: Input) -> None:
        node = self._nodes[name]
        effects, node.deadline_ns = node.engine.handle(event, self.now_ns)
        before, node.statistics = node.statistics, node.engine.snapshot().links
        rises = [_rise(before.get(link), after) for link, after in node.statistics.items()]
        happening = Happening(
            at_ns=self.now_ns,
            node=name,
            event=event,
            effects=effects,
            counted=frozenset(counter for counts, _drops in rises for counter in counts),
            dropped=next((drop for _counts, drops in rises for drop in drops), None),
        )
        self._observe(happening)
        for effect in effects:
            self._perform(name, node, effect)

    def _perform(self, name: str, node: _Node, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            error = self._send(name, node, effect)
            if error is not None or effect.wants_report:
                self._inbox.append((name, TransmitReported(effect.key, error, effect.outgoing.family)))
        elif isinstance(effect, HoldAddresses | DropAddresses):
            error = self._actuate(node, effect)
            self._inbox.append((name, ActuationReported(effect.key, effect.epoch, _action_of(effect), error)))

    def _send(self, name: str, node: _Node, effect: Transmit) -> str | None:
        of_family = {Family.IPV4: Trouble.SENDS_IPV4, Family.IPV6: Trouble.SENDS_IPV6}[effect.outgoing.family]
        for trouble in (Trouble.SENDS, of_family):
            if trouble in node.troubles:
                return _ERRORS[trouble]
        for delivery in self.fabric(effect.key.link).deliveries(name, effect.outgoing, self.now_ns):
            self.inject(delivery.port, delivery.datagram, at_ns=delivery.at_ns)
        return None

    def _actuate(self, node: _Node, effect: Actuation) -> str | None:
        """Return why an actuation fails, if it does; only the last one of a host is made up for."""
        trouble = _trouble_of(effect)
        if trouble in node.troubles:
            node.unfinished[effect.key] = effect
            return _ERRORS[trouble]
        node.unfinished.pop(effect.key, None)
        return None


def _rise(before: LinkStatistics | None, after: LinkStatistics) -> tuple[Statistics, Counter[DropReason]]:
    """Return by how much the counters of a link rose."""
    if before is None:
        return after.counts, after.drops
    return after.counts - before.counts, after.drops - before.drops


def _action_of(effect: Actuation) -> Action:
    return Action.HOLD if isinstance(effect, HoldAddresses) else Action.DROP


def _trouble_of(effect: Actuation) -> Trouble:
    return Trouble.HOLD if isinstance(effect, HoldAddresses) else Trouble.DROP
