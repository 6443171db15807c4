"""The same plan on the simulator and on the asyncio shell, and what each engine took in and wanted done.

Time is made equal in three ways. Each side draws its engines' counters from the same seed. What becomes of an attempt
(how long it takes, whether it fails or hangs) is a function of seed, machine, epoch and how many attempts that epoch
has seen, so that it does not matter who asks first. And every time of a plan is a whole number of microseconds, with
the loop's clock rounded to nanoseconds. Announcements take no time. What a kernel or a guardian would do by itself is
left out: neither acts on its own here, but what the guardian is told is part of the transcript.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heapify, heappop, heappush
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from itertools import count
from random import Random

from pycarp.actuators.actuator import Actuator
from pycarp.aio.shell import Observers, Shell
from pycarp.core import Announce, DropAddresses, Engine, HoldAddresses, Input, Step
from pycarp.core.engine import HANDED_OVER
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import (
    Action,
    AddressesDisturbed,
    AdminChanged,
    DemotionSet,
    HandOverAsked,
    HostAdded,
    HostReconfigured,
    HostRemoved,
    LinkChanged,
    RestrictionSet,
    StateForced,
)
from pycarp.core.restriction import Restriction
from pycarp.core.slots import SLOT_NS
from pycarp.core.state import State
from pycarp.dialects.dialect import ArpForm
from pycarp.errors import ActuatorError
from pycarp.runtime import Attempt
from pycarp.runtime.reconciler import action_of
from pycarp.runtime.runtime import READ_BATCH
from pycarp.sim.event_queue import DELIVERY, EventQueue
from pycarp.sim.fabric import Fabric
from pycarp.sim.faults.fault_plan import Member
from pycarp.sim.machine import Machine
from pycarp.sim.process import Fate, Troubles
from pycarp.system.guardian.clean_up_steps import CleanUpStep, PreparedPacket
from pycarp.testing import VirtualTimeLoop
from pycarp.vocabulary import NS_PER_S, Address, Datagram, HostKey, InterfaceAddress, LinkFacts, Outgoing

LINK = "em0"
SPAN_NS = 20 * NS_PER_S + 12_345_000
_NS_PER_US = 1000

_ADVSKEWS = range(1, 200, 4)
"""None is a whole number of slots: what arrives in the very moment of a deadline may be read before it or after it."""

Entry = tuple[int, object, object]
Transcript = dict[str, list[Entry]]
"""By machine: when, what the engine was given, and what it answered; or what the guardian was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that happens to a machine: an input, or a change of what surrounds it."""

    at_ns: int
    node: str
    what: Input | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Machines with one host each on one segment, and what happens to them."""

    seed: int
    members: tuple[Member, ...]
    incidents: tuple[Incident, ...]


def random_plan(seed: int) -> Plan:
    """Return a plan of two or three machines and up to twelve incidents."""
    dice = Random(f"plan {seed}")
    is_dual = dice.random() < 0.3
    preempt = dice.random() < 0.5
    advskews = dice.sample(_ADVSKEWS, dice.randint(2, 3))
    members = tuple(_member(number, advskew, is_dual, preempt) for number, advskew in enumerate(advskews, 1))
    incidents = [_incident(dice, dice.choice(members)) for _ in range(dice.randint(0, 12))]
    return Plan(seed=seed, members=members, incidents=tuple(sorted(incidents, key=lambda each: each.at_ns)))


def _member(number: int, advskew: int, is_dual: bool, preempt: bool) -> Member:
    shared = ["192.0.2.10/24", "2001:db8::10/64"] if is_dual else ["192.0.2.10/24"]
    host = HostConfig(interface=LINK, vhid=1, passphrase="testpass", addresses=shared, advskew=advskew, preempt=preempt)
    own: list[InterfaceAddress] = [IPv4Interface(f"192.0.2.{number}/24")]
    own += [IPv6Interface(f"fe80::{number}/64")] if is_dual else []
    return Member(name="abc"[number - 1], hosts=(host,), own={LINK: tuple(own)})


