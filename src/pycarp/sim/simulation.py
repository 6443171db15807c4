"""Simulates a fault plan: the machines, the segments between them, the incidents, and the checks."""

from collections import deque
from functools import partial
from random import Random

from msgspec.structs import replace

from pycarp.core import Input
from pycarp.core.engine import FULL_DEMOTION, HANDED_OVER
from pycarp.core.inputs import AdminChanged, DemotionSet, HandOverAsked, RestrictionSet, StateForced
from pycarp.core.restriction import Restriction
from pycarp.core.state import State
from pycarp.sim.checking import Checks
from pycarp.sim.event_queue import DELIVERY, EventQueue
from pycarp.sim.fabric import Fabric, Weather
from pycarp.sim.faults.fault_plan import DEATHS, OUTLASTING, THE_MASTER, Fault, FaultPlan, Incident
from pycarp.sim.machine import Machine
from pycarp.sim.narrative_log import NarrativeLog
from pycarp.sim.outcome import Outcome
from pycarp.sim.process import Troubles
from pycarp.sim.reachability import PLANNED
from pycarp.vocabulary import NS_PER_S, Datagram, Outgoing

_CUTTING_OFF = frozenset({Fault.PARTITION, Fault.ONE_WAY})
"""Faults during which a machine that is cut off from all others reaches no witness either."""

_REMEMBERED = 128
"""How many of the last packets ``replay`` and ``forgery`` choose from."""


def simulate(plan: FaultPlan, *, narrates: bool = False) -> Outcome:
    """Return the outcome of a plan; with ``narrates`` it has lines that people can read."""
    return _Simulation(plan, NarrativeLog(plan) if narrates else None).run()


