"""Hosts on one wire with a delay, each on a node of its own: a world with one link, and what changed in it."""

from pycarp.core.events import StateChange
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import HostAdded
from pycarp.sim.scenario.world import World, WorldRecord
from pycarp.vocabulary import LinkFacts
from tests.support.hosts import LINK, changes, link


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
