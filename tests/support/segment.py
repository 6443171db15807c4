"""Hosts on one wire with a delay, each on a node of its own: a world with one link, and what changed in it."""

from pycarp.core.events import StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import HostAdded
from pycarp.dialects import Dialect
from pycarp.sim.scenario.world import World, WorldRecord
from pycarp.vocabulary import NS_PER_S, LinkFacts
from tests.support.hosts import LINK, changes, config, link, seconds

_OWN = {"a": "192.168.1.2/24", "b": "192.168.1.9/24", "c": "192.168.1.12/24"}


class Segment(World):
    """Members hear each other after ``latency_ns``; ``changes`` are their state changes, in order."""

    def __init__(self, *, latency_ns: int) -> None:
        super().__init__(delay_ns=latency_ns, observe=self._remember)
        self.changes: list[StateChange] = []
        self._deaf: set[str] = set()

    def join(self, name: str, host: HostConfig, *, own: tuple[str, ...] | str | None) -> None:
        """Add a member with one host and the addresses of its own, now."""
        self.add(name)
        self.deafen()
        listed = (own,) if isinstance(own, str) else own
        self.connect(name, link(*listed) if listed else LinkFacts(name=LINK, is_up=True))
        self.submit(name, HostAdded(host))

    def deafen(self, *names: str) -> None:
        """Let members hear nobody until ``heal``; they may come later."""
        self._deaf.update(names)
        for name in self._deaf:
            for other in self.nodes:
                self.fabric(LINK).cut(other, name)

    def heal(self) -> None:
        """Let everybody hear everybody."""
        self._deaf.clear()
        self.fabric(LINK).heal()

    def _remember(self, record: WorldRecord) -> None:
        self.changes += changes(record.effects)


def segment_of(*dialects: Dialect, advbase: int = 1, preempt: bool = False) -> Segment:
    """Return a segment where ``a`` has been MASTER for a while, and each further host has a larger advskew."""
    made = Segment(latency_ns=NS_PER_S // 10_000)
    for number, (name, dialect) in enumerate(zip(_OWN, dialects, strict=False)):
        host = config(dialect=dialect, advskew=20 + 40 * number, advbase=advbase, preempt=preempt)
        made.join(name, host, own=_OWN[name])
    made.run(until_ns=seconds(10))
    assert made.masters == ["a"]
    return made


def masters_after(made: Segment, span_s: float) -> list[str]:
    """Let time pass on a segment, and return who is MASTER then."""
    made.run(until_ns=made.now_ns + seconds(span_s))
    return made.masters