class _Simulation:
    """One run of a plan."""

    def __init__(self, plan: FaultPlan, narrative: NarrativeLog | None) -> None:
        self._plan = plan
        self._narrative = narrative
        self._event_queue = EventQueue()
        self._chance = Random(plan.seed)
        self._fabrics: dict[str, Fabric] = {}
        self._active: list[Incident] = []
        self._seen: deque[Datagram] = deque(maxlen=_REMEMBERED)
        self._checks = Checks(plan, self._event_queue, self._fabric, narrative)
        self._machines = {
            member.name: Machine(
                member,
                self._event_queue,
                transmit=self._transmit,
                watcher=self._checks,
                chance=Random(self._chance.getrandbits(64)),
            )
            for member in plan.members
        }

    def run(self) -> Outcome:
        """Run the plan to its end and return the outcome."""
        self._checks.begin(tuple(self._machines.values()))
        for number, machine in enumerate(self._machines.values()):
            self._event_queue.at(number * self._plan.apart_ns, partial(self._start, machine))
        for incident in self._plan.incidents:
            self._event_queue.at(incident.at_ns, partial(self._begin, incident))
        self._event_queue.run(until_ns=self._plan.until_ns)
        return self._checks.outcome()

    def _start(self, machine: Machine) -> None:
        for link in machine.member.own:
            self._fabric(link).attach(machine.name)
        machine.start()

    def _fabric(self, link: str) -> Fabric:
        if link not in self._fabrics:
            chance = Random(f"{self._plan.seed} {link}")
            self._fabrics[link] = Fabric(delay_ns=self._plan.delay_ns, chance=chance)
        return self._fabrics[link]

    # Packets

    def _transmit(self, sender: Machine, outgoing: Outgoing) -> None:
        for delivery in self._fabric(outgoing.link).deliveries(sender.name, outgoing, self._event_queue.now_ns):
            self._seen.append(delivery.datagram)
            self._deliver(self._machines[delivery.port], delivery.datagram, delivery.at_ns)
        self._checks.forwarded(outgoing)

    def _deliver(self, machine: Machine, datagram: Datagram, at_ns: int) -> None:
        self._event_queue.at(at_ns, partial(machine.receive, datagram), rank=DELIVERY)

    # Incidents

    def _begin(self, incident: Incident) -> None:
        incident = self._with_master(incident)
        if self._narrative is not None:
            self._narrative.write_incident(self._event_queue.now_ns, incident, begins=True)
        self._active.append(incident)
        self._checks.begins(incident)
        self._set_surroundings()
        self._do(incident)
        self._checks.surroundings_changed()
        self._event_queue.at(incident.until_ns, partial(self._end, incident))

    def _end(self, incident: Incident) -> None:
        if self._narrative is not None and incident.span_ns:
            self._narrative.write_incident(self._event_queue.now_ns, incident, begins=False)
        self._active.remove(incident)
        self._checks.ends(incident)
        self._set_surroundings()
        self._undo(incident)
        self._checks.surroundings_changed()

    def _with_master(self, incident: Incident) -> Incident:
        if THE_MASTER not in (incident.node, incident.other):
            return incident
        first = self._plan.members[0]
        master = self._checks.master(first.hosts[0].key) or first.name
        node = master if incident.node == THE_MASTER else incident.node
        return replace(incident, node=node, other=master if incident.other == THE_MASTER else incident.other)

    def _set_surroundings(self) -> None:
        """Set segments and machines to the combined effect of all active incidents."""
        for fabric in self._fabrics.values():
            fabric.heal()
            fabric.weather = _weather(self._active)
            for incident in self._active:
                _cut(fabric, incident)
        for machine in self._machines.values():
            mine = [each for each in self._active if each.node == machine.name]
            faults = {each.fault for each in mine}
            machine.sends_fail = Fault.SEND_ERRORS in faults
            is_cut_off = any(each.fault in _CUTTING_OFF and not each.other for each in mine)
            is_alone = is_cut_off or any(each.fault is Fault.WITNESS for each in self._active)
            machine.links_without_witness = frozenset(machine.member.own if is_alone else ())
            _trouble(machine.troubles, mine)
            down = {link for each in mine for link in _links_down(machine, each)}
            for link in machine.member.own:
                if (link in down) is not (link in machine.links_down):
                    machine.set_link(link, is_up=link not in down)

    def _do(self, incident: Incident) -> None:
        machine = self._machines.get(incident.node)
        if machine is None:
            return
        match incident.fault:
            case Fault.MEDDLING:
                machine.meddle()
            case Fault.STOP:
                machine.stop()
            case Fault.CRASH | Fault.CRASH_ALL:
                machine.crash(guardian_too=incident.fault is Fault.CRASH_ALL)
            case Fault.POWER:
                machine.switch_off()
            case Fault.PAUSE:
                machine.pause()
            case Fault.REPLAY | Fault.FORGERY:
                self._inject_packets(machine, incident)
            case fault if fault in PLANNED:
                _command(machine, incident)
            case _:
                pass

    def _undo(self, incident: Incident) -> None:
        machine = self._machines.get(incident.node)
        if machine is None or self._goes_on(incident):
            return
        match incident.fault:
            case Fault.STOP:
                machine.continue_()
            case Fault.CRASH | Fault.CRASH_ALL | Fault.POWER:
                machine.start()
                for each in self._active:
                    if each.node == machine.name and each.fault in OUTLASTING:
                        _command(machine, each)
            case Fault.PAUSE:
                machine.resume()
            case fault if fault in PLANNED:
                _take_back(machine, incident)
            case _:
                pass

    def _goes_on(self, incident: Incident) -> bool:
        """Return whether another active incident has the same effect on the node."""
        kinds = DEATHS if incident.fault in DEATHS else {incident.fault}
        return any(each.node == incident.node and each.fault in kinds for each in self._active)

    def _inject_packets(self, machine: Machine, incident: Incident) -> None:
        """Deliver a packet seen before, unchanged or forged, and repeat that until the incident ends."""
        if self._seen:
            datagram = self._chance.choice(self._seen)
            if incident.fault is Fault.FORGERY:
                datagram = self._forged(datagram)
            self._deliver(machine, datagram, self._event_queue.now_ns)
        next_ns = self._event_queue.now_ns + round(NS_PER_S / max(incident.amount, 0.1))
        if next_ns < incident.until_ns:
            self._event_queue.at(next_ns, partial(self._inject_packets, machine, incident))

    def _forged(self, datagram: Datagram) -> Datagram:
        octets = bytearray(datagram.payload)
        for _change in range(self._chance.randint(1, 3)):
            octets[self._chance.randrange(len(octets))] = self._chance.randrange(256)
        length = len(octets) if self._chance.random() < 0.8 else self._chance.randrange(len(octets) + 1)
        return datagram._replace(payload=bytes(octets[:length]), ttl=self._chance.choice((255, 255, 254, 1)))


