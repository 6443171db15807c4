"""Floor 8: help for other people's tests."""

from pycarp.testing.conformance import CHECKS, Station, check_transport
from pycarp.testing.virtual_time import Deadlock, VirtualTimeLoop, run

__all__ = ["CHECKS", "Deadlock", "Station", "VirtualTimeLoop", "check_transport", "run"]
