"""A node all of whose backends can be made to go wrong."""

from dataclasses import dataclass, field

from pycarp import Node
from pycarp.transports.memory import MemoryBus
from tests.support.backends import Faults, FaultyActuator, FaultyGuardian, FaultyMonitor, FaultyTransport
from tests.support.nodes import link


@dataclass(slots=True, kw_only=True)
class FaultyNode:
    """A node and what it is made of; ``faults.wrong["adopt"] = Hang.FOR_EVER`` for one."""

    close_timeout_s: float = 5.0
    after_s: float = 10.0
    actuator_class: type[FaultyActuator] = FaultyActuator
    bus: MemoryBus = field(default_factory=MemoryBus)
    faults: Faults = field(default_factory=Faults)
    actuator: FaultyActuator = field(init=False)
    transport: FaultyTransport = field(init=False)
    monitor: FaultyMonitor = field(init=False)
    guardian: FaultyGuardian = field(init=False)
    node: Node = field(init=False)

    def __post_init__(self) -> None:
        self.actuator = self.actuator_class(self.faults)
        self.transport = FaultyTransport(self.bus.port("here"), self.faults)
        self.monitor = FaultyMonitor([link(1)], self.faults, after_s=self.after_s)
        self.guardian = FaultyGuardian(self.faults)
        self.node = Node(
            transport=self.transport,
            actuator=self.actuator,
            monitor=self.monitor,
            guardian=self.guardian,
            close_timeout_s=self.close_timeout_s,
        )
