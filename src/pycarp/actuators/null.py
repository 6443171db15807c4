"""Takes part in elections and touches nothing: for observers, tests and demonstrations."""

from pycarp.actuators.base import Actuator


class NullActuator(Actuator):
    """Every wish is granted, none is carried out."""
