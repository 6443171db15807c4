"""Layer 5: a deterministic world without clocks and sockets."""

from pycarp.sim.fabric import Delivery, Fabric

__all__ = ["Delivery", "Fabric"]
