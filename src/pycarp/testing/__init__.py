"""Floor 8: help for other people's tests."""

from pycarp.testing.virtual_time import Deadlock, VirtualTimeLoop, run

__all__ = ["Deadlock", "VirtualTimeLoop", "run"]
