"""Layer 8: clusters in virtual time and conformance checks, for the tests of applications."""

from pycarp.testing.cluster import Cluster
from pycarp.testing.clusters import Clusters
from pycarp.testing.conformance import CHECKS, Endpoint, check_transport
from pycarp.testing.member import Member
from pycarp.testing.ownership_history import Ownership
from pycarp.testing.simulated_actuator import SimulatedActuator
from pycarp.testing.virtual_time import Deadlock, Overtime, VirtualTimeLoop, run

__all__ = [
    "CHECKS",
    "Cluster",
    "Clusters",
    "Deadlock",
    "Endpoint",
    "Member",
    "Overtime",
    "Ownership",
    "SimulatedActuator",
    "VirtualTimeLoop",
    "check_transport",
    "run",
]