def _incident(dice: Random, member: Member) -> Incident:
    host = member.hosts[0]
    key = host.key
    choices: list[Input | str] = [
        StateForced(key, dice.choice([State.MASTER, State.BACKUP])),
        AdminChanged(key, is_up=False),
        AdminChanged(key, is_up=True),
        DemotionSet(None, "plan", dice.choice([0, 1, 240])),
        HandOverAsked(key),
        DemotionSet(key, HANDED_OVER, 0),
        RestrictionSet(key, "plan", dice.choice([None, *Restriction])),
        AddressesDisturbed(key, "an address was removed"),
        HostReconfigured(replace(host, advskew=dice.choice(_ADVSKEWS))),
        HostReconfigured(replace(host, addresses=(*host.addresses, ip_interface("192.0.2.11/24")))),
        HostReconfigured(host),
        HostRemoved(key),
        *("link down", "link up", "link up", "sends fail", "sends work", "sends work", "cut", "heal", "heal"),
        *("slow", "failing", "hang", "well", "well", "well"),
    ]
    at_ns = dice.randrange(SPAN_NS // _NS_PER_US) * _NS_PER_US
    return Incident(at_ns=at_ns, node=member.name, what=dice.choice(choices))


@dataclass(slots=True)
class Fates(Troubles):
    """What becomes of the attempts of one machine, whoever asks."""

    seed: str = ""
    calls: dict[tuple[Action, int], int] = field(default_factory=dict)

    def fate_of(self, attempt: Attempt, chance: Random) -> Fate:
        """Return it; ``chance`` has no say."""
        return self.fate(attempt.action, attempt.effect.epoch)

    def fate(self, action: Action, epoch: int) -> Fate:
        """Return what becomes of the next attempt of a kind."""
        what = action, epoch
        number = self.calls[what] = self.calls.get(what, 0) + 1
        dice = Random(f"{self.seed} {what} {number}")
        span_ns = dice.randrange(1, max(3_000_000, self.slow_ns) // _NS_PER_US) * _NS_PER_US
        error = "the addresses cannot be changed" if dice.random() < self.failing else None
        return Fate(None if self.hang else span_ns, error, error is None, works_anyway=False)

    def set(self, what: str) -> None:
        """Let things be well or ill from now on."""
        self.slow_ns = NS_PER_S if what == "slow" else 0
        self.failing = 0.6 if what == "failing" else 0.0
        self.hang = what == "hang"


# On the simulator


class _Machine(Machine):
    """A machine whose guardian writes down what it is told, and whose kernel keeps quiet."""

    def __init__(
        self,
        member: Member,
        event_queue: EventQueue,
        *,
        transcript: list[Entry],
        transmit: Callable[..., None],
        seed: str,
    ) -> None:
        super().__init__(member, event_queue, transmit=transmit, watcher=_Watcher(transcript), chance=Random(seed))
        self.troubles = Fates(seed=seed)
        self._transcript = transcript

    def arm_guardian(self, effect: HoldAddresses) -> None:
        self._transcript.append((self.now_ns, "arm", None))

    def renew_guardian(self, key: HostKey) -> None:
        self._transcript.append((self.now_ns, "renew", None))

    def disarm_guardian(self, key: HostKey) -> None:
        self._transcript.append((self.now_ns, "disarm", None))

    def _on_kernel(self, key: HostKey, by_others: bool) -> None:
        """Say nothing."""


@dataclass(slots=True)
class _Watcher:
    transcript: list[Entry]

    def stepped(self, machine: Machine, event: Input, step: Step) -> None:
        self.transcript.append((machine.now_ns, event, step))

    def announced(self, machine: Machine, effect: Announce) -> None:
        self.transcript.append((machine.now_ns, "announce", effect.epoch))

    def raised(self, machine: Machine, event: Input, bug: Exception) -> None:
        raise bug

    def changed(self, machine: Machine, key: HostKey) -> None:
        pass

    def sent(self, machine: Machine, outgoing: Outgoing, *, by_guardian: bool) -> None:
        pass


def simulated(plan: Plan) -> Transcript:
    """Return what happens on the simulator."""
    event_queue, fabric = EventQueue(), Fabric()
    transcript: Transcript = {member.name: [] for member in plan.members}
    machines: dict[str, _Machine] = {}

    def transmit(sender: Machine, outgoing: Outgoing) -> None:
        for delivery in fabric.deliveries(sender.name, outgoing, event_queue.now_ns):
            at_ns = delivery.at_ns + _apart_ns(sender.name)
            event_queue.at(at_ns, partial(machines[delivery.port].receive, delivery.datagram), rank=DELIVERY)

    for member in plan.members:
        fabric.attach(member.name)
        machines[member.name] = _Machine(
            member,
            event_queue,
            transcript=transcript[member.name],
            transmit=transmit,
            seed=f"{plan.seed} {member.name}",
        )
    for machine in machines.values():
        event_queue.at(0, machine.start)
    for each in plan.incidents:
        event_queue.at(each.at_ns, partial(_do, fabric, machines[each.node], each.what))
    event_queue.run(until_ns=SPAN_NS)
    return transcript


def _apart_ns(sender: str) -> int:
    """Return by how much more the datagrams of a machine are late: what two send in one slot has an order so."""
    return (ord(sender) - ord("a")) * _NS_PER_US


def _do(fabric: Fabric, machine: "_Machine | _Endpoint", what: Input | str) -> None:
    match what:
        case "link down" | "link up":
            machine.set_link(LINK, is_up=what == "link up")
        case "sends fail" | "sends work":
            machine.sends_fail = what == "sends fail"
        case "cut":
            fabric.isolate(machine.name)
        case "heal":
            fabric.heal()
        case str():
            assert isinstance(machine.troubles, Fates)
            machine.troubles.set(what)
        case _:
            machine.submit(what)


# On asyncio


class _ExactLoop(VirtualTimeLoop):
    """A virtual clock that is a whole number of nanoseconds, as far as a float can be."""

    def jump(self, span_s: float) -> None:
        """Let time pass, rounded."""
        self._now_s = round((self._now_s + span_s) * NS_PER_S) / NS_PER_S

    @property
    def now_ns(self) -> int:
        return round(self.time() * NS_PER_S)


class _Bus:
    """Carries datagrams between stations, in the order in which they were sent."""

    def __init__(self, fabric: Fabric, loop: _ExactLoop) -> None:
        self.stations: dict[str, _Endpoint] = {}
        self._fabric = fabric
        self._loop = loop
        self._under_way: list[tuple[int, int, str, Datagram]] = []
        self._numbers = count()

    def carry(self, sender: str, outgoing: Outgoing) -> None:
        for delivery in self._fabric.deliveries(sender, outgoing, self._loop.now_ns):
            at_ns = delivery.at_ns + _apart_ns(sender)
            heappush(self._under_way, (at_ns, next(self._numbers), delivery.port, delivery.datagram))
            self._loop.call_at(at_ns / NS_PER_S, self._deliver)

    def take(self, port: str) -> list[Datagram]:
        """Return what is in the sockets of a station by now, though it was not woken yet."""
        now_ns = self._loop.now_ns
        here = sorted(each for each in self._under_way if each[0] <= now_ns and each[2] == port)
        self._under_way = [each for each in self._under_way if each not in here]
        heapify(self._under_way)
        return [datagram for _at_ns, _number, _port, datagram in here]

    def _deliver(self) -> None:
        if self._under_way and self._under_way[0][0] <= self._loop.now_ns:
            _at_ns, _number, port, datagram = heappop(self._under_way)
            self.stations[port].hear(datagram)


class _Endpoint(Actuator):
    """A machine with a real shell: its transport, its actuator, its guardian, and what its engine does."""

    def __init__(self, member: Member, bus: _Bus, loop: _ExactLoop, transcript: list[Entry], seed: str) -> None:
        self.name = member.name
        self.member = member
        self.sends_fail = False
        self.links_down: set[str] = set()
        self.troubles = Fates(seed=seed)
        self._bus = bus
        self._loop = loop
        self._transcript = transcript
        self._waiting: list[Datagram] = []
        self._asked: HoldAddresses | DropAddresses | None = None
        chance = Random(Random(seed).getrandbits(64))
        self._engine = Engine(entropy=lambda: chance.getrandbits(64), settings=member.settings, slot_ns=SLOT_NS)
        self.shell = Shell(
            engine=self,
            transport=self,
            actuator=self,
            guardian=self,
            observers=Observers(
                asked=self._note_intent,
                renewed=lambda _key: None,
                reported=lambda _report: None,
                published=lambda _event: None,
                stalled=lambda _late_ns, _now_ns: None,
                failed=self._raise,
                vacated=lambda _key: asyncio.sleep(0),
            ),
        )

    def boot(self) -> None:
        self.submit(LinkChanged(self.facts()))
        for host in self.member.hosts:
            self.submit(HostAdded(host))

    def facts(self) -> LinkFacts:
        return LinkFacts(name=LINK, is_up=LINK not in self.links_down, addresses=tuple(self.member.own[LINK]))

    def submit(self, event: Input) -> None:
        self.shell.submit(event)

    def set_link(self, link: str, *, is_up: bool) -> None:
        (self.links_down.discard if is_up else self.links_down.add)(link)
        self.submit(LinkChanged(self.facts()))

    def hear(self, datagram: Datagram) -> None:
        if LINK not in self.links_down:
            self._waiting.append(datagram)
            self.shell.wake()

    def _note_intent(self, effect: HoldAddresses | DropAddresses | Announce) -> None:
        if not isinstance(effect, Announce):
            self._asked = effect

    def _raise(self, bug: BaseException) -> None:
        raise bug

    # Its engine

    def handle(self, event: Input, now_ns: int, /) -> Step:
        step = self._engine.handle(event, now_ns)
        self._transcript.append((now_ns, event, step))
        return step

    def can_send(self, key: HostKey, /) -> bool:
        return self._engine.can_send(key)

    # Its transport

    async def open_link(self, link: str, wake: Callable[[], None]) -> None:
        raise NotImplementedError

    async def join(self, link: str, group: Address) -> None:
        raise NotImplementedError

    async def close_link(self, link: str) -> None:
        raise NotImplementedError

    def send(self, outgoing: Outgoing) -> None:
        if self.sends_fail:
            raise OSError(105, "No buffer space available")
        if LINK not in self.links_down:
            self._bus.carry(self.name, outgoing)

    def prepared_packet(self, outgoing: Outgoing) -> PreparedPacket | None:
        return None

    def drain(self, limit: int) -> list[Datagram]:
        if limit > READ_BATCH and LINK not in self.links_down:
            # Before a timer expires; the loop keeps no order among what is due at one moment.
            self._waiting += self._bus.take(self.name)
        read, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return read

    # Its actuator

    async def hold(
        self, key: HostKey, addresses: tuple[InterfaceAddress, ...], *, lifetime_s: int | None = None
    ) -> None:
        await self._attempt()

    async def drop(self, key: HostKey, addresses: tuple[InterfaceAddress, ...]) -> None:
        # Former addresses take no time: they are dropped by the attempt to hold the others.
        if isinstance(self._asked, DropAddresses):
            await self._attempt()

    async def announce(self, key: HostKey, addresses: tuple[InterfaceAddress, ...], form: ArpForm) -> None:
        assert self._asked is not None
        self._transcript.append((self._loop.now_ns, "announce", self._asked.epoch))

    async def _attempt(self) -> None:
        """Do what was asked for last: an attempt begins only for that."""
        assert self._asked is not None
        fate = self.troubles.fate(action_of(self._asked), self._asked.epoch)
        if fate.span_ns is None:
            await self._loop.create_future()
            return
        # To a moment that is whole, whatever the float of now is.
        ended = self._loop.create_future()
        self._loop.call_at((self._loop.now_ns + fate.span_ns) / NS_PER_S, _resolve, ended)
        await ended
        if fate.error is not None:
            raise ActuatorError(fate.error)

    # Its guardian

    async def start(self) -> None:
        pass

    def arm(self, key: HostKey, steps: tuple[CleanUpStep, ...], limit_ns: int) -> None:
        self._transcript.append((self._loop.now_ns, "arm", None))

    def beat(self, key: HostKey) -> None:
        self._transcript.append((self._loop.now_ns, "renew", None))

    def disarm(self, key: HostKey) -> None:
        self._transcript.append((self._loop.now_ns, "disarm", None))


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _run(plan: Plan, transcript: Transcript) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _ExactLoop)
    fabric = Fabric()
    bus = _Bus(fabric, loop)
    for member in plan.members:
        fabric.attach(member.name)
        seed = f"{plan.seed} {member.name}"
        bus.stations[member.name] = _Endpoint(member, bus, loop, transcript[member.name], seed)
    for each in plan.incidents:
        loop.call_at(each.at_ns / NS_PER_S, _do, fabric, bus.stations[each.node], each.what)
    for station in bus.stations.values():
        station.boot()
    await asyncio.sleep(SPAN_NS / NS_PER_S)
    for station in bus.stations.values():
        station.shell.stop()
        await station.shell.release(*(host.key for host in station.member.hosts))


def on_asyncio(plan: Plan) -> Transcript:
    """Return what happens on the asyncio shell."""
    transcript: Transcript = {member.name: [] for member in plan.members}
    with asyncio.Runner(loop_factory=_ExactLoop) as runner:
        runner.run(_run(plan, transcript))
    return transcript
