"""Nodes with an engine each, on segments, under one virtual clock that jumps from one entry to the next.

Each node is a runtime whose attempts end at once. Nothing is random but the engines' counters, which are drawn from the
nodes' names: the same calls give the same history.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count
from random import Random

import msgspec

from pycarp.core import Announce, DropAddresses, Effect, Engine, HoldAddresses, Input, RenewAddresses, Step
from pycarp.core.events import Event
from pycarp.core.flood import PacketFilter
from pycarp.core.inputs import Action, ActuationReported, LinkChanged
from pycarp.core.settings import Settings
from pycarp.core.snapshot import EngineSnapshot
from pycarp.core.state import State
from pycarp.core.statistics import DropReason, LinkStatistics, Statistic, Statistics
from pycarp.runtime import Attempt, Pace, Runtime
from pycarp.sim.fabric import DEFAULT_DELAY_NS, Fabric
from pycarp.vocabulary import Datagram, Family, HostKey, LinkFacts, Outgoing


class Trouble(StrEnum):
    """What can be made to fail on a node; the values are how scenarios say it."""

    SENDS = "sends"
    SENDS_IPV4 = "ipv4-sends"
    SENDS_IPV6 = "ipv6-sends"
    HOLD = "hold"
    DROP = "drop"


_ENOBUFS = 105
_SENDS_OF = {Family.IPV4: Trouble.SENDS_IPV4, Family.IPV6: Trouble.SENDS_IPV6}
_TROUBLES = {Action.HOLD: Trouble.HOLD, Action.DROP: Trouble.DROP}
_ERRORS = {
    Trouble.SENDS: "No buffer space available",
    Trouble.SENDS_IPV4: "Network is unreachable",
    Trouble.SENDS_IPV6: "Network is unreachable",
    Trouble.HOLD: "the addresses cannot be added",
    Trouble.DROP: "the addresses cannot be removed",
}

_PACE = Pace(retry_first_ns=1 << 62, retry_max_ns=1 << 62, repair_first_ns=0, repair_max_ns=0)
"""What failed is not tried again before ``World.repair``; what others changed is put right at once."""


class WorldRecord(msgspec.Struct, frozen=True, kw_only=True):
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


class _Node:
    """One node; it supplies what its runtime needs, see ``pycarp.runtime.Ports``.

    ``armed_ns`` is when its timer fires, ``waiting`` what has arrived and was not read, and ``unfinished`` says which
    hosts could not do what.
    """

    def __init__(self, name: str, world: "World", engine: Engine) -> None:
        self.engine = engine
        self.armed_ns: int | None = None
        self.links: dict[str, LinkFacts] = {}
        self.troubles: set[Trouble] = set()
        self.unfinished: dict[HostKey, Trouble] = {}
        self.is_stopped = False
        self.waiting: deque[Datagram] = deque()
        self._name = name
        self._world = world
        self._attempts: deque[Attempt] = deque()
        self._has_more = False
        self._statistics: Mapping[str, LinkStatistics] = {}
        self._runtime = Runtime(self, self, pace=_PACE)

    # What happens to it

    def submit(self, event: Input) -> None:
        """Give an input to the engine."""
        self._runtime.submit(event)
        self._finish()

    def read_waiting(self) -> None:
        """Wake the runtime to read its packets, unless the process is stopped."""
        while self.waiting and not self.is_stopped:
            self._runtime.wake()
            self._finish()

    def expire(self) -> None:
        """Notify the runtime that its timer has expired."""
        self._runtime.timer_fired()
        self._finish()

    def retry(self, key: HostKey) -> None:
        """Try again what failed."""
        self._runtime.retry(key)
        self._finish()

    def _finish(self) -> None:
        """Make every attempt, and go on until nothing is left to do at this moment."""
        while self._attempts or self._has_more:
            if self._has_more:
                self._has_more = False
                self._runtime.resume()
                continue
            attempt = self._attempts.popleft()
            error = self._attempted(attempt) if self._runtime.begin(attempt) else "not wanted any more"
            self._runtime.attempt_ended(attempt, error)

    def _attempted(self, attempt: Attempt) -> str | None:
        """Return why an attempt fails, if it does."""
        trouble = _TROUBLES.get(attempt.action)
        if trouble is None:
            return None
        if trouble in self.troubles:
            self.unfinished[attempt.key] = trouble
            return _ERRORS[trouble]
        self.unfinished.pop(attempt.key, None)
        return None

    # An engine that is observed

    def handle(self, event: Input, now_ns: int, /) -> Step:
        """Return the step of the engine, after the observer has received it with the counters that rose."""
        step = self.engine.handle(event, now_ns)
        before, self._statistics = self._statistics, self.engine.snapshot().links
        rises = [_rise(before.get(link), after) for link, after in self._statistics.items()]
        self._world.observe(
            WorldRecord(
                at_ns=now_ns,
                node=self._name,
                event=event,
                effects=step.effects,
                counted=frozenset(counter for counts, _drops in rises for counter in counts),
                dropped=next((drop for _counts, drops in rises for drop in drops), None),
            )
        )
        return step

    def can_send(self, key: HostKey, /) -> bool:
        """Return ``Engine.can_send``."""
        return self.engine.can_send(key)

    # What its runtime needs

    def now_ns(self) -> int:
        """Return the time of the world."""
        return self._world.now_ns

    def arm(self, at_ns: int | None) -> None:
        """Set the timer."""
        self.armed_ns = at_ns

    def later(self) -> None:
        """Go on as soon as this turn is over."""
        self._has_more = True

    def send(self, outgoing: Outgoing) -> None:
        """Put an advertisement on the wire."""
        for trouble in (Trouble.SENDS, _SENDS_OF[outgoing.family]):
            if trouble in self.troubles:
                raise OSError(_ENOBUFS, _ERRORS[trouble])
        self._world.carry(self._name, outgoing)

    def read(self, limit: int) -> Sequence[Datagram]:
        """Read what waits."""
        return [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]

    def packets_read(self) -> Mapping[str, int] | None:
        """Return None: packets are not filtered here."""

    def set_packet_filter(self, link: str, packet_filter: PacketFilter | None) -> None:
        """Never called, because packets are not counted."""

    def start(self, attempt: Attempt) -> None:
        """Make an attempt after the steps that are under way."""
        self._attempts.append(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """No-op: the attempt is skipped at its turn, because nobody wants it then."""

    def renew(self, effects: Sequence[RenewAddresses]) -> None:
        """No-op: no kernel lets addresses expire here."""

    def arm_guardian(self, effect: HoldAddresses) -> None:
        """No-op: there is no guardian."""

    def renew_guardian(self, keys: Sequence[HostKey]) -> None:
        """No-op: there is no guardian."""

    def disarm_guardian(self, key: HostKey) -> None:
        """No-op: there is no guardian."""

    def asked(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        """Nobody is interested."""

    def reported(self, report: ActuationReported) -> None:
        """Nobody is interested."""

    def publish(self, event: Event) -> None:
        """No-op: the observer has received the event with its step."""

    def stalled(self, late_ns: int) -> None:
        """Nobody is interested."""

    def failed(self, bug: BaseException) -> None:
        """Raise it: scenarios end with it."""
        raise bug


class World:
    """Nodes by name; ``observe`` receives every record, in order.

    Every actuation ends at once, every announcement succeeds, and each segment has the name of its link.
    """

    def __init__(
        self, *, delay_ns: int = DEFAULT_DELAY_NS, observe: Callable[[WorldRecord], None] = lambda _entry: None
    ) -> None:
        self.now_ns = 0
        self._delay_ns = delay_ns
        self.observe = observe
        self._nodes: dict[str, _Node] = {}
        self._fabrics: dict[str, Fabric] = {}
        self._wire: list[tuple[int, int, str, Datagram]] = []
        self._numbers = count()

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
        self._nodes[name] = _Node(name, self, Engine(entropy=lambda: numbers.getrandbits(64), settings=settings))

    def crash(self, name: str) -> None:
        """Remove a node without a bow-out; a node with its name may be added later."""
        for link in self._nodes.pop(name).links:
            self.fabric(link).detach(name)

    def stop(self, name: str) -> None:
        """Stop the process of a node; packets wait in its sockets."""
        self._nodes[name].is_stopped = True

    def continue_(self, name: str) -> None:
        """Continue a stopped process: it reads the packets that wait, and then the clock."""
        node = self._nodes[name]
        node.is_stopped = False
        node.read_waiting()

    def connect(self, name: str, facts: LinkFacts) -> None:
        """Give a node a link, or change what is known of it."""
        node, fabric = self._nodes[name], self.fabric(facts.name)
        node.links[facts.name] = facts
        if facts.is_up and name not in fabric.ports:
            fabric.attach(name)
        elif not facts.is_up:
            fabric.detach(name)
        self.submit(name, LinkChanged(facts))

    def submit(self, name: str, event: Input) -> None:
        """Submit an input to a node, now."""
        self._nodes[name].submit(event)

    def inject(self, name: str, datagram: Datagram, *, at_ns: int) -> None:
        """Deliver a datagram that no node sent."""
        heappush(self._wire, (at_ns, next(self._numbers), name, datagram))

    def break_(self, name: str, trouble: Trouble) -> None:
        """Make sends or actuations of a node fail from now on."""
        self._nodes[name].troubles.add(trouble)

    def repair(self, name: str, trouble: Trouble) -> None:
        """Make them succeed again; the node repeats a failed actuation at once."""
        node = self._nodes[name]
        node.troubles.discard(trouble)
        for key in [key for key, failed in node.unfinished.items() if failed is trouble]:
            node.retry(key)

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

    # What nodes do

    def carry(self, name: str, outgoing: Outgoing) -> None:
        """Plan the deliveries of a packet to all ports of its segment."""
        for delivery in self.fabric(outgoing.link).deliveries(name, outgoing, self.now_ns):
            self.inject(delivery.port, delivery.datagram, at_ns=delivery.at_ns)

    # How

    def _next_ns(self) -> int | None:
        times = [node.armed_ns for node in self._nodes.values() if node.armed_ns is not None and not node.is_stopped]
        return min([*times, *(each[0] for each in self._wire[:1])], default=None)

    def _expire(self) -> None:
        for node in list(self._nodes.values()):
            if node.armed_ns is not None and node.armed_ns <= self.now_ns and not node.is_stopped:
                node.expire()

    def _deliver(self, name: str, datagram: Datagram) -> None:
        if name in self._nodes:
            self._nodes[name].waiting.append(datagram)
            self._nodes[name].read_waiting()


def _rise(before: LinkStatistics | None, after: LinkStatistics) -> tuple[Statistics, Counter[DropReason]]:
    """Return by how much the counters of a link rose."""
    if before is None:
        return after.counts, after.drops
    return after.counts - before.counts, after.drops - before.drops