def _command(machine: Machine, incident: Incident) -> None:
    """Submit the administrator's command of an incident to every virtual host of the machine."""
    cause = _cause_of(incident.fault)
    match incident.fault:
        case Fault.DEMOTION:
            machine.submit(DemotionSet(None, cause, round(incident.amount)))
        case Fault.CHECK | Fault.DRAIN:
            machine.submit(DemotionSet(None, cause, FULL_DEMOTION, is_last=True))
        case Fault.GATE:
            machine.submit(RestrictionSet(None, cause, Restriction.BACKUP_ONLY))
        case Fault.HOLD:
            machine.submit(RestrictionSet(None, cause, Restriction.NO_PREEMPT))
        case _:
            _command_hosts(machine, incident)


def _command_hosts(machine: Machine, incident: Incident) -> None:
    for host in machine.member.hosts:
        commands: dict[Fault, Input] = {
            Fault.ADMIN_DOWN: AdminChanged(host.key, is_up=False),
            Fault.FORCE: StateForced(host.key, State.MASTER),
            Fault.HAND_OVER: HandOverAsked(host.key),
        }
        machine.submit(commands[incident.fault])


def _take_back(machine: Machine, incident: Incident) -> None:
    """Undo the administrator's command of an incident."""
    match incident.fault:
        case Fault.ADMIN_DOWN:
            for host in machine.member.hosts:
                machine.submit(AdminChanged(host.key, is_up=True))
        case Fault.DEMOTION | Fault.CHECK | Fault.DRAIN:
            machine.submit(DemotionSet(None, _cause_of(incident.fault), 0))
        case Fault.GATE | Fault.HOLD:
            machine.submit(RestrictionSet(None, _cause_of(incident.fault), None))
        case Fault.HAND_OVER:
            for host in machine.member.hosts:
                machine.submit(DemotionSet(host.key, HANDED_OVER, 0))
        case _:
            pass


def _cause_of(fault: Fault) -> str:
    return f"simulated {fault}"


def _weather(active: list[Incident]) -> Weather:
    def most(fault: Fault) -> float:
        return max((each.amount for each in active if each.fault is fault), default=0.0)

    return Weather(
        loss=most(Fault.LOSS),
        doubles=most(Fault.DUPLICATION),
        late_ns=round(most(Fault.DELAY) * NS_PER_S),
        clogged_until_ns=max((each.until_ns for each in active if each.fault is Fault.CLOG), default=0),
    )


def _cut(fabric: Fabric, incident: Incident) -> None:
    node = incident.node
    if incident.fault is Fault.LOOP:
        fabric.loop(node)
    if incident.fault not in (Fault.ONE_WAY, Fault.PARTITION):
        return
    for other in [incident.other] if incident.other else [each for each in fabric.ports if each != node]:
        fabric.cut(node, other)
        if incident.fault is Fault.PARTITION:
            fabric.cut(other, node)


def _links_down(machine: Machine, incident: Incident) -> tuple[str, ...]:
    match incident.fault:
        case Fault.LINK_DOWN:
            return tuple(machine.member.own)
        case Fault.ONE_LINK:
            return (incident.link or machine.member.hosts[0].interface,)
        case _:
            return ()


def _trouble(troubles: Troubles, incidents: list[Incident]) -> None:
    def most(fault: Fault) -> float:
        return max((each.amount for each in incidents if each.fault is fault), default=0.0)

    troubles.slow_ns = round(most(Fault.SLOW_ADDRESSES) * NS_PER_S)
    troubles.failing = most(Fault.FAILING_ADDRESSES)
    troubles.hang = any(each.fault is Fault.HANGING_ADDRESSES for each in incidents)
