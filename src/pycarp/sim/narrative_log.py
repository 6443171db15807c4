"""Writes a simulation as lines for people: effects of engines, changes of kernels, and incidents."""

from pycarp.core import Step
from pycarp.core.inputs import Input
from pycarp.core.slots import SLOT_NS
from pycarp.sim.faults.fault_plan import FaultPlan, Incident
from pycarp.sim.scenario.transcript import Transcript
from pycarp.sim.scenario.world import WorldRecord
from pycarp.vocabulary import NS_PER_S, HostKey


class NarrativeLog:
    """Lines in the order of time."""

    def __init__(self, plan: FaultPlan) -> None:
        names = {
            (member.name, host.key): member.name if len(member.hosts) == 1 else f"{member.name}/{host.vhid}"
            for member in plan.members
            for host in member.hosts
        }
        self._transcript = Transcript(lambda node, key: names.get((node, key), f"{node}/{key}"), slot_ns=SLOT_NS)

    @property
    def lines(self) -> list[str]:
        """The lines so far."""
        return self._transcript.lines

    def write(self, at_ns: int, who: str, what: str) -> None:
        """Add a line."""
        self._transcript.write(at_ns, who, what)

    def write_step(self, at_ns: int, node: str, event: Input, step: Step) -> None:
        """Add the lines of a step: what the engine did with an input."""
        self._transcript.write_record(WorldRecord(at_ns=at_ns, node=node, event=event, effects=step.effects))

    def write_owner(self, at_ns: int, node: str, key: HostKey, *, owns: bool) -> None:
        """Add whether a machine answers for the addresses of a host."""
        self.write(at_ns, self._transcript.label(node, key), "has the addresses" if owns else "has not the addresses")

    def write_incident(self, at_ns: int, incident: Incident, *, begins: bool) -> None:
        """Add the beginning of an incident, or its end."""
        self.write(at_ns, "!", words_for(incident) if begins else f"over: {words_for(incident)}")


def words_for(incident: Incident) -> str:
    """Return an incident in words: fault, amount, machines and span."""
    whom = " ".join(each for each in (incident.node, incident.link, incident.other) if each)
    amount = f" {incident.amount:g}" if incident.amount else ""
    span = f" for {incident.span_ns / NS_PER_S:g} s" if incident.span_ns else ""
    return f"{incident.fault}{amount}{f' {whom}' if whom else ''}{span}"
